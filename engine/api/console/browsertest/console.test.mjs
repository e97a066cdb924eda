import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { chromium } from "playwright-core";
import { start } from "../../../compat/nodetest/server.mjs";

const timeout = 120_000; // of one test, in ms
const patience = Number(process.env.PATIENCE || timeout / 2); // with one element, in ms
const ofDefault = "a-tenant-key-for-tests";
const ofViewer = "a-viewer-key-for-tests";
const ofAuthor = "an-author-key-for-tests";
const ofModerators = "a-key-of-two-tenants-for-tests";
let folder, server, admin, browser, rules, open = [], talkers = [];

const good = `moot.on("onSayReceive", function(event)
  if event.message:find("secret", 1, true) then return moot.deny("not for everybody") end
  if event.message == "shout" then return moot.rewrite(moot.config.loud) end
end)
`;

const config = `
modules: { rule: { script: rule.lua }, loop: { script: loop.lua } }
decisions: { text: true }
include: [other.yaml]

tenants:
  default:
    rooms: { starting: [lobby, "<b>odd</b>"], settings: [{ match: "<b>odd</b>", history: 20 }] }
    chain: [ { module: rule, timeout: 10s, hooks: [onSayReceive], config: { loud: HEY } } ]
`;

// other returns the included file of the tenant other, which has a module.
const other = (module) => `tenants: { other: { match: { host: [other.test] }, chain: [ { module: ${module}, timeout: 100ms } ] } }\n`;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "console-"));
  rules = join(folder, "rule.lua");
  await writeFile(rules, good);
  await writeFile(join(folder, "loop.lua"), `moot.on("onSayReceive", function(event) while true do end end)\n`);
  await writeFile(join(folder, "config.yaml"), config);
  await writeFile(join(folder, "other.yaml"), other("loop"));
  process.env.MOOT_CONFIG = join(folder, "config.yaml");
  server = await start({ more: {
    "admin.tenantKeys.default": ofDefault,
    "admin.keys": `[{ name: display, key: ${ofViewer}, role: viewer }, { name: cleo, key: ${ofAuthor}, role: author, tenants: [default] }, { name: ann, key: ${ofModerators}, role: moderator, tenants: [default, other] }]`,
  } });
  admin = server.key;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  for (const page of talkers) await page.close();
  await browser?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

// After each test all tabs must be free of exceptions, violations of the content security policy, and requests to other hosts.
afterEach(async () => {
  const tabs = open;
  open = [];
  for (const tab of tabs) await tab.page.close();
  for (const tab of tabs) assert.deepEqual(tab.complaints, []);
});

async function look(key, view = "overview") {
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(patience);
  const complaints = [];
  page.on("pageerror", (err) => complaints.push(err.message));
  page.on("console", (m) => m.type() === "error" && !/the server responded with a status of 4/.test(m.text()) && complaints.push(m.text()));
  page.on("request", (r) => r.url().includes(server.admin) || complaints.push(`asked for ${r.url()}`));
  open.push({ page, complaints });
  await page.goto(`http://${server.admin}/#${view}`);
  await page.getByLabel("Key").fill(key);
  await page.keyboard.press("Enter");
  return page;
}

// rounds waits until the page was updated n times.
async function rounds(page, n) {
  for (; n > 0; n--) await page.waitForFunction((old) => document.getElementById("clock").textContent !== old, await page.getByTestId("clock").textContent());
}

// photograph writes a screenshot to the folder $SCREENSHOTS if it is set.
const photograph = (page, name) => process.env.SCREENSHOTS && page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });

