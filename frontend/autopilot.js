/** What the page does by itself: little. */

import { front, isSpent } from "./model.js";

const MOST_RENEWALS = 2;

/** Whether the page is on a phone, probably the very one to be linked, which cannot scan its own screen: it decides which
 * way is offered first, and whether anything starts by itself; never what is possible. */
export function isPhone() {
  if (/iPhone|iPod|Android.*Mobile/.test(navigator.userAgent)) return true;
  return matchMedia("(pointer: coarse) and (max-width: 600px)").matches;
}

/** @type {import("./types.d.ts").Step[]} */
const OWED = ["qr-over", "stalled"];

/**
 * Whether we should have heard of another QR, or of the attempt's end, and have not: is the socket dead?
 * @param {import("./types.d.ts").Step} step
 */
export const isOwedNews = (step) => OWED.includes(step);

/**
 * While somebody looks: start on a desktop; renew a QR that ran out before somebody's eyes, at most twice.
 * @param {import("./model.js").Model} model
 * @returns {"start" | "renew" | null}
 */
export function nextMove(model) {
  const { snapshot } = model;
  if (!snapshot || !model.visible || model.link !== "ready" || model.pending || model.error) return null;
  if (model.unanswered || isSpent(model) || front(model) !== "qr") return null;
  if (snapshot.state === "unlinked" && !snapshot.failure && !model.onPhone && !model.started) return "start";
  if (snapshot.state === "expired" && model.witnessed && model.renewals < MOST_RENEWALS) return "renew";
  return null;
}
