/** The code: the largest thing on its screen; selectable, one tap to copy, spelled out for those who listen. */

import { attr, h, icon, redraw, show, text } from "../dom.js";

/** @param {{copying: ReturnType<typeof import("./copy.js").createCopy>}} tools */
export function createCode({ copying }) {
  const shown = h("span", { class: "code", "data-testid": "code", "aria-hidden": "true" });
  const spelled = h("span", { class: "unseen" });
  const owner = h("p", { class: "quiet" });
  const drawing = icon("copy");
  const label = h("span", {});
  const button = h("button", { type: "button", class: "button", "data-testid": "copy", click: () => copy() }, drawing, label);
  const copy = () => copying.copy("code", (shown.textContent ?? "").replace("-", ""), shown);
  const root = h("div", { class: "code-box" }, h("p", { class: "code-line" }, shown, spelled), owner, button);
  return {
    root,
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene, model, t }) {
      const code = model.snapshot?.code ?? null;
      const waiting = scene.step === "code-wait";
      show(root, waiting || (code && (scene.step === "code" || scene.step === "code-over")));
      attr(root, "class", `code-box${waiting ? " waiting" : scene.step === "code-over" ? " dead" : ""}`);
      // While it is on its way its place is kept, so that nothing jumps.
      text(shown, waiting ? "" : code?.text ?? "");
      text(spelled, waiting || !code ? "" : t("code.spelled", { letters: [...code.text.replace("-", "")].join(", ") }));
      text(owner, waiting || !code ? "" : t("code.for", { phone: code.phone }));
      // On the phone itself copying is the next thing to do; from a desktop the code is read and typed.
      attr(button, "class", `button${model.onPhone ? " main" : ""}${scene.step === "code" ? "" : " gone"}`);
      text(label, t(copying.has("code") ? "act.copied" : "act.copy"));
      redraw(drawing, copying.has("code") ? "check" : "copy");
    },
  };
}
