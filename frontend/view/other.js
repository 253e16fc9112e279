/** The other way. Both are alive at once: turning to it costs nothing and loses nothing. */

import { attr, h, text } from "../dom.js";

/** @param {{onSwitch: () => void}} actions */
export function createOther({ onSwitch }) {
  const button = h("button", { type: "button", class: "text", "data-testid": "switch-method", click: onSwitch });
  const root = h("div", { class: "other" }, button);
  return {
    root,
    /** @param {import("../view.js").Picture} picture */
    draw({ scene, t }) {
      attr(root, "class", `other${scene.canSwitch ? "" : " gone"}`);
      text(button, t(scene.front === "qr" ? "act.use-code" : "act.use-qr"));
    },
  };
}
