// Unmodified Baileys on an auth folder, steered by lines of JSON on stdin; tells what happens in lines of JSON on stdout.
//
//   node driver.mjs FOLDER        environment: PROXY (of the emulator), ROOT (its Noise root key, hex), NODE_EXTRA_CA_CERTS
//   {"do": "code", "phone": "79001234567"}   ask for a pairing code       -> {"step": "code", "text"}
//   {"do": "send", "to": "79007654321", "text": "…"}                       -> {"step": "sent", "id"}
//   {"do": "logout"}                          unlink this device           -> {"step": "close", "code": 401}
//   {"do": "end"}                             close and exit
// Unasked: qr {text}, open {me}, close {code, text}, message {from, id, fromMe, text}, receipt {id, status}.

import fs from "node:fs";
import readline from "node:readline";
import makeWASocket, { Browsers, WA_CERT_DETAILS, useMultiFileAuthState } from "baileys";
import { HttpsProxyAgent } from "https-proxy-agent";
import pino from "pino";

const RESTART = 515;
const { PROXY, ROOT } = process.env;
const folder = process.argv[2];
const tell = (line) => fs.writeSync(1, `${JSON.stringify(line)}\n`);

WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(ROOT, "hex");
// Its Signal library prints sessions, with all their keys.
console.info = console.warn = console.error = console.log = () => {};

let socket;

async function connect() {
  const { state, saveCreds } = await useMultiFileAuthState(folder);
  const agent = new HttpsProxyAgent(PROXY);
  socket = makeWASocket({
    auth: state, agent, fetchAgent: agent, logger: pino({ level: "silent" }), browser: Browsers.ubuntu("Chrome"),
    syncFullHistory: false, shouldSyncHistoryMessage: () => false, markOnlineOnConnect: false,
  });
  socket.ev.on("creds.update", saveCreds);
  socket.ev.on("connection.update", ({ qr, connection, lastDisconnect }) => {
    if (qr) tell({ step: "qr", text: qr });
    if (connection === "open") tell({ step: "open", me: state.creds.me });
    if (connection !== "close") return;
    const { output, message } = lastDisconnect?.error ?? {};
    tell({ step: "close", code: output?.statusCode, text: message });
    if (output?.statusCode === RESTART) connect();
  });
  socket.ev.on("messages.upsert", ({ messages }) => {
    for (const { key, message } of messages) {
      const text = message?.conversation ?? message?.extendedTextMessage?.text ?? null;
      tell({ step: "message", from: key.remoteJid, id: key.id, fromMe: key.fromMe, text });
    }
  });
  socket.ev.on("messages.update", (updates) => {
    for (const { key, update } of updates) tell({ step: "receipt", id: key.id, status: update.status });
  });
}

const commands = {
  async code({ phone }) {
    tell({ step: "code", text: await socket.requestPairingCode(phone) });
  },
  async send({ to, text }) {
    const sent = await socket.sendMessage(to.includes("@") ? to : `${to}@s.whatsapp.net`, { text });
    tell({ step: "sent", id: sent.key.id });
  },
  async logout() {
    await socket.logout();
  },
  async end() {
    socket.end();
    setTimeout(() => process.exit(0), 500);
  },
};

process.on("unhandledRejection", (error) => tell({ step: "failed", text: String(error?.message ?? error) }));
await connect();
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  commands[command.do](command).catch((error) => tell({ step: "failed", do: command.do, text: error.message }));
}
process.exit(0);
