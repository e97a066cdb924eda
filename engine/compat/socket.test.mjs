import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { browserClient, heard, nodeClient } from "./clients.mjs";
import { start } from "./nodetest/server.mjs";

const timeout = 60_000; // of each test, in ms
let server;
before(async () => (server = await start()));
after(() => server.stop());

test("connects and has details", { timeout }, async (t) => {
  const client = await nodeClient(t, server.socket);
  assert.ok(client.id);
  const { status, data } = await client.detailsView();
  assert.deepEqual([status, data.id, data.remoteIP, data.rooms], ["OK", client.id, "127.0.0.1", []]);
});

test("joins, sends, views and leaves", { timeout }, async (t) => {
  const [ann, bob] = [await nodeClient(t, server.socket), await nodeClient(t, server.socket)];
  for (const client of [ann, bob]) {
    const { error, data } = await client.roomAdd("defaultRoom");
    assert.deepEqual([error, data.data], [null, true]);
  }
  const both = Promise.all([heard(ann, "day"), heard(bob, "day")]);
  assert.equal((await ann.say("defaultRoom", "good  day, ünïcode")).error, null);
  for (const { message, from } of await both) assert.deepEqual([message, from], ["good  day, ünïcode", ann.id]);
  const { data: view } = await bob.roomView("defaultRoom");
  assert.equal(view.data.membersCount, 2);
  assert.equal(view.data.members[ann.id].id, ann.id);
  assert.equal((await ann.roomLeave("defaultRoom")).data.data, true);
  assert.deepEqual((await ann.detailsView()).data.rooms, []);
});

test("gets the reasons of refusals", { timeout }, async (t) => {
  const client = await nodeClient(t, server.socket);
  await client.roomAdd("defaultRoom");
  for (const [method, args, text] of [
    ["roomAdd", ["nowhere"], "room does not exist"],
    ["roomAdd", ["defaultRoom"], "connection already in this room (defaultRoom)"],
    ["roomAdd", ["secure"], "members only: log in first"],
    ["roomLeave", ["otherRoom"], "connection not in this room (otherRoom)"],
    ["roomView", ["otherRoom"], "connection not in this room (otherRoom)"],
    ["say", ["otherRoom", "hello"], "connection not in this room (otherRoom)"],
    ["action", ["fly"], "unknown action or invalid apiVersion"],
    ["action", ["login"], "token is a required parameter for this action"],
    ["actionWithParams", ["login", { token: "wrong" }], "login: unknown token"],
  ]) {
    const { error } = await client[method](...args);
    assert.equal(error?.message, text, `${method} ${args}`);
  }
});

test("has sticky parameters, and logs in with them", { timeout }, async (t) => {
  const client = await nodeClient(t, server.socket);
  await client.paramAdd("token", "letmein");
  assert.equal((await client.paramView("token")).data.data, "letmein");
  assert.equal((await client.paramsView()).data.data.token, "letmein");
  const { error, data } = await client.action("login");
  assert.deepEqual([error, data.authorized, data.role], [null, true, "member"]);
  await client.paramDelete("token");
  assert.equal((await client.paramsView()).data.data.token, undefined);
  assert.equal((await client.paramsDelete()).error, null);
  assert.equal((await client.roomAdd("secure")).error, null);
});

test("logs in with parameters of its own", { timeout }, async (t) => {
  const client = await nodeClient(t, server.socket);
  const { error, data } = await client.actionWithParams("login", { token: "letmein" });
  assert.deepEqual([error, data.authorized], [null, true]);
});

test("exchanges messages with a browser", { timeout }, async (t) => {
  const [terminal, browser] = [await nodeClient(t, server.socket), await browserClient(t, server.http)];
  await terminal.roomAdd("otherRoom");
  await browser.ask("roomAdd", "otherRoom");
  const there = heard(browser, "from the terminal");
  await terminal.say("otherRoom", "from the terminal");
  assert.equal((await there).from, terminal.id);
  const masked = heard(terminal, "****");
  await browser.ask("say", "otherRoom", "oh darn it");
  assert.equal((await masked).message, "oh **** it");
});

test("its quit is announced to the others", { timeout }, async (t) => {
  const [stays, goes] = [await nodeClient(t, server.socket), await nodeClient(t, server.socket)];
  await stays.roomAdd("defaultRoom");
  await goes.roomAdd("defaultRoom");
  const left = heard(stays, `${goes.id} left`), ended = once(goes, "end");
  await goes.disconnect();
  await ended;
  assert.equal((await left).from, "0");
});
