/** Wires: what is heard and clicked changes the model; the model is drawn. */

import { isOwedNews, isPhone, nextMove } from "./autopilot.js";
import { asked, heard, pressed, turnedOver } from "./clicks.js";
import { createClock, toNextSecond } from "./clock.js";
import { part } from "./dom.js";
import { chosenLocale, createT, firstMessages, fitting, languagesOf, loadMessages, rememberLocale } from "./i18n.js";
import { linkWith, tab, takeToken } from "./memory.js";
import { initialModel, isBeforeTheQr, isRunning } from "./model.js";
import { scene } from "./scene.js";
import { canUnpack, createSocket } from "./socket.js";
import { createView, drawTab } from "./view.js";

/** @typedef {import("./protocol.d.ts").ClientMessage} ClientMessage */

/** Every command is answered at once; whoever is silent for so long is not there. */
const ANSWER_WITHIN_MS = 8_000;
const STUCK_AFTER = 3;
const SAID_AFTER_MS = 3_000;
const TICK_MS = 1_000;
const WORDS_AGAIN_MS = 2_000;
const METHOD_KEY = "method";

const token = takeToken();
const clock = createClock();
const wide = matchMedia("(min-width: 900px)");
const chosen = tab.get(METHOD_KEY);

let model = initialModel({
  hasToken: token !== null,
  onPhone: isPhone(),
  online: navigator.onLine,
  visible: document.visibilityState === "visible",
  chosen: chosen === "qr" || chosen === "code" ? chosen : null,
});
const root = /** @type {HTMLElement} */ (document.querySelector("#app"));
const languages = languagesOf(root);
/** The language that is wanted; `t` follows when its words are here. */
let locale = document.documentElement.lang;
let t = createT(locale, firstMessages());
/** Whose page it is, as the server has painted it. */
const painted = part(root, "span", "platform").textContent ?? "";
/** The command under way: sent again if the socket breaks before its answer; done twice it does what it does once.
 * @type {ClientMessage | null} */
let underWay = null;
/** Whether it has gone without an answer once already. */
let missed = false;
/** The version after which a socket was renewed for lack of news: once is enough. */
let owed = "";

const socket = createSocket({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/v1`,
  clock,
  hello: () => ({ type: "hello", token: token ?? "", locale, packed: canUnpack }),
  onMessage: hear,
  onLink(link, closeCode, unopened) {
    if (link === "ready") clock.clear("lasting");
    else if (model.link === "ready") sayIfItLasts();
    change({ link, closeCode, lasting: link === "ready" ? false : model.lasting, stuck: unopened >= STUCK_AFTER });
  },
});

const view = createView({
  root,
  clock,
  redraw: draw,
  actions: {
    main: (main, given) => follow(pressed(model, main, given)),
    getCode: (phoneNumber, region) => follow(asked(model, { type: "request-pairing-code", phoneNumber, region })),
    switchMethod: () => follow(turnedOver(model)),
    cancel: () => follow(asked(model, { type: "cancel" })),
    changeNumber: () => follow(asked(model, { type: "cancel" }, "number")),
    link: () => linkWith(token ?? ""),
    reconnect,
    locale(wish) {
      rememberLocale(wish);
      speak(wish);
    },
  },
});

/** @param {import("./protocol.d.ts").ServerMessage} message @param {boolean} first */
function hear(message, first) {
  if (message.snapshot) clock.learn(message.snapshot.serverNow);
  const outcome = heard(model, message, first);
  const { pending } = outcome.model;
  if (message.error && (message.error.field || message.error.code === "invalid-phone")) view.phone.refused(message.error.code);
  if (pending === null) {
    underWay = null;
    clock.clear("answer");
  } else if (first && underWay) {
    send(underWay);
  } else if (pending.type === "request-pairing-code" && isBeforeTheQr(outcome.model)) {
    // The server has heard it; the code comes with the first QR, however long that takes.
    clock.clear("answer");
  }
  // The address names the link's language; links of old do not.
  const wish = chosenLocale() === null && message.profile ? fitting(message.profile.locale, [...languages.keys()]) : null;
  if (wish && wish !== locale) speak(wish);
  follow(outcome);
}

/** Carry out what a click or a message has led to. @param {import("./types.d.ts").Outcome} outcome */
function follow({ model: next, command, askNumber }) {
  if (next.chosen && next.chosen !== model.chosen) tab.set(METHOD_KEY, next.chosen);
  model = next;
  if (command) {
    underWay = command;
    missed = false;
    if (socket.isReady()) send(command);
  }
  draw();
  if (askNumber) view.phone.focus();
}

/** @param {ClientMessage} message */
function send(message) {
  socket.send(message);
  clock.set("answer", ANSWER_WITHIN_MS, () => {
    if (!missed) {
      // The socket may be dead without knowing. What is under way goes out again on the next one.
      missed = true;
      return socket.renew();
    }
    underWay = null;
    change({ pending: null, afterwards: null, unanswered: true });
  });
}

/** @param {Partial<import("./types.d.ts").Model>} news */
function change(news) {
  model = { ...model, ...news };
  draw();
}

/** By hand. When not even a socket can be opened, a reload may bring what this page lacks; but not while nothing
 * answers, for the browser would put its own error in the page's place. */
function reconnect() {
  if (!model.stuck) return socket.isReady() || socket.renew();
  fetch(location.pathname, { method: "HEAD", redirect: "manual" }).then(() => location.reload(), socket.renew);
}

function sayIfItLasts() {
  clock.set("lasting", SAID_AFTER_MS, () => change({ lasting: true }));
}

/** @param {string} wish */
async function speak(wish) {
  locale = wish;
  try {
    const messages = await loadMessages(languages.get(wish) ?? "");
    if (wish !== locale) return;
    t = createT(wish, messages);
  } catch {
    clock.set("words", WORDS_AGAIN_MS, () => wish === locale && speak(wish));
  }
  draw();
}

function draw() {
  const now = clock.now();
  const picture = { model, scene: scene(model, now), t, now, platform: model.profile?.platform ?? painted };
  view.draw(picture);
  drawTab(picture);
  dispatchEvent(new CustomEvent("picture", { detail: picture }));

  const { countdown } = picture.scene;
  if (!model.visible || (!countdown && !isRunning(model))) clock.clear("tick");
  else clock.set("tick", countdown ? toNextSecond(countdown.until - now) : TICK_MS, draw);

  const move = nextMove(model);
  if (move === "start") model = { ...model, started: true };
  if (move === "renew") model = { ...model, renewals: model.renewals + 1 };
  if (move) follow(asked(model, { type: "request-qr" }));
  const version = `${model.snapshot?.attempt} ${model.snapshot?.seq}`;
  if (isOwedNews(picture.scene.step) && model.link === "ready" && owed !== version) {
    owed = version;
    socket.renew();
  }
  view.main.dataset.timers = String(clock.timers());
  view.main.dataset.listeners = String(socket.listeners());
}

function look() {
  const visible = document.visibilityState === "visible";
  if (visible) socket.wake();
  else socket.leave();
  change({ visible });
}

document.addEventListener("visibilitychange", look);
window.addEventListener("pageshow", (event) => event.persisted && look());
window.addEventListener("online", () => {
  change({ online: true });
  socket.renew();
});
// Another link, pasted into this tab: only its fragment differs, so the browser alone would do nothing.
window.addEventListener("hashchange", () => location.hash.length > 1 && location.reload());
window.addEventListener("offline", () => change({ online: false }));
wide.addEventListener("change", () => view.unfold(wide.matches));
view.unfold(wide.matches);

if (token !== null) {
  socket.open();
  sayIfItLasts();
}
draw();
