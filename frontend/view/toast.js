/** Said of the connection, when it lasts: over the page, so that nothing under it moves. */

import { h, show, text } from "../dom.js";

/** @param {{onNow: () => void}} actions */
export function createToast({ onNow }) {
  const words = h("span", {});
  const button = h("button", { type: "button", class: "text", click: onNow });
  const root = h("div", { class: "toast", "data-testid": "toast" }, words, button);
  return {
    root,
    /** What is said, or an empty text. @param {import("../view.js").Picture} picture */
    words({ model, t }) {
      if (model.link === "ready" || model.link === "closed" || !model.hasToken) return "";
      if (!model.online) return t("toast.offline");
      if (!model.lasting) return "";
      return t(model.closeCode === 4429 ? "toast.many" : "toast.lost");
    },
    /** @param {import("../view.js").Picture} picture */
    draw(picture) {
      const said = this.words(picture);
      show(root, said);
      text(words, said);
      text(button, picture.t("toast.now"));
      show(button, picture.model.online);
    },
  };
}
