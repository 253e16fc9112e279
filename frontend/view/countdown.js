/** A quiet clock: m:ss and a thin bar for eyes; a few words, rarely, for ears. */

import { attr, mark, part, rich, show } from "../dom.js";
import { dayAndTime, minutesAndSeconds } from "../clock.js";

const HURRY_MS = 10_000;
const FAR_MS = 3_600_000;
const SPOKEN_AT = [60, 30, 10];

/** @param {{root: HTMLElement}} place */
export function createCountdown({ root }) {
  const box = part(root, "p", "countdown");
  const words = part(root, "span", "clock");
  const track = part(root, "span", "track");
  const rest = /** @type {HTMLElement} */ (track.firstElementChild);
  return {
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene, t, now }) {
      const { countdown } = scene;
      mark(box, "gone", !countdown);
      show(box, countdown || (scene.mood === "run" && scene.step !== "form"));
      if (!countdown) return;
      const left = countdown.until - now;
      rich(words, countdown.kind === "retry" && left > FAR_MS
        ? t.pieces("countdown.retry-at", { time: dayAndTime(countdown.until, t.locale) })
        : t.pieces(`countdown.${countdown.kind}`, { time: minutesAndSeconds(left) }));
      show(track, countdown.total > 0);
      attr(box, "data-hurry", countdown.kind !== "retry" && left <= HURRY_MS);
      rest.style.transform = `scaleX(${Math.max(0, Math.min(1, left / countdown.total || 0))})`;
    },
  };
}

/** The mark that a countdown has just passed, to be spoken once each. */
export function createMarks() {
  let about = "";
  let last = Infinity;
  /** @param {import("../types.d.ts").Picture} picture @returns {number | null} */
  return ({ scene, now }) => {
    const { countdown } = scene;
    if (!countdown || countdown.kind === "retry") return null;
    const left = Math.ceil((countdown.until - now) / 1000);
    const name = `${countdown.kind} ${countdown.until}`;
    if (about !== name) last = left + 1;
    about = name;
    const passed = SPOKEN_AT.find((mark) => left <= mark && mark < last) ?? null;
    last = left;
    return passed === null || left <= 0 ? null : left;
  };
}
