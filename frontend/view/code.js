/** The code: the largest thing on its screen; selectable, one tap to copy, spelled out for those who listen. */

import { attr, mark, part, show, text } from "../dom.js";

/** @param {{root: HTMLElement, copying: ReturnType<typeof import("./copy.js").createCopy>}} tools */
export function createCode({ root, copying }) {
  const box = part(root, "div", "codeBox");
  const shown = part(root, "span", "code");
  const spelled = part(root, "span", "spelled");
  const owner = part(root, "p", "codeFor");
  const button = part(root, "button", "copy");
  const open = part(root, "a", "openApp");
  const label = /** @type {HTMLElement} */ (button.lastElementChild);
  button.addEventListener("click", () => copying.copy("code", (shown.textContent ?? "").replace("-", ""), shown));
  return {
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene, model, t }) {
      const code = model.snapshot?.code ?? null;
      const waiting = scene.step === "code-wait";
      show(box, waiting || (code && (scene.step === "code" || scene.step === "code-over")));
      attr(box, "class", `code-box${waiting ? " waiting" : scene.step === "code-over" ? " dead" : ""}`);
      // While it is on its way its place is kept, so that nothing jumps.
      text(shown, waiting ? "" : code?.text ?? "");
      text(spelled, waiting || !code ? "" : t("code.spelled", { letters: [...code.text.replace("-", "")].join(", ") }));
      text(owner, waiting || !code ? "" : t("code.for", { phone: code.phone }));
      // On the phone itself copying is the next thing to do, and then WhatsApp; from a desktop the code is read and typed.
      const taken = model.onPhone && scene.step === "code" && copying.last("code") === code?.text.replace("-", "");
      const focused = document.activeElement === button;
      show(button, !taken);
      show(open, taken);
      if (taken && focused) open.focus({ preventScroll: true });
      mark(button, "main", model.onPhone);
      mark(button, "gone", scene.step !== "code");
      const done = copying.has("code");
      text(label, t(done ? "act.copied" : "act.copy"));
      attr(button, "data-done", done);
    },
  };
}
