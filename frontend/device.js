/** What kind of screen this is: it decides which way is offered first, never what is possible. */

/** @typedef {"android" | "iphone" | "business"} App */

/** Whether the page is on a phone, probably the very one to be linked, which cannot scan its own screen. */
export function isPhone() {
  if (/iPhone|iPod|Android.*Mobile/.test(navigator.userAgent)) return true;
  return matchMedia("(pointer: coarse) and (max-width: 600px)").matches;
}

/** The app whose menus are the likely ones. @returns {App} */
export function likelyApp() {
  return /iPhone|iPad|iPod|Macintosh/.test(navigator.userAgent) ? "iphone" : "android";
}
