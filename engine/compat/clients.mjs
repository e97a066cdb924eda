// Connects the unmodified clients of ActionHero.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { clientFile } from "./client.mjs";

const require = createRequire(import.meta.url);
const Primus = require("primus");
const { default: NodeClient } = require("actionhero-node-client");

// ActionHero renders the file at start, as this code does, and serves it to browsers
// after the script of Primus. In Node.js the client takes Primus' socket as its second
// argument.
const defaults = { apiPath: "/api", cookieKey: "sessionID" };
const source = readFileSync(clientFile, "utf8").replaceAll("%%DEFAULTS%%", `return ${JSON.stringify(defaults)}`);
const BrowserClient = new Function("require", `${source}; return ActionheroWebsocketClient`)(require);
const Socket = Primus.createSocket({ transformer: "websockets", parser: "json" });

// browserClient connects ActionHero's browser client to host:port. It disconnects at
// the end of t.
export async function browserClient(t, address, query = "") {
  const url = `http://${address}${query}`;
  const client = new BrowserClient({ url }, new Socket(url));
  t.after(() => client.disconnect());
  client.details = await new Promise((resolve, reject) => client.connect((err, details) => (err ? reject(err) : resolve(details))));
  // ask calls a method of the client that takes a callback, and returns a promise.
  client.ask = (method, ...args) => new Promise((resolve) => client[method](...args, resolve));
  return client;
}

// nodeClient connects actionhero-node-client to host:port. It disconnects at the end of
// t.
export async function nodeClient(t, address) {
  const [host, port] = address.split(":");
  const client = new NodeClient();
  t.after(() => client.connected && client.disconnect());
  await client.connect({ host, port: Number(port) });
  return client;
}

// heard waits for a say event whose message contains text.
export function heard(client, text) {
  return new Promise((resolve) => {
    const listen = (message) => {
      if (!String(message.message).includes(text)) return;
      client.removeListener("say", listen);
      resolve(message);
    };
    client.on("say", listen);
  });
}
