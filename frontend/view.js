/** The page, drawn from a picture: its nodes stand in `skeleton.html`, and only what the picture changed is changed. */

import { attr, mark, part, reword, show, text } from "./dom.js";
import { createBar, createProgress, createToast, createTrust } from "./view/frame.js";
import { createGuide } from "./view/guide.js";
import { createPanel } from "./view/panel.js";
import { createSpeaker } from "./view/speaker.js";

/** @typedef {import("./types.d.ts").Picture} Picture */

/** In the place of a name that is not known yet, as in `app/page/paint.py`. */
const COMPANY = `…${"\u00a0".repeat(14)}`;

/**
 * @param {{root: HTMLElement, clock: import("./types.d.ts").Clock, redraw: () => void, actions: import("./types.d.ts").Actions}} tools
 */
export function createView({ root, clock, redraw, actions }) {
  const bar = createBar({ root, onLocale: actions.locale });
  const trust = createTrust({ root });
  const progress = createProgress({ root });
  const panel = createPanel({ root, clock, redraw, actions });
  const guide = createGuide({ root });
  const toast = createToast({ root, onNow: actions.reconnect });
  const other = part(root, "div", "other");
  const turn = part(root, "button", "turn");
  const work = part(root, "div", "work");
  const unexpected = part(root, "p", "unexpected");
  const speaker = createSpeaker({
    root: part(root, "p", "speaker"), workplace: work, title: panel.title, phone: panel.phone, toast: (picture) => toast.words(picture),
  });
  const main = part(root, "main", "main");
  const called = part(root, "div", "page").dataset.device ?? "…";
  turn.addEventListener("click", actions.switchMethod);
  let worded = "";

  return {
    main,
    phone: panel.phone,
    unfold: trust.unfold,

    /** @param {Picture} picture */
    draw(picture) {
      const { model, scene, t, platform } = picture;
      const { snapshot, profile } = model;
      attr(main, "data-state", snapshot?.state ?? "");
      attr(main, "data-failure", snapshot?.failure?.code ?? model.error?.code ?? scene.failure ?? "");
      attr(main, "data-attempt", String(snapshot?.attempt ?? ""));
      attr(main, "data-seq", String(snapshot?.seq ?? ""));
      attr(main, "data-step", scene.step);
      attr(main, "data-method", scene.front);
      attr(main, "data-mood", scene.mood);
      attr(main, "data-link", model.link);
      attr(main, "data-on", model.onPhone ? "phone" : "desktop");
      attr(main, "lang", t.locale);
      const values = {
        platform, company: profile?.company ?? COMPANY,
        device: snapshot?.device?.name ?? profile?.deviceName ?? called,
      };
      const words = JSON.stringify([t.locale, values]);
      if (words !== worded) reword(root, t, values);
      worded = words;
      // After a final failure there is no way to be shown.
      attr(work, "data-alone", scene.final);
      show(unexpected, !scene.agreed && !scene.spent);
      // Who asks cannot be said of a link that could not be read.
      show(trust.root, profile || !scene.final);
      mark(other, "gone", !scene.canSwitch);
      text(turn, t(scene.front === "qr" ? "act.use-code" : "act.use-qr"));
      foot(root, profile);
      for (const one of [bar, progress, panel, guide, toast, speaker]) one.draw(picture);
    },
  };
}

/** Whom to ask, and what is done with what is known here. @param {HTMLElement} root @param {import("./protocol.d.ts").Profile | null} profile */
function foot(root, profile) {
  if (!profile) return;
  const links = /** @type {const} */ ([["support", profile.supportUrl], ["privacy", profile.privacyUrl]]);
  for (const [name, url] of links) {
    const link = part(root, "a", name);
    show(link, url);
    attr(link, "href", url ?? null);
  }
  show(part(root, "p", "foot"), profile.supportUrl || profile.privacyUrl);
}

/** The words of the tab, which an owner sees from another tab. @param {Picture} picture */
export function drawTab({ model, t, platform }) {
  const state = model.snapshot?.state;
  attr(document.documentElement, "lang", t.locale);
  attr(document.documentElement, "dir", t.dir);
  const words = [state && t(`state.${state}`), t("page.title"), platform];
  const title = /** @type {HTMLElement} */ (document.querySelector("title"));
  text(title, words.filter(Boolean).join(" · "));
}
