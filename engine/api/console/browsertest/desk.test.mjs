// The desk: moderators decide about messages and people.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { start } from "../../../compat/nodetest/server.mjs";

const timeout = 120_000; // of one test, in ms
const patience = Number(process.env.PATIENCE || timeout / 2); // with one element, in ms
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const keys = { ann: "a-moderator-key-of-ann", bea: "a-moderator-key-of-bea" };
const secret = "a secret of thirty-two bytes, or more";
let folder, server, browser;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "desk-"));
  await writeFile(join(folder, "hold.lua"), `moot.on("onSayReceive", function(event)
  if event.message:find("?", 1, true) then return moot.hold("a question") end
end)
`);
  await writeFile(join(folder, "config.yaml"), `
modules: { hold: { script: hold.lua } }
tenants:
  default:
    auth: { jwt: { secret: "${secret}" } }
    rooms: { starting: [hall], settings: [{ match: hall, history: 50, users: true }] }
    chain: [{ module: hold, timeout: 10s }]
`);
  process.env.MOOT_CONFIG = join(folder, "config.yaml");
  server = await start({ more: { "limits.verbsPerSecond": "10000", "admin.keys": JSON.stringify(Object.entries(keys).map(([name, key]) => ({ name, key, role: "moderator", tenants: ["default"] }))) } });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const encoded = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

function token(user) {
  const text = `${encoded({ alg: "HS256", typ: "JWT" })}.${encoded({ sub: user, exp: Math.floor(Date.now() / 1000) + 3600 })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

// talk connects a user, who joins the hall. say sends a message and returns the answer; page has the frames received.
async function talk(user) {
  const page = await browser.newPage();
  page.setDefaultTimeout(patience);
  await page.goto(`http://${server.http}/`);
  await page.evaluate((url) => new Promise((resolve, reject) => {
    const answered = new Map();
    window.received = [];
    const socket = new WebSocket(url);
    socket.onerror = reject;
    socket.onclose = () => { window.ended = true; };
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      window.received.push(frame);
      if (frame.context === "response") answered.get(frame.messageId)?.(frame);
    };
    let id = 0;
    window.ask = (frame) => new Promise((done) => {
      answered.set(`m${id += 1}`, done);
      socket.send(JSON.stringify({ ...frame, messageId: `m${id}` }));
    });
    socket.onopen = () => window.ask({ event: "roomAdd", room: "hall" }).then(resolve);
  }), `ws://${server.http}/ws${user ? `?token=${token(user)}` : ""}`);
  return {
    page,
    ask: (frame) => page.evaluate((asked) => window.ask(asked), frame),
    say: (message) => page.evaluate((text) => window.ask({ event: "say", room: "hall", message: text }), message),
    heard: async (message) => (await page.waitForFunction((text) => window.received.find((frame) => frame.message === text), message)).jsonValue(),
  };
}

async function desk(name, options = {}) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, bypassCSP: true, ...options });
  page.setDefaultTimeout(patience);
  page.complaints = [];
  page.on("pageerror", (err) => page.complaints.push(err.message));
  page.on("request", (r) => r.url().includes(server.admin) || page.complaints.push(`asked for ${r.url()}`));
  await page.goto(`http://${server.admin}/#desk`);
  await page.getByLabel("Key").fill(keys[name]);
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Sanctions" }).first().waitFor();
  return page;
}

async function close(page) {
  assert.deepEqual(page.complaints, []);
  await page.close();
}

