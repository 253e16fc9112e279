// The emulated phone, alone (`/phone/`) or beside the page (`/demo`): what it shows follows from the emulator's answers
// and events.

import * as api from "./api.js";
import { behaviour, WRONG_PHONE } from "./behaviour.js";
import { ALPHABET, keypad } from "./keypad.js";
import { createLog } from "./log.js";
import { watch } from "./scanner.js";
import { createStage } from "./stage.js";
import { chooseLanguage, chosenLanguage, currentLanguage, speak, t } from "./words.js";

const VIEWS = ["devices", "scanner", "keypad", "result"];
const POLL_SECONDS = 25;
const LOOK_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 800;
const AWAY_MS = 1200;
const isDemo = location.pathname === "/demo";
const $ = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let own = location.hash.slice(1) || "79001234567";
let view = "devices";
let busy = false;
let turn = 0;
let last = null;
let wished = "";
let leaving = 0;

// The phone in hand; the wrong one differs in its last digit.
const number = () => (behaves.has(WRONG_PHONE) ? other() : own);
const other = () => own.slice(0, -1) + ((Number(own.at(-1)) + 1) % 10);
const phones = () => (isDemo ? [own, other()] : [own]);

function show(wanted) {
  view = wanted;
  for (const name of VIEWS) $(name).hidden = name !== wanted;
  $("byHand").hidden = false;
  $("seen").hidden = true;
  $("push").hidden = true;
  if (wanted === "keypad") {
    pad.clear();
    $("cells").focus();
  }
  refresh().catch(() => {});
}

function showOutcome(outcome, error) {
  last = { outcome, error };
  const good = outcome === "confirmed";
  $("mark").textContent = good ? "✓" : "✕";
  $("result").classList.toggle("good", good);
  $("outcome").textContent = error ?? t(`o.${outcome}`);
  show("result");
}

// Does one thing at a time and shows its outcome.
async function act(work) {
  if (busy) return;
  const mine = turn;
  setBusy(true);
  let outcome = null;
  let fault = null;
  try {
    ({ outcome } = await work());
  } catch (error) {
    fault = error.message;
  }
  if (mine !== turn) return; // another company's turn has come meanwhile
  setBusy(false);
  showOutcome(outcome, fault);
  if (isDemo) leave();
}

function setBusy(now) {
  busy = now;
  document.body.classList.toggle("busy", now);
}

// The page has its turn: the phone slides away, unless somebody takes it in hand again first.
function leave() {
  clearTimeout(leaving);
  leaving = setTimeout(() => {
    $("hand").classList.remove("open");
    leaving = setTimeout(() => {
      if (view === "result" && last.outcome === "confirmed") show("devices");
    }, AWAY_MS);
  }, AWAY_MS);
}

async function scanIt() {
  const { qr } = stage.shown();
  if (!qr || busy) return;
  show("scanner");
  $("byHand").hidden = true;
  $("seen").src = `data:image/svg+xml,${encodeURIComponent(qr.svg)}`;
  $("seen").hidden = false;
  await pause(LOOK_MS);
  await act(() => api.scanText(number(), stage.shown().qr?.text ?? qr.text));
}

async function typeIt() {
  const { code } = stage.shown();
  if (!code || busy) return;
  show("keypad");
  await pad.type(code.text);
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
  button.textContent = t("menu.logOut");
  button.addEventListener("click", () => api.logout(number(), device.id).then(refresh));
  line.append(name, state, button);
  return line;
}

async function refresh() {
  const asked = number();
  const account = await api.account(asked);
  if (asked !== number()) return;
  $("number").value = `+${asked}`;
  $("list").replaceChildren(...account.devices.map(deviceLine));
  $("empty").hidden = account.devices.length > 0;
  $("push").hidden = !account.code_wanted || view !== "devices";
  drawWays();
}

