/**
 * Random owners before random servers, on the pure parts of the page: clicks, snapshots, refusals, broken sockets, hidden
 * tabs and passing time in any order. After each event the screen is held against what the server has said.
 *
 * A failing game is made as short as it can be, and told with its seed and its moves.
 */

import { nextMove } from "../../../frontend/autopilot.js";
import { asked, heard, pressed, turnedOver } from "../../../frontend/clicks.js";
import { FAILURES } from "../../../frontend/failures.generated.js";
import { createT } from "../../../frontend/i18n.js";
import { initialModel } from "../../../frontend/model.js";
import { scene } from "../../../frontend/scene.js";
import { headWords, noticeWords } from "../../../frontend/view/words.js";

const CODES = Object.keys(FAILURES);
const RUN = ["queued", "connecting", "awaiting_phone", "linking"];
const STEPS = {
  unlinked: ["queued", "queued", "reconnecting"],
  queued: ["queued", "connecting", "expired", "cancelled", "failed"],
  connecting: ["queued", "awaiting_phone", "awaiting_phone", "expired", "cancelled", "failed"],
  awaiting_phone: ["queued", "connecting", "awaiting_phone", "awaiting_phone", "linking", "expired", "cancelled", "failed"],
  linking: ["linked", "failed"],
  linked: ["linked", "reconnecting", "unlinked", "failed"],
  reconnecting: ["reconnecting", "linked", "unlinked", "failed"],
  expired: ["queued", "reconnecting"],
  cancelled: ["queued", "reconnecting"],
  failed: ["queued", "reconnecting"],
};
const MOVES = ["step", "step", "step", "turn", "turn", "main", "number", "cancel", "change", "hide", "return", "cut", "cut-quietly", "refuse", "repeat", "wait"];

/** Mulberry32. */
function dice(seed) {
  let a = seed >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { next, of: (list) => list[Math.floor(next() * list.length)], often: (p) => next() < p };
}

/** One game's moves; each carries its own chance, so that a shorter game plays the rest as before. */
const gameOf = (seed, length) => {
  const roll = dice(seed);
  return Array.from({ length }, () => ({ move: roll.of(MOVES), seed: Math.floor(roll.next() * 2 ** 31) }));
};

