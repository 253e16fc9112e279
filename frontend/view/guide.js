/**
 * Beside the thing itself: the way through WhatsApp's menus; after an end, what to look at; once linked, what to know.
 *
 * The menus' names are those of the app in that language, and stand in the locales under `menu.*`; the sentences round
 * them under `guide.*`.
 */

import { attr, h, icon, rich, show, text } from "../dom.js";

const APPS = /** @type {const} */ (["android", "iphone", "business"]);
/** Opens the app on its screen of linked devices, where the system knows the way. */
const LINKED_DEVICES = "https://wa.me/settings/linked_devices";

/** The app whose menus are the likely ones. @returns {import("../types.d.ts").App} */
const likelyApp = () => (/iPhone|iPad|iPod|Macintosh/.test(navigator.userAgent) ? "iphone" : "android");

/** @param {{uid: string, redraw: () => void}} tools */
export function createGuide({ uid, redraw }) {
  /** @type {import("../types.d.ts").App} */
  let app = likelyApp();
  const title = h("h2", {});
  const choices = APPS.map((name) => {
    const input = h("input", { type: "radio", name: `${uid}app`, value: name, change: () => { app = name; redraw(); } });
    const words = h("span", {});
    return { name, input, words, root: h("label", {}, input, words) };
  });
  const apps = h("fieldset", { class: "apps" }, h("legend", { class: "unseen" }), ...choices.map((choice) => choice.root));
  const list = h("ol", { class: "steps", role: "list" });
  const points = h("ul", { class: "points", role: "list" });
  const push = h("p", { class: "quiet" });
  const openWords = h("span", {});
  const open = h("a", { class: "button", href: LINKED_DEVICES, target: "_blank", rel: "noopener noreferrer" }, icon("open"), openWords);
  const root = h("section", { class: "guide" }, title, apps, list, points, push, open);

  /** @param {HTMLElement} into @param {string[][]} lines */
  function fill(into, lines) {
    while (into.children.length > lines.length) into.lastElementChild?.remove();
    while (into.children.length < lines.length) into.append(h("li", {}, h("span", {})));
    lines.forEach((pieces, i) => rich(/** @type {Element} */ (into.children[i]?.firstElementChild), pieces));
  }

  return {
    root,
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene, model, t }) {
      const after = ["linked", "reconnecting"].includes(scene.step);
      const { checks } = scene;
      const code = scene.front === "code";
      text(title, t(after ? "after.title" : checks ? "checks.title" : "guide.title"));
      show(apps, !after && !checks);
      show(list, !after && !checks);
      show(points, after || checks);
      show(push, !after && !checks && code);
      show(open, !after && !checks && code && model.onPhone);
      text(/** @type {Node} */ (apps.firstChild), t("guide.app"));
      for (const { name, input, words } of choices) {
        text(words, t(`guide.app.${name}`));
        if (input.checked !== (name === app)) input.checked = name === app;
      }
      text(push, t("guide.push"));
      text(openWords, t("act.open-app"));
      attr(root, "data-app", app);
      fill(list, stepsFor(t, app, scene.front, model.onPhone && code));
      const device = model.snapshot?.device?.name ?? model.profile?.deviceName ?? "";
      const values = { device, linked: t("menu.linked"), logOut: t("menu.logOut") };
      if (after) fill(points, [t.pieces("after.name", values), t.pieces("after.remove", values), t.pieces("after.phone")]);
      if (checks) fill(points, [t.pieces("checks.online"), t.pieces("checks.update"), t.pieces("checks.devices")]);
    },
  };
}

/**
 * The steps for one app and one way, each in pieces of which every second is bold.
 * @param {import("../types.d.ts").T} t
 * @param {import("../types.d.ts").App} app
 * @param {import("../protocol.d.ts").Method} method
 * @param {boolean} samePhone whether this page is on the phone itself
 */
function stepsFor(t, app, method, samePhone) {
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