async function check(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(", ")}`), [], name);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, `${name} is too wide`);
}

const waiting = (page) => page.getByTestId("queue").getByRole("listitem");

test("people: found by user, muted with one press, banned after a question, and pardoned", { timeout }, async () => {
  const mallory = await talk("mallory");
  const page = await desk("ann");
  await page.getByLabel("User or address").first().fill("mallory");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "mallory" }).waitFor();
  await page.getByRole("table", { name: "Connections of mallory" }).getByRole("link").first().waitFor();
  const details = page.getByRole("region", { name: "Details" });
  await details.getByRole("button", { name: "Mute 10 min", exact: true }).click();
  await page.getByText(/mallory: mute until/).waitFor();
  assert.match((await mallory.say("hello")).error, /muted until/);
  await page.getByRole("table", { name: "Sanctions of mallory" }).getByText("ann").waitFor();
  await check(page, "desk-person");
  await page.getByRole("table", { name: "Sanctions of mallory" }).getByRole("button", { name: "Remove the mute of mallory" }).click();
  await page.getByTestId("question").getByRole("button", { name: "Remove" }).click();
  await page.getByText("The mute of mallory is removed.").first().waitFor();
  assert.equal((await mallory.say("hello again")).error, undefined);
  await details.getByRole("button", { name: "Ban", exact: true }).click();
  await page.getByTestId("question").getByLabel("Reason, for the user").fill("enough");
  await page.getByTestId("question").getByRole("button", { name: "Ban" }).click();
  await page.getByText(/mallory: ban without an end/).waitFor();
  await mallory.page.waitForFunction(() => window.ended);
  await page.getByRole("table", { name: "Sanctions", exact: true }).getByRole("row").filter({ hasText: "enough" }).waitFor();
  await close(page);
  await mallory.page.close();
});

// focused returns the text of the element with the focus.
const focused = (page) => page.evaluate(() => document.activeElement.closest("li, label, button")?.innerText ?? document.activeElement.innerText);

// tab presses a key until the element that has the focus matches.
async function tab(page, selector, key = "Tab") {
  for (let i = 0; i < 200; i++) {
    await page.keyboard.press(key);
    if (await page.evaluate((css) => document.activeElement.matches(css), selector)) return;
  }
  assert.fail(`${selector} is not reached with ${key}`);
}

// down presses j until the current item matches.
async function down(page, text) {
  for (let i = 0; i < 60 && !text.test(await focused(page)); i++) await page.keyboard.press("j");
  assert.match(await focused(page), text);
}

const held = 35;
const reported = 15;
const evil = "\u202Eevil\u202C <b>bold</b> http://evil.example";

// day fills the queue: messages of Alice are held, and Carl reports messages of Mona; Bob reports the first of them too.
async function day() {
  const [alice, bob, carl, mona] = await Promise.all(["alice", "bob", "carl", "mona"].map(talk));
  await bob.say("talk before it");
  for (let i = 0; i < held - 10; i++) assert.ok((await alice.say(`question ${i} ?`)).held ?? true);
  for (let i = 0; i < reported; i++) {
    const text = i === reported - 1 ? evil : `insult ${i}`;
    await mona.say(text);
    const { id } = await carl.heard(text);
    const reports = [carl.ask({ event: "report", room: "hall", id, reason: "rude" })];
    if (i === 0) reports.push(bob.ask({ event: "report", room: "hall", id, reason: "<i>insult</i>" }));
    for (const { error } of await Promise.all(reports)) assert.equal(error, undefined);
  }
  for (let i = held - 10; i < held; i++) await alice.say(`question ${i} ?`);
  return { alice, bob, carl, mona };
}

const count = (page, n) => page.getByRole("heading", { name: `Review queue: ${n}`, exact: true }).waitFor();

test("a moderator's day: 50 held and reported messages, two moderators, by keyboard alone and on a phone", { timeout: 2 * timeout }, async () => {
  const { alice, bob, carl, mona } = await day();
  const [ann, bea] = [await desk("ann"), await desk("bea", { viewport: { width: 360, height: 800 }, colorScheme: "dark", hasTouch: true, isMobile: true })];
  await count(ann, 50);
  assert.equal(await ann.title(), "(50) Desk · Moot console");
  assert.match(await waiting(ann).first().innerText(), /question 0 \?[^]*held alice in hall[^]*hold: a question/);
  await ann.getByTestId("moderators").getByText(/Also at the desk: .*bea/).waitFor();
  await bea.getByTestId("moderators").getByText(/Also at the desk: .*ann/).waitFor();

  // The text of a user is text: no link, no markup, and controls of direction are visible.
  const last = waiting(ann).filter({ hasText: "evil" });
  assert.match(await last.innerText(), /\[U\+202E\]evil\[U\+202C\] <b>bold<\/b> http:\/\/evil\.example[^]*reported mona in hall[^]*1 report: rude/);
  assert.deepEqual(await last.evaluate((li) => [li.querySelectorAll("b").length, [...li.querySelectorAll("a")].every((a) => a.hash.startsWith("#desk"))]), [0, true]);
  assert.match(await waiting(ann).filter({ hasText: "insult 0" }).innerText(), /2 reports: (rude, <i>insult<\/i>|<i>insult<\/i>, rude)/);
  await check(ann, "desk-1440-light");
  await check(bea, "desk-360-dark");

  // One key each; the focus stays in the list.
  await tab(ann, ".queue a.text");
  await ann.keyboard.press("r");
  await bob.heard("question 0 ?");
  await count(ann, 49);
  assert.match(await focused(ann), /question 1 \?/);
  await ann.keyboard.press("j");
  await ann.keyboard.press("k");
  await ann.keyboard.press("x");
  await count(ann, 48);
  await ann.keyboard.press("Enter");
  await ann.getByRole("heading", { name: "Held message", exact: true }).waitFor();
  await ann.getByRole("listitem").filter({ hasText: "talk before it" }).first().waitFor();
  await ann.getByRole("heading", { name: "Earlier decisions about the author's messages" }).waitFor();
  await ann.getByRole("region", { name: "Details" }).getByText("rejected by ann").waitFor();
  await check(ann, "desk-message-1440");

  // Both look at the same message, and are told so. Bea decides second.
  const id = new URLSearchParams(new URL(ann.url()).hash.split("?")[1]).get("held");
  await bea.evaluate((hash) => { location.hash = hash; }, new URL(ann.url()).hash);
  await bea.getByRole("heading", { name: "Held message", exact: true }).waitFor();
  await bea.getByTestId("lookers").getByText("ann looks at it too").waitFor();
  await ann.getByTestId("lookers").getByText("bea looks at it too").waitFor();
  await waiting(ann).getByText("bea looks at it").waitFor();
  await check(bea, "desk-message-360-dark");
  await bea.route(`**/held/${id}`, () => {}); // what she sees is a moment old: no answer arrives
  await ann.keyboard.press("r");
  await ann.getByTestId("decided").getByText("Released by ann").waitFor();
  await bea.getByRole("region", { name: "Details" }).getByRole("button", { name: "Reject" }).tap();
  await bea.getByText(/decided already.*release by ann/).first().waitFor();
  await count(ann, 47);
  await ann.keyboard.press("j"); // the next one, in the panel
  await ann.getByRole("region", { name: "Details" }).getByText("question 3 ?").first().waitFor();
  await ann.keyboard.press("Escape");
  await ann.getByRole("heading", { name: "Held message", exact: true }).waitFor({ state: "detached" });

  // Reports are dismissed and retracted from the list and, on the phone, from the panel with a reason.
  await down(ann, /insult 0/);
  await ann.keyboard.press("d");
  await ann.getByText("1 report dismissed.").waitFor();
  await count(ann, 46);
  assert.match(await focused(ann), /insult 1\n/);
  await ann.keyboard.press("t");
  await ann.getByText("1 report retracted.").waitFor();
  await count(ann, 45);
  await bea.goto(`http://${server.admin}/#desk`);
  await waiting(bea).filter({ hasText: "evil" }).getByRole("link").tap();
  await bea.getByRole("heading", { name: "Report", exact: true }).waitFor();
  await bea.getByRole("list", { name: "Reporters" }).getByText("carl").waitFor();
  await bea.getByLabel("Reason, for the reporters").fill("thank you");
  await check(bea, "desk-report-360-dark");
  await bea.getByRole("region", { name: "Details" }).getByRole("button", { name: "Retract" }).tap();
  await bea.getByTestId("decided").getByText("Retracted by bea").waitFor();
  assert.match(await bea.getByTestId("decided").innerText(), /: thank you\.$/);
  await count(ann, 44);
  const { messages } = await (await fetch(`http://${server.admin}/api/tenants/default/rooms/hall/messages?limit=200`, { headers: { Authorization: `Bearer ${keys.ann}` } })).json();
  const texts = messages.map(({ message }) => message);
  assert.deepEqual(["insult 0", "insult 1", "insult 2", evil].map((text) => texts.includes(text)), [true, false, true, false]);

  // A mute of the author of a reported message ends the report.
  await down(ann, /insult 2\n/);
  await ann.keyboard.press("2");
  await ann.getByText("mona: mute for 1 h.").waitFor();
  await count(ann, 43);
  assert.match((await mona.say("again")).error, /muted until/);

  // Several at once: a decision leaves out items of the other kind.
  await down(ann, /question 25/);
  await ann.keyboard.press(" ");
  await ann.keyboard.press("j");
  await ann.keyboard.press(" ");
  await check(ann, "desk-chosen-1440");
  await ann.keyboard.press("x");
  await ann.getByText("2 messages rejected.").waitFor();
  await count(ann, 41);
  await tab(ann, ".keys input[type=checkbox]", "Shift+Tab");
  await ann.keyboard.press(" ");
  await ann.keyboard.press("r");
  await ann.getByText("30 messages released.").waitFor();
  await ann.getByText("11 left out: Release is for held messages.").waitFor();
  await count(ann, 11); // they are still selected
  await ann.keyboard.press("d");
  await ann.getByText("11 reports dismissed.").waitFor();
  await ann.getByText("Nothing waits for a decision.").waitFor();
  await bob.heard(`question ${held - 1} ?`);
  assert.equal(await bob.page.evaluate(() => window.received.filter((frame) => /\?$/.test(frame.message)).length), 32);

  // The author of a held message is muted from the list; the message still waits.
  await alice.say("another ?");
  await waiting(ann).filter({ hasText: "another" }).waitFor();
  await tab(ann, ".queue a.text");
  await ann.keyboard.press("2");
  await ann.getByText(/alice: mute until/).waitFor();
  assert.match((await alice.say("and more")).error, /muted until/);
  await ann.keyboard.press("Enter");
  await ann.getByRole("heading", { name: "Held message", exact: true }).waitFor();
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1440, 360]) {
      await ann.emulateMedia({ colorScheme });
      await ann.setViewportSize({ width, height: 900 });
      await check(ann, `desk-last-${width}-${colorScheme}`);
    }
  }
  for (const page of [ann, bea]) page.complaints = page.complaints.filter((text) => !/ERR_FAILED/.test(text));
  await close(ann);
  await close(bea);
  for (const { page } of [alice, bob, carl, mona]) await page.close();
});

