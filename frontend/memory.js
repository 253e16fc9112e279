/** What the browser remembers for us, where it may: with storage forbidden the page works, and only forgets. */

/** @param {() => Storage} area */
const remembering = (area) => ({
  /** @param {string} key @returns {string | null} */
  get(key) {
    try {
      return area().getItem(key);
    } catch {
      return null;
    }
  },

  /** @param {string} key @param {string} value */
  set(key, value) {
    try {
      area().setItem(key, value);
    } catch {
      // Forbidden or full: what is not kept is asked for again.
    }
  },
});

/** For this tab, over a refresh. */
export const tab = remembering(() => sessionStorage);
const TOKEN_KEY = "link-token";

/**
 * The link's token: it comes in the URL's fragment, so that no server log has it; it leaves the address bar at once, so
 * that no shoulder and no history has it; it stays in this tab, so that a refresh works.
 *
 * Null when the page was opened without one.
 */
export function takeToken() {
  const fromUrl = location.hash.slice(1);
  if (fromUrl) {
    tab.set(TOKEN_KEY, fromUrl);
    history.replaceState(null, "", location.pathname + location.search);
    return fromUrl;
  }
  return tab.get(TOKEN_KEY);
}

/** The whole link again, for somebody who wants to go on with it on another screen. @param {string} token */
export function linkWith(token) {
  return `${location.origin}${location.pathname}${location.search}#${token}`;
}
