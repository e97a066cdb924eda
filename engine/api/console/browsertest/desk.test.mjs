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
  server = await start({ more: { "admin.keys": JSON.stringify(Object.entries(keys).map(([name, key]) => ({ name, key, role: "moderator", tenants: ["default"] }))) } });
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
    say: (message) => page.evaluate((text) => window.ask({ event: "say", room: "hall", message: text }), message),
    heard: (message) => page.waitForFunction((text) => window.received.some((frame) => frame.message === text), message),
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
  await page.getByRole("button", { name: "Mute 10 min", exact: true }).click();
  await page.getByText(/mallory: mute until/).waitFor();
  assert.match((await mallory.say("hello")).error, /muted until/);
  await page.getByRole("table", { name: "Sanctions of mallory" }).getByText("ann").waitFor();
  await check(page, "desk-person");
  await page.getByRole("table", { name: "Sanctions of mallory" }).getByRole("button", { name: "Remove the mute of mallory" }).click();
  await page.getByTestId("question").getByRole("button", { name: "Remove" }).click();
  await page.getByText("The mute of mallory is removed.").first().waitFor();
  assert.equal((await mallory.say("hello again")).error, undefined);
  await page.getByRole("button", { name: "Ban", exact: true }).click();
  await page.getByTestId("question").getByLabel("Reason, for the user").fill("enough");
  await page.getByTestId("question").getByRole("button", { name: "Ban" }).click();
  await page.getByText(/mallory: ban without an end/).waitFor();
  await mallory.page.waitForFunction(() => window.ended);
  await page.getByRole("table", { name: "Sanctions", exact: true }).getByRole("row").filter({ hasText: "enough" }).waitFor();
  await close(page);
  await mallory.page.close();
});

test("an hour of two moderators: 50 held messages, by keyboard alone, several at once, and a second decision", { timeout }, async () => {
  const [alice, bob] = [await talk("alice"), await talk("bob")];
  await bob.say("talk before it");
  const evil = "\u202Eevil\u202C <b>bold</b> http://evil.example ?";
  for (let i = 0; i < 49; i++) assert.ok((await alice.say(`question ${i} ?`)).held ?? true);
  await alice.say(evil);
  const [ann, bea] = [await desk("ann"), await desk("bea", { viewport: { width: 360, height: 800 }, colorScheme: "dark" })];
  await ann.getByText("Waiting messages: 50").waitFor();
  assert.match(await waiting(ann).first().innerText(), /question 0 \?[^]*alice in hall[^]*hold: a question/);

  // The text of a user is text: no link, no markup, and controls of direction are visible.
  const last = waiting(ann).last();
  assert.match(await last.innerText(), /\[U\+202E\]evil\[U\+202C\] <b>bold<\/b> http:\/\/evil\.example/);
  assert.deepEqual(await last.evaluate((li) => [li.querySelectorAll("b").length, [...li.querySelectorAll("a")].every((a) => a.hash.startsWith("#desk"))]), [0, true]);
  await check(ann, "desk-1440-light");
  await check(bea, "desk-360-dark");

  // One key each; the focus stays in the list.
  await waiting(ann).first().getByRole("link").focus();
  await ann.keyboard.press("r");
  await bob.heard("question 0 ?");
  await ann.getByText("Waiting messages: 49").waitFor();
  await ann.keyboard.press("j");
  await ann.keyboard.press("k");
  await ann.keyboard.press("x");
  await ann.getByText("Waiting messages: 48").waitFor();
  await ann.keyboard.press("Enter");
  await ann.getByRole("heading", { name: "Waiting message", exact: true }).waitFor();
  await ann.getByRole("listitem").filter({ hasText: "talk before it" }).first().waitFor();
  await check(ann, "desk-message-1440");

  // Bea has the same message before her, and comes second.
  const id = new URLSearchParams(new URL(ann.url()).hash.split("?")[1]).get("held");
  await bea.evaluate((hash) => { location.hash = hash; }, new URL(ann.url()).hash);
  await bea.getByRole("heading", { name: "Waiting message", exact: true }).waitFor();
  await check(bea, "desk-message-360-dark");
  await bea.route(`**/held/${id}`, () => {}); // what she sees is a moment old: no answer arrives
  await ann.getByRole("region", { name: "Details" }).getByRole("button", { name: "Release" }).click();
  await ann.getByTestId("decided").getByText("Released by ann").waitFor();
  await bea.getByRole("region", { name: "Details" }).getByRole("button", { name: "Reject" }).click();
  await bea.getByText(/decided already.*release by ann/).first().waitFor();
  await ann.keyboard.press("Escape");

  // Several at once.
  await ann.getByText("Waiting messages: 47").waitFor();
  await waiting(ann).first().getByRole("link").focus();
  for (let i = 0; i < 3; i++) {
    await ann.keyboard.press(" ");
    await ann.keyboard.press("j");
  }
  await ann.keyboard.press("x");
  await ann.getByText("3 messages rejected.").waitFor();
  await ann.getByLabel("All", { exact: true }).check();
  await ann.getByRole("button", { name: "Release [r]" }).click();
  await ann.getByText("44 messages released.").waitFor();
  await ann.getByText("No message waits.").waitFor();
  await bob.heard(evil);
  assert.equal(await bob.page.evaluate(() => window.received.filter((frame) => /\?$/.test(frame.message)).length), 46);

  // The author of what waits is muted from the list.
  await alice.say("another ?");
  await waiting(ann).filter({ hasText: "another" }).getByRole("link").focus();
  await ann.keyboard.press("2");
  await ann.getByText(/alice: mute until/).waitFor();
  assert.match((await alice.say("and more")).error, /muted until/);
  for (const page of [ann, bea]) page.complaints = page.complaints.filter((text) => !/ERR_FAILED/.test(text));
  await close(ann);
  await close(bea);
  for (const { page } of [alice, bob]) await page.close();
});
