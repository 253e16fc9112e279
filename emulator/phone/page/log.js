// What happened, in people's words: an event has a line if there are words for its kind.

import { currentLanguage, hasWords, t } from "./words.js";

const MOST_LINES = 200;

function detailOf({ kind, detail }) {
  if (detail.outcome) return t(`o.${detail.outcome}`);
  if (kind === "fault.fired") return hasWords(`b.${detail.fault}`) ? t(`b.${detail.fault}`) : detail.fault;
  if (kind === "message.received") return `→ ${detail.to}: ${detail.text ?? "…"}`;
  return [detail.os, detail.status].filter(Boolean).join(" · ");
}

const wordsOf = (line) => line?.lastChild.previousSibling.textContent + line?.lastChild.textContent;

// `phones()` are the numbers whose events are shown, besides those of nobody. Returns { add, clear, draw }.
export function createLog({ list, phones }) {
  let seen = [];

  function line(event) {
    const item = document.createElement("li");
    const [time, text, more] = ["time", "b", "span"].map((tag) => document.createElement(tag));
    time.textContent = new Date(event.at).toLocaleTimeString(currentLanguage());
    text.textContent = t(`e.${event.kind}`);
    more.textContent = detailOf(event);
    item.append(time, text, more);
    return item;
  }
  function draw() {
    const told = seen.filter(({ kind, phone }) => hasWords(`e.${kind}`) && (phone === null || phones().includes(phone)));
    const lines = told.map(line);
    // What is said twice in a row is said once: a device connects again when it is handed over.
    const shown = lines.filter((one, at) => wordsOf(one) !== wordsOf(lines[at - 1]));
    list.replaceChildren(...shown.reverse());
    if (!shown.length) list.textContent = t("none");
  }
  return {
    draw,
    add(events) {
      seen = [...seen, ...events].slice(-MOST_LINES);
      draw();
    },
    clear() {
      seen = [];
      draw();
    },
  };
}
