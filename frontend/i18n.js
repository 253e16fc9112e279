/**
 * The words of the page. Every text for people goes through `t()`.
 *
 * A text may have placeholders, `{name}`, and may be a set of plural forms that `{count}` chooses from. A missing value
 * throws: better a red test than "null before you". The words of the first language stand in the page itself; those of
 * another come when it is chosen.
 */

import { part } from "./dom.js";

/** @typedef {import("./types.d.ts").Messages} Messages */
/** @typedef {keyof Messages} Key */
/** @typedef {Record<string, string | number>} Values */

const A_YEAR_S = 31_536_000;

/** The language that was chosen here: told to the server, too, so that its first page is in it. */
export const chosenLocale = () => /(?:^|; )lang=([\w-]+)/.exec(document.cookie)?.[1] ?? null;

/** @param {string} locale */
export function rememberLocale(locale) {
  document.cookie = `lang=${locale}; path=/; max-age=${A_YEAR_S}; samesite=lax`;
}

/** Of the languages that there are, the one that fits a wish; null without one. @param {string | null | undefined} wish @param {string[]} ours */
export function fitting(wish, ours) {
  const language = wish?.split("-")[0]?.toLowerCase();
  return ours.find((one) => one === wish) ?? ours.find((one) => one.split("-")[0] === language) ?? null;
}

/** Where the words of each language are. @param {ParentNode} root */
export function languagesOf(root) {
  const { options, dataset } = part(root, "select", "locale");
  return new Map(Array.from(options, ({ value }) => [value, (dataset.words ?? "").replace("*", value)]));
}

/** The words that came with the page. @returns {Messages} */
export const firstMessages = () => JSON.parse(document.querySelector("#words")?.textContent ?? "{}");

/** @param {string} url @returns {Promise<Messages>} */
export async function loadMessages(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`no words: ${response.status}`);
  return response.json();
}

/** @param {string} locale @param {Messages} messages */
export function createT(locale, messages) {
  const plurals = new Intl.PluralRules(locale);
  // Between right-to-left words a value keeps its own direction: a number, a time or a name is read as it is written.
  const [before, after] = messages["language.dir"] === "rtl" ? ["\u2068", "\u2069"] : ["", ""];

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
      return before + value + after;
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

  /** The names in WhatsApp's menus, by the last part of their keys. @type {Record<string, string>} */
  t.menu = Object.fromEntries(
    Object.entries(messages).filter(([key]) => /^menu\.\w+$/.test(key)).map(([key, value]) => [key.slice(5), String(value)]),
  );
  t.locale = locale;
  t.dir = messages["language.dir"];
  return t;
}
