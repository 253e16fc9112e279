/** A phone number as people type it: understood, and shown back as it is written. Pure. */

import { countryByDial, countryOf } from "./countries.js";

/** @typedef {import("./types.d.ts").Typed} Typed */

const FEWEST_DIGITS = 7;
const MOST_DIGITS = 15;
/** Where we do not know how numbers are written. */
const BY_THREES = [3, 3, 3, 3, 3];

/**
 * @param {string} input
 * @param {string} home the region of the link
 * @returns {Typed}
 */
export function readPhone(input, home) {
  const letters = /\p{L}/u.test(input);
  const digits = input.replace(/\D/g, "");
  let abroad = /^\s*\(?\s*\+/.test(input);
  let number = digits;
  if (!abroad && digits.startsWith("00")) {
    abroad = true;
    number = digits.slice(2);
  }
  const base = { shown: input, international: "", send: input.trim(), country: countryOf(home), fault: faultOf(digits, letters) };
  if (letters || !digits) return base;

  if (abroad) {
    const country = countryByDial(number, home);
    const international = spellOut(number, country);
    return { ...base, shown: international, international, send: `+${number}`, country };
  }
  const country = base.country;
  if (!country) return { ...base, shown: groups(digits, BY_THREES, " "), send: digits };

  // At home: with the trunk prefix (8 900 …), with the country's code but no plus (7 900 …), or bare (900 …).
  const length = country.groups.reduce((sum, size) => sum + size, 0);
  const { trunk, dial } = country;
  if (digits.startsWith(dial) && digits.length === dial.length + length && dial !== trunk) {
    const international = spellOut(digits, country);
    return { ...base, shown: international, international, send: `+${digits}` };
  }
  const hasTrunk = trunk !== "" && digits.startsWith(trunk);
  const local = hasTrunk ? digits.slice(trunk.length) : digits;
  if (local.length > length) return { ...base, shown: digits, send: digits };
  return {
    ...base,
    shown: `${hasTrunk ? trunk : ""} ${groups(local, country.groups)}`.trim(),
    international: spellOut(dial + local, country),
    send: local.length === length ? `+${dial}${local}` : digits,
  };
}

/** @param {string} digits @param {boolean} letters @returns {Typed["fault"]} */
function faultOf(digits, letters) {
  if (letters) return "letters";
  if (!digits) return "empty";
  if (digits.length < FEWEST_DIGITS) return "short";
  return digits.length > MOST_DIGITS + 2 ? "long" : null;
}

/** @param {string} digits with the dialling code @param {import("./types.d.ts").Country | null} country */
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
  const wanted = before.slice(0, caret).replace(/\D/g, "").length;
  let seen = 0;
  for (let i = 0; i < after.length; i += 1) {
    if (seen === wanted) return i;
    if (/\d/.test(after[i] ?? "")) seen += 1;
  }
  return after.length;
}
