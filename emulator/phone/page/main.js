// The emulated phone: what it shows follows from the emulator's answers and events.

import * as api from "./api.js";
import { ALPHABET, keypad } from "./keypad.js";
import { canCapture, lookAtScreen, watch } from "./scanner.js";
import { behaviours, currentLanguage, eventName, outcomes, pick, setLanguage, t } from "./words.js";

const VIEWS = ["devices", "scanner", "keypad", "result"];
const MOST_LINES = 200;
const POLL_SECONDS = 25;
const $ = (id) => document.getElementById(id);

let number = location.hash.slice(1) || localStorage.getItem("number") || "79001234567";
let view = "devices";
let busy = false;
let lastOutcome = null;
const seen = [];

function show(wanted) {
  view = wanted;
  for (const name of VIEWS) $(name).hidden = name !== wanted;
  if (wanted === "keypad") {
    pad.clear();
    $("push").hidden = true;
    $("cells").focus();
  }
}

function showOutcome(outcome, error) {
  lastOutcome = { outcome, error };
  const [good, english, russian, hint, hintRussian] = outcomes[outcome] ?? [false, error ?? outcome, error ?? outcome, "", ""];
  $("mark").textContent = good ? "✓" : "✕";
  $("result").classList.toggle("good", good);
  $("outcome").textContent = pick(english, russian);
  $("outcomeHint").textContent = pick(hint, hintRussian);
  show("result");
}

// Does one thing at a time and shows its outcome.
async function act(work) {
  if (busy) return;
  busy = true;
  document.body.classList.add("busy");
  try {
    showOutcome((await work()).outcome);
  } catch (error) {
    showOutcome(null, error.message);
  } finally {
    busy = false;
    document.body.classList.remove("busy");
  }
}

function deviceLine(device) {
  const line = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = `${device.os || t("device")} · ${device.id}`;
  const state = document.createElement("span");
  state.className = device.online ? "on" : "off";
  state.textContent = device.online ? t("online") : t("offline");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = t("logOut");
  button.addEventListener("click", () => api.logout(number, device.id).then(refresh));
  line.append(name, state, button);
  return line;
}

async function refresh() {
  const asked = number;
  const [account, { rules }] = await Promise.all([api.account(asked), api.behaviour(asked)]);
  if (asked !== number) return;
  $("signal").textContent = "▂▄▆";
  $("list").replaceChildren(...account.devices.map(deviceLine));
  $("empty").hidden = account.devices.length > 0;
  $("push").hidden = !account.code_wanted || view === "keypad";
  drawSwitches(rules.map((rule) => rule.fault));
}

function drawSwitches(active) {
  $("switches").replaceChildren(
    ...behaviours.map(([fault, parameters, english, russian]) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.type = "checkbox";
      input.checked = fault === null ? active.length === 0 : active.includes(fault);
      input.disabled = fault === null && active.length === 0;
      input.addEventListener("change", async () => {
        const others = active.filter((one) => one !== fault);
        const wanted = fault === null ? [] : input.checked ? [...others, fault] : others;
        const rules = behaviours.filter(([one]) => wanted.includes(one)).map(([one, more]) => ({ fault: one, ...more }));
        await api.behave(number, rules);
        await refresh();
      });
      const text = document.createElement("span");
      text.textContent = pick(english, russian);
      label.append(input, text);
      return label;
    }),
  );
}

function detailOf({ detail }) {
  if (detail.outcome) return pick(...(outcomes[detail.outcome]?.slice(1, 3) ?? [detail.outcome, detail.outcome]));
  if (detail.text !== undefined && detail.to) return `→ ${detail.to}: ${detail.text ?? "…"}`;
  return [detail.fault, detail.status, detail.reason, detail.os, detail.device && `№ ${detail.device}`].filter(Boolean).join(" · ");
}

function drawLog() {
  const lines = seen.filter((event) => eventName(event.kind) && (event.phone === null || event.phone === number));
  $("log").replaceChildren(
    ...lines.reverse().map((event) => {
      const line = document.createElement("li");
      const time = document.createElement("time");
      time.textContent = new Date(event.at).toLocaleTimeString(currentLanguage());
      const text = document.createElement("b");
      text.textContent = eventName(event.kind);
      const more = document.createElement("span");
      more.textContent = detailOf(event);
      line.append(time, text, more);
      return line;
    }),
  );
  if (!lines.length) $("log").textContent = t("none");
}

async function follow() {
  let after = 0;
  for (;;) {
    try {
      const answer = await api.events(after, POLL_SECONDS);
      $("signal").textContent = "▂▄▆";
      after = answer.last;
      if (answer.events.length) {
        seen.push(...answer.events);
        seen.splice(0, Math.max(0, seen.length - MOST_LINES));
        drawLog();
        await refresh();
      }
    } catch {
      $("signal").textContent = "✕";
      after = 0;
      seen.length = 0;
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

function useNumber(wanted) {
  const digits = wanted.replace(/\D/g, "");
  const good = digits.length >= 5 && digits.length <= 15;
  $("number").setCustomValidity(good ? "" : t("numberWrong"));
  if (!good) {
    $("number").reportValidity();
    return;
  }
  number = digits;
  localStorage.setItem("number", number);
  history.replaceState(null, "", `#${number}`);
  $("number").value = `+${number}`;
  drawLog();
  refresh().catch(() => {});
}

function wrongCode() {
  return Array.from({ length: 8 }, () => ALPHABET[Math.floor(Math.random() * ALPHABET.length)]).join("");
}

async function capture() {
  const finder = $("finder").querySelector("p");
  finder.textContent = t("looking");
  try {
    const found = await lookAtScreen(async (blob) => {
      try {
        showOutcome((await api.scanPicture(number, blob)).outcome);
        return true;
      } catch {
        return false; // no QR in this look
      }
    });
    finder.textContent = found ? t("finder") : t("noQr");
  } catch {
    finder.textContent = t("finder"); // the person chose no window
  }
}

function speak(language) {
  setLanguage(language);
  pad.translate();
  drawLog();
  refresh().catch(() => {});
  if (view === "result") showOutcome(lastOutcome.outcome, lastOutcome.error);
}

const pad = keypad({
  cells: $("cells"),
  keys: $("keys"),
  isOpen: () => view === "keypad",
  onCode: (code) => act(() => api.typeCode(number, code)),
});
watch({
  finder: $("finder"),
  input: $("picture"),
  form: $("paste"),
  isOpen: () => view === "scanner",
  onPicture: (blob) => act(() => api.scanPicture(number, blob)),
  onText: (text) => act(() => api.scanText(number, text)),
});
for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => show(button.dataset.view));
}
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => speak(button.dataset.language));
}
$("link").addEventListener("click", () => show("scanner"));
$("push").addEventListener("click", () => show("keypad"));
$("wrong").addEventListener("click", () => act(() => api.typeCode(number, wrongCode())));
$("capture").hidden = !canCapture();
$("capture").addEventListener("click", capture);
$("cut").addEventListener("click", () => api.cut(number));
$("number").addEventListener("change", () => useNumber($("number").value));
const tick = () => {
  $("clock").textContent = new Date().toLocaleTimeString(currentLanguage(), { hour: "2-digit", minute: "2-digit" });
};
setInterval(tick, 5000);
tick();
speak(currentLanguage());
useNumber(number);
show("devices");
follow();
