/**
 * The words of the page. Every text for people goes through `t()`.
 *
 * A text may have placeholders, `{name}`, and may be a set of plural forms that `{count}` chooses from. A missing value
 * throws: better a red test than "null before you".
 */

import { browser } from "./memory.js";

/** @typedef {import("./types.d.ts").Messages} Messages */
/** @typedef {import("./types.d.ts").Locale} Locale */
/** @typedef {keyof Messages} Key */
/** @typedef {Record<string, string | number>} Values */

/** @type {Record<Locale, string>} */
export const LOCALES = { en: "English", ru: "Русский", "pt-BR": "Português", es: "Español" };

const KEY = "locale";

/**
 * The language of the page: what was chosen here, else what the link says, else the browser, else English.
 * @param {string | null} chosen
 * @param {string | null | undefined} fromLink
 * @param {readonly string[]} fromBrowser
 * @returns {Locale}
 */
export function pickLocale(chosen, fromLink, fromBrowser) {
  const ours = /** @type {Locale[]} */ (Object.keys(LOCALES));
  for (const wish of [chosen, fromLink, ...fromBrowser]) {
    const language = wish?.slice(0, 2).toLowerCase();
    const found = ours.find((locale) => locale.slice(0, 2) === language);
    if (found) return found;
  }
  return "en";
}

export const rememberedLocale = () => browser.get(KEY);

/** @param {Locale} locale */
export const rememberLocale = (locale) => browser.set(KEY, locale);

/** @param {Locale} locale @returns {Promise<Messages>} */
export async function loadMessages(locale) {
  const response = await fetch(new URL(`./locales/${locale}.json`, import.meta.url));
  if (!response.ok) throw new Error(`no texts for ${locale}: ${response.status}`);
  return response.json();
}

/** @param {Locale} locale @param {Messages} messages */
export function createT(locale, messages) {
  const plurals = new Intl.PluralRules(locale);

  /** @param {Key} key @param {Values} values @returns {string} */
  function template(key, values) {
    const message = /** @type {string | Record<string, string>} */ (messages[key]);
    if (message === undefined) throw new Error(`no text ${key} in ${locale}`);
    if (typeof message === "string") return message;
    if (typeof values.count !== "number") throw new Error(`${key} needs a count`);
    const form = message[plurals.select(values.count)] ?? message.other;
    if (form === undefined) throw new Error(`${key} has no form for ${values.count} in ${locale}`);
    return form;
  }

  /** @param {string} text @param {Key} key @param {Values} values */
  function fill(text, key, values) {
    return text.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      if (value === undefined || value === null) throw new Error(`${key} needs a value for {${name}}`);
      return String(value);
    });
  }

  /** The text for a key. @param {Key} key @param {Values} [values] */
  const t = (key, values = {}) => fill(template(key, values), key, values);

  /**
   * The same in pieces: every second one was between `**` and is to be bold. What stands in the values is never taken
   * for a mark.
   * @param {Key} key
   * @param {Values} [values]
   */
  t.pieces = (key, values = {}) => template(key, values).split("**").map((piece) => fill(piece, key, values));

  t.locale = locale;
  return t;
}
