import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, afterEach, before, test } from "node:test";
import WebSocket, { WebSocketServer } from "ws";
import { Client, ClosedError, LostError, VerbError } from "@mootchat/client";
import { start } from "../../engine/compat/nodetest/server.mjs";
import { line } from "./line.mjs";

const timeout = 60_000; // of each test, in ms
let server, open = [];

before(async () => { server = await start(); });
after(() => server?.stop());
afterEach(() => { for (const client of open.splice(0)) client.close(); });

// client creates a client that is not connected, and closes it at the end of the test.
function client(url = `ws://${server.http}`, options = {}) {
  const c = new Client(url, { socket: WebSocket, minDelay: 20, maxDelay: 200, ...options });
  open.push(c);
  return c;
}

async function connected(...args) {
  const c = client(...args);
  await c.connect();
  return c;
}

// next resolves to the next event of that name that fits.
function next(c, name, fits = () => true) {
  return new Promise((resolve) => {
    const off = c.on(name, (event) => fits(event) && (off(), resolve(event)));
  });
}

test("messages reach all members and the sender", { timeout }, async () => {
  const [ann, bob] = await Promise.all([connected(), connected()]);
  await Promise.all([ann.join("defaultRoom"), bob.join("defaultRoom")]);
  const hears = [ann, bob].map((c) => next(c, "message", (m) => m.message === "hello"));
  const id = await ann.say("defaultRoom", "hello");
  assert.match(id, /^[0-9a-v]{24}$/);
  for (const heard of await Promise.all(hears)) {
    assert.equal(heard.id, id);
    assert.equal(heard.from, ann.id);
    assert.equal(heard.room, "defaultRoom");
    assert.ok(heard.sentAt > 1.5e12);
  }
});

test("messages are edited and retracted", { timeout }, async () => {
  const server = await start({ more: { "tenants.default.rooms.starting": "[kept]", "tenants.default.rooms.settings": "[{match: kept, history: 10}]", "tenants.default.chain": "[]" } });
  after(() => server.stop());
  const url = `ws://${server.http}`;
  const [ann, bob] = await Promise.all([connected(url), connected(url)]);
  await Promise.all([ann.join("kept"), bob.join("kept")]);
  const id = await ann.say("kept", "helo");
  const edited = next(bob, "edited");
  await ann.edit("kept", id, "hello");
  const version = await edited;
  assert.deepEqual([version.id, version.message, version.from, version.editedBy], [id, "hello", ann.id, undefined]);
  assert.ok(version.editedAt >= version.sentAt);
  await assert.rejects(bob.retract("kept", id), (err) => err instanceof VerbError && err.message === "not your message");
  const retracted = next(bob, "retracted");
  await ann.retract("kept", id);
  assert.deepEqual(await retracted, { id, room: "kept" });
});

test("a refusal has the rule's reason, and an action of the rule is called", { timeout }, async () => {
  const ann = await connected();
  await assert.rejects(ann.join("secure"), (err) => err instanceof VerbError && err.message.length > 0);
  assert.deepEqual(ann.rooms, []);
  await ann.action("login", { token: "letmein" });
  await ann.join("secure");
  assert.deepEqual(ann.rooms, ["secure"]);
});

test("view and details", { timeout }, async () => {
  const [ann, bob] = await Promise.all([connected(), connected()]);
  await Promise.all([ann.join("otherRoom"), bob.join("otherRoom")]);
  const room = await ann.view("otherRoom");
  assert.equal(room.membersCount, Object.keys(room.members).length);
  for (const c of [ann, bob]) assert.equal(room.members[c.id].id, c.id);
  assert.deepEqual((await bob.details()).rooms, ["otherRoom"]);
  await bob.leave("otherRoom");
  assert.deepEqual((await bob.details()).rooms, []);
  await assert.rejects(bob.say("otherRoom", "am I heard?"), VerbError);
});

test("joining twice makes one membership", { timeout }, async () => {
  const ann = await connected();
  await Promise.all([ann.join("otherRoom"), ann.join("otherRoom")]);
  assert.deepEqual(ann.rooms, ["otherRoom"]);
});

