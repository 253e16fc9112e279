// The page's own types. They stand here, not in the modules, since a browser loads what stands there.

import type {
  Cancel, CloseCode, ErrorView, FailureCode, Hint, Method, Profile, QrView, RequestPairingCode, RequestQr, Snapshot,
} from "./protocol.d.ts";

export type Link = "connecting" | "ready" | "lost" | "closed";
export type Command = "request-qr" | "request-pairing-code" | "cancel";
export type App = "android" | "iphone" | "business";
/** A number, and the country in which it is to be read. */
export type Given = Omit<RequestPairingCode, "type">;
export type Messages = typeof import("./locales/en.json");
export type T = ReturnType<typeof import("./i18n.js").createT>;
export type Clock = ReturnType<typeof import("./clock.js").createClock>;

/** All that the page knows. */
export interface Model {
  snapshot: Snapshot | null;
  profile: Profile | null;
  /** The last command was refused so. */
  error: ErrorView | null;
  link: Link;
  /** Why the socket closed for good, or last. */
  closeCode: CloseCode | number;
  /** Whether the page was opened by a link. */
  hasToken: boolean;
  /** Whether the connection has been away for so long that it is worth saying. */
  lasting: boolean;
  online: boolean;
  /** Whether several sockets in a row could not even be opened. */
  stuck: boolean;
  visible: boolean;
  onPhone: boolean;
  /** The way chosen by hand, or that the page turned to. */
  chosen: Method | null;
  /** Why the page turned to the QR by itself. */
  turned: FailureCode | null;
  /** The command that is under way, and the version of the snapshot when it was given. */
  pending: { type: Command; attempt: number; seq: number } | null;
  /** What the attempt is being taken back for. */
  afterwards: "qr" | "number" | null;
  /** The last command had no answer. */
  unanswered: boolean;
  /** The form for the number is wanted though an attempt has ended. */
  askAgain: boolean;
  /** Whether the link has linked a device. */
  spent: boolean;
  /** Whether the page has begun by itself. */
  started: boolean;
  /** Whether the attempt ran while this page was there. */
  witnessed: boolean;
  /** How often the page has renewed by itself since the last click. */
  renewals: number;
  /** Shown veiled when it is over. */
  lastQr: QrView | null;
  /** Server time of the snapshot. */
  heardAt: number;
}

/** One screen. Each has its words in the locales under `step.<step>`. */
export type Step =
  | "opening" | "start" | "prepare" | "queued" | "qr" | "qr-over" | "form" | "code-wait" | "code" | "code-over"
  | "linking" | "linked" | "reconnecting" | "expired" | "cancelled" | "failed" | "stalled" | "no-token";

export interface Countdown {
  kind: "qr" | "qr-last" | "code" | "retry";
  until: number;
  /** How long the whole takes, for the bar; 0 without a bar. */
  total: number;
}

/** The one primary button. */
export type Main = "show-qr" | "get-code" | "retry" | "fresh" | "fix-phone" | "support" | "return" | "new-link";

/** What is to be seen, as plain data. */
export interface Scene {
  step: Step;
  front: Method;
  /** Prepare, phone, finish, linked. */
  stage: 0 | 1 | 2 | 3;
  mood: "run" | "good" | "bad" | "rest";
  /** Why it ended. */
  failure: FailureCode | null;
  /** Why the last command was refused, or the page turned to the QR. */
  notice: FailureCode | null;
  /** What may help while it runs. */
  hint: Hint | null;
  /** Whether the notice belongs beside the phone field. */
  phoneFault: boolean;
  countdown: Countdown | null;
  main: Main | null;
  /** A command is under way. */
  busy: boolean;
  /** The main button has to wait for the countdown. */
  held: boolean;
  /** Whether a phone has agreed, or may have. */
  agreed: boolean;
  canCancel: boolean;
  canSwitch: boolean;
  /** Whether it goes on by a new link only. */
  spent: boolean;
  /** Whether not even who asks could be read from the link. */
  broken: boolean;
  /** Whether the notice is about somebody else's attempt with the same number. */
  elsewhere: boolean;
  /** Whether support may ask for the attempt. */
  reference: boolean;
  /** Whether a look at the phone may help. */
  checks: boolean;
  /** Whether it cannot go on here. */
  final: boolean;
}

/** What the server can be asked for. */
export type Request = RequestQr | RequestPairingCode | Cancel;

/** What follows from a click or a message. */
export interface Outcome {
  model: Model;
  /** To be sent. */
  command: Request | null;
  /** The number is to be typed: the field takes the focus. */
  askNumber: boolean;
}

/** All that a view draws from. */
export interface Picture {
  model: Model;
  scene: Scene;
  t: T;
  /** Whose page it is. */
  platform: string;
  /** Server time. */
  now: number;
}

/** What a person can do on the page. */
export interface Actions {
  main: (main: Main, given: Given | null) => void;
  getCode: (phoneNumber: string, region: string) => void;
  switchMethod: () => void;
  cancel: () => void;
  /** The number was mistyped: take the attempt back, and ask for it again. */
  changeNumber: () => void;
  /** The whole link, to go on with on another screen. */
  link: () => string;
  reconnect: () => void;
  locale: (locale: string) => void;
}

export interface Country {
  region: string;
  dial: string;
  /** What stands before a number at home and is dropped abroad. */
  trunk: string;
  groups: number[];
  /** How many there are in the groups. */
  digits: number;
  /** How a national number begins, where several countries share a code. */
  lead: RegExp | null;
}

/** A number as it was typed. */
export interface Typed {
  /** What to write into the field. */
  shown: string;
  /** With `+`, spaced: what we have understood. */
  international: string;
  /** What the server is to parse. */
  send: string;
  country: Country | null;
  fault: "empty" | "letters" | "short" | "long" | null;
}

