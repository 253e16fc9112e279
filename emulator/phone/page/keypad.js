// The eight cells of a pairing code and the keys below them.

import { t } from "./words.js";

export const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ";
const LENGTH = 8;
const KEY_MS = 90;

// Calls `onCode(code)` when the eighth character is there. Returns { clear, type, translate }.
export function keypad({ cells, keys, isOpen, onCode }) {
  let typed = "";

  const draw = () => {
    cells.replaceChildren(
      ...Array.from({ length: LENGTH }, (_, index) => {
        const cell = document.createElement("span");
        cell.textContent = typed[index] ?? "";
        if (index === typed.length) cell.className = "next";
        return cell;
      }),
    );
    cells.setAttribute("aria-label", `${t("enterCode")}: ${typed}`);
  };
  const add = (character) => {
    if (typed.length >= LENGTH || !ALPHABET.includes(character)) return;
    typed += character;
    draw();
    if (typed.length === LENGTH) onCode(typed);
  };
  const erase = () => {
    typed = typed.slice(0, -1);
    draw();
  };
  const key = (label, action, name = label) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.setAttribute("aria-label", name);
    button.addEventListener("click", action);
    return button;
  };
  const clear = () => {
    typed = "";
    draw();
  };

  document.addEventListener("keydown", (event) => {
    if (!isOpen() || event.ctrlKey || event.metaKey || event.target.tagName === "INPUT") return;
    if (event.key === "Backspace") erase();
    else if (event.key.length === 1) add(event.key.toUpperCase());
  });
  document.addEventListener("paste", (event) => {
    if (!isOpen() || event.target.tagName === "INPUT") return;
    for (const one of event.clipboardData.getData("text/plain").toUpperCase().replace(/[\s-]/g, "")) add(one);
  });
  return {
    clear,
    // As a thumb does it: one key after the other.
    async type(code) {
      clear();
      for (const one of code.replace(/[\s-]/g, "")) {
        await new Promise((done) => setTimeout(done, KEY_MS));
        add(one);
      }
    },
    translate() {
      keys.replaceChildren(...[...ALPHABET].map((one) => key(one, () => add(one))), key("⌫", erase, t("erase")));
      draw();
    },
  };
}