test("too many requests are refused with retryAfter", { timeout }, async () => {
  const ann = await connected();
  await ann.join("otherRoom");
  const answers = await Promise.allSettled(Array.from({ length: 400 }, () => ann.say("otherRoom", "again")));
  const refused = answers.find((a) => a.status === "rejected");
  assert.ok(refused?.reason instanceof VerbError, "none of 400 was refused");
  assert.ok(refused.reason.retryAfter > 0);
});

test("a client rejoins its rooms after a restart of the server", { timeout }, async () => {
  const first = await start();
  const ann = await connected(`ws://${first.http}`);
  await ann.join("defaultRoom");
  const states = [];
  ann.on("state", ({ state }) => states.push(state));
  const waits = next(ann, "state", ({ state }) => state === "waiting");
  await first.stop();
  await waits;
  const asked = ann.say("defaultRoom", "said while away"); // waits for the connection
  const back = next(ann, "connected"), heard = next(ann, "message", (m) => m.message === "said while away");
  const second = await start(first);
  try {
    assert.equal((await back).resumed, false);
    await asked;
    await heard;
    assert.deepEqual((await ann.details()).rooms, ["defaultRoom"]);
    assert.equal(states.at(-1), "connected");
  } finally {
    ann.close();
    await second.stop();
  }
});

const history = { "tenants.default.rooms.settings": '[{match: "*", history: 100, historyTTL: 1m}]' };

test("messages during a break are received after it, once and in order", { timeout }, async () => {
  const town = await start({ more: history }), path = await line(town.http);
  try {
    const ann = await connected(path.url), bob = await connected(`ws://${town.http}`);
    const heard = [];
    ann.on("message", (m) => m.from === bob.id && heard.push(m.message));
    let gaps = 0;
    ann.on("gap", () => gaps++);
    await Promise.all([ann.join("otherRoom"), bob.join("otherRoom")]);
    const said = [];
    for (let i = 0; i < 30; i++) {
      if (i % 10 === 5) path.cut();
      said.push(`message ${i}`);
      await bob.say("otherRoom", said.at(-1));
    }
    while (heard.length < said.length) await next(ann, "message");
    assert.deepEqual(heard, said);
    assert.equal(gaps, 0);
    const pages = [await bob.history("otherRoom", { limit: 20 })]; // notices of joins are in the history too
    while (pages[0].before) pages.unshift(await bob.history("otherRoom", { limit: 20, before: pages[0].before }));
    assert.deepEqual(pages.flatMap((p) => p.messages).filter((m) => m.from === bob.id).map((m) => m.message), said);
    assert.ok(pages.length > 1);
  } finally {
    for (const c of open) c.close();
    path.close();
    await town.stop();
  }
});

test("a gap is reported", { timeout }, async () => {
  const first = await start({ more: history });
  const ann = await connected(`ws://${first.http}`);
  await ann.join("otherRoom");
  const gap = next(ann, "gap"); // a node without Redis keeps history in memory
  await first.stop();
  const second = await start({ ...first, more: history });
  try {
    assert.deepEqual(await gap, { room: "otherRoom" });
  } finally {
    ann.close();
    await second.stop();
  }
});

test("requests that must not be repeated fail after a break", { timeout }, async () => {
  const silent = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(silent, "listening");
  let connections = 0;
  silent.on("connection", (socket) => {
    const id = `peer-${++connections}`;
    socket.on("message", (text) => {
      const { event, messageId } = JSON.parse(text);
      const data = event === "detailsView" ? { id, rooms: [] } : true;
      if (event === "say" || event === "action") return socket.terminate(); // the server may have carried it out
      socket.send(JSON.stringify({ status: "OK", context: "response", data, messageId }));
    });
  });
  try {
    const ann = await connected(`ws://127.0.0.1:${silent.address().port}`);
    const acted = ann.action("pay"), said = ann.say("r", "hello"), left = ann.leave("r"), looked = ann.details();
    await assert.rejects(acted, LostError);
    await assert.rejects(said, LostError);
    await left; // the break has ended the membership
    assert.equal((await looked).id, "peer-2");
  } finally {
    for (const c of open) c.close();
    silent.close();
  }
});

