/** What stands round the work: the bar, who asks and for what, how far it is, the other way, and news of the connection. */

import { attr, h, icon, rich, show, text } from "../dom.js";
import { LOCALES } from "../i18n.js";

/** The bar on top: whose page this is, what it is for, and in which language. @param {{onLocale: (locale: import("../types.d.ts").Locale) => void}} actions */
export function createBar({ onLocale }) {
  const mark = h("span", { class: "mark", "aria-hidden": "true" });
  const name = h("span", { class: "platform" });
  const select = h(
    "select",
    { "data-testid": "locale", change: () => onLocale(/** @type {import("../types.d.ts").Locale} */ (select.value)) },
    ...Object.entries(LOCALES).map(([locale, own]) => h("option", { value: locale, lang: locale }, own)),
  );
  const title = h("h1", {});
  const root = h("header", { class: "bar" }, h("div", { class: "brand" }, mark, name), title, select);
  return {
    root,
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ model, t }) {
      const platform = model.profile?.platform ?? "";
      text(name, platform);
      text(mark, platform.slice(0, 1).toUpperCase());
      text(title, t("page.title"));
      attr(select, "aria-label", t("bar.language"));
      if (select.value !== t.locale) select.value = t.locale;
    },
  };
}

/** @type {["can" | "cannot" | "undo" | "never", string][]} */
const POINTS = [["can", "send"], ["cannot", "cross"], ["undo", "undo"], ["never", "shield"]];

/** Who asks, for what, what it allows and what not, how to undo it. Open on a wide screen, a tap away on a phone. */
export function createTrust() {
  const who = h("p", { class: "who" });
  const more = h("summary", {});
  const points = POINTS.map(([point, drawing]) => {
    const head = h("b", {});
    const words = h("span", {});
    return { point, head, words, root: h("li", { class: point }, icon(drawing), h("p", {}, head, " ", words)) };
  });
  const details = h("details", {}, more, h("ul", { role: "list" }, ...points.map(({ root }) => root)));
  const root = h("section", { class: "trust" }, who, details);
  return {
    root,

    /** @param {boolean} wide */
    unfold(wide) {
      details.open = wide;
    },

    /** @param {import("../types.d.ts").Picture} picture */
    draw({ model, t }) {
      const { profile } = model;
      if (profile) rich(who, t.pieces("trust.who", { platform: profile.platform, company: profile.company }));
      text(more, t("trust.more"));
      const values = { linked: t("menu.linked"), logOut: t("menu.logOut"), device: profile?.deviceName ?? "…" };
      for (const { point, head, words } of points) {
        text(head, t(`trust.${point}.title`));
        text(words, t(`trust.${point}`, values));
      }
    },
  };
}

/** How far it is, in four words. */
export function createProgress() {
  const items = /** @type {const} */ ([0, 1, 2, 3]).map((stage) => ({ stage, root: h("li", {}, h("span", {})) }));
  const root = h("ol", { class: "progress", role: "list" }, ...items.map((item) => item.root));
  return {
    root,
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene, t }) {
      attr(root, "aria-label", t("progress.label"));
      for (const { stage, root: item } of items) {
        const goes = scene.mood === "run" || scene.mood === "good";
        const now = goes && stage === scene.stage;
        attr(item, "class", now ? "now" : goes && stage < scene.stage ? "past" : null);
        attr(item, "aria-current", now ? "step" : null);
        text(/** @type {Node} */ (item.firstChild), t(`progress.${stage}`));
      }
    },
  };
}

/** The other way. Both are alive at once: turning to it costs nothing and loses nothing. @param {{onSwitch: () => void}} actions */
export function createOther({ onSwitch }) {
  const button = h("button", { type: "button", class: "text", "data-testid": "switch-method", click: onSwitch });
  const root = h("div", { class: "other" }, button);
  return {
    root,
    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene, t }) {
      attr(root, "class", `other${scene.canSwitch ? "" : " gone"}`);
      text(button, t(scene.front === "qr" ? "act.use-code" : "act.use-qr"));
    },
  };
}

/** Said of the connection, when it lasts: over the page, so that nothing under it moves. @param {{onNow: () => void}} actions */
export function createToast({ onNow }) {
  const words = h("span", {});
  const button = h("button", { type: "button", class: "text", click: onNow });
  const root = h("div", { class: "toast", "data-testid": "toast" }, words, button);
  return {
    root,
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
      show(root, said);
      text(words, said);
      text(button, picture.t(picture.model.stuck ? "toast.reload" : "toast.now"));
      show(button, picture.model.online);
    },
  };
}
