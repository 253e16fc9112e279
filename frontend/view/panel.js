/** The work: what to do, the thing itself, how long it lives, the button, the other way. */

import { attr, h, show, text } from "../dom.js";
import { createCode } from "./code.js";
import { createCopy } from "./copy.js";
import { createCountdown } from "./countdown.js";
import { createPhoneField } from "./phone-field.js";
import { createPlate } from "./plate.js";
import { headWords, mainWords, noticeWords } from "./words.js";

/** @typedef {import("../types.d.ts").Picture} Picture */

/**
 * @param {{uid: string, clock: import("../types.d.ts").Clock, redraw: () => void, actions: import("../types.d.ts").Actions}} tools
 */
export function createPanel({ uid, clock, redraw, actions }) {
  /** @type {Picture} */
  let last;
  const title = h("h2", { id: `${uid}title`, tabindex: "-1", "aria-describedby": `${uid}text ${uid}notice`, "data-testid": "title" });
  const words = h("p", { id: `${uid}text`, class: "lead" });
  const notice = h("p", { id: `${uid}notice`, class: "notice", "data-testid": "notice" });
  const plate = createPlate({ onRetry: () => press() });
  const copying = createCopy({ clock, redraw });
  const code = createCode({ copying });
  const phone = createPhoneField({ uid, redraw, onSubmit: (number) => actions.getCode(number) });
  const device = h("p", { class: "device", "data-testid": "device" }, h("b", {}), h("span", {}));
  const slot = h("div", { class: "slot" }, plate.root, code.root, phone.root, device);
  const countdown = createCountdown();
  const main = h("button", { type: "button", class: "button main", click: () => press() });
  const back = h("a", { class: "button main", "data-testid": "return" });
  const copyLink = h("button", { type: "button", class: "button", "data-testid": "copy-link", click: () => copying.copy("link", actions.link()) });
  const cancel = h("button", { type: "button", class: "text", "data-testid": "cancel", click: () => actions.cancel() });
  const change = h("button", { type: "button", class: "text", "data-testid": "change-number", click: () => actions.changeNumber() });
  const reference = h("p", { class: "reference", "data-testid": "reference" });
  const acts = h("div", { class: "acts" }, main, back, copyLink);
  const root = h("section", { class: "panel", "aria-labelledby": `${uid}title` }, h("div", { class: "head" }, title, words, notice), slot,
    countdown.root, acts, h("div", { class: "texts" }, change, cancel), reference);

  /** The primary button of the scene that is drawn. */
  function press() {
    const { scene } = last;
    if (scene.busy || scene.held || !scene.main) return;
    if (scene.main === "support") copying.copy("support", reference.textContent ?? "", reference);
    else actions.main(scene.main, phone.ready());
  }

  return {
    root,
    title,
    phone,

    /** @param {Picture} picture */
    draw(picture) {
      last = picture;
      const { scene, model, t } = picture;
      const { step } = scene;
      const head = headWords(picture);
      text(title, head.title);
      // A notice stands in the place of the words, so that nothing below moves.
      const said = noticeWords(picture);
      text(words, said ? "" : head.text);
      text(notice, said);
      show(notice, said);
      show(words, !said);
      attr(root, "data-front", scene.front);
      attr(root, "data-mood", scene.mood);

      plate.draw(picture);
      code.draw(picture);
      phone.draw(picture);
      show(plate.root, !["form", "code", "code-wait", "code-over"].includes(step));
      const linked = model.snapshot?.device;
      show(device, linked && (step === "linked" || step === "reconnecting"));
      text(/** @type {Node} */ (device.firstChild), linked?.phone ?? "");
      text(/** @type {Node} */ (device.lastChild), linked?.name ?? "");
      countdown.draw(picture);

      const button = scene.main && !["get-code", "return"].includes(scene.main) && !plate.hasButton(picture);
      show(main, button);
      attr(main, "data-testid", button && scene.main);
      attr(main, "aria-disabled", scene.busy || scene.held ? "true" : null);
      text(main, scene.main === "support" && copying.has("support") ? t("act.copied") : mainWords(picture));
      const url = model.profile?.returnUrl ?? "";
      const returns = scene.main === "return" && /^https?:/.test(url);
      show(back, returns);
      if (returns) attr(back, "href", url);
      text(back, t("act.return", { platform: model.profile?.platform ?? "…" }));
      show(copyLink, step === "qr" && model.onPhone);
      text(copyLink, t(copying.has("link") ? "act.copied" : "act.copy-link"));

      // Its place is kept while something runs, and given up to the button of an ending.
      attr(cancel, "class", `text${scene.canCancel ? "" : " gone"}`);
      show(cancel, scene.canCancel || scene.mood === "run");
      text(cancel, t("act.cancel"));
      show(change, scene.canCancel && ["code", "code-wait", "code-over"].includes(step));
      text(change, t("act.fix-phone"));
      const cancelling = model.pending?.type === "cancel" ? "true" : null;
      for (const button of [cancel, change]) attr(button, "aria-disabled", cancelling);
      const { snapshot } = model;
      show(reference, scene.reference && snapshot);
      if (snapshot) text(reference, t("reference", { reference: `${snapshot.sessionId}/${snapshot.attempt}` }));
    },
  };
}