test("held messages have an id, outcomes, a list and a withdrawal", { timeout }, async () => {
  const fake = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(fake, "listening");
  const waiting = { held: "h1", room: "r", message: "hi", sentAt: 1, heldAt: 1, outcome: "waiting" };
  const asked = [];
  fake.on("connection", (socket) => {
    const answer = {
      detailsView: () => ({ data: { id: "peer", rooms: [] } }),
      say: () => ({ held: "h1" }),
      heldView: ({ held }) => ({ data: held ? waiting : { held: [waiting] } }),
      heldWithdraw: ({ held }) => {
        socket.send(JSON.stringify({ context: "moderation", room: "r", held, outcome: "withdrawn" }));
        return { data: true };
      },
    };
    socket.on("message", (text) => {
      const request = JSON.parse(text);
      asked.push(request);
      const { data = true, ...more } = answer[request.event]?.(request) ?? {};
      socket.send(JSON.stringify({ status: "OK", context: "response", data, ...more, messageId: request.messageId }));
    });
  });
  try {
    const ann = await connected(`ws://127.0.0.1:${fake.address().port}`);
    await ann.join("r", { moderation: true });
    assert.equal(asked.find(({ event }) => event === "roomAdd").moderation, true);
    assert.deepEqual(await ann.send("r", "hi"), { held: "h1" });
    assert.equal(await ann.say("r", "hi"), "");
    assert.deepEqual(await ann.heldMessages(), { held: [waiting] });
    assert.deepEqual(await ann.heldMessage("h1"), waiting);
    const outcome = next(ann, "outcome");
    await ann.withdraw("h1");
    assert.deepEqual(await outcome, { room: "r", held: "h1", outcome: "withdrawn" });
  } finally {
    for (const c of open) c.close();
    fake.close();
  }
});

test("a client leaves a server that does not answer", { timeout }, async () => {
  const deaf = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(deaf, "listening");
  const ann = client(`ws://127.0.0.1:${deaf.address().port}`, { answerTimeout: 100 });
  const waits = next(ann, "state", ({ state }) => state === "waiting");
  void ann.connect().catch(() => {});
  try {
    assert.match((await waits).reason, /does not answer/);
  } finally {
    ann.close();
    deaf.close();
  }
});

test("the function token is called before each attempt", { timeout }, async () => {
  const seen = [];
  const picky = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(picky, "listening");
  picky.on("connection", (socket, request) => {
    seen.push(new URL(request.url, "ws://here").searchParams.get("token"));
    if (seen.length < 3) return socket.close(3001, "shutdown");
    socket.close(3502, "token expired");
  });
  let asked = 0;
  const ann = client(`ws://127.0.0.1:${picky.address().port}`, { token: async () => `token-${++asked}` });
  try {
    await assert.rejects(ann.connect(), (err) => err instanceof ClosedError && err.code === 3502 && err.reason === "token expired");
    assert.deepEqual(seen, ["token-1", "token-2", "token-3"]);
    assert.equal(ann.state, "closed");
    await assert.rejects(ann.details(), ClosedError);
  } finally {
    picky.close();
  }
});

test("connect can be aborted", { timeout }, async () => {
  const nobody = createServer().listen(0, "127.0.0.1");
  await once(nobody, "listening");
  const { port } = nobody.address();
  nobody.close();
  const ann = client(`ws://127.0.0.1:${port}`);
  await assert.rejects(ann.connect({ signal: AbortSignal.timeout(150) }), { name: "TimeoutError" });
  assert.equal(ann.state, "closed");
});

test("an error of a listener does not affect the others", { timeout }, async (t) => {
  const report = t.mock.method(console, "error", () => {});
  const ann = await connected();
  await ann.join("otherRoom");
  ann.on("message", () => { throw new Error("of the listener"); });
  const heard = next(ann, "message", (m) => m.message === "hello");
  await ann.say("otherRoom", "hello");
  await heard;
  assert.match(String(report.mock.calls[0].arguments[0]), /of the listener/);
});

test("the constructor refuses other URLs", () => {
  for (const url of ["localhost:8080", "ftp://localhost", ""]) assert.throws(() => new Client(url, { socket: WebSocket }), TypeError);
});
