// How the phone behaves: chips that stay chosen until they are clicked again, for this phone and for the next.

import * as api from "./api.js";
import { t } from "./words.js";

// The one that is no fault of the emulator: another phone than the one that the company's link names.
export const WRONG_PHONE = "wrong-phone";

// Parameters of the faults, by fault.
const BEHAVIOURS = {
  "phone-dawdles": { delay: 5 },
  "phone-refuses": {},
  [WRONG_PHONE]: {},
  "phone-offline": {},
  "phone-passkey": {},
  "phone-device-limit": {},
  "phone-without-multidevice": {},
  "code-refused": { status: 429 },
  "dwell-drop": { delay: 10 },
};

// `phones()` are the numbers that behave so; `onChange()` follows a click. Returns { draw, apply, has }.
export function behaviour({ chips, phones, wrongPhone, onChange }) {
  let chosen = new Set();

  const apply = async () => {
    const rules = [...chosen].filter((one) => one !== WRONG_PHONE).map((fault) => ({ fault, ...BEHAVIOURS[fault] }));
    for (const number of phones()) await api.behave(number, rules);
  };
  const chip = (name, pressed, onClick) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip";
    button.textContent = t(`b.${name}`);
    button.setAttribute("aria-pressed", String(pressed));
    button.addEventListener("click", async () => {
      onClick();
      draw();
      await apply();
      onChange();
    });
    return button;
  };
  function draw() {
    const names = Object.keys(BEHAVIOURS).filter((name) => wrongPhone || name !== WRONG_PHONE);
    chips.replaceChildren(
      chip("agrees", chosen.size === 0, () => (chosen = new Set())),
      ...names.map((name) => chip(name, chosen.has(name), () => chosen.delete(name) || chosen.add(name))),
    );
  }
  return { draw, apply, has: (name) => chosen.has(name) };
}
