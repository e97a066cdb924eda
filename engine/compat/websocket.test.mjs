import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { browserClient, heard } from "./clients.mjs";
import { start } from "./nodetest/server.mjs";

const timeout = 60_000; // of each test, in ms
const same = (found, wanted, about) => assert.deepEqual(structuredClone(found), wanted, about); // Primus runs in a realm of its own, whose prototypes differ
let server;
before(async () => (server = await start()));
after(() => server.stop());

test("connects, gets the welcome and has details", { timeout }, async (t) => {
  const client = await browserClient(t, server.http);
  assert.equal(client.state, "connected");
  assert.equal(client.details.data.id, client.id);
  assert.equal(client.fingerprint, client.id);
  same(client.rooms, []);
  assert.match(client.welcomeMessage, /moot/);
  const { status, context, data } = await client.ask("detailsView");
  same([status, context, data.id, data.remoteIP, data.rooms], ["OK", "response", client.id, "127.0.0.1", []]);
  assert.ok(Math.abs(Date.now() - data.connectedAt) < 60_000);
});

test("sends its fingerprint", { timeout }, async (t) => {
  const client = await browserClient(t, server.http, "?sessionID=known-from-before");
  assert.equal(client.fingerprint, "known-from-before");
  assert.notEqual(client.id, client.fingerprint);
});

test("joins, views and leaves", { timeout }, async (t) => {
  const client = await browserClient(t, server.http);
  const added = await client.ask("roomAdd", "otherRoom");
  same([added.status, added.data, client.rooms], ["OK", true, ["otherRoom"]]);
  const { data: view } = await client.ask("roomView", "otherRoom");
  assert.equal(view.room, "otherRoom");
  assert.equal(view.membersCount, 1);
  assert.equal(view.members[client.id].id, client.id);
  assert.equal(typeof view.members[client.id].joinedAt, "number");
  const left = await client.ask("roomLeave", "otherRoom");
  same([left.status, left.data, client.rooms], ["OK", true, []]);
});

test("its messages reach the others and itself", { timeout }, async (t) => {
  const [ann, bob] = [await browserClient(t, server.http), await browserClient(t, server.http)];
  await ann.ask("roomAdd", "defaultRoom");
  await bob.ask("roomAdd", "defaultRoom");
  const both = Promise.all([heard(ann, "good day"), heard(bob, "good day")]);
  const said = await ann.ask("say", "defaultRoom", "good day");
  same(Object.keys(said).sort(), ["context", "messageId", "status"]);
  for (const message of await both) {
    same([message.message, message.room, message.from, message.context], ["good day", "defaultRoom", ann.id, "user"]);
    assert.equal(typeof message.sentAt, "number");
  }
});

test("repeated roomAdd joins each room once", { timeout }, async (t) => {
  const [watcher, client] = [await browserClient(t, server.http), await browserClient(t, server.http)];
  await watcher.ask("roomAdd", "defaultRoom");
  const notices = [];
  watcher.on("say", ({ message, from }) => from === "0" && message.includes(client.id) && notices.push(message));
  const refusals = [];
  client.on("message", ({ error }) => error && refusals.push(error));
  await client.ask("roomAdd", "defaultRoom");
  await client.ask("roomAdd", "otherRoom"); // each call configures the client again, and adds all rooms
  await client.ask("roomLeave", "otherRoom");
  same(client.rooms, ["defaultRoom"]);
  assert.ok(refusals.length >= 2, `refusals: ${refusals}`);
  for (const text of refusals) assert.match(text, /^Error: connection already in this room \((defaultRoom|otherRoom)\)$/);
  const said = heard(watcher, "the end");
  await client.ask("say", "defaultRoom", "the end");
  await said;
  assert.equal(notices.length, 1, `notices: ${notices}`);
});

test("gets the reasons of refusals", { timeout }, async (t) => {
  const client = await browserClient(t, server.http);
  await client.ask("roomAdd", "defaultRoom");
  for (const [method, args, text] of [
    ["roomAdd", ["nowhere"], "room does not exist"],
    ["roomAdd", [undefined], "room does not exist"],
    ["roomAdd", ["defaultRoom"], "connection already in this room (defaultRoom)"],
    ["roomAdd", ["secure"], "members only: log in first"],
    ["roomLeave", ["otherRoom"], "connection not in this room (otherRoom)"],
    ["roomView", ["otherRoom"], "connection not in this room (otherRoom)"],
    ["say", ["otherRoom", "hello"], "connection not in this room (otherRoom)"],
    ["say", ["defaultRoom", ""], "both room and message are required"],
    ["say", [undefined, undefined], "both room and message are required"],
    ["file", ["logo.png"], "verb not found or not allowed (file)"],
  ]) {
    const answer = await client.ask(method, ...args);
    same([answer.error, answer.status], [`Error: ${text}`, `Error: ${text}`], `${method} ${args}`);
  }
});

test("runs actions, and joins after a login", { timeout }, async (t) => {
  const client = await browserClient(t, server.http);
  const { data: doc } = await client.ask("documentation");
  assert.equal(doc.actions.login.inputs.token.required, true);
  for (const [action, params, error] of [
    ["login", {}, "token is a required parameter for this action"],
    ["login", { token: "wrong" }, "login: unknown token"],
    ["fly", {}, "unknown action or invalid apiVersion"],
  ]) {
    const answer = await client.ask("action", action, params);
    same([answer.error, answer.status, answer.context], [error, undefined, "response"], action);
  }
  assert.equal((await client.ask("roomAdd", "secure")).error, "Error: members only: log in first");
  const { authorized, role, error } = await client.ask("action", "login", { token: "letmein" });
  same([authorized, role, error], [true, "member", undefined]);
  assert.equal((await client.ask("roomAdd", "secure")).data, true);
  assert.equal((await client.ask("detailsView")).data.totalActions, 4);
});

test("keeps its own messageId", { timeout }, async (t) => {
  const client = await browserClient(t, server.http);
  for (const messageId of ["mine", 4096]) {
    const answer = await new Promise((resolve) => client.send({ event: "detailsView", messageId }, resolve));
    assert.strictEqual(answer.messageId, messageId);
  }
});

test("uses the protocol of Primus", { timeout }, async (t) => {
  const client = await browserClient(t, server.http);
  assert.ok(await new Promise((resolve) => client.client.id(resolve)), "primus::id:: is answered");
  client.client._write(`primus::pong::${Date.now()}`);
  assert.equal((await client.ask("detailsView")).status, "OK", "a pong is swallowed");
});

test("its quit is announced to the others", { timeout }, async (t) => {
  const [stays, goes] = [await browserClient(t, server.http), await browserClient(t, server.http)];
  await stays.ask("roomAdd", "defaultRoom");
  await goes.ask("roomAdd", "defaultRoom");
  const left = heard(stays, `${goes.id} left`);
  goes.disconnect();
  assert.equal((await left).from, "0");
  assert.equal(goes.state, "disconnected");
  assert.equal((await stays.ask("roomView", "defaultRoom")).data.members[goes.id], undefined);
});

test("reconnects to a restarted server", { timeout }, async (t) => {
  const client = await browserClient(t, server.http);
  const before = client.id, back = once(client.client, "reconnected");
  await server.stop();
  server = await start(server);
  await back;
  await client.ask("roomAdd", "defaultRoom"); // this client does not join again by itself
  assert.equal(client.state, "connected");
  assert.notEqual(client.id, before);
});
