/**
 * How numbers are written in the countries that we expect most; any other is grouped by threes. The server parses for
 * good: this table only helps the eye.
 *
 * `REGION: "dial trunk groups"`; the trunk is what stands before a number at home and is dropped abroad (`-`: nothing).
 */

const TABLE = `
RU 7 8 3-3-2-2|KZ 7 8 3-3-2-2|BY 375 80 2-3-2-2|UA 380 0 2-3-2-2|UZ 998 - 2-3-2-2|KG 996 0 3-3-3|TJ 992 8 2-3-2-2
AM 374 0 2-3-3|AZ 994 0 2-3-2-2|GE 995 0 3-3-3|MD 373 0 2-3-3|TM 993 8 2-2-2-2|IL 972 0 2-3-4|TR 90 0 3-3-2-2
AE 971 0 2-3-4|SA 966 0 2-3-4|DE 49 0 3-4-4|AT 43 0 3-3-4|CH 41 0 2-3-2-2|GB 44 0 4-3-3|IE 353 0 2-3-4
FR 33 0 1-2-2-2-2|ES 34 - 3-3-3|PT 351 - 3-3-3|IT 39 - 3-3-4|NL 31 0 1-4-4|BE 32 0 3-2-2-2|PL 48 - 3-3-3
CZ 420 - 3-3-3|RO 40 0 3-3-3|BG 359 0 2-3-4|RS 381 0 2-3-4|GR 30 - 3-3-4|FI 358 0 2-3-4|SE 46 0 2-3-2-2|LT 370 8 3-2-3
LV 371 - 2-3-3|EE 372 - 4-4|US 1 1 3-3-4|CA 1 1 3-3-4|MX 52 - 2-4-4|BR 55 0 2-5-4|AR 54 0 1-2-4-4|CL 56 - 1-4-4
CO 57 - 3-3-4|PE 51 - 3-3-3|EC 593 0 2-3-4|BO 591 0 1-3-4|UY 598 0 2-3-3|PY 595 0 3-3-3|VE 58 0 3-3-4|CR 506 - 4-4
GT 502 - 4-4|PA 507 - 4-4|SV 503 - 4-4|HN 504 - 4-4|NI 505 - 4-4|DO 1 1 3-3-4|IN 91 0 5-5|ID 62 0 3-4-4|ZA 27 0 2-3-4
NG 234 0 3-3-4|EG 20 0 2-4-4|MA 212 0 3-2-2-2|CN 86 - 3-4-4|TH 66 0 2-3-4|VN 84 0 3-3-3|PH 63 0 3-3-4|AU 61 0 3-3-3`;

/** @type {import("./types.d.ts").Country[]} */
export const COUNTRIES = TABLE.trim()
  .split(/[|\n]/)
  .map((row) => {
    const [region = "", dial = "", trunk = "", groups = ""] = row.split(" ");
    return { region, dial, trunk: trunk === "-" ? "" : trunk, groups: groups.split("-").map(Number) };
  });

/** @param {string} region */
export const countryOf = (region) => COUNTRIES.find((country) => country.region === region) ?? null;

/**
 * The country whose dialling code begins these digits; at home first, where several share a code.
 * @param {string} digits
 * @param {string} home
 */
export function countryByDial(digits, home) {
  // One code, two countries, told apart by the next digit.
  if (digits.startsWith("7")) return countryOf(/^7[67]/.test(digits) ? "KZ" : "RU");
  const fitting = COUNTRIES.filter((country) => digits.startsWith(country.dial));
  const longest = Math.max(0, ...fitting.map((country) => country.dial.length));
  const best = fitting.filter((country) => country.dial.length === longest);
  return best.find((country) => country.region === home) ?? best[0] ?? null;
}

/** @param {string} region */
export const flag = (region) =>
  String.fromCodePoint(...[...region].map((letter) => 0x1f1e6 + letter.charCodeAt(0) - 65));
