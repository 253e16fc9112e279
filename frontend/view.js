/** The page, drawn from a picture: made once, then only changed where the picture changed. */

import { attr, h, text } from "./dom.js";
import { createBar, createOther, createProgress, createToast, createTrust } from "./view/frame.js";
import { createGuide } from "./view/guide.js";
import { createPanel } from "./view/panel.js";
import { createSpeaker } from "./view/speaker.js";

/** @typedef {import("./types.d.ts").Picture} Picture */

let made = 0;

/**
 * @param {{root: HTMLElement, clock: import("./types.d.ts").Clock, redraw: () => void, actions: import("./types.d.ts").Actions}} tools
 */
export function createView({ root, clock, redraw, actions }) {
  made += 1;
  const uid = `v${made}-`;
  const bar = createBar({ onLocale: actions.locale });
  const trust = createTrust();
  const progress = createProgress();
  const panel = createPanel({ uid, clock, redraw, actions });
  const other = createOther({ onSwitch: actions.switchMethod });
  const guide = createGuide({ uid, redraw });
  const toast = createToast({ onNow: actions.reconnect });
  const work = h("div", { class: "work" }, progress.root, panel.root, other.root, guide.root);
  const unexpected = h("p", { class: "unexpected" });
  const speaker = createSpeaker({
    workplace: work, title: panel.title, phone: panel.phone, toast: (picture) => toast.words(picture),
  });
  const main = h("main", { "data-state": "" }, trust.root, work, unexpected, speaker.root, toast.root);
  root.replaceChildren(bar.root, main);

  return {
    main,
    phone: panel.phone,
    unfold: trust.unfold,

    /** @param {Picture} picture */
    draw(picture) {
      const { model, scene, t } = picture;
      const { snapshot } = model;
      attr(main, "data-state", snapshot?.state ?? "");
      attr(main, "data-failure", snapshot?.failure?.code ?? model.error?.code ?? scene.failure ?? "");
      attr(main, "data-attempt", String(snapshot?.attempt ?? ""));
      attr(main, "data-seq", String(snapshot?.seq ?? ""));
      attr(main, "data-step", scene.step);
      attr(main, "data-method", scene.front);
      attr(main, "data-link", model.link);
      attr(main, "lang", t.locale);
      // After a final failure there is no way to be shown.
      attr(work, "data-alone", scene.final);
      attr(unexpected, "class", `unexpected${scene.agreed || scene.spent ? " gone" : ""}`);
      text(unexpected, t("trust.unexpected"));
      for (const part of [bar, trust, progress, panel, other, guide, toast, speaker]) part.draw(picture);
    },
  };
}

/** The words of the tab, which an owner sees from another tab. @param {Picture} picture */
export function drawTab({ model, t }) {
  const state = model.snapshot?.state;
  attr(document.documentElement, "lang", t.locale);
  const title = t("page.title");
  text(/** @type {HTMLElement} */ (document.querySelector("title")), state ? [t(`state.${state}`), title].join(" · ") : title);
}
