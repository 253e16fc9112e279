/** A phone number as people type it: understood, and shown back as it is written. Pure. */

import { countryByDial, countryOf } from "./countries.js";

/** @typedef {import("./types.d.ts").Typed} Typed */
/** @typedef {import("./types.d.ts").Country} Country */

const FEWEST_DIGITS = 6;
const MOST_DIGITS = 15;
/** Where we do not know how numbers are written. */
const BY_THREES = [3, 3, 3, 3, 3];
/** The digits of other scripts, by their zeros: Arabic, Persian, Devanagari, full width. */
const ZEROS = [0x660, 0x6f0, 0x966, 0xff10];
/** What stands before a country's code when it is dialled from a place. */
const OUT = /** @type {Record<string, string>} */ ({ 1: "011", 7: "810", 61: "0011", 81: "010" });
/** What a mobile was or is dialled with at home and drops abroad, where it is more than a prefix. @type {Record<string, [RegExp, string]>} */
const OLD = {
  52: [/^(?:1|01|04[45])(?=\d{10}$)/, ""],
  54: [/^0?(?:([1-9]\d)15(\d{8})|([1-9]\d{2})15(\d{7})|([1-9]\d{3})15(\d{6}))$/, "9$1$2$3$4$5$6"],
  370: [/^8(?=\d{8}$)/, ""],
  375: [/^80(?=\d{9}$)/, ""],
};

/**
 * @param {string} input
 * @param {string} home the region in which it is read
 * @returns {Typed}
 */
export function readPhone(input, home) {
  const plain = westernDigits(input);
  const letters = /\p{L}/u.test(plain);
  const digits = plain.replace(/\D/g, "");
  const country = countryOf(home);
  const base = { shown: input, international: "", send: plain.trim(), country, fault: faultOf(digits, letters) };
  if (letters || !digits) return base;

  const out = country ? OUT[country.dial] : undefined;
  const dialled = /^\s*\(?\s*[+＋]/.test(input) ? "" : digits.startsWith("00") ? "00" : out && digits.startsWith(out) ? out : null;
  if (dialled !== null) {
    // From Russia 8 10 …, and in North America 011 …, only with enough behind it: it might be a number at home.
    const number = digits.slice(dialled.length);
    if (dialled === "" || dialled === "00" || number.length >= 9) return abroad(number, home, base);
  }
  if (!country) return { ...base, shown: groups(digits, BY_THREES, " "), send: digits };
  return atHome(digits, country, base);
}

/** @param {string} number behind the plus @param {string} home @param {Typed} base @returns {Typed} */
function abroad(number, home, base) {
  const country = countryByDial(number, home);
  // +44 (0)7… is written by many; +8 9… is Russia's 8 behind a plus.
  const local = country && localOf(number.slice(country.dial.length), country, true);
  if (!country && /^8\d{10}$/.test(number) && (home === "RU" || home === "KZ")) return abroad(`7${number.slice(1)}`, home, base);
  const clean = country ? country.dial + local : number;
  const shown = spellOut(clean, country);
  return { ...base, shown, international: shown, send: `+${clean}`, country };
}

/** With the trunk prefix (8 900 …), with the country's code but no plus (7 900 …), or bare (900 …).
 * @param {string} digits @param {Country} country @param {Typed} base @returns {Typed} */
function atHome(digits, country, base) {
  const { trunk, dial } = country;
  const behind = digits.startsWith(dial) ? localOf(digits.slice(dial.length), country, true) : "";
  if (behind.length >= country.digits && dial !== trunk) {
    const international = spellOut(dial + behind, country);
    return { ...base, shown: international, international, send: `+${dial}${behind}` };
  }
  const local = localOf(digits, country);
  // What cannot be a number of this country is left to the server, as it was typed.
  if (local.length > MOST_DIGITS - dial.length) return { ...base, shown: digits, send: digits };
  const before = digits.slice(0, digits.length - local.length);
  return {
    ...base,
    // What becomes another number abroad stays as it was typed.
    shown: digits.endsWith(local) ? `${before} ${groups(local, country.groups)}`.trim() : base.shown,
    international: spellOut(dial + local, country),
    send: local.length === country.digits ? `+${dial}${local}` : digits,
  };
}

/** A number without what is dialled before it at home. @param {string} digits @param {Country} country
 * @param {boolean} [behind] whether it stood behind the country's code, where a prefix is a mistake */
function localOf(digits, { dial, trunk, digits: length }, behind = false) {
  const old = OLD[dial];
  if (old?.[0].test(digits)) return digits.replace(...old);
  // A zero begins no number. Other prefixes could: behind a code they are taken for one only where they are too many.
  const isTrunk = trunk !== "" && digits.startsWith(trunk) && (!behind || trunk.startsWith("0") || digits.length > length);
  return isTrunk ? digits.slice(trunk.length) : digits;
}

/** @param {string} input */
const westernDigits = (input) =>
  input.replace(/\p{Nd}/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    const zero = ZEROS.find((one) => code >= one && code < one + 10);
    return zero ? String(code - zero) : char;
  });

/** @param {string} digits @param {boolean} letters @returns {Typed["fault"]} */
function faultOf(digits, letters) {
  if (letters) return "letters";
  if (!digits) return "empty";
  if (digits.length < FEWEST_DIGITS) return "short";
  return digits.length > MOST_DIGITS + 4 ? "long" : null;
}

/** @param {string} digits with the dialling code @param {Country | null} country */
function spellOut(digits, country) {
  if (!country) return `+${groups(digits, BY_THREES, " ")}`;
  const local = digits.slice(country.dial.length);
  return `+${country.dial} ${groups(local, country.groups)}`.trim();
}

/** @param {string} digits @param {number[]} sizes @param {string} [tie] */
function groups(digits, sizes, tie = "-") {
  const parts = [];
  let rest = digits;
  for (const size of sizes) {
    if (!rest) break;
    parts.push(rest.slice(0, size));
    rest = rest.slice(size);
  }
  if (rest) parts[parts.length - 1] += rest;
  // The first group stands alone; short ones after it are tied with a dash, as people write them.
  return parts.slice(0, 2).join(" ") + parts.slice(2).map((part) => tie + part).join("");
}

/** Where the caret belongs in the new text: after as many digits as before. @param {string} before @param {number} caret @param {string} after */
export function caretAfter(before, caret, after) {
  const wanted = before.slice(0, caret).replace(/\P{Nd}/gu, "").length;
  let seen = 0;
  for (let i = 0; i < after.length; i += 1) {
    if (seen === wanted) return i;
    if (/\d/.test(after[i] ?? "")) seen += 1;
  }
  return after.length;
}
