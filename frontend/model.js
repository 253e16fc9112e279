/**
 * All that the page knows. The snapshot says what is going on; the rest is what only this tab can know: the wire, what
 * was clicked, which way stands in front.
 */

import { FAILURES } from "./failures.generated.js";

/** @typedef {import("./types.d.ts").Model} Model */
/** @typedef {import("./protocol.d.ts").Snapshot} Snapshot */
/** @typedef {import("./protocol.d.ts").State} State */

/** @type {State[]} */
export const RUNNING = ["queued", "connecting", "awaiting_phone", "linking"];
/** @type {State[]} */
export const CANCELLABLE = ["queued", "connecting", "awaiting_phone"];
/** @type {State[]} */
export const DEVICE = ["linked", "reconnecting"];

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
    stuck: false,
    visible: true,
    onPhone: false,
    chosen: null,
    turned: null,
    pending: null,
    afterwards: null,
    unanswered: false,
    askAgain: false,
    spent: false,
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

/** @param {Model} model */
export const isBeforeTheQr = ({ snapshot }) => snapshot?.state === "queued" || snapshot?.state === "connecting";

/**
 * Whether the link has done its work, so that whatever it asks for is refused. What was lost at once was no work: then
 * the server takes it again.
 * @param {Model} model
 */
export const isSpent = ({ spent, snapshot }) =>
  spent && snapshot !== null && ![...RUNNING, ...DEVICE].includes(snapshot.state) &&
  snapshot.failure?.code !== "dropped-after-linking";

/** The way that stands in front. Both stay alive behind it. @param {Model} model @returns {import("./protocol.d.ts").Method} */
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
 * @param {import("./protocol.d.ts").ServerMessage} message
 * @param {boolean} first
 * @returns {Model}
 */
export function received(model, message, first) {
  const { snapshot, profile, error } = message;
  let next = { ...model, unanswered: false };
  if (profile) {
    next.profile = profile;
    next.spent = profile.spent === true;
  } else if (snapshot?.state === "linked" && isRunning(model)) {
    next.spent = true;
  }
  if (next.profile && message.returnUrl) next.profile = { ...next.profile, returnUrl: message.returnUrl };
  if (snapshot && (first || !isOlder(snapshot, model.snapshot))) next = withSnapshot(next, snapshot);
  if (error) next = withError(next, error);
  // What a hello is answered with says nothing about a command that this socket has not carried yet. But who asked
  // something of an attempt that has ended meanwhile is told so first.
  const carried = !(first && snapshot && next.pending && isVersionOf(next.pending, snapshot));
  if (first && snapshot && next.pending) {
    const ended = isRunning(model) && !isRunning(next);
    next.pending = ended ? null : { ...next.pending, attempt: snapshot.attempt, seq: snapshot.seq };
  }
  if (next.pending && (error || (carried && isAnswered(next)))) next.pending = null;
  return next;
}

/** @param {Model} model @param {import("./protocol.d.ts").ErrorView} error @returns {Model} */
function withError(model, error) {
  // No code for anybody, at this time: the QR is the way, and the page says why.
  if (FAILURES[error.code] === "use-qr" && !model.snapshot?.code) return { ...model, chosen: "qr", turned: error.code };
  return { ...model, error };
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
  const moved = !old || old.state !== snapshot.state || old.attempt !== snapshot.attempt || isAnotherEnd(snapshot, old);
  // What was clicked before is about what was there before: an ending is told whatever somebody has turned to.
  if (moved) {
    next.error = null;
    next.askAgain = false;
  }
  if (old && old.attempt !== snapshot.attempt) next.turned = null;
  // After an end the way that was in front stays there, though the snapshot has forgotten it.
  if (old && RUNNING.includes(old.state) && !RUNNING.includes(snapshot.state)) next.chosen ??= front(model);
  if (RUNNING.includes(snapshot.state)) next.witnessed = true;
  if (snapshot.qr) next.lastQr = snapshot.qr;
  if (snapshot.code) next.turned = null;

  // No code can be had, and a QR is there: turn to it, and say why.
  const why = CANCELLABLE.includes(snapshot.state) ? snapshot.failure?.code : undefined;
  if (why && why !== old?.failure?.code && FAILURES[why] !== "fix-phone") {
    next.chosen = "qr";
    next.turned = why;
  }
  return next;
}

/** The same attempt may fail once more: linked again meanwhile, while this page was not there. @param {Snapshot} one @param {Snapshot} other */
const isAnotherEnd = (one, other) => !RUNNING.includes(one.state) && one.failure?.code !== other.failure?.code;

/** Whether the command was given while this snapshot was the newest.
 * @param {NonNullable<Model["pending"]>} pending @param {Snapshot} snapshot */
const isVersionOf = (pending, snapshot) => snapshot.attempt === pending.attempt && snapshot.seq === pending.seq;

/** Whether the snapshot shows that the command has been done. @param {Model} model */
function isAnswered({ pending, snapshot }) {
  if (!pending || !snapshot) return false;
  const newer = !isVersionOf(pending, snapshot);
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
