/** The work: what to do, the thing itself, how long it lives, the button, the other way. */

import { attr, mark, part, show, text } from "../dom.js";
import { referenceOf } from "../reference.js";
import { createCode } from "./code.js";
import { createCopy } from "./copy.js";
import { createCountdown } from "./countdown.js";
import { createPhoneField } from "./phone-field.js";
import { createPlate } from "./plate.js";
import { headWords, mainWords, noticeWords, wayOn } from "./words.js";

/** @typedef {import("../types.d.ts").Picture} Picture */

/**
 * @param {{root: HTMLElement, clock: import("../types.d.ts").Clock, redraw: () => void, actions: import("../types.d.ts").Actions}} tools
 */
export function createPanel({ root, clock, redraw, actions }) {
  /** @type {Picture} */
  let last;
  const panel = part(root, "section", "panel");
  const title = part(root, "h2", "title");
  const words = part(root, "p", "lead");
  const notice = part(root, "p", "notice");
  const device = part(root, "p", "device");
  const main = part(root, "button", "act");
  const way = part(root, "a", "way");
  const copyLink = part(root, "button", "copyLink");
  const another = part(root, "button", "another");
  const cancel = part(root, "button", "cancel");
  const change = part(root, "button", "changeNumber");
  const reference = part(root, "p", "reference");
  const plate = createPlate({ root, onRetry: () => press() });
  const copying = createCopy({ clock, redraw });
  const code = createCode({ root, copying });
  const phone = createPhoneField({ root, redraw, onSubmit: actions.getCode });
  const countdown = createCountdown({ root });
  main.addEventListener("click", () => press());
  copyLink.addEventListener("click", () => copying.copy("link", actions.link()));
  cancel.addEventListener("click", actions.cancel);
  change.addEventListener("click", actions.changeNumber);
  another.addEventListener("click", () => copying.copy("support", reference.textContent ?? "", reference));

  /** The primary button of the scene that is drawn. */
  function press() {
    const { scene } = last;
    if (scene.busy || scene.held || !scene.main) return;
    if (scene.main === "support") copying.copy("support", reference.textContent ?? "", reference);
    else actions.main(scene.main, phone.ready());
  }

  return {
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
      attr(panel, "data-front", scene.front);
      attr(panel, "data-mood", scene.mood);

      plate.draw(picture);
      code.draw(picture);
      phone.draw(picture);
      const linked = model.snapshot?.device;
      show(device, linked && (step === "linked" || step === "reconnecting"));
      text(/** @type {Node} */ (device.firstChild), linked?.phone ?? "");
      text(/** @type {Node} */ (device.lastChild), linked?.name ?? "");
      countdown.draw(picture);

      const leads = wayOn(picture);
      const button = scene.main && !leads && !["get-code", "return", "new-link"].includes(scene.main) && !plate.hasButton(picture);
      const copied = t(copying.has("support") ? "act.copied" : "act.support");
      show(main, button);
      attr(main, "data-testid", button && scene.main);
      attr(main, "aria-disabled", scene.busy || scene.held ? "true" : null);
      text(main, scene.main === "support" ? copied : mainWords(picture));
      show(way, leads);
      if (leads) attr(way, "href", leads.url);
      text(way, leads?.words ?? "");
      show(copyLink, step === "qr" && model.onPhone);
      text(copyLink, t(copying.has("link") ? "act.copied" : "act.copy-link"));

      // Its place is kept while something runs, and given up to the button of an ending or of the form.
      mark(cancel, "gone", !scene.canCancel);
      show(cancel, scene.canCancel || (scene.mood === "run" && scene.stage < 2 && step !== "form"));
      show(change, scene.canCancel && ["code", "code-wait", "code-over"].includes(step));
      const cancelling = model.pending?.type === "cancel" ? "true" : null;
      for (const one of [cancel, change]) attr(one, "aria-disabled", cancelling);
      const { snapshot } = model;
      show(reference, scene.reference && snapshot);
      if (snapshot) text(reference, t("reference", { reference: referenceOf(snapshot.sessionId, snapshot.attempt) }));
      // Where support is a link, what is to be told there is a tap away.
      show(another, scene.main === "support" && leads && snapshot);
      text(another, copied);
    },
  };
}
