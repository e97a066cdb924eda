// Sessions: a client resumes its connection after a break, on the same node or another.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, afterEach, before, test } from "node:test";
import WebSocket, { WebSocketServer } from "ws";
import { Client, LostError, VerbError } from "@mootchat/client";
import { start } from "../../engine/compat/nodetest/server.mjs";
import { line, redis } from "./line.mjs";

const timeout = 60_000; // of each test, in ms
const keeps = { "tenants.default.rooms.settings": '[{match: "otherRoom", history: 100, historyTTL: 1m}]', "tenants.default.chain": "[]" };
let meeting, ends = [];

before(async () => { meeting = await redis(); });
after(() => meeting?.stop());
afterEach(async () => { for (const end of ends.splice(0).reverse()) await end(); });

// town starts a server, or a node of a cluster if it has a name, and stops it at the end of the test.
async function town(node, grace = "1m", settings = {}) {
  const cluster = node && { "cluster.backend": "redis", "cluster.node": node, "cluster.redis.addresses": `["${meeting.address}"]`, "cluster.lease": "1s" };
  const server = await start({ more: { ...keeps, "sessions.grace": grace, ...cluster, ...settings } });
  let up = true;
  const end = (how) => async () => { if (up) up = false, await how(); };
  const it = { ...server, node, stop: end(server.stop), kill: end(server.kill) };
  ends.push(it.stop);
  return it;
}

async function way(server) {
  const it = await line(server.http);
  ends.push(it.close);
  return it;
}

// member connects a client that joins otherRoom, and records its events.
async function member(url, options = {}) {
  const client = new Client(url, { socket: WebSocket, minDelay: 10, maxDelay: 100, ...options });
  ends.push(() => client.close());
  const heard = [], gaps = [], left = [];
  client.on("message", (m) => heard.push(m.message));
  client.on("gap", ({ room }) => gaps.push(room));
  client.on("left", ({ room }) => left.push(room));
  await client.connect();
  await client.join("otherRoom");
  return { client, heard, gaps, left };
}

const next = (c, name) => new Promise((resolve) => { const off = c.on(name, (event) => (off(), resolve(event))); });

async function until(what) {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 10));
}

// hears waits until the member has received exactly these messages.
async function hears({ client, heard }, texts) {
  while (heard.length < texts.length) await next(client, "message");
  assert.deepEqual(heard, texts);
}

test("a session is resumed without a gap", { timeout }, async () => {
  const server = await town(), path = await way(server);
  const ann = await member(path.url), bob = await member(`ws://${server.http}`), { id } = ann.client;
  await ann.client.join("defaultRoom");
  const said = [];
  for (let round = 0; round < 3; round++) { // each resume returns a new secret
    path.down();
    await next(ann.client, "state");
    for (let i = 0; i < 5; i++) await bob.client.say("otherRoom", said[said.push(`${round} ${i}`) - 1]);
    const asked = ann.client.say("otherRoom", said[said.push(`${round} asked while away`) - 1]);
    assert.ok((await bob.client.view("otherRoom")).members[id], "who is away is not a member");
    const back = next(ann.client, "connected");
    path.up();
    assert.deepEqual(await back, { id, resumed: true });
    await asked;
  }
  await hears(ann, said);
  await hears(bob, said);
  assert.deepEqual((await ann.client.details()).rooms.sort(), ["defaultRoom", "otherRoom"]);
  assert.deepEqual([...ann.gaps, ...ann.left], []); // nothing was said in defaultRoom, which has no history
});

test("gaps in a room without history", { timeout }, async () => {
  for (const grace of ["1m", "0s"]) {
    const server = await town(undefined, grace), path = await way(server);
    const ann = await member(path.url), bob = await member(`ws://${server.http}`);
    for (const { client } of [ann, bob]) await client.join("defaultRoom");
    for (const [round, missed] of [0, 3, 0, 0, 1, 0].entries()) {
      const heard = next(ann.client, "message");
      await bob.client.say("defaultRoom", `heard ${round}`);
      assert.equal((await heard).message, `heard ${round}`);
      const lost = next(ann.client, "state");
      path.down();
      await lost;
      for (let i = 0; i < missed; i++) await bob.client.say("defaultRoom", "missed");
      const back = next(ann.client, "connected");
      path.up();
      await back;
      assert.deepEqual(ann.gaps.splice(0), missed ? ["defaultRoom"] : [], `grace ${grace}, round ${round}`);
    }
    assert.equal(ann.heard.length, 6);
  }
});