// hold sends messages of a user that are held, after one that is published, and returns the connection.
async function hold(user, ...texts) {
  const one = await talk(user);
  await one.say(`${user} begins`);
  for (const text of texts) await one.say(text);
  return one;
}

test("an item: slow answers about another one change nothing, and a history that cannot be read is an error", { timeout }, async () => {
  const olga = await hold("olga", "first of olga ?", "second of olga ?", "third of olga ?");
  const page = await desk("ann");
  const details = page.getByRole("region", { name: "Details" });
  const ids = {};
  for (const name of ["first", "second", "third"]) {
    const address = await waiting(page).getByRole("link", { name: `${name} of olga ?` }).getAttribute("href");
    ids[name] = new URLSearchParams(address.split("?")[1]).get("held");
  }
  let release;
  let requests = 0;
  const released = new Promise((resolve) => { release = resolve; });
  const history = /\/rooms\/hall\/messages\?/;
  await page.route(history, async (route) => {
    if (++requests === 1) await released; // that about the first message
    await route.continue();
  });
  const asked = page.waitForRequest(history);
  await waiting(page).getByRole("link", { name: "first of olga ?" }).click();
  await asked;
  await waiting(page).getByRole("link", { name: "second of olga ?" }).click();
  await details.locator("blockquote").getByText("second of olga ?").waitFor();
  await details.getByRole("listitem").filter({ hasText: "olga begins" }).first().waitFor();
  const late = page.waitForResponse(history);
  release();
  await late;
  for (let i = 0; i < 2; i++) await page.waitForResponse((r) => r.url().endsWith(`/held/${ids.second}`)); // the first of them is drawn
  assert.equal(await details.getByText("The history of the room has none.").count(), 0);

  // The first message itself arrives when the third one is awaited: the third is shown with its history at once.
  const gates = {};
  const opened = Object.fromEntries(["first", "third"].map((name) => [name, new Promise((open) => { gates[name] = open; })]));
  const held = /\/held\/[^/?]+$/;
  await page.route(held, async (route) => {
    await opened[route.request().url().endsWith(ids.first) ? "first" : "third"];
    await route.continue();
  });
  for (const name of ["first", "third"]) {
    const request = page.waitForRequest((r) => r.url().endsWith(`/held/${ids[name]}`));
    await waiting(page).getByRole("link", { name: `${name} of olga ?` }).click();
    await request;
  }
  const first = page.waitForResponse((r) => r.url().endsWith(`/held/${ids.first}`));
  gates.first();
  await first;
  gates.third();
  await details.locator("blockquote").getByText("third of olga ?").waitFor();
  assert.equal(await details.getByText("is not read yet").count(), 0);

  await page.unroute(history);
  await page.route(history, (route) => route.fulfill({ status: 503, json: { error: { code: "unavailable", message: "the store does not answer" } } }));
  await waiting(page).getByRole("link", { name: "first of olga ?" }).click();
  await details.getByText("The history cannot be read: the store does not answer").waitFor();
  assert.equal(await details.getByText("The room keeps no history.").count(), 0);
  await close(page);
  await olga.page.close();
});

