/** Which words stand over a scene, and on its button. Pure. */

/** @typedef {import("../types.d.ts").Picture} Picture */

/** A title as a sentence, and those that follow it. @param {Picture["t"]} t @param {string} title @param {string} more */
export const sentences = (t, title, more) => `${t("language.sentence", { text: title })} ${more}`;

/** @param {Picture} picture @returns {{title: string, text: string}} */
export function headWords({ scene, model, t, platform }) {
  const { step, failure } = scene;
  const why = scene.main === "new-link" ? "spent.refresh" : scene.spent && failure !== "link-spent" ? "spent" : scene.broken ? "failure.link-spent.broken" : null;
  if (failure) return { title: t(`failure.${failure}.title`), text: t(why ?? `failure.${failure}.text`) };
  if (step === "failed") return { title: t("step.failed.title"), text: "" };
  const title = t(`step.${step}.title`);
  if (step === "queued") {
    const count = model.snapshot?.queue?.position ?? 0;
    return { title, text: t("step.queued.text", { count, minutes: count }) };
  }
  // Why the device is away. What to do about it is said of endings; here it comes back by itself.
  const trouble = step === "reconnecting" ? model.snapshot?.failure : null;
  if (trouble) return { title, text: sentences(t, t(`failure.${trouble.code}.title`), t("step.reconnecting.text")) };
  if (step === "qr" && model.onPhone) return { title, text: t("step.qr.text.phone") };
  if (step === "linked" && !model.profile?.returnUrl) return { title, text: t("step.linked.close", { platform }) };
  if (step === "form" && model.snapshot?.state === "cancelled" && !model.askAgain)
    return { title, text: sentences(t, t("step.cancelled.title"), t("step.cancelled.text")) };
  const talking = step === "code-wait" || step === "prepare";
  if (talking && model.link !== "ready") return { title, text: t("act.connecting") };
  return { title, text: t(`step.${step}.text`, { platform }) };
}

/** @param {Picture} picture */
export function noticeWords({ scene, model, t }) {
  if (model.unanswered) return t("unanswered");
  if (scene.hint) return t(`hint.${scene.hint}`);
  if (!scene.notice || scene.phoneFault) return "";
  if (scene.elsewhere) return t("failure.in-progress.elsewhere");
  const reason = t(`failure.${scene.notice}.title`);
  if (scene.front === "qr" && scene.notice === model.turned) return t("turned", { reason: t("language.sentence", { text: reason }) });
  return sentences(t, reason, t(`failure.${scene.notice}.text`));
}

/** A button that leads away from here: where to, and its words. @param {Picture} picture */
export function wayOn({ scene, model, t, platform }) {
  const { profile } = model;
  /** @type {Partial<Record<NonNullable<import("../types.d.ts").Main>, {url: string | null | undefined, words: string}>>} */
  const ways = {
    return: { url: profile?.returnUrl, words: t("act.return", { platform }) },
    "new-link": { url: profile?.refreshUrl, words: t("act.new-link") },
    support: { url: profile?.supportUrl, words: t("act.ask-support") },
  };
  const { url, words = "" } = (scene.main && ways[scene.main]) || {};
  return url && /^(https?|mailto):/.test(url) ? { url, words } : null;
}

/** @param {Picture} picture */
export function mainWords({ scene, t }) {
  const qr = scene.front === "qr";
  switch (scene.main) {
    case "show-qr":
      return t("act.show-qr");
    case "fresh":
      return t("act.new-qr");
    case "fix-phone":
      return t("act.fix-phone");
    case "support":
      return t("act.support");
    case "retry":
      if (scene.step === "cancelled") return t("act.start-again");
      if (scene.failure === "logged-out") return t("act.link-again");
      if (["qr-over", "code-over", "expired"].includes(scene.step)) return t(qr ? "act.new-qr" : "act.new-code");
      return t("act.retry");
    default:
      return "";
  }
}
