/** Every country in a list with a search: by name in the page's language, by its letters, by its code. */

import { h, show, text } from "../dom.js";
import { COUNTRIES, flag } from "../countries.js";

/** @typedef {{root: HTMLElement, region: string, words: string}} Row */

/** What is looked for, without accents and case. @param {string} words */
const plain = (words) => words.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** @param {{onChoice: (region: string) => void}} tools */
export function createCountryList({ onChoice }) {
  const search = h("input", {
    type: "text", enterkeyhint: "search", role: "combobox", "aria-expanded": "true", "aria-controls": "countries", "aria-autocomplete": "list", autocomplete: "off",
    "data-testid": "country-search", input: filter, keydown,
  });
  const list = h("ul", { id: "countries", role: "listbox", click: (/** @type {MouseEvent} */ event) => choose(/** @type {Element} */ (event.target).closest("li")) });
  const none = h("p", { class: "quiet", role: "status" });
  const shut = h("button", { type: "button", class: "text", "data-testid": "country-close", click: () => dialog.close() });
  const dialog = h("dialog", { class: "countries", click: outside }, h("div", { class: "search" }, search, shut), list, none);
  /** @type {Row[]} */
  let rows = [];
  let language = "";
  /** @type {Row | undefined} */
  let active;

  /** @param {import("../types.d.ts").T} t */
  function fill(t) {
    if (language === t.locale) return;
    language = t.locale;
    const names = new Intl.DisplayNames(t.locale, { type: "region" });
    const named = COUNTRIES.map(({ region, dial }) => ({ region, dial, name: names.of(region) ?? region }));
    const { compare } = new Intl.Collator(t.locale);
    named.sort((one, other) => compare(one.name, other.name));
    rows = named.map(({ region, dial, name }) => ({
      region,
      words: plain(`${name} ${region} +${dial}`),
      root: h("li", { role: "option", id: `country-${region}`, "data-region": region },
        h("span", { "aria-hidden": "true" }, flag(region)), h("span", { class: "name" }, name), h("span", { class: "dial", dir: "ltr" }, `+${dial}`)),
    }));
    list.replaceChildren(...rows.map(({ root }) => root));
    for (const [node, key] of /** @type {const} */ ([[search, "country.search"], [list, "country.label"], [dialog, "country.label"]]))
      node.setAttribute("aria-label", t(key));
    search.placeholder = t("country.search");
    text(shut, t("act.close"));
    text(none, t("country.none"));
  }

  function filter() {
    const wanted = plain(search.value.trim());
    for (const { root, words } of rows) show(root, words.split(" ").some((word) => word.startsWith(wanted)) || words.startsWith(wanted));
    const first = rows.find(({ root }) => !root.hidden);
    show(none, !first);
    point(first);
  }

  /** @param {Row | undefined} row */
  function point(row) {
    active?.root.removeAttribute("aria-selected");
    active = row;
    active?.root.setAttribute("aria-selected", "true");
    active?.root.scrollIntoView({ block: "nearest" });
    if (active) search.setAttribute("aria-activedescendant", active.root.id);
    else search.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  function keydown(event) {
    const seen = rows.filter(({ root }) => !root.hidden);
    const at = seen.findIndex((row) => row === active);
    if (event.key === "ArrowDown") point(seen[Math.min(at + 1, seen.length - 1)]);
    else if (event.key === "ArrowUp") point(seen[Math.max(at - 1, 0)]);
    else if (event.key === "Enter") choose(active?.root ?? null);
    else return;
    event.preventDefault();
  }

  /** @param {Element | null} row */
  function choose(row) {
    const region = /** @type {HTMLElement | null} */ (row)?.dataset.region;
    if (!region) return;
    dialog.close();
    onChoice(region);
  }

  /** @param {MouseEvent} event */
  function outside(event) {
    if (event.target === dialog) dialog.close();
  }

  return {
    /** @param {import("../types.d.ts").T} t @param {string} region the one that counts now */
    open(t, region) {
      if (!dialog.isConnected) document.body.append(dialog);
      fill(t);
      search.value = "";
      filter();
      dialog.showModal();
      point(rows.find((row) => row.region === region) ?? rows[0]);
      active?.root.scrollIntoView({ block: "center" });
    },
  };
}
