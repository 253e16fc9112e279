/**
 * The link's token: it comes in the URL's fragment, so that no server log has it; it leaves the address bar at once, so
 * that no shoulder and no history has it; it stays in this tab, so that a refresh works.
 */

const KEY = "link-token";

/** The token, or null when the page was opened without one. */
export function takeToken() {
  const fromUrl = decodeURIComponent(location.hash.slice(1));
  if (fromUrl) {
    sessionStorage.setItem(KEY, fromUrl);
    history.replaceState(null, "", location.pathname + location.search);
    return fromUrl;
  }
  return sessionStorage.getItem(KEY);
}

/** The whole link again, for somebody who wants to go on with it on another screen. @param {string} token */
export function linkWith(token) {
  return `${location.origin}${location.pathname}#${encodeURIComponent(token)}`;
}
