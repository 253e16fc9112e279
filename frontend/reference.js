/** A name for an attempt that can be read out: six letters and digits, none of which looks like another. */

const SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/**
 * The same as `shared/core/reference.py` makes of it: thirty bits of FNV-1a.
 * @param {string} sessionId @param {number} attempt
 */
export function referenceOf(sessionId, attempt) {
  let hash = 0x811c9dc5;
  for (const char of `${sessionId}/${attempt}`) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0;
  hash = (hash ^ (hash >>> 30)) >>> 0;
  const signs = [25, 20, 15, 10, 5, 0].map((shift) => SIGNS[(hash >>> shift) & 31]).join("");
  return `${signs.slice(0, 3)}-${signs.slice(3)}`;
}
