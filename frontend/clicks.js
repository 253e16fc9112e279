/** What a click makes of the model, and what the server is asked for because of it. Pure: `main.js` carries it out. */

import { front, isCancellable, isRunning, received } from "./model.js";

/** @typedef {import("./types.d.ts").Model} Model */
/** @typedef {import("./types.d.ts").Outcome} Outcome */
/** @typedef {import("./types.d.ts").Request} Request */

/** @param {Model} model @param {Partial<Outcome>} [more] @returns {Outcome} */
const outcome = (model, more) => ({ model, command: null, askNumber: false, ...more });

/**
 * Ask the server. Not while the same is under way; before the socket is ready, the last wish waits.
 * @param {Model} model @param {Request} message @param {Model["afterwards"]} [afterwards] what a cancel is for
 * @returns {Outcome}
 */
export function asked(model, message, afterwards = null) {
  if (model.pending?.type === message.type && model.link === "ready") return outcome({ ...model, afterwards });
  const { attempt, seq } = model.snapshot ?? { attempt: -1, seq: -1 };
  const pending = { type: message.type, attempt, seq };
  return outcome(
    { ...model, pending, afterwards, error: null, unanswered: false, turned: null },
    { command: message },
  );
}

/** The primary button. @param {Model} model @param {import("./types.d.ts").Main} main @param {import("./types.d.ts").Given | null} given @returns {Outcome} */
export function pressed(model, main, given) {
  const fresh = { ...model, renewals: 0 };
  switch (main) {
    case "show-qr":
      return asked({ ...fresh, chosen: "qr" }, { type: "request-qr" });
    case "retry":
      if (front(fresh) === "qr") return asked(fresh, { type: "request-qr" });
      if (given) return asked(fresh, { type: "request-pairing-code", ...given });
      // After a refresh the field is empty.
      return isCancellable(fresh) ? asked(fresh, { type: "cancel" }, "number") : outcome({ ...fresh, askAgain: true });
    case "fresh":
      return asked(fresh, { type: "cancel" }, "qr");
    case "fix-phone":
      return outcome({ ...fresh, chosen: "code", askAgain: true }, { askNumber: true });
    default:
      return outcome(fresh);
  }
}

/** The other way: nothing is lost by it, whatever lives goes on living. @param {Model} model @returns {Outcome} */
export function turnedOver(model) {
  /** @type {import("./protocol.d.ts").Method} */
  const other = front(model) === "qr" ? "code" : "qr";
  const next = { ...model, chosen: other, turned: null, error: null, renewals: 0 };
  if (isRunning(next) || next.link === "closed") return outcome(next);
  // What has ended has been read by who turns away from it.
  return other === "qr" ? asked(next, { type: "request-qr" }) : outcome({ ...next, askAgain: true });
}

/** A message of the server, and what was waiting for it. @param {Model} model
 * @param {import("./protocol.d.ts").ServerMessage} message @param {boolean} first @returns {Outcome} */
export function heard(model, message, first) {
  const next = received(model, message, first);
  const then = next.snapshot?.state === "cancelled" ? model.afterwards : null;
  if (next.pending) return outcome(next);
  const done = { ...next, afterwards: null };
  if (then === "qr") return asked(done, { type: "request-qr" });
  return then === "number" ? outcome({ ...done, askAgain: true }, { askNumber: true }) : outcome(done);
}
