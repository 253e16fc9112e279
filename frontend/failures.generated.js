// Generated from shared/core/failures.py by `make docs`; do not edit.

/** @type {Record<import("./protocol.d.ts").FailureCode, {act: import("./protocol.d.ts").Act, retryable: boolean}>} */
export const FAILURES = {
  "invalid-phone": { act: "fix-phone", retryable: false },
  "in-progress": { act: "wait", retryable: true },
  "cool-down": { act: "wait", retryable: true },
  "whatsapp-rate-limited": { act: "use-qr", retryable: true },
  "code-not-available": { act: "use-qr", retryable: false },
  "client-outdated": { act: "wait", retryable: true },
  "passkey-required": { act: "support", retryable: false },
  "multidevice-off": { act: "retry", retryable: true },
  "wrong-number": { act: "retry", retryable: true },
  "pairing-refused": { act: "retry", retryable: true },
  "temporarily-banned": { act: "wait", retryable: true },
  "account-restricted": { act: "retry", retryable: true },
  "logged-out": { act: "retry", retryable: true },
  "dropped-after-linking": { act: "retry", retryable: true },
  "connection-failed": { act: "retry", retryable: true },
  "worker-lost": { act: "retry", retryable: true },
  "paused": { act: "wait", retryable: true },
  "no-room": { act: "wait", retryable: true },
  "link-spent": { act: "new-link", retryable: false },
  "forbidden": { act: "new-link", retryable: false },
  "internal": { act: "retry", retryable: true },
};