// talk joins a room, sends the texts, and returns a function that sends further messages. It uses a
// page of the server, because Node.js 20 has no WebSocket.
async function talk(room, ...texts) {
  const page = await browser.newPage();
  talkers.push(page);
  await page.goto(`http://${server.http}/`);
  await page.evaluate((joined) => new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${location.host}/ws`);
    const answered = new Map();
    let id = 0;
    socket.onerror = reject;
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      (window.received ??= []).push(frame);
      if (frame.context === "response") answered.get(frame.messageId)?.(frame);
    };
    window.ask = (frame) => new Promise((done) => {
      const messageId = `m${id += 1}`;
      answered.set(messageId, done);
      socket.send(JSON.stringify({ ...frame, messageId }));
    });
    socket.onopen = () => window.ask({ event: "roomAdd", room: joined }).then(resolve);
  }), room);
  const say = (message) => page.evaluate((frame) => window.ask(frame), { event: "say", room, message });
  for (const text of texts) await say(text);
  say.page = page;
  return say;
}

// listen joins a room, creating it, and returns a function that waits for a message.
async function listen(room) {
  await admins("PUT", `/api/tenants/default/rooms/${room}`);
  const say = await talk(room);
  return (of) => say.page.waitForFunction((text) => window.received.some((frame) => frame.message === text), of);
}

const admins = (method, path) => fetch(`http://${server.admin}${path}`, { method, headers: { Authorization: `Bearer ${admin}` } });

test("a wrong key is refused, and a right one is asked for no more in this tab", { timeout }, async () => {
  const page = await look("a-key-that-is-not-one");
  await page.getByRole("alert").filter({ hasText: "This key is not known." }).waitFor();
  await page.getByLabel("Key").fill(admin);
  await page.keyboard.press("Enter");
  await page.getByRole("table", { name: "Nodes" }).waitFor();
  await page.reload();
  await page.getByRole("table", { name: "Nodes" }).waitFor();
  await page.getByRole("button", { name: "Forget the key" }).click();
  await page.getByLabel("Key").waitFor();
  await page.reload();
  await page.getByLabel("Key").waitFor();
});

// The test counts the bytes that the page loads, because the time depends on the machine; the time is only reported. The network
// is like "slow 4G" of Lighthouse: 1.6 Mbit/s and 150 ms for each request.
test("the first paint needs few requests and bytes, and the first view follows", { timeout }, async (t) => {
  const page = await browser.newPage();
  page.setDefaultTimeout(patience);
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  await network.send("Network.emulateNetworkConditions", { offline: false, latency: 150, downloadThroughput: 1_600_000 / 8, uploadThroughput: 750_000 / 8 });
  const loaded = () => page.evaluate(async () => {
    const paint = await new Promise((resolve) => { new PerformanceObserver((list) => list.getEntriesByName("first-contentful-paint").forEach(resolve)).observe({ type: "paint", buffered: true }); });
    const [document] = performance.getEntriesByType("navigation");
    const files = performance.getEntriesByType("resource").filter((entry) => !entry.name.includes("/api/"));
    const blocking = files.filter((entry) => entry.renderBlockingStatus === "blocking");
    const bytes = (entries) => entries.reduce((sum, entry) => sum + entry.transferSize, 0);
    return { paint: paint.startTime, blocking: blocking.map((entry) => entry.name.split("/").pop()), first: bytes([document, ...blocking]), requests: files.length + 1, all: bytes([document, ...files]) };
  });
  const address = `http://${server.admin}/`;
  await page.goto(address);
  const first = await loaded();
  assert.deepEqual(first.blocking, ["style.css"]);
  assert.ok(first.first < 8 << 10, `${first.first} bytes before the first paint`);
  await page.getByLabel("Key").fill(admin);
  await page.keyboard.press("Enter");
  await page.getByRole("table", { name: "Nodes" }).waitFor();
  const whole = await loaded();
  assert.ok(whole.requests <= 45 && whole.all < 96 << 10, `${whole.requests} requests, ${whole.all} bytes`);
  await page.reload();
  await page.getByRole("table", { name: "Nodes" }).waitFor();
  const view = await page.evaluate(() => performance.now());
  const again = await loaded();
  t.diagnostic(`first visit: ${first.first} bytes before the first paint at ${Math.round(first.paint)} ms; ${whole.requests} files of ${whole.all} bytes in all. Next visit: ${again.all} bytes, first paint at ${Math.round(again.paint)} ms, first view at ${Math.round(view)} ms`);
  await page.close();
});

test("nodes, tenants and live charts", { timeout }, async () => {
  const say = await talk("lobby");
  const page = await look(admin);
  await page.getByRole("table", { name: "Tenants" }).getByRole("row", { name: /default/ }).waitFor();
  assert.equal(await page.getByRole("table", { name: "Tenants" }).getByRole("row").count(), 3);
  const rate = page.getByRole("region", { name: "Messages and deliveries" }).locator(".legend b");
  let talking = true;
  const talked = (async () => { while (talking) { await say("good day"); await new Promise((r) => { setTimeout(r, 20); }); } })();
  await page.waitForFunction(() => /[1-9]/.test(document.querySelector(".legend b").textContent));
  for (const name of ["Calls of modules", "Chains of rules", "Requests of clients"]) await page.getByRole("region", { name }).locator(".legend b", { hasText: /µs|ms/ }).first().waitFor();
  await page.getByRole("region", { name: "Memory" }).locator(".legend b", { hasText: "MiB" }).first().waitFor();
  await page.getByRole("table", { name: "Tenants" }).getByRole("row", { name: /default/ }).getByText(/[1-9].*\/s/).waitFor();
  assert.equal(await rate.count(), 2);
  assert.equal(await page.locator(".chart canvas").count(), 8);
  await photograph(page, "overview");
  await page.getByLabel("Time").selectOption("2h");
  talking = false;
  await talked;
  // Updates keep the elements of the page: the focus, the selection and what is scrolled stay.
  const link = page.getByRole("table", { name: "Tenants" }).getByRole("link").first();
  await link.focus();
  await page.evaluate(() => {
    window.kept = document.activeElement;
    getSelection().selectAllChildren(document.querySelector('[aria-label="Nodes"] tbody tr'));
    window.selected = String(getSelection());
  });
  await rounds(page, 2);
  assert.deepEqual(await page.evaluate(() => [document.activeElement === window.kept, window.kept.isConnected, String(getSelection()).split("\t")[0] === window.selected.split("\t")[0]]), [true, true, true]);
  await page.keyboard.press("Enter");
  await page.getByRole("table", { name: "Rooms" }).waitFor();
});

test("modules: counters, reload and rollback with what came of them", { timeout }, async () => {
  await talk("lobby", "secret", "shout");
  const page = await look(admin, "modules");
  await page.getByText("There is nothing to roll back").waitFor();
  assert.ok(await page.getByRole("button", { name: "Roll back all nodes" }).isDisabled());
  const row = page.getByRole("table", { name: "Modules", exact: true }).getByRole("row", { name: /rule/ });
  await row.getByText("closed").waitFor();
  const version = await row.locator("code").textContent();
  assert.match(version, /^[0-9a-f]{8,}#/);

  await writeFile(rules, good.replace("not for everybody", "no secrets"));
  await page.getByRole("button", { name: "Reload all nodes" }).click();
  await page.getByTestId("result").getByText("done", { exact: false }).waitFor();
  await page.waitForFunction((old) => !document.body.textContent.includes(old), version);
  await photograph(page, "modules");

  await writeFile(rules, `moot.on("onSayReceive", function(event)\n  not lua\nend)\n`);
  await page.getByRole("button", { name: "Reload all nodes" }).click();
  await page.getByTestId("result").getByText("Reload all nodes: refused by ").waitFor();
  assert.match(await page.getByRole("table", { name: "Results" }).textContent(), /rule\.lua:2/);
  await page.getByRole("link", { name: "Overview" }).click();
  await page.getByTestId("troubles").getByText("refused the last reload").waitFor();
  assert.match(await page.getByTestId("troubles").innerText(), /rule\.lua:2/);
  await photograph(page, "troubles");
  await writeFile(rules, good);

  await page.getByRole("link", { name: "Modules" }).click();
  await page.getByRole("button", { name: "Roll back all nodes" }).click();
  await page.getByTestId("question").getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Roll back all nodes" }).click();
  await page.getByTestId("question").getByRole("button", { name: "Roll back" }).click();
  await page.getByTestId("result").getByText(": done").waitFor();
  await page.getByRole("table", { name: "Modules", exact: true }).getByText(version).waitFor();

  // A mistake of one tenant: the result and the trouble name the tenant and the consequence.
  await writeFile(rules, good.replace("not for everybody", "no secrets"));
  await writeFile(join(folder, "other.yaml"), other("missing"));
  await page.getByRole("button", { name: "Reload all nodes" }).click();
  await page.getByTestId("result").getByText("Reload all nodes: done, except for tenant other").waitFor();
  const result = page.getByRole("table", { name: "Results" }).getByRole("row").nth(1);
  assert.match(await result.innerText(), /done except for some tenants[^]*Tenant other stays as before:[^]*missing/);
  await page.getByTestId("troubles").getByText("took the last reload except for tenant other").waitFor();
  await photograph(page, "partial");
  await writeFile(rules, good);
  await writeFile(join(folder, "other.yaml"), other("loop"));
  await page.getByRole("button", { name: "Reload all nodes" }).click();
  await page.getByTestId("result").getByText("done on all nodes").waitFor();
});

test("rooms and their members, by keyboard, whatever their names are", { timeout }, async () => {
  await talk("<b>odd</b>", "one", "two <i>");
  const page = await look(admin, "rooms");
  await page.getByRole("link", { name: "<b>odd</b>" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "<b>odd</b>: 1 member" }).waitFor();
  assert.match(page.url(), /#rooms\?tenant=default&room=/);
  assert.equal(await page.getByRole("table", { name: "Members of <b>odd</b>" }).getByRole("row").count(), 2);
  await page.getByText("two <i>").waitFor();
  await photograph(page, "rooms");
  await page.reload();
  await page.getByRole("heading", { name: "<b>odd</b>: 1 member" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("heading", { name: "<b>odd</b>: 1 member" }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "<b>odd</b>" }).click();
  await page.getByRole("link", { name: "Close" }).click();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "<b>odd</b>");

  await page.getByLabel("Name contains").fill("OBB");
  await page.waitForFunction(() => !document.body.textContent.includes("odd"));
  await page.getByRole("link", { name: "lobby" }).waitFor();
  await page.getByLabel("Tenant", { exact: true }).fill("other");
  await page.keyboard.press("Enter");
  await page.getByText("No rooms.").waitFor();
});

test("what an operator does with rooms, connections and values", { timeout }, async () => {
  const heard = await listen("quiet");
  const page = await look(admin, "rooms");
  const result = page.getByTestId("result");
  await page.getByLabel("New room").fill("made here");
  await page.keyboard.press("Enter");
  await result.getByText("made here exists.").waitFor();
  await page.getByRole("link", { name: "quiet" }).click();
  await page.getByLabel("Say as the system").fill("news");
  await page.keyboard.press("Enter");
  await page.getByText("The message is sent.").waitFor();
  await heard("news");

  // The panel of the connection, its property and a message to it.
  await page.getByRole("table", { name: "Members of quiet" }).getByRole("link").first().click();
  await page.getByLabel("Property", { exact: true }).fill("team");
  await page.getByLabel("Value: JSON or text").fill("blue");
  await page.getByRole("form", { name: "Set a property" }).getByRole("button", { name: "Set" }).click();
  await page.getByRole("table", { name: "Its properties" }).getByText('"blue"').waitFor();
  await page.getByLabel("Message to this connection").fill("for you");
  await page.keyboard.press("Enter");
  await heard("for you");
  await photograph(page, "connection");

  // Out of the room, which the panel of the room shows, then disconnected.
  await page.getByRole("table", { name: "Its rooms" }).getByRole("link", { name: "quiet" }).click();
  await page.getByRole("button", { name: /^Remove / }).click();
  await photograph(page, "question");
  await page.getByTestId("question").getByRole("button", { name: "Remove" }).click();
  await page.getByText("is not in quiet any more.").waitFor();
  await page.getByRole("heading", { name: "quiet: 0 members" }).waitFor();
  await page.getByRole("button", { name: "Destroy the room" }).click();
  await page.getByTestId("question").getByRole("button", { name: "Destroy" }).click();
  await page.getByRole("link", { name: "quiet" }).waitFor({ state: "detached" });
  await page.goBack();
  await page.getByText("room does not exist").waitFor();

  await page.getByRole("link", { name: "Modules" }).click();
  await page.getByRole("link", { name: "rule" }).first().click();
  await page.locator('input[name=key]').fill("word");
  await page.getByLabel("Value", { exact: true }).fill("apple");
  await page.getByRole("form", { name: "Set a key" }).getByRole("button", { name: "Set" }).click();
  await page.getByText("word is set.").waitFor();
  await page.getByRole("button", { name: "word" }).click();
  await page.getByRole("button", { name: "Remove" }).click();
  await page.getByTestId("question").getByRole("button", { name: "Remove" }).click();
  await page.getByText("No stored values.").waitFor();
});

test("decisions, filtered", { timeout }, async () => {
  await talk("lobby", "the secret <i>word</i>", "shout");
  const page = await look(admin, "decisions");
  const older = page.getByRole("button", { name: "Older" });
  const rows = page.getByRole("table", { name: "Decisions" }).getByRole("row");
  await rows.filter({ hasText: "deny" }).filter({ hasText: "<i>word</i>" }).first().waitFor();
  await rows.filter({ hasText: "rewrite" }).first().waitFor();
  await photograph(page, "decisions");
  assert.equal(await older.isVisible(), false);
  const say = await talk("lobby");
  for (let i = 0; i < 120; i++) await say(`secret ${i}`);
  await older.click();
  await rows.filter({ hasText: "<i>word</i>" }).first().waitFor();
  await older.waitFor({ state: "hidden" });
  await page.getByLabel("Verdict").selectOption("deny");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length > 0 && ![...document.querySelectorAll("tbody tr")].some((row) => row.textContent.includes("rewrite")));
  await page.getByLabel("Room").fill("nowhere");
  await page.getByText("No decisions").waitFor();
});

test("the playground asks a module, under another config too", { timeout }, async () => {
  const page = await look(admin, "playground");
  const id = (name) => page.getByTestId(name);
  await page.waitForFunction(() => document.querySelector('[data-testid="config"]')?.value.includes("HEY"));
  await id("message").fill("shout");
  await page.keyboard.press("Enter");
  await id("rewritten").waitFor();
  assert.equal(await id("rewritten").textContent(), "HEY");
  assert.equal(await id("verdict").textContent(), "rewrite");
  assert.match(await id("cost").textContent(), /(µs|ms) · [\d,]+ units of fuel · .*[KM]iB of memory · 1 call$/);
  await id("config").fill(`{"loud": "HO"}`);
  await page.getByRole("button", { name: "Call the module" }).click();
  await id("rewritten").filter({ hasText: "HO" }).waitFor();
  await photograph(page, "playground");
  await id("message").fill("a secret");
  await page.keyboard.press("Enter");
  await id("answer").getByText("not for everybody").first().waitFor();
  await id("connection").fill("{");
  await page.getByRole("button", { name: "Call the module" }).click();
  await id("answer").getByText("connection:").waitFor();
});

test("the playground offers to repeat what took too long or was not answered", { timeout }, async () => {
  const page = await look(admin, "playground");
  const [answer, again] = [page.getByTestId("answer"), page.getByRole("button", { name: "Try again" })];
  await page.locator("button.main:enabled").waitFor();
  await page.route("**/trials", (route) => route.abort());
  await page.locator("button.main").click();
  await answer.getByText("the server cannot be reached").waitFor();
  await page.unroute("**/trials");
  await again.click();
  await page.getByTestId("verdict").filter({ hasText: "allow" }).waitFor();

  await page.getByLabel("Tenant", { exact: true }).fill("other");
  await page.keyboard.press("Enter");
  await page.getByLabel("Module").filter({ hasText: "loop" }).waitFor();
  await page.locator("button.main:enabled").click();
  await answer.getByText("The module had no answer within its time.").waitFor();
  assert.match(await answer.innerText(), /failed[^]*deadline/);
  await again.click();
  await answer.getByText("The module had no answer within its time.").waitFor();
  open.at(-1).complaints = open.at(-1).complaints.filter((text) => !/ERR_FAILED/.test(text));
});

test("an author tries modules and stores values, and does not see views of operators", { timeout }, async () => {
  const page = await look(ofAuthor, "playground");
  await page.locator("button.main:enabled").waitFor();
  assert.equal(await page.getByLabel("Tenant", { exact: true }).count(), 0); // there is one
  await page.getByTestId("message").fill("shout");
  await page.keyboard.press("Enter");
  assert.equal(await page.getByTestId("rewritten").textContent(), "HEY");
  await page.getByTestId("config").fill(`{"loud": "HO"}`);
  await page.getByRole("button", { name: "Call the module" }).click();
  await page.getByTestId("rewritten").filter({ hasText: "HO" }).waitFor();
  await page.getByRole("link", { name: "Modules" }).click();
  await page.getByRole("table", { name: "Modules", exact: true }).getByRole("link", { name: "rule" }).click();
  await page.getByRole("form", { name: "Set a key" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Reload all nodes" }).count(), 0);
  assert.equal(await page.getByRole("link", { name: "Events" }).count(), 0);
  await page.getByRole("link", { name: "Rooms" }).click();
  await page.getByRole("link", { name: "lobby" }).click();
  await page.getByRole("table", { name: /^Members of lobby/ }).or(page.getByText("No members.")).waitFor();
  assert.equal(await page.getByLabel("Say as the system").count(), 0);
});

test("a tenant's key sees its tenant only", { timeout }, async () => {
  const page = await look(ofDefault);
  await page.getByRole("table", { name: "Tenants" }).getByRole("row", { name: /default/ }).waitFor();
  assert.doesNotMatch(await page.textContent("body"), /other/);
  assert.equal(await page.getByRole("table", { name: "Nodes" }).count(), 0);
  await page.getByRole("link", { name: "Modules" }).click();
  await page.getByRole("table", { name: "Modules", exact: true }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Reload all nodes" }).count(), 0);
  await page.getByRole("link", { name: "Decisions" }).click();
  await page.getByRole("table", { name: "Decisions" }).waitFor();
  await photograph(page, "tenant");
});

test("a viewer sees what a viewer may do", { timeout }, async () => {
  const page = await look(ofViewer, "playground");
  await page.getByRole("table", { name: "Nodes" }).waitFor(); // the overview in place of the playground
  for (const name of ["Decisions", "Playground"]) assert.equal(await page.getByRole("link", { name }).count(), 0);
  await page.getByRole("link", { name: "Modules" }).click();
  await page.getByRole("table", { name: "Compiled modules" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Reload all nodes" }).count(), 0);
});

test("a key of two tenants has the choice between them", { timeout }, async () => {
  const page = await look(ofModerators, "rooms");
  await page.getByRole("link", { name: "lobby" }).waitFor();
  await page.getByLabel("Tenant", { exact: true }).fill("other");
  await page.keyboard.press("Enter");
  await page.getByText("No rooms.").waitFor();
  await page.getByRole("link", { name: "Decisions" }).click();
  await page.getByTestId("decisions").getByText(/No decisions|verdict/).first().waitFor();
  assert.equal(await page.getByRole("link", { name: "Playground" }).count(), 0);
});

test("a server that is gone is told, and found again", { timeout }, async () => {
  const page = await look(admin);
  await page.getByRole("table", { name: "Nodes" }).waitFor();
  await page.route("**/api/**", (route) => route.abort());
  await page.getByTestId("troubles").getByText("The server cannot be reached.").waitFor();
  assert.match(await page.getByTestId("troubles").innerText(), /data on this page is from \d\d:\d\d:\d\d/);
  assert.ok(await page.locator("body.stale").isVisible());
  assert.ok(await page.getByRole("table", { name: "Nodes" }).isVisible());
  await photograph(page, "gone");
  await page.unroute("**/api/**");
  await page.getByTestId("troubles").waitFor({ state: "hidden" });
  await page.getByTestId("state").filter({ hasText: "all tenants" }).waitFor();
  assert.equal(await page.locator("body.stale").count(), 0);
  open.at(-1).complaints = open.at(-1).complaints.filter((text) => !/ERR_FAILED/.test(text));
});
