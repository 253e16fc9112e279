/** What stands round the work: the bar, who asks and for what, how far it is, and news of the connection. */

import { attr, part, show, text } from "../dom.js";

/** @typedef {{root: HTMLElement}} Place */

/** The bar on top: whose page this is, what it is for, and in which language. @param {Place & {onLocale: (locale: string) => void}} tools */
export function createBar({ root, onLocale }) {
  const initial = part(root, "span", "mark");
  const name = part(root, "span", "platform");
  const select = part(root, "select", "locale");
  select.addEventListener("change", () => onLocale(select.value));
  return {
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ t, platform }) {
      text(name, platform);
      text(initial, [...platform.toUpperCase()][0] ?? "");
      if (select.value !== t.locale) select.value = t.locale;
    },
  };
}

/** Who asks, for what, what it allows and what not, how to undo it. Open on a wide screen, a tap away on a phone. @param {Place} place */
export function createTrust({ root }) {
  const details = part(root, "details", "trust");
  return {
    root: details,

    /** @param {boolean} wide */
    unfold(wide) {
      details.open = wide;
    },
  };
}

/** How far it is, in four words. @param {Place} place */
export function createProgress({ root }) {
  const items = [...part(root, "ol", "progress").children];
  return {
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene }) {
      const goes = scene.mood === "run" || scene.mood === "good";
      for (const [stage, item] of items.entries()) {
        const now = goes && stage === scene.stage;
        attr(item, "class", now ? "now" : goes && stage < scene.stage ? "past" : null);
        attr(item, "aria-current", now ? "step" : null);
      }
    },
  };
}

/** Said of the connection, when it lasts: over the page, so that nothing under it moves. @param {Place & {onNow: () => void}} tools */
export function createToast({ root, onNow }) {
  const toast = part(root, "aside", "toast");
  const words = part(root, "span", "toastWords");
  const button = part(root, "button", "now");
  button.addEventListener("click", onNow);
  return {
    /** What is said, or an empty text. @param {import("../types.d.ts").Picture} picture */
    words({ model, t }) {
      if (model.link === "ready" || model.link === "closed" || !model.hasToken) return "";
      if (!model.online) return t("toast.offline");
      if (model.stuck) return t("toast.stuck");
      if (!model.lasting) return "";
      return t(model.closeCode === 4429 ? "toast.many" : "toast.lost");
    },
    /** @param {import("../types.d.ts").Picture} picture */
    draw(picture) {
      const said = this.words(picture);
      show(toast, said);
      text(words, said);
      text(button, picture.t(picture.model.stuck ? "toast.reload" : "toast.now"));
      show(button, picture.model.online);
    },
  };
}
