/** Beside the thing itself: the way through WhatsApp's menus; after an end, what to look at; once linked, what to know. */

import { attr, h, icon, rich, show, text } from "../dom.js";
import { likelyApp } from "../device.js";
import { stepsFor } from "../steps.js";

const APPS = /** @type {const} */ (["android", "iphone", "business"]);
/** Opens the app on its screen of linked devices, where the system knows the way. */
const LINKED_DEVICES = "https://wa.me/settings/linked_devices";

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
  const list = h("ol", { class: "steps" });
  const points = h("ul", { class: "points" });
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
