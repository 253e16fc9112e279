/**
 * The way through WhatsApp's menus. The menus' names are those of the app in that language, and stand in the locales
 * under `menu.*`; the sentences round them under `guide.*`.
 */

/**
 * The steps for one app and one way, each in pieces of which every second is bold.
 * @param {import("./types.d.ts").T} t
 * @param {import("./types.d.ts").App} app
 * @param {import("./protocol.d.ts").Method} method
 * @param {boolean} samePhone whether this page is on the phone itself
 */
export function stepsFor(t, app, method, samePhone) {
  const linkDevice = app === "iphone" ? t("menu.linkDevice.iphone") : t("menu.linkDevice");
  const open = app === "business" ? t.pieces("guide.open.business") : t.pieces(samePhone ? "guide.open.here" : "guide.open");
  const steps = [open];
  if (app === "android") steps.push(t.pieces("guide.android", { linked: t("menu.linked") }));
  if (app === "iphone") steps.push(t.pieces("guide.iphone", { settings: t("menu.settings"), linked: t("menu.linked.iphone") }));
  if (app === "business")
    steps.push(t.pieces("guide.business", { settings: t("menu.settings"), linked: t("menu.linked") }));
  steps.push(t.pieces("guide.linkDevice", { linkDevice }));
  if (method === "qr") steps.push(t.pieces("guide.scan"));
  else steps.push(t.pieces("guide.type", { withNumber: t("menu.withNumber") }));
  return steps;
}