/** Plays the moves; returns what went wrong, or null. */
function played(moves, { onPhone, words }) {
  const t = createT("en", words);
  let now = 1_000_000;
  const server = { state: "unlinked", attempt: 0, seq: 0, spent: false };
  const profile = () => ({
    company: "Aurora", platform: "Bookwell", region: "MX", deviceName: "Bookwell", returnUrl: "https://b.example/", spent: server.spent,
  });
  let model = initialModel({ onPhone });
  /** An ending that has come and must stand on the screen until somebody acts. */
  let owed = null;
  const log = [];

  const snapshot = () => ({ sessionId: "aurora", serverNow: now, ...server });
  const follow = (outcome) => {
    model = outcome.model;
    if (outcome.command) owed = null;
    return outcome;
  };
  const hear = (message, first = false) => {
    const before = model;
    const { askNumber } = follow(heard(model, message, first));
    const { state, failure, attempt } = model.snapshot ?? {};
    const old = before.snapshot;
    const moved = !old || old.state !== state || old.attempt !== attempt || old.failure?.code !== failure?.code;
    if (message.snapshot && moved) {
      const ends = ["failed", "expired", "cancelled"].includes(state) || (state === "unlinked" && failure);
      // Who has taken a number back is asked for another.
      owed = ends && !model.pending && !askNumber ? { state, failure: failure?.code ?? null } : null;
    }
  };
  const click = (outcome) => {
    owed = null;
    follow(outcome);
  };
  const failureFor = (roll) => {
    const code = roll.of(CODES);
    return { code, retryable: roll.often(0.5), retryAt: roll.often(0.3) ? now + 60_000 : null };
  };

  const step = (roll) => {
    const state = roll.of(STEPS[server.state]);
    const fresh = state === "queued" && !RUN.includes(server.state);
    if (fresh) server.attempt += 1;
    server.seq = fresh ? 1 : server.seq + 1;
    const method = fresh ? roll.of(["qr", "code"]) : roll.often(0.2) ? "code" : server.method;
    for (const key of ["qr", "code", "failure", "device", "queue", "hint", "deadline"]) delete server[key];
    Object.assign(server, { state, method });
    if (RUN.includes(state)) server.deadline = now + 160_000;
    if (state === "queued" && roll.often(0.5)) server.queue = { position: 1 + Math.floor(roll.next() * 4) };
    if (state === "awaiting_phone") {
      server.qr = { text: "2@", svg: "<svg/>", number: 1 + Math.floor(roll.next() * 6), of: 6, expiresAt: now + 20_000 };
      const no = method === "code" && roll.often(0.3);
      if (no) server.failure = failureFor(roll);
      else if (method === "code" && roll.often(0.7)) server.code = { text: "ABCD-EFGH", phone: "+52 •• 45 67", expiresAt: now + 120_000 };
      if (roll.often(0.2)) server.hint = "no-answer";
    }
    if (state === "failed" || (state === "unlinked" && roll.often(0.8))) server.failure = failureFor(roll);
    if (["linked", "reconnecting"].includes(state)) server.device = { phone: "+52 •• 45 67", name: "Bookwell", linkedAt: now };
    if (state === "linked") server.spent = true;
  };

  const does = {
    step(roll) {
      step(roll);
      if (model.link === "ready") hear({ type: "status", snapshot: snapshot() });
    },
    repeat() {
      if (model.link === "ready") hear({ type: "status", snapshot: snapshot() });
    },
    refuse(roll) {
      if (model.link !== "ready" || !model.pending) return;
      const { code, retryAt } = failureFor(roll);
      hear({ type: "error", error: { code, retryAt, field: roll.often(0.3) ? "phoneNumber" : null } });
    },
    "cut-quietly"() {
      model = { ...model, link: "lost", lasting: false };
    },
    cut(roll) {
      model = { ...model, link: "lost", lasting: true };
      if (roll.often(0.5)) step(roll);
      model = { ...model, link: "ready", lasting: false };
      hear({ type: "status", snapshot: snapshot(), profile: profile() }, true);
    },
    wait(roll) {
      now += roll.of([1_000, 15_000, 200_000]);
    },
    hide() {
      model = { ...model, visible: false };
    },
    return(roll) {
      model = { ...model, visible: true };
      if (model.link !== "ready" && roll.often(0.7)) does.cut(roll);
    },
    turn() {
      if (scene(model, now).canSwitch) click(turnedOver(model));
    },
    cancel() {
      if (scene(model, now).canCancel) click(asked(model, { type: "cancel" }));
    },
    change() {
      const seen = scene(model, now);
      if (seen.canCancel && seen.step.startsWith("code")) click(asked(model, { type: "cancel" }, "number"));
    },
    number() {
      const seen = scene(model, now);
      if (seen.step === "form" && !seen.busy && !seen.held) click(asked(model, { type: "request-pairing-code", phoneNumber: "+525512345678" }));
    },
    main(roll) {
      const seen = scene(model, now);
      if (seen.main && !seen.busy && !seen.held && seen.main !== "get-code") click(pressed(model, seen.main, roll.often(0.5) ? "+525512345678" : null));
    },
  };

  does.cut(dice(1));
  for (const { move, seed } of moves) {
    does[move](dice(seed));
    log.push(`${move} → ${server.state} ${server.attempt}/${server.seq}`);
    const wrong = faultOn(model, now, t, owed);
    if (wrong) return { wrong, log };
    const auto = nextMove(model);
    if (auto) {
      model = auto === "start" ? { ...model, started: true } : { ...model, renewals: model.renewals + 1 };
      follow(asked(model, { type: "request-qr" }));
      const after = faultOn(model, now, t, owed);
      if (after) return { wrong: after, log: [...log, auto] };
    }
  }
  return null;
}

