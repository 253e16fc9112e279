// The company's page in its frame, what it shows now, and the tour.

import * as api from "./api.js";
import { currentLanguage, t } from "./words.js";

const AGAIN_MS = 500;
const LONG_MS = 15_000;
const TOUR_KEY = "tour";
const PHONE = ["awaiting_phone", "linking"];
const DEVICE = ["linked", "reconnecting"];
const $ = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Calls `onCompany(company)` for each company, and `onScreen()` whenever its page shows something else.
export function createStage({ onCompany, onScreen }) {
  const began = Date.now();
  let company = null;
  let shown = {};
  let asking = new AbortController();

  function drawTour() {
    $("tour").hidden = localStorage.getItem(TOUR_KEY) === "done";
    const step = DEVICE.includes(shown.state) ? "trouble" : PHONE.includes(shown.state) ? "phone" : "page";
    for (const item of document.querySelectorAll("[data-step]")) {
      if (item.dataset.step === step) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
  }
  // Another query each time: an address that differs in its fragment only is not loaded anew.
  function open() {
    const url = new URL(company.url);
    url.searchParams.set("opened", Date.now());
    $("page").src = url;
  }
  async function begin(another) {
    // What the page before shows is nobody's any more.
    company = null;
    shown = {};
    onScreen();
    for (;;) {
      try {
        company = await api.company(another, currentLanguage());
        break;
      } catch {
        $("waiting").textContent = t(Date.now() - began > LONG_MS ? "away" : "starting");
        await pause(AGAIN_MS);
      }
    }
    asking.abort();
    $("waiting").hidden = true;
    $("page").hidden = false;
    open();
    onCompany(company);
    drawTour();
  }
  async function watch() {
    let tag = "";
    for (;;) {
      try {
        asking = new AbortController();
        const news = await api.screen(tag, asking.signal);
        if (news.company !== company?.id) throw new Error("of another company");
        if ("state" in news) shown = news;
        tag = news.tag;
        drawTour();
        onScreen();
      } catch {
        tag = "";
        await pause(AGAIN_MS);
      }
    }
  }
  $("tourDone").addEventListener("click", () => {
    localStorage.setItem(TOUR_KEY, "done");
    drawTour();
  });
  return {
    begin: () => begin(false).then(watch),
    another: () => begin(true),
    // The page reads its language when it loads; what it shows is kept by the service.
    reload: () => company && open(),
    shown: () => shown,
  };
}
