import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { start } from "../../engine/compat/nodetest/server.mjs";
import { line } from "./line.mjs";

const timeout = 60_000; // of each test, in ms
let server, browser;

before(async () => {
  server = await start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    // Chromium's sandbox needs rights that root in a container lacks; the other flags switch off requests to the network.
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// openPage opens a page of the server that has loaded the built package. address is the server's or a proxy's.
async function openPage(address = server.http) {
  const page = await browser.newPage();
  await page.route("**/client/*", async (route) => {
    const file = new URL(`dist/${new URL(route.request().url()).pathname.split("/").at(-1)}`, import.meta.url);
    await route.fulfill({ contentType: "text/javascript", body: await readFile(file) });
  });
  await page.goto(`http://${address}/`); // the demo page: a page of another origin could not connect
  await page.evaluate(async () => { Object.assign(window, await import("/client/index.js")); });
  return page;
}

test("two pages exchange messages over the browser's WebSocket", { timeout }, async () => {
  const [ann, bob] = await Promise.all([openPage(), openPage()]);
  for (const page of [ann, bob]) {
    await page.evaluate(async () => {
      window.client = new Client(location.origin);
      window.heard = [];
      client.on("message", (m) => heard.push(m.message));
      await client.connect();
      await client.join("defaultRoom");
    });
  }
  await ann.evaluate(() => client.say("defaultRoom", "from a page"));
  for (const page of [ann, bob]) await page.waitForFunction(() => heard.includes("from a page"));
  await Promise.all([ann.close(), bob.close()]);
});

test("a page rejoins its rooms after a restart of the server", { timeout }, async () => {
  const page = await openPage();
  await page.evaluate(async () => {
    window.client = new Client(location.origin, { minDelay: 20, maxDelay: 200 });
    window.states = [];
    client.on("state", ({ state }) => states.push(state));
    await client.connect();
    await client.join("otherRoom");
  });
  await server.stop();
  await page.waitForFunction(() => states.includes("waiting"));
  server = await start(server);
  await page.waitForFunction(() => states.at(-1) === "connected");
  assert.deepEqual(await page.evaluate(async () => (await client.details()).rooms), ["otherRoom"]);
  await page.close();
});

test("a page resumes its session without a gap", { timeout }, async () => {
  const town = await start({ more: { "sessions.grace": "1m", "tenants.default.chain": "[]",
    "tenants.default.rooms.settings": '[{match: "*", history: 100, historyTTL: 1m}]' } });
  const path = await line(town.http);
  try {
    const [ann, bob] = await Promise.all([openPage(path.address), openPage(town.http)]);
    for (const page of [ann, bob]) {
      await page.evaluate(async () => {
        window.client = new Client(location.origin, { minDelay: 20, maxDelay: 200 });
        Object.assign(window, { heard: [], back: [], states: [], gaps: 0 });
        client.on("message", (m) => heard.push(m.message));
        client.on("state", ({ state }) => states.push(state));
        client.on("connected", (event) => back.push(event));
        client.on("gap", () => gaps++);
        await client.connect();
        await client.join("otherRoom");
      });
    }
    path.down();
    await ann.waitForFunction(() => states.includes("waiting"));
    for (const text of ["one", "two", "three"]) await bob.evaluate((text) => client.say("otherRoom", text), text);
    path.up();
    await ann.waitForFunction(() => heard.length === 3);
    const [back, heard, gaps] = await ann.evaluate(() => [window.back, window.heard, window.gaps]);
    assert.equal(back.length, 2);
    assert.deepEqual(back[1], { id: back[0].id, resumed: true });
    assert.deepEqual(heard, ["one", "two", "three"]);
    assert.equal(gaps, 0);
    await Promise.all([ann.close(), bob.close()]);
  } finally {
    path.close();
    await town.stop();
  }
});
