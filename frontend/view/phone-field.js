/** The number: formatted while it is typed, shown back with its country, its mistakes told beside it. */

import { attr, h, show, text } from "../dom.js";
import { countryByDial, flag } from "../countries.js";
import { caretAfter, readPhone } from "../phone-number.js";

/** @param {{uid: string, onSubmit: (phoneNumber: string) => void, redraw: () => void}} tools */
export function createPhoneField({ uid, onSubmit, redraw }) {
  const label = h("label", { for: `${uid}phone` });
  const chip = h("span", { class: "chip", "aria-hidden": "true" });
  const input = h("input", {
    id: `${uid}phone`, type: "tel", inputmode: "tel", autocomplete: "tel", maxlength: "40", "data-testid": "phone",
    "aria-describedby": `${uid}fault ${uid}reads`, input: typed, blur: () => redraw(),
  });
  const fault = h("p", { id: `${uid}fault`, class: "fault", "data-testid": "phone-error" });
  const reads = h("p", { id: `${uid}reads`, class: "quiet" });
  const button = h("button", { type: "submit", class: "button main", "data-testid": "get-code" });
  const root = h(
    "form",
    { novalidate: true, submit },
    label,
    h("div", { class: "field" }, chip, input),
    h("div", { class: "below" }, fault, reads),
    button,
  );
  let home = "";
  let touched = false;
  /** @type {import("../types.d.ts").Typed["fault"]} */
  let own = null;
  let serverFault = "";
  let blocked = false;

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
      onSubmit(send);
    }
  }

  return {
    root,
    focus: () => input.focus(),

    /** The number, when it can be sent as it stands. */
    ready() {
      const { fault: found, send } = readPhone(input.value, home);
      return found ? null : send;
    },

    /** The server had the last word on this number. @param {string} about anything that names the refusal */
    refused(about) {
      serverFault = about;
    },

    /** @param {import("../types.d.ts").Picture} picture */
    draw({ scene, model, t }) {
      const { profile } = model;
      // A hint may be masked; then it only says which number is meant.
      const hint = profile?.phoneHint ?? "";
      home = homeOf(hint, profile?.region);
      if (hint && !touched && input.value === "" && /^[+\d\s()-]+$/.test(hint)) input.value = readPhone(hint, home).shown;
      const number = readPhone(input.value, home);
      const country = number.country;
      show(root, scene.step === "form");
      text(label, t("phone.label"));
      text(chip, country ? `${flag(country.region)} +${country.dial}` : "+");
      attr(input, "placeholder", /[•*]/.test(hint) ? hint : null);
      const bad = own ?? (scene.phoneFault && serverFault);
      text(fault, !bad ? "" : own ? t(`phone.${own}`) : refusal(t, scene.notice ?? "invalid-phone"));
      attr(input, "aria-invalid", bad ? "true" : null);
      const name = country && new Intl.DisplayNames(t.locale, { type: "region" }).of(country.region);
      const understood = name && number.international.length > 6;
      text(reads, bad ? "" : understood ? t("phone.reads", { country: name, number: number.international }) : t("phone.other"));
      blocked = scene.busy || scene.held;
      attr(button, "aria-disabled", blocked ? "true" : null);
      text(button, !scene.busy ? t("act.get-code") : t(model.link === "ready" ? "act.busy" : "act.connecting"));
    },
  };
}

/** Where a number without a country code is at home: where the expected one is, else where the link or the browser says.
 * @param {string} hint @param {string | undefined} region */
function homeOf(hint, region) {
  const expected = hint.startsWith("+") ? countryByDial(hint.replace(/\D/g, ""), region ?? "") : null;
  return expected?.region ?? region ?? new Intl.Locale(navigator.language).region ?? "RU";
}

/** @param {import("../types.d.ts").T} t @param {import("../protocol.d.ts").FailureCode} code */
const refusal = (t, code) => (code === "wrong-number" ? t("phone.wrong-number") : t(`failure.${code}.text`));
