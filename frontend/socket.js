/**
 * The connection: one socket at a time, one set of listeners, back by itself after every break.
 *
 * It knows nothing of what is said, but that the first message is the hello and that the first answer makes it ready.
 */

/** @typedef {import("./protocol.d.ts").ServerMessage} ServerMessage */
/** @typedef {import("./protocol.d.ts").ClientMessage} ClientMessage */

export const FIRST_PAUSE_MS = 300;
export const LONGEST_PAUSE_MS = 8_000;
/** After this long without the socket, what is shown may be old and a half-open socket may be dead. */
const STALE_AFTER_MS = 15_000;

/** A server that lives answers a hello at once; one that is silent for so long is not there. */
const HELLO_MS = 10_000;

/** The link is bad: it is no use to come back. */
const BAD_LINK = 4401;
const TOO_MANY = 4429;

/**
 * The pause before try number `tries` (from 0): twice as long each time, with jitter, so that a restart of the server
 * is not a stampede.
 * @param {number} tries
 * @param {number} code the close code
 * @param {number} random from 0 to 1
 */
export function pauseBefore(tries, code, random) {
  const longest = code === TOO_MANY ? LONGEST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (tries + 1));
  const shortest = code === TOO_MANY ? LONGEST_PAUSE_MS / 2 : FIRST_PAUSE_MS;
  return shortest + random * (longest - shortest);
}

/** Whether packed messages can be read here. */
export const canUnpack = (() => {
  try {
    return Boolean(new DecompressionStream("deflate-raw"));
  } catch {
    return false;
  }
})();

/** @param {ArrayBuffer} packed @returns {Promise<string>} */
function unpacked(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
}

/**
 * @param {{
 *   url: string,
 *   clock: import("./types.d.ts").Clock,
 *   hello: () => ClientMessage,
 *   onMessage: (message: ServerMessage, first: boolean) => void,
 *   onLink: (link: import("./types.d.ts").Link, code: number, unopened: number) => void,
 * }} options
 */
export function createSocket({ url, clock, hello, onMessage, onLink }) {
  /** @type {WebSocket | null} */
  let socket = null;
  let ready = false;
  let tries = 0;
  /** How many sockets in a row were closed before they were open. */
  let unopened = 0;
  /** Not begun yet, or over for good. */
  let over = true;
  let leftAt = 0;
  /** Messages are taken one after the other; unpacking one takes a moment. */
  let taken = Promise.resolve();

  function open() {
    clock.clear("reconnect");
    drop();
    ready = over = false;
    const mine = new WebSocket(url);
    mine.binaryType = "arraybuffer";
    socket = mine;
    clock.set("hello", HELLO_MS, () => {
      drop();
      lost(0);
    });
    mine.onopen = () => {
      unopened = -1;
      mine.send(JSON.stringify(hello()));
    };
    mine.onmessage = (event) => {
      const text = typeof event.data === "string" ? event.data : unpacked(event.data);
      taken = taken.then(() => text).then((words) => (socket === mine ? take(words) : undefined), renew);
    };
    mine.onclose = (event) => {
      taken = taken.then(() => (socket === mine ? lost(event.code) : undefined));
    };
  }

  /** @param {string} words */
  function take(words) {
    const first = !ready;
    ready = true;
    tries = 0;
    clock.clear("hello");
    if (first) onLink("ready", 0, 0);
    onMessage(JSON.parse(words), first);
  }

  /** Forget the present socket, without a word. */
  function drop() {
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    socket = null;
  }

  /** @param {number} code */
  function lost(code) {
    socket = null;
    ready = false;
    unopened += 1;
    clock.clear("hello");
    if (code === BAD_LINK) {
      over = true;
      onLink("closed", code, 0);
      return;
    }
    onLink("lost", code, unopened);
    clock.set("reconnect", pauseBefore(tries, code, Math.random()), open);
    tries += 1;
  }

  /** Trust the present socket no more: have another one now, not after the pause. */
  function renew() {
    if (over) return;
    tries = unopened = 0;
    onLink("lost", 0, 0);
    open();
  }

  return {
    open,
    renew,

    /** Whether the hello was answered, so that commands can be sent. */
    isReady: () => ready,

    /** @param {ClientMessage} message */
    send(message) {
      socket?.send(JSON.stringify(message));
    },

    /** The tab is looked at no more. */
    leave() {
      leftAt = Date.now();
    },

    /** Somebody looks again. */
    wake() {
      const stale = leftAt > 0 && Date.now() - leftAt > STALE_AFTER_MS;
      leftAt = 0;
      if (!socket || stale) renew();
    },

    /** How many listeners there are on sockets: those of the one that lives. */
    listeners: () => (socket ? 1 : 0),
  };
}
