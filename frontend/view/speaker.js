/**
 * For those who listen: a node of their own, which says little. A new step is said by moving the focus to its heading,
 * which is described by the words under it; where the focus is there already or must not be moved, and for the marks of
 * the countdown, this node speaks. Nothing is said twice.
 */

import { text } from "../dom.js";
import { createMarks } from "./countdown.js";
import { headWords, noticeWords, sentences } from "./words.js";

/**
 * @param {{root: HTMLElement, workplace: HTMLElement, title: HTMLElement, phone: {focus: () => void}, toast: (picture: import("../types.d.ts").Picture) => string}} places
 */
export function createSpeaker({ root, workplace, title, phone, toast }) {
  const mark = createMarks();
  let step = "";
  let notice = "";
  let away = "";

  /** Whether the focus is in the work, or nowhere: then it may go where the work goes on. In a frame, it may be in the
   * page around. */
  const mayMove = () => {
    const active = document.activeElement;
    return (parent === window || document.hasFocus()) && (!active || active === document.body || workplace.contains(active));
  };

  return {
    /** @param {import("../types.d.ts").Picture} picture */
    draw(picture) {
      const { scene, t } = picture;
      const head = headWords(picture);
      const said = noticeWords(picture);
      const gone = toast(picture);
      const now = `${scene.step} ${scene.failure ?? ""}`;
      if (step && now !== step) {
        const before = document.activeElement;
        if (scene.step === "form" && scene.phoneFault) phone.focus();
        else if (mayMove()) title.focus({ preventScroll: true });
        text(root, document.activeElement === before ? sentences(t, head.title, said || head.text) : "");
      } else if (scene.phoneFault && scene.notice && notice !== scene.notice) {
        phone.focus();
      } else if (said && said !== notice) {
        text(root, said);
      } else if (gone && gone !== away) {
        text(root, gone);
      } else {
        const left = mark(picture);
        if (left !== null) text(root, t("say.left", { count: left }));
      }
      step = now;
      notice = scene.phoneFault ? scene.notice ?? "" : said;
      away = gone;
    },
  };
}
