/** What is to be seen, as plain data: a pure function of the model and of the moment. The views only draw it. */

import { FAILURES } from "./failures.generated.js";
import { front, isCancellable, isRunning, isSpent } from "./model.js";

/** @typedef {import("./types.d.ts").Model} Model */
/** @typedef {import("./types.d.ts").Scene} Scene */
/** @typedef {import("./types.d.ts").Step} Step */
/** @typedef {import("./protocol.d.ts").FailureCode} FailureCode */

/** A QR may outlive its moment by the time that the next one travels. */
const QR_GRACE_MS = 1_200;
/** Our own deadline fires first; after this the page helps itself. */
const DEADLINE_GRACE_MS = 5_000;
/** For an attempt without a deadline. */
const LONGEST_WAIT_MS = 120_000;
/** How long a QR lives: the first, and those after it. */
const QR_LIVES_MS = [60_000, 20_000];
const CODE_LIVES_MS = 160_000;

/** Failures which the other way does not help. @type {FailureCode[]} */
const BOTH_WAYS = [
  "client-outdated", "passkey-required", "multidevice-off", "temporarily-banned", "account-restricted", "in-progress",
  "paused", "no-room", "link-spent", "forbidden",
];

/** Failures whose cause may lie in the phone. @type {FailureCode[]} */
const ON_PHONE = ["multidevice-off", "pairing-refused", "connection-failed", "dropped-after-linking"];

/** No phone has agreed. @type {import("./protocol.d.ts").State[]} */
const UNDECIDED = ["unlinked", "queued", "connecting", "awaiting_phone", "expired", "cancelled"];

/** @param {Model} model @param {number} now server time @returns {Scene} */
export function scene(model, now) {
  const step = stepOf(model, now);
  const failure = step === "failed" ? failureOf(model) : null;
  const notice = noticeOf(model, step);
  const hint = step === "qr" && !notice ? model.snapshot?.hint ?? null : null;
  const spent = failure !== null && isSpent(model);
  const countdown = spent ? null : countdownOf(model, step, now);
  const phoneFault = step === "form" && (model.error?.field != null || notice === "invalid-phone");
  return {
    step,
    front: front(model),
    stage: stageOf(step, model),
    mood: moodOf(step),
    failure,
    notice,
    hint,
    phoneFault,
    countdown,
    main: mainOf(model, step, failure && (spent ? "link-spent" : failure)),
    // A QR that is on its way does not keep anybody from asking for a code.
    busy: model.pending !== null && !(step === "form" && model.pending.type === "request-qr"),
    held: countdown?.kind === "retry",
    agreed: hasAgreed(model),
    canCancel: isCancellable(model),
    canSwitch: canSwitch(step, failure) && !spent,
    spent,
    broken: failure === "link-spent" && model.link === "closed" && model.profile === null,
    elsewhere: notice === "in-progress" && isElsewhere(model),
    reference: ["failed", "stalled", "expired"].includes(step),
    checks: hint !== null || step === "expired" || step === "stalled" || (failure !== null && ON_PHONE.includes(failure)),
    final: spent || step === "no-token" || (failure !== null && ["new-link", "support"].includes(FAILURES[failure])),
  };
}

/** @param {Model} model @param {number} now @returns {Step} */
function stepOf(model, now) {
  const { snapshot, pending } = model;
  const code = front(model) === "code";
  if (!model.hasToken) return "no-token";
  if (linkFailure(model)) return "failed";
  if (!snapshot) return code ? (pending ? "code-wait" : "form") : "opening";
  if (pending?.type === "request-pairing-code" && code && !snapshot.code) return "code-wait";
  if (pending?.type === "request-qr" && !code && !isRunning(model)) return "prepare";
  if (isRunning(model) && now > lastMoment(model)) return "stalled";
  switch (snapshot.state) {
    case "unlinked":
      if (snapshot.failure && !model.askAgain) return "failed";
      return code ? "form" : "start";
    case "queued":
    case "connecting":
      if (code) return snapshot.method === "code" && !snapshot.failure ? "code-wait" : "form";
      return snapshot.state === "queued" && snapshot.queue?.position ? "queued" : "prepare";
    case "awaiting_phone":
      if (code) return codeStep(model, now);
      if (!snapshot.qr) return "prepare";
      return now > snapshot.qr.expiresAt + QR_GRACE_MS ? "qr-over" : "qr";
    case "expired":
    case "cancelled":
    case "failed":
      // Who has taken a code back wants another number, or none.
      return code && (model.askAgain || snapshot.state === "cancelled") ? "form" : snapshot.state;
    case "linking":
    case "linked":
    case "reconnecting":
      return snapshot.state;
  }
}

/** @param {Model} model @param {number} now @returns {Step} */
function codeStep({ snapshot }, now) {
  if (snapshot?.code) return now > snapshot.code.expiresAt ? "code-over" : "code";
  return snapshot?.method === "code" && !snapshot.failure ? "code-wait" : "form";
}