/** What is wrong on the screen, or an empty text. */
export function faultOn(model, now, t, owed) {
  const picture = { model, scene: scene(model, now), t, now, platform: "Bookwell" };
  const { scene: seen } = picture;
  const { title, text } = headWords(picture);
  const notice = noticeWords(picture);
  const { snapshot } = model;
  const said = `${title} ${notice || text}`;
  const is = `${seen.step}/${seen.front}: “${said.trim()}”`;
  if (!title) return `no title: ${is}`;
  if (model.link === "closed") return seen.agreed ? "" : `nobody knows what a closed link has done: ${is}`;
  if (!snapshot) return "";
  const { state, qr, code } = snapshot;

  // Every ending is told in words, whatever was clicked before it came.
  if (owed?.failure && !said.includes(t(`failure.${owed.failure}.title`))) return `${owed.failure} is not told: ${is}`;
  if (owed?.state === "expired" && seen.step !== "expired" && seen.failure !== "link-spent") return `the expiry is not told: ${is}`;
  if (owed?.state === "cancelled" && !said.includes(t("step.cancelled.title")) && seen.failure !== "link-spent" && !notice)
    return `the cancel is not told: ${is}`;

  // Every living code and QR is shown, or a tap away.
  const late = snapshot.deadline && now > snapshot.deadline;
  if (state === "awaiting_phone" && !late) {
    const shown = { qr: seen.step === "qr", code: seen.step === "code" };
    const living = { qr: qr && now <= qr.expiresAt, code: code && now <= code.expiresAt };
    for (const way of ["qr", "code"])
      if (living[way] && !shown[way] && !(seen.canSwitch && seen.front !== way)) return `a living ${way} is not shown: ${is}`;
    if (seen.step === "qr" && !qr) return `a QR that is not there: ${is}`;
    if (seen.step === "code" && !living.code) return `a code that does not live: ${is}`;
  } else if (["qr", "code"].includes(seen.step)) return `${seen.step} in ${state}`;

  // Nothing untrue.
  const has = (key) => said.includes(t(key));
  const agreed = ["linking", "linked", "reconnecting"].includes(state);
  if (agreed && (has("step.cancelled.text") || has("step.expired.text") || !seen.agreed)) return `the phone has agreed: ${is}`;
  if (!agreed && (seen.agreed && state !== "failed" && state !== "unlinked")) return `the phone has not agreed: ${is}`;
  if (!agreed && (seen.step === "linking" || seen.step === "linked")) return `not linked: ${is}`;
  if (seen.canCancel && !["queued", "connecting", "awaiting_phone"].includes(state)) return `nothing to cancel: ${is}`;
  if (seen.countdown && seen.countdown.until < now && seen.countdown.kind !== "qr" && seen.countdown.kind !== "qr-last") return `a clock that has run out: ${is}`;
  if (model.turned && seen.front === "qr" && state === "awaiting_phone" && snapshot.code) return `a reason for what is not so: ${is}`;

  // There is always a way on: a button, another way, or something that runs and ends.
  if (!seen.main && !seen.canSwitch && !seen.final && !RUN.includes(state) && !agreed && !seen.busy) return `no way on: ${is}`;
  return "";
}

/** Plays `games`; returns the faults, each with its seed and its shortest moves. */
export function play({ seed, games, length, words }) {
  const faults = [];
  for (let i = 0; i < games && faults.length < 5; i += 1) {
    const setting = { onPhone: i % 2 === 0, words };
    let moves = gameOf(seed + i, length);
    let found = played(moves, setting);
    if (!found) continue;
    for (let at = 0; at < moves.length; ) {
      const shorter = moves.toSpliced(at, 1);
      const again = played(shorter, setting);
      if (again) [moves, found] = [shorter, again];
      else at += 1;
    }
    faults.push(`seed ${seed + i} ${setting.onPhone ? "phone" : "desktop"}: ${found.wrong}\n    ${found.log.join("\n    ")}`);
  }
  return faults;
}
