/** What the page does by itself: little, and only while somebody looks. */

import { front } from "./model.js";

const MOST_RENEWALS = 2;

/**
 * Start on a desktop; renew a QR that ran out before somebody's eyes, at most twice.
 * @param {import("./model.js").Model} model
 * @returns {"start" | "renew" | null}
 */
export function nextMove(model) {
  const { snapshot } = model;
  if (!snapshot || !model.visible || model.link !== "ready" || model.pending || model.error) return null;
  if (model.unanswered || front(model) !== "qr") return null;
  if (snapshot.state === "unlinked" && !snapshot.failure && !model.onPhone && !model.started) return "start";
  if (snapshot.state === "expired" && model.witnessed && model.renewals < MOST_RENEWALS) return "renew";
  return null;
}
