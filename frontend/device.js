/** What kind of screen this is: it decides which way is offered first, never what is possible. */

/** Whether the page is on a phone, probably the very one to be linked, which cannot scan its own screen. */
export function isPhone() {
  if (/iPhone|iPod|Android.*Mobile/.test(navigator.userAgent)) return true;
  return matchMedia("(pointer: coarse) and (max-width: 600px)").matches;
}

/** The app whose menus are the likely ones. @returns {import("./types.d.ts").App} */
export function likelyApp() {
  return /iPhone|iPad|iPod|Macintosh/.test(navigator.userAgent) ? "iphone" : "android";
}
