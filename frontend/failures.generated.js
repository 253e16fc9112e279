// Generated from shared/core/failures.py by `make docs`; do not edit.

/** @type {Record<import("./protocol.d.ts").FailureCode, {act: import("./protocol.d.ts").Act}>} */
export const FAILURES = {
  "invalid-phone": { act: "fix-phone" },
  "in-progress": { act: "wait" },
  "cool-down": { act: "wait" },
  "whatsapp-rate-limited": { act: "use-qr" },
  "code-not-available": { act: "use-qr" },
  "client-outdated": { act: "wait" },
  "passkey-required": { act: "support" },
  "multidevice-off": { act: "retry" },
  "wrong-number": { act: "retry" },
  "pairing-refused": { act: "retry" },
  "temporarily-banned": { act: "wait" },
  "account-restricted": { act: "retry" },
  "logged-out": { act: "retry" },
  "dropped-after-linking": { act: "retry" },
  "connection-failed": { act: "retry" },
  "worker-lost": { act: "retry" },
  "paused": { act: "wait" },
  "no-room": { act: "wait" },
  "link-spent": { act: "new-link" },
  "forbidden": { act: "new-link" },
  "internal": { act: "retry" },
};
