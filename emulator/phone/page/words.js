// Every word of the phone, in the languages of the service's page; the two share the choice, in a cookie of this machine.

import * as api from "./api.js";

let words = {};
let language = "";

export const t = (key) => (words[key] ?? key).replace(/\{(\w+)\}/g, (_, other) => t(other));
export const hasWords = (key) => key in words;
export const currentLanguage = () => language;
export const chosenLanguage = () => /(?:^|; )lang=([\w-]+)/.exec(document.cookie)?.[1] ?? navigator.language;

export function chooseLanguage(wish) {
  document.cookie = `lang=${wish}; path=/; max-age=31536000; samesite=lax`;
}

// Fetches the words for a wish and puts them into the page; the names of all languages by their codes.
export async function speak(wish) {
  const told = await api.words(wish);
  ({ words, language } = told);
  document.documentElement.lang = language;
  document.documentElement.dir = words["language.dir"];
  document.title = t("title");
  for (const [name, attribute] of [["t", null], ["tLabel", "aria-label"], ["tTitle", "title"]]) {
    const selector = `[data-${name.replace(/[A-Z]/g, (one) => `-${one.toLowerCase()}`)}]`;
    for (const node of document.querySelectorAll(selector)) {
      if (attribute) node.setAttribute(attribute, t(node.dataset[name]));
      else node.textContent = t(node.dataset[name]);
    }
  }
  return told.languages;
}