/** The moment after which a running attempt owes us an ending. @param {Model} model */
const lastMoment = ({ snapshot, heardAt }) =>
  snapshot?.deadline ? snapshot.deadline + DEADLINE_GRACE_MS : heardAt + LONGEST_WAIT_MS;

/** The link itself does not work. @param {Model} model @returns {FailureCode | null} */
function linkFailure(model) {
  const { link, error, snapshot } = model;
  if (link === "closed") return "link-spent";
  if (isSpent(model)) return snapshot?.failure?.code ?? "link-spent";
  // What runs goes on, and what it shows stays on the screen: then the refusal is a notice.
  const refused = error && !error.field && FAILURES[error.code] === "new-link";
  if (refused && !snapshot?.device && !isRunning(model)) return error.code;
  return null;
}

/** @param {Model} model @returns {FailureCode} */
const failureOf = (model) => linkFailure(model) ?? model.snapshot?.failure?.code ?? "internal";

/** @param {Model} model @param {Step} step @returns {FailureCode | null} */
function noticeOf(model, step) {
  if (["failed", "linked", "linking", "reconnecting", "no-token"].includes(step)) return null;
  if (model.error) return model.error.code;
  if (step === "form" && isRunning(model)) return model.snapshot?.failure?.code ?? null;
  return front(model) === "qr" ? model.turned : null;
}

/** Another company has the living code of this phone; that is told with its time, and without a field at fault.
 * @param {Model} model */
const isElsewhere = ({ error, snapshot }) => Boolean(error ? error.retryAt && !error.field : snapshot?.failure?.retryAt);

/** @param {Model} model @param {Step} step @param {number} now @returns {Scene["countdown"]} */
function countdownOf({ snapshot, error }, step, now) {
  if (step === "qr" && snapshot?.qr) {
    const { number, of, expiresAt } = snapshot.qr;
    return { kind: number === of ? "qr-last" : "qr", until: expiresAt, total: QR_LIVES_MS[number === 1 ? 0 : 1] ?? 0 };
  }
  if (step === "code" && snapshot?.code) return { kind: "code", until: snapshot.code.expiresAt, total: CODE_LIVES_MS };
  const until = error?.retryAt ?? (step === "failed" || step === "form" ? snapshot?.failure?.retryAt : null);
  return until && until > now ? { kind: "retry", until, total: 0 } : null;
}

/** @param {Model} model @param {Step} step @param {FailureCode | null} failure @returns {Scene["main"]} */
function mainOf(model, step, failure) {
  switch (step) {
    case "start":
      return "show-qr";
    case "form":
      return "get-code";
    case "qr":
      return model.snapshot?.hint ? "fresh" : null;
    case "qr-over":
    case "code-over":
    case "expired":
    case "cancelled":
    case "stalled":
      return "retry";
    case "linked":
      return model.profile?.returnUrl ? "return" : null;
    case "failed":
      return mainOfFailure(model, failure ?? "internal");
    default:
      return null;
  }
}

/** @param {Model} model @param {FailureCode} failure @returns {Scene["main"]} */
function mainOfFailure(model, failure) {
  switch (FAILURES[failure]) {
    case "retry":
    case "wait":
      return "retry";
    case "use-qr":
      return "show-qr";
    case "fix-phone":
      return "fix-phone";
    case "new-link":
      return model.profile?.refreshUrl ? "new-link" : model.profile?.returnUrl ? "return" : null;
    case "support":
      return "support";
  }
}

/** @param {Step} step @param {FailureCode | null} failure */
function canSwitch(step, failure) {
  if (["linking", "linked", "reconnecting", "no-token"].includes(step)) return false;
  return !failure || !BOTH_WAYS.includes(failure);
}

/** @param {Step} step @param {Model} model @returns {Scene["stage"]} */
function stageOf(step, model) {
  switch (step) {
    case "qr":
    case "qr-over":
    case "code":
    case "code-over":
      return 1;
    case "linking":
      return 2;
    case "linked":
    case "reconnecting":
      return 3;
    case "stalled":
      return model.snapshot?.state === "linking" ? 2 : 0;
    default:
      return 0;
  }
}

/** Whether a phone may have agreed: from then on nobody can say that nothing is linked. What became of a link that works
 * no more is not known here. @param {Model} model */
const hasAgreed = ({ snapshot, link, hasToken }) =>
  link === "closed" || !hasToken || (snapshot !== null && (!UNDECIDED.includes(snapshot.state) || (snapshot.state === "unlinked" && snapshot.failure != null)));

/** @param {Step} step @returns {Scene["mood"]} */
function moodOf(step) {
  if (step === "linked") return "good";
  if (step === "failed" || step === "no-token") return "bad";
  return ["expired", "cancelled", "stalled", "qr-over", "code-over"].includes(step) ? "rest" : "run";
}
