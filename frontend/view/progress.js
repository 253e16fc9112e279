/** How far it is, in four words. */

import { attr, h, text } from "../dom.js";

export function createProgress() {
  const items = /** @type {const} */ ([0, 1, 2, 3]).map((stage) => ({ stage, root: h("li", {}, h("span", {})) }));
  const root = h("ol", { class: "progress" }, ...items.map((item) => item.root));
  return {
    root,
    /** @param {import("../view.js").Picture} picture */
    draw({ scene, t }) {
      attr(root, "aria-label", t("progress.label"));
      for (const { stage, root: item } of items) {
        const past = stage < scene.stage || scene.step === "linked";
        attr(item, "class", past ? "past" : stage === scene.stage ? "now" : null);
        attr(item, "aria-current", stage === scene.stage ? "step" : null);
        text(/** @type {Node} */ (item.firstChild), t(`progress.${stage}`));
      }
    },
  };
}
