/**
 * For the integrator's page: `<script src="https://onboarding.example/embed.js"></script>`. It shows the page of a link in
 * a frame or a popup, and tells how it goes: docs/embedding.md.
 */

/**
 * @typedef {{type: string, state?: string, reason?: string, companyId?: string, attempt?: number, returnUrl?: string, height?: number}} Told
 * @typedef {{url: string, container?: HTMLElement, title?: string, onState?: (told: Told) => void, onLinked?: (told: Told) => void, onEnd?: (told: Told) => void}} Options
 */

(() => {
  /** @param {Options} options */
  function open({ url, container, title = "WhatsApp", onState, onLinked, onEnd }) {
    const { origin } = new URL(url);
    // `javascript:` would run here, as this page: whoever makes the address must not choose that.
    if (origin === "null") throw new TypeError(url);
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    /** @type {HTMLIFrameElement | undefined} */
    let frame;
    /** @type {Window | null} */
    let page;
    /** @type {number | undefined} */
    let watch;
    let over = false;

    /** @param {MessageEvent} event */
    function hear({ source, origin: from, data }) {
      if (!page || source !== page || from !== origin || data?.source !== "whatsapp-onboarding" || data.v !== 1) return;
      if (data.type === "resize" && frame) frame.style.height = `${data.height}px`;
      if (data.type === "state") {
        over = data.state === "linked" || data.state === "reconnecting";
        onState?.(data);
      }
      if (data.type === "linked" || data.type === "ended") over = true;
      if (data.type === "linked") onLinked?.(data);
      if (data.type === "ended") onEnd?.(data);
    }

    function close() {
      removeEventListener("message", hear);
      clearInterval(watch);
      if (frame) frame.remove();
      else page?.close();
      before?.focus();
    }

    addEventListener("message", hear);
    if (container) {
      frame = document.createElement("iframe");
      frame.title = title;
      frame.allow = "clipboard-write";
      frame.style.cssText = "display:block;width:100%;height:640px;border:0";
      container.append(frame);
      page = frame.contentWindow;
      // Not by `src`: whatever reads this document's markup would find the token there.
      page?.location.replace(url);
      frame.focus();
    } else {
      page = window.open(url, "_blank", "popup,width=480,height=760");
      if (page) {
        watch = setInterval(() => {
          if (!page?.closed) return;
          close();
          if (!over) onEnd?.({ type: "ended", reason: "closed" });
        }, 500);
      } else {
        // Popups are blocked: it goes on in this tab, and comes back by the link's returnUrl.
        location.assign(url);
      }
    }
    return { close };
  }

  Object.assign(window, { WhatsAppOnboarding: { open } });
})();