test("a client whose session has ended joins its rooms again", { timeout }, async () => {
  const server = await town(undefined, "100ms"), path = await way(server);
  const ann = await member(path.url), bob = await member(`ws://${server.http}`), { id } = ann.client;
  path.down();
  await until(async () => !(await bob.client.view("otherRoom")).members[id]);
  await bob.client.say("otherRoom", "missed");
  const back = next(ann.client, "connected");
  path.up();
  const { id: other, resumed } = await back;
  assert.equal(resumed, false);
  assert.notEqual(other, id);
  await hears(ann, ["missed"]);
  assert.deepEqual(ann.gaps, []);
  path.cut(); // the new connection has a session of its own
  assert.equal((await next(ann.client, "connected")).id, ann.client.id);
});

test("a room that was destroyed during a break is left", { timeout }, async () => {
  const server = await town(), path = await way(server);
  const ann = await member(path.url), bob = await member(`ws://${server.http}`);
  await ann.client.join("defaultRoom");
  path.down();
  await next(ann.client, "state");
  const destroyed = await fetch(`http://${server.admin}/api/tenants/default/rooms/defaultRoom`, { method: "DELETE", headers: { authorization: `Bearer ${server.key}` } });
  assert.ok(destroyed.ok, await destroyed.text());
  path.up();
  assert.equal((await next(ann.client, "connected")).resumed, true);
  assert.deepEqual(ann.left, ["defaultRoom"]);
  assert.deepEqual(ann.client.rooms, ["otherRoom"]);
  bob.client.close();
});

test("a session is resumed on another node", { timeout }, async () => {
  const [one, two] = [await town("one"), await town("two")], path = await way(one);
  const ann = await member(path.url), bob = await member(`ws://${two.http}`), { id } = ann.client;
  const said = [];
  for (const node of [two, one, two]) { // the node that hands it over keeps running
    path.down();
    await next(ann.client, "state");
    await bob.client.say("otherRoom", said[said.push(`to ${node.node}`) - 1]);
    const back = next(ann.client, "connected");
    path.up(node.http);
    assert.deepEqual(await back, { id, resumed: true });
  }
  await hears(ann, said);
  assert.equal((await bob.client.view("otherRoom")).membersCount, 2);
  assert.deepEqual([...ann.gaps, ...ann.left], []);
});

test("a session outlives a node that is shut down", { timeout }, async () => {
  const [three, four] = [await town("three"), await town("four")], path = await way(three);
  const ann = await member(path.url), bob = await member(`ws://${four.http}`), { id } = ann.client;
  const waits = next(ann.client, "state");
  path.up(four.http); // new connections lead to the other node
  const back = next(ann.client, "connected");
  await three.stop();
  const { reason, delay } = await waits;
  assert.equal(reason, "shutdown");
  assert.ok(delay <= 1000, `it waits ${delay} ms`);
  assert.deepEqual(await back, { id, resumed: true });
  await bob.client.say("otherRoom", "after");
  await hears(ann, ["after"]);
  assert.deepEqual([...ann.gaps, ...ann.left], []);
});

test("a session ends with a node that is killed, and history is still received", { timeout }, async () => {
  const [five, six] = [await town("five"), await town("six")], path = await way(five);
  const ann = await member(path.url), bob = await member(`ws://${six.http}`), { id } = ann.client;
  await bob.client.say("otherRoom", "before");
  await hears(ann, ["before"]);
  path.down();
  await five.kill();
  await bob.client.say("otherRoom", "missed");
  const back = next(ann.client, "connected");
  path.up(six.http);
  assert.equal((await back).resumed, false);
  await hears(ann, ["before", "missed"]);
  assert.deepEqual([...ann.gaps, ...ann.left], []);
  await until(async () => !(await bob.client.view("otherRoom")).members[id]); // the dead node's members are removed when its lease ends
});

// scripted starts a server with given answers, by verb and number of the connection.
async function scripted(answer) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  ends.push(() => server.close());
  let connections = 0;
  const asked = [];
  server.on("connection", (socket) => {
    const number = ++connections;
    socket.on("message", (text) => {
      const { messageId, ...request } = JSON.parse(text);
      asked.push([number, request.event, request.session]);
      const result = answer(number, request);
      if (result === undefined) return socket.terminate();
      const error = typeof result === "string" ? new VerbError(result) : result;
      const failed = error instanceof VerbError && { error: `Error: ${error.message}`, ...(error.retryAfter && { retryAfter: error.retryAfter }) };
      socket.send(JSON.stringify({ context: "response", messageId, ...(failed || { data: result }) }));
    });
  });
  return { url: `ws://127.0.0.1:${server.address().port}`, asked };
}

