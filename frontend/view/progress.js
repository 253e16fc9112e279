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
        const goes = scene.mood === "run" || scene.mood === "good";
        const now = goes && stage === scene.stage;
        attr(item, "class", now ? "now" : goes && stage < scene.stage ? "past" : null);
        attr(item, "aria-current", now ? "step" : null);
        text(/** @type {Node} */ (item.firstChild), t(`progress.${stage}`));
      }
    },
  };
}
