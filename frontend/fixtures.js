/**
 * Every state of the page, as the messages that lead to it: for the gallery and for the tests. Development only.
 *
 * `phone: true` shows it as on a phone; `model` is what only the tab knows.
 */

import { FAILURES } from "./failures.generated.js";
import { QR_SVG, QR_TEXT } from "./fixtures-qr.js";

/** @typedef {import("./protocol.d.ts").ServerMessage} ServerMessage */
/** @typedef {import("./protocol.d.ts").Snapshot} Snapshot */
/** @typedef {import("./protocol.d.ts").FailureCode} FailureCode */
/** @typedef {{name: string, phone?: boolean, messages: ServerMessage[], model?: Partial<import("./types.d.ts").Model>}} Fixture */

/** @type {import("./protocol.d.ts").Profile} */
export const PROFILE = {
  company: "Salon “Aurora”",
  platform: "Bookwell",
  locale: null,
  region: "RU",
  returnUrl: "https://bookwell.example/settings",
  deviceName: "Bookwell",
  phoneHint: null,
  linkRegion: "MX",
  refreshUrl: null,
  supportUrl: null,
  privacyUrl: "https://bookwell.example/privacy",
};

/** @param {number} now @returns {Fixture[]} */
export function fixtures(now) {
  /** @param {Partial<Snapshot>} parts @returns {ServerMessage} */
  const status = (parts) => ({
    type: "status",
    profile: PROFILE,
    snapshot: { state: "unlinked", sessionId: "company_aurora", attempt: 7, seq: 3, serverNow: now, ...parts },
  });
  /** @param {Partial<Snapshot>} parts @returns {ServerMessage} */
  const spent = (parts) => ({ ...status(parts), profile: { ...PROFILE, spent: true } });
  const deadline = now + 150_000;
  const qr = { text: QR_TEXT, svg: QR_SVG, number: 1, of: 6, expiresAt: now + 42_000 };
  const code = { text: "ABCD-EFGH", expiresAt: now + 134_000, phone: "+7 •••••• 45 67" };
  const device = { phone: "+7 •••••• 45 67", name: "Bookwell", linkedAt: now - 5_000 };
  /** @type {Partial<Snapshot>} */
  const showing = { state: "awaiting_phone", method: "qr", deadline, qr };
  /** @type {Partial<Snapshot>} */
  const ofCode = { state: "awaiting_phone", method: "code", deadline, qr };

  /** @param {FailureCode} failure @returns {Fixture} */
  const failed = (failure) => ({
    name: `failed-${failure}`,
    messages: [status({
      state: "failed",
      failure: {
        code: failure,
        retryable: true, // The page reads the act alone.
        retryAt: FAILURES[failure] === "wait" ? now + 95_000 : null,
      },
    })],
  });
  /** @param {FailureCode} refusal @param {Partial<Snapshot>} on @param {string | null} [field] @returns {ServerMessage[]} */
  const refused = (refusal, on, field = null) => [
    status(on),
    { type: "error", error: { code: refusal, field, retryAt: FAILURES[refusal] === "wait" ? now + 65_000 : null } },
  ];

  return [
    { name: "opening", messages: [], model: { link: "connecting" } },
    { name: "no-token", messages: [], model: { hasToken: false } },
    { name: "start", messages: [status({})] },
    { name: "form", phone: true, messages: [status({})] },
    { name: "form-invalid", phone: true, messages: refused("invalid-phone", {}, "phoneNumber") },
    { name: "form-cool-down", phone: true, messages: refused("cool-down", {}) },
    { name: "form-in-progress", messages: refused("in-progress", showing, "phoneNumber"), model: { chosen: "code" } },
    { name: "form-elsewhere", phone: true, messages: [
      status({}), { type: "error", error: { code: "in-progress", retryAt: now + 65_000 } },
    ] },
    { name: "form-cancelled", phone: true, messages: [status({ state: "cancelled" })] },
    { name: "queued", messages: [status({ state: "queued", method: "qr", deadline, queue: { position: 3 } })] },
    { name: "connecting", messages: [status({ state: "connecting", method: "qr", deadline })] },
    { name: "qr", messages: [status(showing)] },
    { name: "qr-last", messages: [status({ ...showing, qr: { ...qr, number: 6, expiresAt: now + 8_000 } })] },
    { name: "qr-hint", messages: [status({ ...showing, qr: { ...qr, number: 4 }, hint: "no-answer" })] },
    { name: "banned-for-days", messages: [
      status({ state: "failed", failure: { code: "temporarily-banned", retryable: true, retryAt: now + 50 * 3_600_000 } }),
    ] },
    { name: "qr-hint-on-phone", phone: true, messages: [status({ ...showing, qr: { ...qr, number: 4 }, hint: "no-answer" })], model: { chosen: "qr" } },
    { name: "qr-on-phone", phone: true, messages: [status(showing)], model: { chosen: "qr" } },
    { name: "qr-over", messages: [status({ ...showing, qr: { ...qr, expiresAt: now - 5_000 } })] },
    { name: "qr-no-code", messages: [status(ofCode), {
      ...status({ ...ofCode, seq: 4, failure: { code: "code-not-available", retryable: false } }),
      type: "pairing-code-error",
    }] },
    { name: "qr-elsewhere", messages: [status(ofCode), {
      ...status({ ...ofCode, seq: 4, failure: { code: "in-progress", retryable: true, retryAt: now + 65_000 } }),
      type: "pairing-code-error",
    }] },
    { name: "form-linked-elsewhere", phone: true, messages: [status(ofCode), {
      ...status({ ...ofCode, seq: 4, failure: { code: "linked-elsewhere", retryable: false } }),
      type: "pairing-code-error",
    }] },
    { name: "code-wait", phone: true, messages: [status(ofCode)] },
    { name: "code", phone: true, messages: [status({ ...ofCode, code })] },
    { name: "code-on-desktop", messages: [status({ ...ofCode, code })] },
    { name: "code-over", phone: true, messages: [status({ ...ofCode, code: { ...code, expiresAt: now - 1_000 } })] },
    { name: "linking", messages: [status({ state: "linking", method: "qr", deadline })] },
    { name: "linked", messages: [status({ state: "linked", device })] },
    { name: "linked-on-phone", phone: true, messages: [status({ state: "linked", device })] },
    { name: "reconnecting", messages: [status({ state: "reconnecting", device })] },
    { name: "reconnecting-outdated", messages: [
      status({ state: "reconnecting", device, failure: { code: "client-outdated", retryable: true, retryAt: now + 95_000 } }),
    ] },
    { name: "expired", messages: [status(showing), status({ state: "expired", seq: 9 })], model: { renewals: 2 } },
    { name: "expired-code", phone: true, messages: [status({ ...ofCode, code }), status({ state: "expired", seq: 9 })] },
    { name: "cancelled", messages: [status({ state: "cancelled" })] },
    { name: "stalled", messages: [status({ state: "connecting", deadline: now - 60_000 })] },
    { name: "unlinked-logged-out", messages: [status({ failure: { code: "logged-out", retryable: true } })] },
    { name: "spent", messages: [spent({})] },
    { name: "spent-logged-out", messages: [spent({ failure: { code: "logged-out", retryable: true } })] },
    { name: "spent-banned", phone: true, messages: [
      spent({ state: "failed", failure: { code: "temporarily-banned", retryable: true, retryAt: now + 95_000 } }),
    ] },
    { name: "linked-to-close", messages: [{ ...status({ state: "linked", device }), profile: { ...PROFILE, returnUrl: null } }] },
    { name: "link-refreshed", phone: true, messages: [
      { type: "error", error: { code: "link-spent" }, profile: { ...PROFILE, refreshUrl: "https://bookwell.example/again" } },
    ], model: { link: "closed", closeCode: 4401 } },
    { name: "link-broken", messages: [], model: { link: "closed", closeCode: 4401 } },
    { name: "failed-with-support", phone: true, messages: [{
      ...status({ state: "failed", failure: { code: "passkey-required", retryable: false } }),
      profile: { ...PROFILE, supportUrl: "https://bookwell.example/help" },
    }] },
    { name: "link-closed", messages: [status({})], model: { link: "closed", closeCode: 4401 } },
    { name: "lost", messages: [status(showing)], model: { link: "lost", lasting: true } },
    { name: "stuck", messages: [], model: { link: "lost", stuck: true } },
    { name: "offline", messages: [status(showing)], model: { link: "lost", online: false } },
    ...(/** @type {FailureCode[]} */ (Object.keys(FAILURES))).map(failed),
  ];
}