test("resume is retried while the session is busy", { timeout }, async () => {
  const server = await scripted((number, { event }) => {
    if (event === "detailsView") return { id: "a", session: "s1", rooms: [] };
    if (event === "roomAdd") return true;
    if (event === "say") return number === 1 ? undefined : number === 4 ? true : "connection not in this room (otherRoom)";
    return { 2: "session is busy, try again", 3: "cluster unavailable" }[number] ?? { id: "a", session: "s2", rooms: { otherRoom: {} } };
  });
  const { client } = await member(server.url);
  const back = next(client, "connected");
  await client.say("otherRoom", "once"); // the key identifies it within a session
  assert.deepEqual(await back, { id: "a", resumed: true });
  assert.deepEqual(server.asked.slice(2), [[1, "say", undefined], [2, "resume", "s1"], [3, "resume", "s1"], [4, "resume", "s1"], [4, "say", undefined]]);
});

test("rejoining is retried", { timeout }, async () => {
  const server = await scripted((number, { event }) => {
    if (event === "detailsView") return { id: `c${number}`, rooms: [] };
    if (event === "say") return number === 1 ? undefined : true;
    return { 2: "cluster unavailable", 3: "outcome unknown", 4: "room is full (at most 1 members)" }[number] ?? true;
  });
  const { client, left } = await member(server.url);
  const back = next(client, "connected");
  await assert.rejects(client.say("otherRoom", "hello"), LostError);
  assert.equal((await back).id, "c4");
  assert.deepEqual(left, ["otherRoom"]); // reported once, and not tried again
});

test("a repeated request that had succeeded before the break succeeds", { timeout }, async () => {
  const server = await scripted((number, { event }) => {
    if (event === "detailsView") return { id: "a", session: "s1", rooms: [] };
    if (event === "roomAdd") return true;
    if (event === "roomLeave") return number === 1 ? undefined : "connection not in this room (otherRoom)";
    return { id: "a", session: "s2", rooms: {} };
  });
  const { client } = await member(server.url);
  await client.leave("otherRoom");
  assert.deepEqual(client.rooms, []);
  await assert.rejects(client.leave("otherRoom"), VerbError);
});

test("a say with an unknown outcome is a LostError", { timeout }, async () => {
  const server = await scripted((_, { event }) => (event === "say" ? "outcome unknown" : { id: "a", rooms: [] }));
  const { client } = await member(server.url);
  await assert.rejects(client.say("otherRoom", "hello"), (err) => err instanceof LostError && /outcome unknown/.test(err.message));
});

test("a room that is being left during a break is not joined again", { timeout }, async () => {
  const server = await town(undefined, "0s"), path = await way(server);
  const ann = await member(path.url);
  path.down();
  await next(ann.client, "state");
  const left = ann.client.leave("otherRoom");
  const back = next(ann.client, "connected");
  path.up();
  assert.equal((await back).resumed, false);
  await left;
  assert.deepEqual(ann.client.rooms, []);
  assert.deepEqual((await ann.client.details()).rooms, []);
});

test("rejoining many rooms respects the rate limit", { timeout }, async () => {
  const server = await town(undefined, "0s", { "limits.verbsPerSecond": 1 }), path = await way(server);
  const ann = await member(path.url, { pingInterval: 60_000 });
  for (const room of ["defaultRoom", "secure"]) {
    await until(() => ann.client.join(room).then(() => true, (err) => (assert.ok(err.retryAfter > 0, err), false)));
  }
  path.down();
  await next(ann.client, "state");
  const back = next(ann.client, "connected");
  path.up();
  await back;
  let rooms;
  await until(() => ann.client.details().then((d) => (rooms = d.rooms.sort()), () => false));
  assert.deepEqual(rooms, ["defaultRoom", "otherRoom", "secure"]);
  assert.deepEqual(ann.left, []);
});

test("a room whose rules do not answer is joined later and does not delay others", { timeout }, async () => {
  let tries = 0;
  const server = await scripted((number, { event, room }) => {
    if (event === "detailsView") return { id: `c${number}`, rooms: [] };
    if (event === "say") return number === 1 ? undefined : true;
    if (number === 2 && room === "otherRoom" && ++tries === 1) return new VerbError("try again", 1001);
    return true;
  });
  const { client, left } = await member(server.url);
  await client.join("sound");
  const back = next(client, "connected");
  await assert.rejects(client.say("sound", "hello"), LostError);
  await back;
  assert.equal(tries, 1);
  await client.say("sound", "hello");
  await until(() => tries === 2);
  assert.deepEqual([client.rooms.sort(), left], [["otherRoom", "sound"], []]);
});
