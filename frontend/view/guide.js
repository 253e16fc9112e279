/**
 * Beside the thing itself: the way through WhatsApp's menus; after an end, what to look at; once linked, what to know.
 *
 * The menus' names are those of the app in that language, and stand in the locales under `menu.*`; the sentences round
 * them under `guide.*`. Which steps are those of an app, of a way, and of a phone is said in `skeleton.html`.
 */

import { attr, part, show, text } from "../dom.js";

/** @param {{root: HTMLElement}} place */
export function createGuide({ root }) {
  const guide = part(root, "section", "guide");
  const title = part(root, "h2", "guideTitle");
  const steps = part(root, "ol", "steps");
  const apps = part(root, "fieldset", "apps");
  const push = part(root, "p", "push");
  const checks = part(root, "ul", "checks");
  const after = part(root, "ul", "after");
  apps.addEventListener("change", (event) => attr(guide, "data-app", /** @type {HTMLInputElement} */ (event.target).value));
  return {
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene, t }) {
      const over = scene.step === "linked" || scene.step === "reconnecting";
      const goes = !over && !scene.checks;
      text(title, t(over ? "after.title" : scene.checks ? "checks.title" : "guide.title"));
      for (const one of [steps, apps, push]) show(one, goes);
      show(checks, scene.checks && !over);
      show(after, over);
    },
  };
}
