/** The code: the largest thing on its screen; selectable, one tap to copy, spelled out for those who listen. */

import { attr, h, icon, redraw, show, text } from "../dom.js";

const COPIED_MS = 2_000;

/** @param {{clock: import("../types.d.ts").Clock, redraw: () => void}} tools */
export function createCode({ clock, redraw: drawAgain }) {
  const shown = h("span", { class: "code", "data-testid": "code", "aria-hidden": "true" });
  const spelled = h("span", { class: "unseen" });
  const owner = h("p", { class: "quiet" });
  const drawing = icon("copy");
  const label = h("span", {});
  const button = h("button", { type: "button", class: "button", "data-testid": "copy", click: copy }, drawing, label);
  const root = h("div", { class: "code-box" }, h("p", { class: "code-line" }, shown, spelled), owner, button);
  let copied = false;

  async function copy() {
    try {
      await navigator.clipboard.writeText((shown.textContent ?? "").replace("-", ""));
    } catch {
      // No permission, or no secure page: then it is marked, ready to be copied by hand.
      getSelection()?.selectAllChildren(shown);
      return;
    }
    copied = true;
    clock.set("copied", COPIED_MS, () => {
      copied = false;
      drawAgain();
    });
    drawAgain();
  }

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
      text(label, t(copied ? "act.copied" : "act.copy"));
      redraw(drawing, copied ? "check" : "copy");
    },
  };
}