function drawWays() {
  const { qr, code } = stage.shown();
  for (const [id, there, why] of [["scanIt", qr, "noQr"], ["typeIt", code, "noCode"]]) {
    $(id).disabled = !there;
    $(id).title = there ? "" : t(why);
    $(id).classList.toggle("primary", Boolean(there));
  }
  $("showPhone").classList.toggle("called", Boolean(qr || code));
}

async function follow() {
  let after = 0;
  for (;;) {
    try {
      const answer = await api.events(after, POLL_SECONDS);
      $("signal").textContent = "▂▄▆";
      after = answer.last;
      if (answer.events.length) {
        log.add(answer.events);
        await refresh();
      }
    } catch {
      $("signal").textContent = "✕";
      after = 0;
      log.clear();
      await pause(2000);
    }
  }
}

function useNumber(wanted) {
  const digits = wanted.replace(/\D/g, "");
  const good = digits.length >= 5 && digits.length <= 15;
  $("number").setCustomValidity(good ? "" : t("numberWrong"));
  if (!good) return $("number").reportValidity();
  own = digits;
  if (!isDemo) history.replaceState(null, "", `#${own}`);
  log.draw();
  behaves.apply().then(refresh).catch(() => {});
}

async function translate(wish) {
  wished = wish;
  const languages = await speak(wish);
  $("language").replaceChildren(
    ...Object.entries(languages).map(([code, name]) => new Option(name, code, false, code === currentLanguage())),
  );
  pad.translate();
  behaves.draw();
  log.draw();
  drawWays();
  if (view === "result") showOutcome(last.outcome, last.error);
  else refresh().catch(() => {});
}

const log = createLog({ list: $("log"), phones });
const behaves = behaviour({ chips: $("chips"), phones, wrongPhone: isDemo, onChange: () => refresh().catch(() => {}) });
const pad = keypad({
  cells: $("cells"),
  keys: $("keys"),
  isOpen: () => view === "keypad",
  onCode: (code) => act(() => api.typeCode(number(), code)),
});
const stage = createStage({
  onCompany(company) {
    turn += 1;
    setBusy(false);
    log.clear();
    show("devices");
    useNumber(company.number);
  },
  onScreen: drawWays,
});
watch({
  finder: $("finder"),
  input: $("picture"),
  form: $("paste"),
  isOpen: () => view === "scanner",
  onPicture: (blob) => act(() => api.scanPicture(number(), blob)),
  onText: (text) => act(() => api.scanText(number(), text)),
});
for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => show(button.dataset.view));
}
const clicks = {
  link: () => show("scanner"),
  push: () => show("keypad"),
  wrong: () => act(() => api.typeCode(number(), Array.from({ length: 8 }, () => ALPHABET[Math.floor(Math.random() * ALPHABET.length)]).join(""))),
  cut: () => api.cut(number()),
  scanIt,
  typeIt,
  newCompany: () => stage.another(),
  showPhone() {
    clearTimeout(leaving);
    if (view === "result") show("devices");
    $("hand").classList.add("open");
  },
  showPage: () => $("hand").classList.remove("open"),
};
for (const [id, click] of Object.entries(clicks)) $(id).addEventListener("click", click);
$("number").addEventListener("change", () => useNumber($("number").value));
$("language").addEventListener("change", () => {
  chooseLanguage($("language").value);
  stage.reload();
  translate($("language").value);
});
const tick = () => {
  $("clock").textContent = new Date().toLocaleTimeString(currentLanguage() || undefined, { hour: "2-digit", minute: "2-digit" });
  // The page beside us may have been turned to another language.
  if (chosenLanguage() !== wished) translate(chosenLanguage());
};

document.body.classList.toggle("demo", isDemo);
for (const id of ["stage", "newCompany", "showPhone", "scanIt", "typeIt"]) $(id).hidden = !isDemo;
$("number").readOnly = isDemo;
if (isDemo) $("link").dataset.t = "byHand";
await translate(chosenLanguage());
setInterval(tick, 1000);
tick();
show("devices");
if (isDemo) stage.begin();
else useNumber(own);
follow();
