// Generated from shared/core/failures.py by `make docs`; do not edit.

/** @type {Record<import("./protocol.d.ts").FailureCode, import("./protocol.d.ts").Act>} */
export const FAILURES = {
  "invalid-phone": "fix-phone",
  "in-progress": "wait",
  "cool-down": "wait",
  "whatsapp-rate-limited": "use-qr",
  "code-not-available": "use-qr",
  "client-outdated": "wait",
  "passkey-required": "support",
  "multidevice-off": "retry",
  "wrong-number": "retry",
  "linked-elsewhere": "fix-phone",
  "pairing-refused": "retry",
  "temporarily-banned": "wait",
  "account-restricted": "retry",
  "logged-out": "retry",
  "dropped-after-linking": "retry",
  "connection-failed": "retry",
  "worker-lost": "retry",
  "paused": "wait",
  "no-room": "wait",
  "link-spent": "new-link",
  "forbidden": "new-link",
  "internal": "retry",
};
