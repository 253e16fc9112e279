/** The square in the middle: the QR on white, or a drawing of what is going on. It never changes its size. */

import { attr, part, show, text } from "../dom.js";

/** @typedef {import("../types.d.ts").Step} Step */

/** @type {Partial<Record<Step, string>>} */
const DRAWINGS = {
  start: "phone", linked: "check", expired: "wait", cancelled: "stop", failed: "alert", stalled: "wait",
  "no-token": "alert", "code-over": "wait",
};
/** @type {Step[]} */
const BUSY = ["opening", "prepare", "queued", "linking", "reconnecting"];
/** @type {Step[]} */
const VEILED = ["qr-over", "expired", "prepare", "stalled"];

/** @param {import("../types.d.ts").Scene} scene @param {import("../types.d.ts").Model} model */
const isDead = (scene, model) => scene.front === "qr" && VEILED.includes(scene.step) && model.lastQr !== null;

/** @param {{root: HTMLElement, onRetry: () => void}} tools */
export function createPlate({ root, onRetry }) {
  const plate = part(root, "div", "plate");
  const image = part(root, "img", "qr");
  const ring = part(root, "span", "ring");
  const disc = part(root, "span", "disc");
  const renew = part(root, "button", "renew");
  const veil = part(root, "div", "veil");
  renew.addEventListener("click", onRetry);
  let drawn = "";

  return {
    /** Whether the button of this scene stands on the veil. @param {import("../types.d.ts").Picture} picture */
    hasButton: ({ scene, model }) => isDead(scene, model) && (scene.step === "qr-over" || scene.step === "expired"),

    /** @param {import("../types.d.ts").Picture} picture */
    draw(picture) {
      const { scene, model, t } = picture;
      const dead = isDead(scene, model);
      const qr = scene.step === "qr" ? model.snapshot?.qr ?? null : dead ? model.lastQr : null;
      const hasButton = this.hasButton(picture);
      const kept = qr !== null || scene.step === "start" || (BUSY.includes(scene.step) && scene.stage < 2 && scene.front === "qr");
      attr(plate, "class", `plate ${scene.mood}${dead ? " dead" : ""}${kept ? "" : " sign"}`);
      show(plate, !["form", "code", "code-wait", "code-over"].includes(scene.step));
      show(image, qr);
      if (qr && drawn !== qr.svg) {
        drawn = qr.svg;
        image.src = `data:image/svg+xml,${encodeURIComponent(qr.svg)}`;
      }
      attr(image, "alt", dead ? "" : t("qr.alt"));
      show(veil, dead);
      show(renew, hasButton);
      attr(renew, "data-testid", hasButton ? "retry" : null);
      attr(renew, "aria-disabled", scene.busy ? "true" : null);
      text(renew, t("act.new-qr"));
      show(ring, BUSY.includes(scene.step));
      const name = dead ? undefined : DRAWINGS[scene.step];
      show(disc, name);
      if (name) attr(disc, "data-drawing", name);
    },
  };
}
