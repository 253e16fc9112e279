// Generated from shared/core/protocol.py, shared/core/lifecycle.py and shared/core/failures.py by `make docs`; do not edit.
// What travels between browser and server. Times are milliseconds since the epoch, UTC.

export type State =
  | "unlinked"
  | "queued"
  | "connecting"
  | "awaiting_phone"
  | "linking"
  | "linked"
  | "reconnecting"
  | "expired"
  | "cancelled"
  | "failed";

export type Method =
  | "qr"
  | "code";

export type MessageType =
  | "status"
  | "qr-update"
  | "pairing-code"
  | "pairing-code-error"
  | "whatsapp-connected"
  | "error";

export type FailureCode =
  | "invalid-phone"
  | "in-progress"
  | "cool-down"
  | "whatsapp-rate-limited"
  | "code-not-available"
  | "client-outdated"
  | "passkey-required"
  | "multidevice-off"
  | "wrong-number"
  | "linked-elsewhere"
  | "pairing-refused"
  | "temporarily-banned"
  | "account-restricted"
  | "logged-out"
  | "dropped-after-linking"
  | "connection-failed"
  | "worker-lost"
  | "paused"
  | "no-room"
  | "link-spent"
  | "forbidden"
  | "internal";

export type Act =
  | "retry"
  | "use-qr"
  | "fix-phone"
  | "wait"
  | "new-link"
  | "support";

export type Hint =
  | "no-answer";

export type CloseCode = 1009 | 1012 | 4401 | 4403 | 4408 | 4429;

export interface QrView {
  text: string;
  svg: string;
  number: number;
  of: number;
  expiresAt: number;
}

export interface CodeView {
  text: string;
  expiresAt: number;
  phone: string;
}

export interface Queue {
  position: number;
}

export interface FailureView {
  code: FailureCode;
  retryable: boolean;
  retryAt?: number | null;
}

export interface DeviceView {
  phone: string;
  name: string;
  linkedAt: number;
}

export interface Snapshot {
  state: State;
  method?: Method | null;
  deadline?: number | null;
  qr?: QrView | null;
  code?: CodeView | null;
  queue?: Queue | null;
  failure?: FailureView | null;
  hint?: Hint | null;
  device?: DeviceView | null;
  sessionId: string;
  attempt: number;
  seq: number;
  serverNow: number;
}

export interface ErrorView {
  code: FailureCode;
  retryAt?: number | null;
  field?: string | null;
}

export interface BrandView {
  accent?: string | null;
  logoUrl?: string | null;
}

export interface Profile {
  company: string;
  platform: string;
  locale?: string | null;
  region: string;
  returnUrl?: string | null;
  deviceName: string;
  phoneHint?: string | null;
  spent?: boolean;
  linkRegion?: string | null;
  refreshUrl?: string | null;
  supportUrl?: string | null;
  privacyUrl?: string | null;
  brand?: BrandView | null;
}

export interface ServerMessage {
  type: MessageType;
  snapshot?: Snapshot | null;
  error?: ErrorView | null;
  profile?: Profile | null;
  returnUrl?: string | null;
}

export interface Hello {
  type: "hello";
  token: string;
  locale?: string | null;
  packed?: boolean;
}

export interface RequestQr {
  type: "request-qr";
}

export interface RequestPairingCode {
  type: "request-pairing-code";
  phoneNumber: string;
  region?: string | null;
}

export interface Cancel {
  type: "cancel";
}

export type ClientMessage = Hello | RequestQr | RequestPairingCode | Cancel;
