/**
 * Tells the page around this one how it goes. Only a link that names its embedder loads this, and only that origin is
 * told. Nothing is taken from outside.
 */

/** @typedef {import("./types.d.ts").Picture} Picture */

const COMPANY = "company_";
const embedder = /** @type {HTMLElement} */ (document.querySelector("script[data-embedder]")).dataset.embedder ?? "";
const framed = parent !== window;
/** @type {Window | null} */
const around = framed ? parent : opener;
/** What was told last of each kind: nothing is told twice. @type {Record<string, string>} */
const told = {};

/** @param {"state" | "linked" | "ended" | "resize"} type @param {Record<string, unknown>} said @param {string} [kind] */
function tell(type, said, kind = type) {
  const words = JSON.stringify([type, said]);
  if (!around || told[kind] === words) return;
  told[kind] = words;
  around.postMessage({ source: "whatsapp-onboarding", v: 1, type, ...said }, embedder);
}

/** Why it is over without a device; null while it goes on, and while its owner only takes another number or a fresh QR.
 * @param {Picture} picture */
function endOf({ model, scene }) {
  if (model.pending || model.askAgain) return null;
  const { snapshot } = model;
  if (scene.failure) return scene.failure;
  if (scene.step === "no-token") return "link-spent";
  return snapshot && ["expired", "cancelled"].includes(snapshot.state) ? snapshot.state : null;
}

/** @param {Picture} picture */
function drawn(picture) {
  const { snapshot, profile } = picture.model;
  const about = snapshot ? { companyId: snapshot.sessionId.slice(COMPANY.length), attempt: snapshot.attempt } : {};
  if (snapshot) tell("state", { ...about, state: snapshot.state, method: picture.scene.front });
  const back = profile?.returnUrl ? { returnUrl: profile.returnUrl } : {};
  const reason = endOf(picture);
  if (reason) tell("ended", { ...about, reason, ...back }, "end");
  else if (snapshot?.state === "linked") tell("linked", { ...about, ...back }, "end");
  else delete told.end;
}

addEventListener("picture", (event) => drawn(/** @type {CustomEvent<Picture>} */ (event).detail));

if (framed) {
  const html = document.documentElement;
  new ResizeObserver(() => tell("resize", { height: Math.ceil(html.getBoundingClientRect().height) })).observe(html);
  // What leads elsewhere does not take the frame's place.
  for (const link of document.querySelectorAll(".foot a")) {
    link.setAttribute("target", "_blank");
    link.setAttribute("rel", "noopener");
  }
}
