/**
 * All that the page knows. The snapshot says what is going on; the rest is what only this tab can know: the wire, what
 * was clicked, which way stands in front.
 */

import { FAILURES } from "./failures.generated.js";

/** @typedef {import("./protocol.d.ts").Snapshot} Snapshot */
/** @typedef {import("./protocol.d.ts").State} State */
/** @typedef {import("./protocol.d.ts").Method} Method */
/** @typedef {import("./protocol.d.ts").FailureCode} FailureCode */
/** @typedef {import("./protocol.d.ts").ServerMessage} ServerMessage */
/** @typedef {"request-qr" | "request-pairing-code" | "cancel"} Command */

/**
 * @typedef {object} Model
 * @property {Snapshot | null} snapshot
 * @property {import("./protocol.d.ts").Profile | null} profile
 * @property {import("./protocol.d.ts").ErrorView | null} error the last command was refused so
 * @property {import("./socket.js").Link} link
 * @property {number} closeCode why the socket closed for good, or last
 * @property {boolean} hasToken whether the page was opened by a link
 * @property {boolean} lasting whether the connection has been away for so long that it is worth saying
 * @property {boolean} online
 * @property {boolean} visible
 * @property {boolean} onPhone
 * @property {Method | null} chosen the way chosen by hand, or that the page turned to
 * @property {FailureCode | null} turned why the page turned to the QR by itself
 * @property {{type: Command, attempt: number, seq: number} | null} pending the command that is under way
 * @property {boolean} unanswered the last command had no answer
 * @property {boolean} askAgain the form for the number is wanted though an attempt has ended
 * @property {boolean} started whether the page has begun by itself
 * @property {boolean} witnessed whether the attempt ran while this page was there
 * @property {number} renewals how often the page has renewed by itself since the last click
 * @property {import("./protocol.d.ts").Qr | null} lastQr shown veiled when it is over
 * @property {number} heardAt server time of the snapshot
 */

/** @type {State[]} */
export const RUNNING = ["queued", "connecting", "awaiting_phone", "linking"];
/** @type {State[]} */
export const CANCELLABLE = ["queued", "connecting", "awaiting_phone"];
/** @type {State[]} */
const DEVICE = ["linked", "reconnecting"];

/** @param {Partial<Model>} known @returns {Model} */
export function initialModel(known) {
  return {
    snapshot: null,
    profile: null,
    error: null,
    link: "connecting",
    closeCode: 0,
    hasToken: true,
    lasting: false,
    online: true,
    visible: true,
    onPhone: false,
    chosen: null,
    turned: null,
    pending: null,
    unanswered: false,
    askAgain: false,
    started: false,
    witnessed: false,
    renewals: 0,
    lastQr: null,
    heardAt: 0,
    ...known,
  };
}

/** @param {Model} model */
export const isRunning = (model) => model.snapshot !== null && RUNNING.includes(model.snapshot.state);

/** @param {Model} model */
export const isCancellable = (model) => model.snapshot !== null && CANCELLABLE.includes(model.snapshot.state);

/** The way that stands in front. Both stay alive behind it. @param {Model} model @returns {Method} */
export function front(model) {
  if (model.chosen) return model.chosen;
  const snapshot = model.snapshot;
  if (snapshot?.code || (snapshot?.method === "code" && !snapshot.failure)) return "code";
  return model.onPhone ? "code" : "qr";
}

/**
 * What is known after a message. `first` is the answer to a hello: it is the truth even if it looks older, since a
 * server that has lost its memory counts from the beginning.
 * @param {Model} model
 * @param {ServerMessage} message
 * @param {boolean} first
 * @returns {Model}
 */
export function received(model, message, first) {
  const { snapshot, profile, error } = message;
  let next = { ...model, unanswered: false };
  if (profile) next.profile = profile;
  if (snapshot && (first || !isOlder(snapshot, model.snapshot))) next = withSnapshot(next, snapshot);
  if (error) next.error = error;
  // What a hello is answered with says nothing about a command that this socket has not carried yet.
  if (first && snapshot && next.pending) next.pending = { ...next.pending, attempt: snapshot.attempt, seq: snapshot.seq };
  if (next.pending && (error || isAnswered(next))) next.pending = null;
  return next;
}

/** @param {Snapshot} one @param {Snapshot | null} other */
function isOlder(one, other) {
  if (!other || one.sessionId !== other.sessionId) return false;
  return one.attempt < other.attempt || (one.attempt === other.attempt && one.seq < other.seq);
}

/** @param {Model} model @param {Snapshot} snapshot @returns {Model} */
function withSnapshot(model, snapshot) {
  const next = { ...model, snapshot, heardAt: snapshot.serverNow };
  const old = model.snapshot;
  const moved = !old || old.state !== snapshot.state || old.attempt !== snapshot.attempt;
  if (moved) next.error = null;
  // After an end the way that was in front stays there, though the snapshot has forgotten it.
  if (old && RUNNING.includes(old.state) && !RUNNING.includes(snapshot.state)) next.chosen ??= front(model);
  if (RUNNING.includes(snapshot.state)) {
    next.witnessed = true;
    next.askAgain = false;
  }
  if (snapshot.qr) next.lastQr = snapshot.qr;
  if (snapshot.code) next.turned = null;

  // No code can be had, and a QR is there: turn to it, and say why.
  const why = CANCELLABLE.includes(snapshot.state) ? snapshot.failure?.code : undefined;
  if (why && why !== old?.failure?.code && FAILURES[why].act !== "fix-phone") {
    next.chosen = "qr";
    next.turned = why;
  }
  return next;
}

/** Whether the snapshot shows that the command has been done. @param {Model} model */
function isAnswered({ pending, snapshot }) {
  if (!pending || !snapshot) return false;
  const newer = snapshot.attempt !== pending.attempt || snapshot.seq !== pending.seq;
  switch (pending.type) {
    case "cancel":
      return !CANCELLABLE.includes(snapshot.state);
    case "request-qr":
      return newer || RUNNING.includes(snapshot.state) || DEVICE.includes(snapshot.state);
    case "request-pairing-code":
      if (snapshot.code || DEVICE.includes(snapshot.state) || snapshot.state === "linking") return true;
      if (CANCELLABLE.includes(snapshot.state)) return snapshot.method === "code" && (newer || !snapshot.failure);
      return newer;
  }
}
