/**
 * Time, as the server tells it, and the page's one timer.
 *
 * Everything that must happen later is an alarm with a name; setting an alarm again replaces it. However many alarms
 * there are, one `setTimeout` runs.
 */

/** @param {Window} [host] */
export function createClock(host = window) {
  /** @type {Map<string, {at: number, ring: () => void}>} */
  const alarms = new Map();
  /** @type {number | null} */
  let timer = null;
  let offset = 0;

  function arm() {
    if (timer !== null) host.clearTimeout(timer);
    timer = null;
    if (alarms.size === 0) return;
    const next = Math.min(...[...alarms.values()].map((alarm) => alarm.at));
    timer = host.setTimeout(ringDue, Math.max(0, next - Date.now()));
  }

  function ringDue() {
    timer = null;
    const due = [...alarms].filter(([, alarm]) => alarm.at <= Date.now());
    for (const [name] of due) alarms.delete(name);
    for (const [, alarm] of due) alarm.ring();
    arm();
  }

  return {
    /** The present moment by the server's clock. */
    now: () => Date.now() + offset,

    /** Learn the server's clock from a message that has just arrived. @param {number} serverNow */
    learn(serverNow) {
      offset = serverNow - Date.now();
    },

    /** Ring once, `delay` ms from now. @param {string} name @param {number} delay @param {() => void} ring */
    set(name, delay, ring) {
      alarms.set(name, { at: Date.now() + delay, ring });
      arm();
    },

    /** @param {string} name */
    clear(name) {
      if (alarms.delete(name)) arm();
    },

    /** How many timers run: 0 or 1. */
    timers: () => (timer === null ? 0 : 1),
  };
}

/** When to draw anew a clock with so much left, which may be negative. @param {number} ms */
export const toNextSecond = (ms) => (((ms % 1000) + 1000) % 1000) + 1;

/** A moment that is far away: its day and time, in the digits of the other numbers of the page. @param {number} moment @param {string} locale */
export const dayAndTime = (moment, locale) =>
  new Intl.DateTimeFormat(locale, { day: "numeric", month: "long", hour: "numeric", minute: "2-digit", numberingSystem: "latn" }).format(moment);

/** `m:ss` until a moment, never below 0:00. @param {number} ms */
export function minutesAndSeconds(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
