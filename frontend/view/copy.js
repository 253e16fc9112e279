/** Copying: one tap, and the button says that it is done. */

const SAID_MS = 2_000;

/** @param {{clock: import("../types.d.ts").Clock, redraw: () => void}} tools */
export function createCopy({ clock, redraw }) {
  let done = "";
  /** @type {Record<string, string>} */
  const copied = {};
  return {
    /** Whether this has just been copied. @param {string} what */
    has: (what) => done === what,

    /** The text that was copied last for this. @param {string} what */
    last: (what) => copied[what] ?? null,

    /** @param {string} what @param {string} words @param {Node} [shown] what to mark where copying is not allowed */
    async copy(what, words, shown) {
      try {
        await navigator.clipboard.writeText(words);
      } catch {
        // No permission, or no secure page: then it is marked, ready to be copied by hand.
        if (shown) getSelection()?.selectAllChildren(shown);
        return;
      }
      done = what;
      copied[what] = words;
      clock.set("copied", SAID_MS, () => {
        done = "";
        redraw();
      });
      redraw();
    },
  };
}
