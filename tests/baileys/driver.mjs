// Unmodified Baileys on auth folders, one client for each, steered by lines of JSON on stdin; tells what happens in lines of
// JSON on stdout. Each line has the `name` of a client, which is the last part of its folder.
//
//   node driver.mjs FOLDER...     environment: PROXY (of the emulator), ROOT (its Noise root key, hex), NODE_EXTRA_CA_CERTS
//   {"name": …, "do": "connect"}                        with its folder, which it makes
//   {"name": …, "do": "code", "phone": "79001234567"}   ask for a pairing code       -> {"step": "code", "text"}
//   {"name": …, "do": "send", "to": "79007654321", "text": "…"}                      -> {"step": "sent", "id"}
//   {"name": …, "do": "texts", "to": ["79007654321", …]}    0, 1, 2 … to these, one after the other -> {"step": "sent-all"}
//   {"name": …, "do": "close"}                          end its connection
//   {"name": …, "do": "logout"}                         unlink this device           -> {"step": "close", "code": 401}
//   {"do": "end"}                                       close all and exit
// Unasked: qr {text}, open {me}, close {code, text}, message {from, id, fromMe, text}, receipt {id, status}.

import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import makeWASocket, { Browsers, WA_CERT_DETAILS, useMultiFileAuthState } from "baileys";
import { HttpsProxyAgent } from "https-proxy-agent";
import pino from "pino";

const RESTART = 515;
const { PROXY, ROOT } = process.env;
const clients = new Map();
const write = (line) => fs.writeSync(1, `${JSON.stringify(line)}\n`);

WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(ROOT, "hex");
// Its Signal library prints sessions, with all their keys.
console.info = console.warn = console.error = console.log = () => {};

class Client {
  constructor(folder) {
    this.folder = folder;
    this.name = path.basename(folder);
    clients.set(this.name, this);
  }

  tell(line) {
    write({ name: this.name, ...line });
  }

  async connect() {
    const { state, saveCreds } = await useMultiFileAuthState(this.folder);
    const agent = new HttpsProxyAgent(PROXY);
    this.socket = makeWASocket({
      auth: state, agent, fetchAgent: agent, logger: pino({ level: "silent" }), browser: Browsers.ubuntu("Chrome"),
      syncFullHistory: false, shouldSyncHistoryMessage: () => false, markOnlineOnConnect: false,
    });
    this.socket.ev.on("creds.update", saveCreds);
    this.socket.ev.on("connection.update", ({ qr, connection, lastDisconnect }) => {
      if (qr) this.tell({ step: "qr", text: qr });
      if (connection === "open") this.tell({ step: "open", me: state.creds.me });
      if (connection !== "close") return;
      const { output, message } = lastDisconnect?.error ?? {};
      this.tell({ step: "close", code: output?.statusCode, text: message });
      if (output?.statusCode === RESTART) this.connect();
    });
    this.socket.ev.on("messages.upsert", ({ messages }) => {
      for (const { key, message } of messages) {
        const text = message?.conversation ?? message?.extendedTextMessage?.text ?? null;
        this.tell({ step: "message", from: key.remoteJid, id: key.id, fromMe: key.fromMe, text });
      }
    });
    this.socket.ev.on("messages.update", (updates) => {
      for (const { key, update } of updates) this.tell({ step: "receipt", id: key.id, status: update.status });
    });
  }

  async code({ phone }) {
    this.tell({ step: "code", text: await this.socket.requestPairingCode(phone) });
  }

  async send({ to, text }) {
    const sent = await this.socket.sendMessage(to.includes("@") ? to : `${to}@s.whatsapp.net`, { text });
    this.tell({ step: "sent", id: sent.key.id });
  }

  async texts({ to }) {
    for (const [place, one] of to.entries()) await this.socket.sendMessage(`${one}@s.whatsapp.net`, { text: `${place}` });
    this.tell({ step: "sent-all" });
  }

  async close() {
    this.socket.end();
  }

  async logout() {
    await this.socket.logout();
  }
}

process.on("unhandledRejection", (error) => write({ step: "failed", text: String(error?.message ?? error) }));
for (const folder of process.argv.slice(2)) new Client(folder);
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.do === "end") {
    for (const { socket } of clients.values()) socket?.end();
    setTimeout(() => process.exit(0), 500);
  } else {
    const client = clients.get(command.name);
    client[command.do](command).catch((error) => client.tell({ step: "failed", do: command.do, text: error.message }));
  }
}
process.exit(0);
