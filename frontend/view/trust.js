/** Who asks, for what, what it allows and what not, how to undo it. Open on a wide screen, a tap away on a phone. */

import { h, icon, rich, text } from "../dom.js";

/** @type {["can" | "cannot" | "undo" | "never", string][]} */
const POINTS = [["can", "send"], ["cannot", "cross"], ["undo", "undo"], ["never", "shield"]];

export function createTrust() {
  const who = h("p", { class: "who" });
  const more = h("summary", {});
  const points = POINTS.map(([point, drawing]) => {
    const head = h("b", {});
    const words = h("span", {});
    return { point, head, words, root: h("li", { class: point }, icon(drawing), h("p", {}, head, " ", words)) };
  });
  const details = h("details", {}, more, h("ul", {}, ...points.map(({ root }) => root)));
  const root = h("section", { class: "trust" }, who, details);
  return {
    root,

    /** @param {boolean} wide */
    unfold(wide) {
      details.open = wide;
    },

    /** @param {import("../types.d.ts").Picture} picture */
    draw({ model, t }) {
      const { profile } = model;
      if (profile) rich(who, t.pieces("trust.who", { platform: profile.platform, company: profile.company }));
      text(more, t("trust.more"));
      const values = { linked: t("menu.linked"), logOut: t("menu.logOut"), device: profile?.deviceName ?? "…" };
      for (const { point, head, words } of points) {
        text(head, t(`trust.${point}.title`));
        text(words, t(`trust.${point}`, values));
      }
    },
  };
}
