/**
 * The gallery: every state side by side, each in a frame of its own; or, with `?one`, the one that `#name` names.
 * Development only. Nothing here talks to a server.
 */

import { createClock } from "./clock.js";
import { h } from "./dom.js";
import { fixtures } from "./fixtures.js";
import { LOCALES, createT, loadMessages } from "./i18n.js";
import { initialModel, received } from "./model.js";
import { scene } from "./scene.js";
import { createView } from "./view.js";

/** @typedef {import("./types.d.ts").Locale} Locale */

const query = new URLSearchParams(location.search);
const root = /** @type {HTMLElement} */ (document.querySelector("#app"));
if (query.has("one")) one();
else gallery();

/** Draws the state that the fragment names, in the language after the colon: `#linked:ru`. */
function one() {
  const clock = createClock();
  const wide = matchMedia("(min-width: 900px)");
  const nothing = () => undefined;
  const actions = {
    main: nothing, getCode: nothing, switchMethod: nothing, cancel: nothing, changeNumber: nothing, link: () => "", reconnect: nothing,
    locale: nothing,
  };
  const now = Date.now();
  /** @type {Record<string, import("./types.d.ts").Messages>} */
  const loaded = {};

  async function draw() {
    const [name, locale = "en"] = decodeURIComponent(location.hash.slice(1)).split(":");
    const fixture = fixtures(now).find((candidate) => candidate.name === name);
    if (!fixture) throw new Error(`no state ${name}`);
    const messages = (loaded[locale] ??= await loadMessages(/** @type {Locale} */ (locale)));
    const t = createT(/** @type {Locale} */ (locale), messages);
    const view = createView({ root, clock, redraw: nothing, actions });
    view.unfold(wide.matches);
    let model = initialModel({ link: "ready", onPhone: fixture.phone === true, ...fixture.model });
    for (const [i, message] of fixture.messages.entries()) {
      model = received(model, message, i === 0);
      if (message.error?.field) view.phone.refused(message.error.code);
    }
    document.documentElement.lang = locale;
    document.title = name ?? "";
    view.draw({ model, scene: scene(model, now), t, now });
    view.main.dataset.fixture = `${name}:${locale}`;
  }
  addEventListener("hashchange", draw);
  draw();
}

function gallery() {
  document.body.className = "gallery";
  const language = h("select", { "aria-label": "Language", change: fill }, ...Object.entries(LOCALES).map(([value, own]) => h("option", { value }, own)));
  const width = h("select", { "aria-label": "Width", change: fill }, ...["360", "320", "768", "1280"].map((value) => h("option", { value }, `${value} px`)));
  const frames = h("div", { class: "frames" });
  root.append(h("header", { class: "bar" }, h("h1", {}, "States"), h("div", {}, language, " ", width)), frames);
  fill();

  function fill() {
    frames.replaceChildren(...fixtures(Date.now()).map(({ name }) => {
      const frame = h("iframe", { src: `/states?one#${name}:${language.value}`, width: width.value, height: "900", loading: "lazy", title: name });
      return h("figure", {}, h("figcaption", {}, name), frame);
    }));
  }
}
