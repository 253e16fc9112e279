/**
 * The gallery: every state side by side, with filters; or, with `?one`, the one that `#name` names, as large as the
 * window. Development only. Nothing here talks to a server.
 */

import { createClock } from "./clock.js";
import { h, part } from "./dom.js";
import { FAILURES } from "./failures.generated.js";
import { fixtures } from "./fixtures.js";
import { createT, firstMessages, languagesOf, loadMessages } from "./i18n.js";
import { initialModel, received } from "./model.js";
import { scene } from "./scene.js";
import { createView, drawTab } from "./view.js";

/** @typedef {import("./fixtures.js").Fixture} Fixture */

const app = /** @type {HTMLElement} */ (document.querySelector("#app"));
const skeleton = /** @type {HTMLTemplateElement} */ (document.querySelector("#skeleton"));
const languages = languagesOf(skeleton.content);
const clock = createClock();
const started = Date.now();
const table = fixtures(started);
/** @type {Record<string, import("./types.d.ts").T>} */
const spoken = { [document.documentElement.lang]: createT(document.documentElement.lang, firstMessages()) };
const nothing = () => undefined;

/** @param {string} locale */
async function speaking(locale) {
  return (spoken[locale] ??= createT(locale, await loadMessages(languages.get(locale) ?? "")));
}

/** Draws a state into a place of its own. @param {HTMLElement} root @param {Fixture} fixture @param {import("./types.d.ts").T} t @param {boolean} wide @param {string} suffix */
function put(root, fixture, t, wide, suffix) {
  root.replaceChildren(skeleton.content.cloneNode(true));
  for (const name of ["id", "for", "aria-describedby", "aria-labelledby", "name"])
    for (const node of root.querySelectorAll(`[${name}]`))
      node.setAttribute(name, (node.getAttribute(name) ?? "").split(" ").map((one) => one + suffix).join(" "));
  const actions = {
    main: nothing, getCode: nothing, switchMethod: nothing, cancel: nothing, changeNumber: nothing, link: () => "", reconnect: nothing,
    locale: nothing,
  };
  let picture = /** @type {import("./types.d.ts").Picture | null} */ (null);
  const redraw = () => picture && view.draw(picture);
  root.dir = t.dir;
  const view = createView({ root, clock, redraw, actions });
  view.unfold(wide);
  let model = initialModel({ link: "ready", onPhone: fixture.phone === true, ...fixture.model });
  for (const [i, message] of fixture.messages.entries()) {
    model = received(model, message, i === 0);
    if (message.error?.field) view.phone.refused(message.error.code);
  }
  picture = { model, scene: scene(model, started), t, now: started, platform: model.profile?.platform ?? "Bookwell" };
  view.draw(picture);
  return { view, picture };
}

/** Draws the state that the fragment names, in the language after the colon: `#linked:ru`. */
async function one() {
  const [name = "", locale = "en"] = decodeURIComponent(location.hash.slice(1)).split(":");
  const fixture = table.find((candidate) => candidate.name === name);
  if (!fixture) throw new Error(`no state ${name}`);
  const wide = matchMedia("(min-width: 900px)").matches;
  const { view, picture } = put(app, fixture, await speaking(locale), wide, "");
  drawTab(picture);
  document.title = name;
  view.main.dataset.fixture = `${name}:${locale}`;
}

/** The last snapshot of a state. @param {Fixture} fixture */
const lastOf = ({ messages }) => messages.filter(({ snapshot }) => snapshot).at(-1)?.snapshot?.state ?? "none";

/** The dark of the style sheets, as wished instead of as the system says. @param {string} theme */
function paint(theme) {
  for (const sheet of document.styleSheets)
    for (const rule of sheet.cssRules)
      if (rule instanceof CSSMediaRule && rule.cssText.includes("--paper"))
        rule.media.mediaText = theme === "dark" ? "all" : theme === "light" ? "not all" : "(prefers-color-scheme: dark)";
  document.documentElement.style.colorScheme = theme || "light dark";
}

/** What is wished, as it stands in the address. */
const wishes = () => new URLSearchParams(location.search);

function gallery() {
  document.body.className = "gallery";
  const states = [...new Set(table.map(lastOf))];
  const filters = [
    choice("state", "Every state", states),
    choice("failure", "Every failure", Object.keys(FAILURES)),
    choice("lang", "", [...languages.keys()], document.documentElement.lang),
    choice("theme", "The system’s theme", ["light", "dark"]),
    choice("width", "", ["360", "320", "375", "768", "1280"]),
  ];
  const count = h("output", {});
  const cards = h("div", { class: "cards" });
  app.append(h("header", { class: "filters" }, h("h1", {}, "States"), ...filters, count), cards);
  addEventListener("popstate", fill);
  fill();

  /** @param {string} name @param {string} all @param {string[]} values @param {string} [first] */
  function choice(name, all, values, first = all ? "" : values[0] ?? "") {
    const options = [...(all ? [h("option", { value: "" }, all)] : []), ...values.map((value) => h("option", { value }, value))];
    const select = h("select", { "aria-label": name, "data-testid": `filter-${name}`, change }, ...options);
    select.value = wishes().get(name) ?? first;
    function change() {
      const next = wishes();
      if (select.value === first) next.delete(name);
      else next.set(name, select.value);
      history.replaceState(null, "", next.size ? `?${next}` : location.pathname);
      fill();
    }
    return select;
  }

  async function fill() {
    const wanted = wishes();
    const [state, failure, only] = ["state", "failure", "only"].map((name) => wanted.get(name));
    const width = Number(wanted.get("width") ?? 360);
    const t = await speaking(wanted.get("lang") ?? document.documentElement.lang);
    paint(wanted.get("theme") ?? "");
    const shown = table.filter((fixture) => {
      const { name, messages } = fixture;
      const failures = messages.flatMap((message) => [message.error?.code, message.snapshot?.failure?.code]);
      return (!only || name === only) && (!state || lastOf(fixture) === state) && (!failure || failures.includes(/** @type {any} */ (failure)));
    });
    count.textContent = `${shown.length} of ${table.length}`;
    cards.replaceChildren(...shown.map((fixture, i) => {
      const root = h("div", { class: "card" });
      root.style.width = `${width}px`;
      const alone = wishes();
      alone.set("only", fixture.name);
      const link = h("a", { href: `?${alone}` }, fixture.name);
      put(root, fixture, t, width >= 900, `-${i}`);
      part(root, "main", "main").setAttribute("role", "group");
      return h("figure", { id: fixture.name }, h("figcaption", {}, link), root);
    }));
  }
}

document.documentElement.dataset.states = table.map(({ name }) => name).join(" ");
if (wishes().has("one")) {
  addEventListener("hashchange", one);
  one();
} else {
  gallery();
}
