import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { start } from "../../compat/nodetest/server.mjs";

const timeout = 60_000; // of each test, in ms
let server, browser, open = [];

before(async () => {
  server = await start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    // Chromium's sandbox needs rights that root does not have in a container; the other
    // flags turn off requests to the network.
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// A tab must end without an exception and without a violation of the content security
// policy.
afterEach(async () => {
  const tabs = open;
  open = [];
  for (const tab of tabs) await tab.page.close();
  for (const tab of tabs) assert.deepEqual(tab.complaints, []);
});

// openTab opens a tab that is connected to the server at. Its methods act like a user.
async function openTab(at = server) {
  const page = await browser.newPage(); // in a separate window: browsers slow down hidden tabs
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on("pageerror", (err) => complaints.push(err.message));
  page.on("console", (m) => m.type() === "error" && !/ERR_CONNECTION_REFUSED/.test(m.text()) && complaints.push(m.text()));
  page.on("request", (r) => r.url().includes(at.http) || complaints.push(`asked for ${r.url()}`));
  await page.goto(`http://${at.http}${at.path ?? "/"}`);
  const id = (name) => page.getByTestId(name);
  const tab = {
    page, complaints, id,
    state: (state) => page.locator(`#state[data-state="${state}"]`).waitFor(),
    room: (name) => id(`room-${name}`),
    toggle: (word, name) => id(`room-${name}`).getByRole("button", { name: `${word} ${name}` }).click(),
    joined: (name) => id(`room-${name}`).getByRole("button", { name: `Leave ${name}` }).waitFor(),
    join: async (name) => {
      await tab.toggle("Join", name);
      const alert = id(`room-${name}`).getByRole("alert");
      await id(`room-${name}`).getByRole("button", { name: `Leave ${name}` }).or(alert).waitFor();
      assert.deepEqual(await alert.allTextContents(), [], "the join is refused");
    },
    refused: async (name) => (await id(`room-${name}`).getByRole("alert").waitFor(), id(`room-${name}`).getByRole("alert").textContent()),
    say: async (text) => (await id("say-text").fill(text), await id("say-text").press("Enter")),
    message: (text) => page.locator(".message:visible", { hasText: text }).last(),
    hears: async (text) => (await tab.message(text).waitFor(), tab.message(text)),
  };
  open.push(tab);
  await tab.state("connected");
  return tab;
}

test("two tabs exchange messages", { timeout }, async () => {
  const [ann, bob] = [await openTab(), await openTab()];
  await ann.join("defaultRoom");
  await bob.join("defaultRoom");
  await ann.say("good day");
  assert.equal(await (await ann.hears("good day")).locator(".from").textContent(), "you");
  const annID = await ann.id("connection-id").textContent();
  assert.equal(await (await bob.hears("good day")).locator(".from").getAttribute("title"), annID);
  await bob.say("and to you");
  await ann.hears("and to you");
  await ann.page.getByText("2 members").waitFor();
  await ann.id("members-count").click();
  assert.equal(await ann.id("members-list").getByRole("listitem").count(), 2);
});

test("joins and leaves are announced by the system", { timeout }, async () => {
  const [stays, goes] = [await openTab(), await openTab()];
  await stays.join("defaultRoom");
  await goes.join("defaultRoom");
  const id = await goes.id("connection-id").textContent();
  const joined = await stays.hears(`${id} joined`);
  assert.match(await joined.getAttribute("class"), /system/);
  await goes.toggle("Leave", "defaultRoom");
  await stays.hears(`${id} left`);
  await stays.page.getByText("1 member", { exact: true }).waitFor();
});

test("a rewritten message shows its original to the sender", { timeout }, async () => {
  const [ann, bob] = [await openTab(), await openTab()];
  await ann.join("otherRoom");
  await bob.join("otherRoom");
  await ann.say("oh darn it");
  assert.equal(await (await bob.hears("oh **** it")).locator(".text").textContent(), "oh **** it");
  await (await ann.hears("oh **** it")).getByText("you wrote: oh darn it").waitFor();
  assert.equal(await bob.message("darn").count(), 0);
});

test("markup is text", { timeout }, async () => {
  const tab = await openTab();
  await tab.join("defaultRoom");
  const markup = `<img src=x onerror="document.title='owned'"><b>bold</b>`;
  await tab.say(markup);
  assert.equal(await (await tab.hears("bold")).locator(".text").textContent(), markup);
  assert.equal(await tab.page.locator(".message img, .message .text b").count(), 0);
});

test("gate refuses a join until the login", { timeout }, async () => {
  const tab = await openTab();
  await tab.toggle("Join", "secure");
  assert.equal(await tab.refused("secure"), "secure: members only: log in first");
  const login = tab.id("action-login");
  await login.getByLabel("token").fill("wrong");
  await login.getByRole("button", { name: "Run login" }).click();
  await login.getByText("unknown token").waitFor();
  await login.getByLabel("token").fill("letmein");
  await login.getByLabel("token").press("Enter");
  await login.getByText("role: member").waitFor();
  await tab.join("secure");
  assert.equal(await tab.room("secure").getByRole("alert").count(), 0);
  await tab.say("inside");
  await tab.hears("inside");
});

test("errors are shown beside their cause", { timeout }, async () => {
  const tab = await openTab();
  await tab.id("join-room").fill("nowhere");
  await tab.id("join-room").press("Enter");
  assert.equal(await tab.refused("nowhere"), "nowhere: room does not exist");
  await tab.id("action-login").getByRole("button").click();
  await tab.id("action-login").getByText("token is a required parameter for this action").waitFor();
  await tab.join("defaultRoom");
});

test("each room has a log and a count of unread messages", { timeout }, async () => {
  const [ann, bob] = [await openTab(), await openTab()];
  await ann.join("otherRoom");
  await ann.join("defaultRoom");
  await bob.join("otherRoom");
  await bob.say("over here");
  await ann.room("otherRoom").locator(".unread:visible").waitFor();
  assert.equal(await ann.message("over here").count(), 0);
  await ann.room("otherRoom").getByRole("button", { name: /^otherRoom/ }).click();
  await ann.hears("over here");
  assert.equal(await ann.room("otherRoom").locator(".unread:visible").count(), 0);
  assert.equal(await ann.id("room-title").textContent(), "otherRoom");
});

test("works from the keyboard", { timeout }, async () => {
  const tab = await openTab(), { keyboard } = tab.page;
  const focused = () => tab.page.evaluate(() => document.activeElement.ariaLabel || document.activeElement.id);
  for (let n = 0; (await focused()) !== "Join defaultRoom"; n++) {
    assert.ok(n < 20, "Tab reaches the button that joins");
    await keyboard.press("Tab");
  }
  await keyboard.press("Enter");
  await tab.joined("defaultRoom");
  await tab.page.locator("#say-text:focus").waitFor();
  await keyboard.type("by hand");
  await keyboard.press("Enter");
  await tab.hears("by hand");
  const log = tab.page.getByRole("log", { name: "Messages in defaultRoom" });
  assert.equal(await log.getAttribute("aria-live"), "polite");
  await log.focus();
});

test("fits a narrow window", { timeout }, async () => {
  const tab = await openTab();
  await tab.page.setViewportSize({ width: 360, height: 740 });
  await tab.join("defaultRoom");
  await tab.say("word".repeat(200));
  await tab.hears("wordword");
  await tab.toggle("Join", "secure");
  await tab.refused("secure");
  assert.equal(await tab.page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
});

// serving runs a test against a new server with these settings.
const serving = (more, run) => async () => {
  const other = await start({ more });
  try {
    await run(other);
    for (const tab of open) await tab.page.close(); // errors of a stopped server are not failures
  } finally {
    await other.stop();
  }
};

const odd = fileURLToPath(new URL("testdata/odd.js", import.meta.url));

test("inputs named like properties of forms, and invalid times", { timeout },
  serving({ "modules.odd.script": odd, "tenants.default.chain": "[{ module: odd }]" }, async (other) => {
    const tab = await openTab(other), survey = tab.id("action-survey"), after = tab.id("action-after");
    await survey.getByLabel("querySelector (optional)").fill("one");
    await survey.getByLabel("elements (optional)").fill("two");
    await survey.getByRole("button", { name: "Run survey" }).click();
    const heard = await survey.getByText("heard:").textContent();
    assert.match(heard, /"querySelector":"one"/);
    assert.match(heard, /"elements":"two"/);
    await after.getByLabel("last").fill("x");
    await after.getByLabel("last").press("Enter");
    await after.getByText("last: x").waitFor();

    await tab.join("defaultRoom");
    await tab.say("late");
    const late = await tab.hears("late");
    assert.equal(await late.locator("time").isVisible(), false);
    await tab.say("in time");
    assert.equal(await (await tab.hears("in time")).locator("time").isVisible(), true);
  }));

test("messages of operators without from and sentAt", { timeout }, async () => {
  const tab = await openTab();
  await tab.join("defaultRoom");
  const id = await tab.id("connection-id").textContent();
  const send = async (body) => {
    const answer = await fetch(`http://${server.admin}/api/tenants/default/connections/${id}/messages`, {
      method: "POST", headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" }, body: JSON.stringify(body),
    });
    assert.equal(answer.status, 204, await answer.text());
  };
  await send({ message: { room: "defaultRoom", message: "from nobody" } });
  await send({ message: { room: "defaultRoom", message: "from a number", from: 7, sentAt: "now" } });
  await send({ message: { room: ["no room"], message: "nowhere" } });
  assert.equal(await (await tab.hears("from nobody")).locator(".from").textContent(), "unknown");
  assert.equal(await (await tab.hears("from a number")).locator(".from").textContent(), "7");
});

test("the rooms of the tenant are listed; a note if there are none", { timeout }, serving({
  tenants: "{ default: { rooms: { starting: [] }, chain: [] }, acme: { match: { path: /acme }, rooms: { starting: [den, attic] } } }",
}, async (other) => {
  const acme = await openTab({ ...other, path: "/acme" });
  await acme.join("attic");
  assert.deepEqual(await acme.id("rooms").getByRole("listitem").locator(".name").allTextContents(), ["den", "attic"]);
  assert.equal(await acme.id("rooms-note").isVisible(), false);
  const bare = await openTab(other);
  await bare.id("rooms-note").waitFor();
  assert.equal(await bare.id("rooms").getByRole("listitem").count(), 0);
  await bare.page.getByText("This server's modules have no actions.").waitFor();
}));

test("the page can be turned off", { timeout }, serving({ "http.demo": "false" }, async (other) => {
  for (const path of ["/", "/app.js", "/rooms.json"]) {
    assert.equal((await fetch(`http://${other.http}${path}`)).status, 404);
  }
}));

test("the page reconnects to a restarted server and rejoins its rooms", { timeout }, async () => {
  const [ann, bob] = [await openTab(), await openTab()];
  for (const tab of [ann, bob]) await tab.join("defaultRoom");
  await ann.join("otherRoom");
  await ann.toggle("Leave", "otherRoom");
  const before = await ann.id("connection-id").textContent();
  await server.stop();
  await ann.state("waiting");
  assert.ok(await ann.id("reconnect").isVisible());
  server = await start(server);
  for (const tab of [ann, bob]) {
    await tab.state("connected");
    await tab.joined("defaultRoom");
  }
  assert.notEqual(await ann.id("connection-id").textContent(), before);
  await ann.room("otherRoom").getByRole("button", { name: "Join otherRoom" }).waitFor();
  await ann.room("defaultRoom").getByRole("button", { name: /^defaultRoom/ }).click();
  await ann.say("still here");
  await bob.hears("still here"); // in the room that is shown
});
