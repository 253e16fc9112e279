/** The bar on top: whose page this is, what it is for, and in which language. */

import { attr, h, text } from "../dom.js";
import { LOCALES } from "../i18n.js";

/** @param {{onLocale: (locale: import("../i18n.js").Locale) => void}} actions */
export function createBar({ onLocale }) {
  const mark = h("span", { class: "mark", "aria-hidden": "true" });
  const name = h("span", { class: "platform" });
  const select = h(
    "select",
    { "data-testid": "locale", change: () => onLocale(/** @type {import("../i18n.js").Locale} */ (select.value)) },
    ...Object.entries(LOCALES).map(([locale, own]) => h("option", { value: locale, lang: locale }, own)),
  );
  const title = h("h1", {});
  const root = h("header", { class: "bar" }, h("div", { class: "brand" }, mark, name), title, select);
  return {
    root,
    /** @param {import("../view.js").Picture} picture */
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
