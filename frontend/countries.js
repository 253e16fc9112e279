/** Every country, by its code: how numbers are written there, and which one a number or a browser is of. */

import { COUNTRY_ROWS } from "./countries.generated.js";

/** @type {import("./types.d.ts").Country[]} */
export const COUNTRIES = COUNTRY_ROWS.split("\n").flatMap((row) => {
  const [trunk = "", sizes = "", ...countries] = row.split(" ");
  const groups = [...sizes].map(Number);
  const digits = groups.reduce((sum, size) => sum + size, 0);
  return countries.map((country) => {
    const [code = "", lead] = country.split("/");
    return {
      region: code.slice(0, 2), dial: code.slice(2), groups, trunk: trunk === "-" ? "" : trunk, digits,
      lead: lead ? new RegExp(`^(?:${lead})`) : null,
    };
  });
});

/** @param {string | null | undefined} region */
export const countryOf = (region) => COUNTRIES.find((country) => country.region === region) ?? null;

/**
 * The country whose code begins these digits. Where several share a code, the digits behind it tell, else it is the one
 * at home, else the largest.
 * @param {string} digits
 * @param {string} home
 */
export function countryByDial(digits, home) {
  const fits = COUNTRIES.filter((country) => digits.startsWith(country.dial));
  const told = fits.find(({ lead, dial }) => lead?.test(digits.slice(dial.length)));
  return told ?? fits.find((country) => country.region === home) ?? fits[0] ?? null;
}

/** @param {string} region */
export const flag = (region) =>
  String.fromCodePoint(...[...region].map((letter) => 0x1f1e6 + letter.charCodeAt(0) - 65));

/**
 * Where somebody probably is, from what the browser says: the region of its languages, else that of its time zone.
 * @param {readonly string[]} languages @param {string} zone
 */
export function regionOf(languages, zone) {
  for (const language of languages) {
    // Not by `Intl.Locale`, which refuses what some browsers say ("C", "en_US").
    const region = /[-_]([A-Z]{2})\b/.exec(language)?.[1];
    if (countryOf(region)) return region ?? null;
  }
  return COUNTRIES.find(({ region }) => zonesOf(region).includes(zone))?.region ?? null;
}

/** Browsers know the zones of a region; those that do not are not asked. @param {string} region @returns {string[]} */
function zonesOf(region) {
  const locale = /** @type {any} */ (new Intl.Locale(`und-${region}`));
  return locale.getTimeZones?.() ?? locale.timeZones ?? [];
}