test("a sanction of the author of several selected items is set once, and none of them stays selected", { timeout }, async () => {
  const [eve, carl] = [await hold("eve"), await talk("carl")];
  await eve.say("insult of eve");
  const { id } = await carl.heard("insult of eve");
  assert.equal((await carl.ask({ event: "report", room: "hall", id })).error, undefined);
  for (const text of ["first of eve ?", "second of eve ?"]) await eve.say(text);
  const page = await desk("ann");
  const sanctions = [];
  page.on("request", (r) => r.method() === "POST" && sanctions.push(new URL(r.url()).pathname.split("/").at(-1)));
  const items = waiting(page).filter({ hasText: "of eve" });
  const mute = page.getByRole("region", { name: "Queue" }).getByRole("button", { name: "Mute 1 h" });
  const selectAll = async (n) => {
    await items.nth(n - 1).waitFor();
    for (let i = 0; i < n; i++) await items.nth(i).getByRole("checkbox").check();
  };
  await selectAll(3);
  await mute.click();
  await page.getByText("eve: mute for 1 h.").waitFor();
  await items.filter({ hasText: "insult" }).waitFor({ state: "detached" });
  assert.deepEqual(sanctions, ["sanction"]); // of the report, which ends
  assert.equal(await items.getByRole("checkbox", { checked: true }).count(), 0);
  await selectAll(2);
  await mute.click();
  await page.getByText(/eve: mute until/).waitFor();
  await page.waitForFunction(() => !document.querySelector(".queue input:checked"));
  assert.deepEqual(sanctions, ["sanction", "sanctions"]);
  await close(page);
  for (const one of [eve, carl]) await one.page.close();
});
