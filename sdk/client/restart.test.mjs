// Checks when a client comes back after a shutdown, and what a join returns.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import WebSocket, { WebSocketServer } from "ws";
import { Client, CloseCode } from "@mootchat/client";
import { start } from "../../engine/compat/nodetest/server.mjs";

const timeout = 60_000, open = [];
after(() => { for (const c of open) c.close(); });

function client(url, options = {}) {
  const c = new Client(url, { socket: WebSocket, ...options });
  open.push(c);
  return c;
}

test("a client comes back after the time of the server, to another node", { timeout }, async () => {
  const two = await Promise.all([0, 1].map(async () => {
    const node = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await once(node, "listening");
    return node;
  }));
  const urls = two.map((node) => `ws://127.0.0.1:${node.address().port}`);
  const answer = (socket, data) => {
    const { event, messageId } = JSON.parse(data);
    if (event === "detailsView") socket.send(JSON.stringify({ context: "response", messageId, data: { id: "c1" } }));
  };
  two[0].on("connection", (socket) => socket.on("message", (data) => {
    answer(socket, data);
    socket.send(JSON.stringify({ status: "Bye", context: "api", reason: "shutdown", retryAfter: 37 }));
    socket.close(3001, "shutdown");
  }));
  two[1].on("connection", (socket) => socket.on("message", (data) => answer(socket, data)));
  let at = 0;
  class Balanced extends WebSocket {
    constructor(url) { super(url.replace(urls[0], urls[at])); at = 1; }
  }
  const c = client(urls[0], { socket: Balanced, minDelay: 1e9, maxDelay: 1e9 }); // without the time it would wait for days
  const states = [];
  c.on("state", (event) => states.push(event));
  const back = new Promise((resolve) => { let n = 0; c.on("connected", () => ++n === 2 && resolve()); });
  try {
    await c.connect();
    await back;
    assert.deepEqual(states.map((s) => s.state), ["connecting", "connected", "waiting", "connecting", "connected"]);
    assert.deepEqual(states[2], { state: "waiting", code: CloseCode.shutdown, reason: "shutdown", delay: 37 });
  } finally {
    c.close();
    for (const node of two) node.close();
  }
});

test("history comes with a join, and later messages are events; listeners of once and off", { timeout }, async () => {
  const server = await start({ more: { "tenants.default.rooms.starting": "[kept, plain]", "tenants.default.rooms.settings": '[{match: kept, history: 10, json: true}]', "tenants.default.chain": "[]" } });
  try {
    const [ann, bob] = [client(`ws://${server.http}`), client(`ws://${server.http}`)];
    await Promise.all([ann.connect(), bob.connect()]);
    await ann.join("kept");
    for (const text of ["one", "two", "three"]) await ann.say("kept", text);
    const heard = [], first = [], none = [];
    const listener = (m) => none.push(m);
    const all = new Promise((resolve) => bob.on("message", (m) => { if (heard.push(m.message) === 2) resolve(); }));
    bob.once("message", (m) => first.push(m.message));
    bob.on("message", listener);
    bob.off("message", listener);
    const { history } = await bob.join("kept", { history: 2 });
    assert.deepEqual(history.messages.map((m) => m.message), ["two", "three"]);
    assert.deepEqual(await bob.join("plain", { history: 2 }), {}); // it keeps none
    await ann.say("kept", { order: 7 });
    await bob.say("kept", "last");
    await all;
    assert.deepEqual([heard, first, none], [[{ order: 7 }, "last"], [{ order: 7 }], []]);
  } finally {
    await server.stop();
  }
});
