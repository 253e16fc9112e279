/** The number: formatted while it is typed, shown back with its country, its mistakes told beside it. */

import { attr, part, show, text } from "../dom.js";
import { countryByDial, countryOf, flag, regionOf } from "../countries.js";
import { caretAfter, readPhone } from "../phone-number.js";

/** @param {{root: HTMLElement, onSubmit: (phoneNumber: string, region: string) => void, redraw: () => void}} tools */
export function createPhoneField({ root, onSubmit, redraw }) {
  const form = part(root, "form", "form");
  const chip = part(root, "button", "chip");
  const input = part(root, "input", "phone");
  const fault = part(root, "p", "fault");
  const reads = part(root, "p", "reads");
  const button = part(root, "button", "getCode");
  /** Made when somebody asks for it: few do, and everybody waits for the QR. @type {ReturnType<typeof import("./country-list.js").createCountryList>} */
  let list;
  const guessed = regionOf(navigator.languages, Intl.DateTimeFormat().resolvedOptions().timeZone);
  /** The country chosen by hand. */
  let chosen = "";
  let home = "";
  let touched = false;
  /** @type {import("../types.d.ts").Typed["fault"]} */
  let own = null;
  let serverFault = "";
  let blocked = false;
  /** @type {import("../types.d.ts").T} */
  let words;
  form.addEventListener("submit", submit);
  input.addEventListener("input", typed);
  input.addEventListener("blur", () => redraw());
  chip.addEventListener("click", async () => {
    list ??= (await import(chip.dataset.list ?? "")).createCountryList({ onChoice: choose });
    list.open(words, readPhone(input.value, home).country?.region ?? home);
  });

  function typed() {
    touched = true;
    own = null;
    serverFault = "";
    const before = input.value;
    const caret = input.selectionStart ?? before.length;
    const { shown } = readPhone(before, home);
    if (shown !== before) {
      input.value = shown;
      const place = caretAfter(before, caret, shown);
      input.setSelectionRange(place, place);
    }
    redraw();
  }

  /** @param {string} region */
  function choose(region) {
    const { country, international } = readPhone(input.value, home);
    const isAbroad = /^\s*(\+|00)/.test(input.value);
    chosen = home = region;
    // What was written for another country is this country's now.
    if (isAbroad && country && country.region !== region)
      input.value = `+${countryOf(region)?.dial ?? ""}${international.replace(/\D/g, "").slice(country.dial.length)}`;
    typed();
    input.focus();
  }

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    if (blocked) return;
    const { fault: found, send } = readPhone(input.value, home);
    own = found;
    if (found) {
      input.focus();
      redraw();
    } else {
      onSubmit(send, home);
    }
  }

  return {
    focus: () => input.focus(),

    /** The number and the country in which it is read, when it can be sent as it stands. */
    ready() {
      const { fault: found, send } = readPhone(input.value, home);
      return found ? null : { phoneNumber: send, region: home };
    },

    /** The server had the last word on this number. @param {string} about anything that names the refusal */
    refused(about) {
      serverFault = about;
    },

    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene, model, t }) {
      words = t;
      const { profile } = model;
      // A hint may be masked; then it only says which number is meant.
      const hint = profile?.phoneHint ?? "";
      home = chosen || homeOf(hint, profile?.linkRegion ?? null, guessed ?? profile?.region ?? null);
      if (hint && !touched && input.value === "" && /^[+\d\s()-]+$/.test(hint)) input.value = readPhone(hint, home).shown;
      const number = readPhone(input.value, home);
      const country = number.country;
      const names = new Intl.DisplayNames(t.locale, { type: "region" });
      const name = country && names.of(country.region);
      show(form, scene.step === "form");
      text(/** @type {Node} */ (chip.firstChild), country ? `${flag(country.region)} ` : "");
      text(/** @type {Node} */ (chip.lastChild), `+${country?.dial ?? ""}`);
      // What can be seen is part of the name, so that who speaks to the page can say it.
      attr(chip, "aria-label", t("country.chip", { country: country ? `${name} +${country.dial}` : "+" }));
      attr(input, "placeholder", /[•*]/.test(hint) ? hint : null);
      const bad = own ?? (scene.phoneFault && serverFault);
      text(fault, !bad ? "" : own ? t(`phone.${own}`) : refusal(t, scene.notice ?? "invalid-phone"));
      attr(input, "aria-invalid", bad ? "true" : null);
      const understood = name && number.international.length > 6;
      text(reads, bad ? "" : understood ? t("phone.reads", { country: name, number: number.international }) : "");
      blocked = scene.busy || scene.held;
      attr(button, "aria-disabled", blocked ? "true" : null);
      text(button, !scene.busy ? t("act.get-code") : t(model.link === "ready" ? "act.busy" : "act.connecting"));
    },
  };
}

/** Where a number without a country code is at home: where the expected one is, else where the link or the browser says.
 * @param {string} hint @param {string | null} link @param {string | null} guess */
function homeOf(hint, link, guess) {
  const expected = hint.startsWith("+") ? countryByDial(hint.replace(/\D/g, ""), link ?? guess ?? "") : null;
  return expected?.region ?? link ?? guess ?? "";
}

/** @param {import("../types.d.ts").T} t @param {import("../protocol.d.ts").FailureCode} code */
const refusal = (t, code) => (code === "wrong-number" ? t("phone.wrong-number") : t(`failure.${code}.text`));
