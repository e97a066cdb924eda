// The console of a server with ten thousand tenants.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { start } from "../../../compat/nodetest/server.mjs";

const timeout = 120_000; // of one test, in ms
const patience = Number(process.env.PATIENCE || timeout / 2); // with one element, in ms
const many = 10_000;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let folder, server, browser;

// config writes a configuration with many tenants, 500 in a file. Those whose number ends with 000 have a rule.
async function config() {
  await writeFile(join(folder, "rule.lua"), `moot.on("onSayReceive", function(event) if event.message == "no" then return moot.deny("never") end end)\n`);
  await writeFile(join(folder, "config.yaml"), `
modules: { rule: { script: rule.lua } }
include: ["tenants/*.yaml"]
tenants:
  default: { rooms: { starting: [hall] }, chain: [{ module: rule, timeout: 10s }] } # a busy machine takes its time
`);
  await mkdir(join(folder, "tenants"));
  for (let from = 0; from < many - 1; from += 500) {
    const tenants = Array.from({ length: Math.min(500, many - 1 - from) }, (_, i) => String(from + i).padStart(5, "0"))
      .map((n) => `  t${n}: { match: { host: [t${n}.test] }, rooms: { starting: [room-${n}] }${n.endsWith("000") ? ", chain: [{ module: rule, timeout: 10s }]" : ""} }\n`);
    await writeFile(join(folder, "tenants", `${from}.yaml`), `tenants:\n${tenants.join("")}`);
  }
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "console-"));
  await config();
  process.env.MOOT_CONFIG = join(folder, "config.yaml");
  server = await start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

// look opens a view, and counts the bytes of the answers of the API.
async function look(view, options = {}) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, bypassCSP: true, ...options });
  page.setDefaultTimeout(patience);
  page.complaints = [];
  page.received = 0;
  page.on("pageerror", (err) => page.complaints.push(err.message));
  page.on("response", async (r) => { if (r.url().includes("/api/")) page.received += (await r.body().catch(() => "")).length; });
  await page.goto(`http://${server.admin}/#${view}`);
  await page.getByLabel("Key").fill(server.key);
  await page.keyboard.press("Enter");
  await page.getByTestId("state").filter({ hasText: "all tenants" }).waitFor();
  return page;
}

async function close(page) {
  assert.deepEqual(page.complaints, []);
  await page.close();
}

const rowsOf = (page, name) => page.getByRole("table", { name, exact: true }).getByRole("row");

// talk makes the rule of the tenant default deny a message.
async function talk() {
  const page = await browser.newPage();
  await page.goto(`http://${server.http}/`);
  await page.evaluate(() => new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${location.host}/ws`);
    socket.onerror = reject;
    socket.onmessage = ({ data }) => data.includes("never") && resolve();
    socket.onopen = () => ["roomAdd", "say", "say"].forEach((event, i) => socket.send(JSON.stringify({ event, room: "hall", message: i === 2 ? "no" : "yes", messageId: i })));
  }));
  await page.close();
}

test("the overview has a page of tenants, the others by search, and the costliest", { timeout }, async () => {
  await talk();
  const page = await look("overview");
  await rowsOf(page, "Tenants").filter({ hasText: "t00023" }).waitFor();
  assert.equal(await rowsOf(page, "Tenants").count(), 26);
  await rowsOf(page, "Costs").filter({ hasText: "default" }).waitFor(); // the first tenant of the load costs more: its start makes the image
  assert.match(await rowsOf(page, "Use of modules").nth(1).textContent(), /11/); // bindings

  await page.getByRole("button", { name: "Next" }).click();
  await rowsOf(page, "Tenants").filter({ hasText: "t00024" }).waitFor();
  await page.getByRole("status").getByText("Page 2").waitFor();
  await page.getByRole("button", { name: "Previous" }).click();
  await rowsOf(page, "Tenants").filter({ hasText: "default" }).waitFor();

  await page.getByLabel("Tenant name contains").fill("777");
  await rowsOf(page, "Tenants").filter({ hasText: "t07770" }).waitFor();
  await page.getByLabel("Tenant name contains").fill("t09997");
  await page.waitForFunction(() => document.querySelectorAll('[aria-label="Tenants"] tbody tr').length === 1);
  // The list and the focus stay while the page is updated.
  await page.getByRole("link", { name: "1 rooms of t09997" }).focus();
  await page.waitForFunction((old) => document.getElementById("clock").textContent !== old, await page.getByTestId("clock").textContent());
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "room-09997" }).waitFor();
  await close(page);
});

test("a round of the page costs the same as with a few tenants", { timeout }, async () => {
  const page = await look("overview");
  await rowsOf(page, "Tenants").first().waitFor();
  page.received = 0;
  const before = await page.getByTestId("clock").textContent();
  await page.waitForFunction((old) => document.getElementById("clock").textContent !== old, before);
  await page.waitForTimeout(500); // for the list, which is requested after the round
  assert.ok(page.received > 0 && page.received < 40_000, `a round took ${page.received} bytes`);
  await close(page);
});

test("modules, rooms, decisions and the playground find a tenant by name", { timeout }, async () => {
  const page = await look("modules");
  await rowsOf(page, "Compiled modules").filter({ hasText: "11" }).waitFor();
  await page.getByLabel("Tenant name contains").fill("t03");
  await rowsOf(page, "Modules").filter({ hasText: "t03000" }).waitFor();

  await page.getByRole("link", { name: "Rooms" }).click();
  const tenant = page.getByLabel("Tenant", { exact: true });
  await page.getByRole("link", { name: "hall" }).waitFor();
  await tenant.fill("0424");
  await page.locator("datalist option[value=t04242]").waitFor({ state: "attached" });
  assert.ok(await page.locator("datalist option").count() <= 20);
  await tenant.fill("t04242");
  await page.getByRole("link", { name: "room-04242" }).waitFor();
  await tenant.fill("nobody");
  await page.keyboard.press("Enter");
  await page.getByText("no such tenant").waitFor();

  await page.getByRole("link", { name: "Decisions" }).click();
  await rowsOf(page, "Decisions").filter({ hasText: "deny" }).first().waitFor();
  await tenant.fill("t00001");
  await page.keyboard.press("Enter");
  await page.getByText("No decisions.").waitFor();
  await tenant.fill("default");
  await page.keyboard.press("Enter");
  await rowsOf(page, "Decisions").filter({ hasText: "deny" }).first().waitFor();

  await page.getByRole("link", { name: "Playground" }).click();
  await page.getByLabel("Module").waitFor();
  await tenant.fill("t00001");
  await page.keyboard.press("Enter");
  await page.getByText("Tenant t00001 has no module in its chain.").waitFor();
  await tenant.fill("t09000");
  await page.keyboard.press("Enter");
  await page.getByTestId("message").fill("no");
  assert.equal(await call(page), "deny");
  await close(page);
});

// call calls the module of the playground, and again when the page offers it because the machine was too slow. It returns
// the verdict; an error has the answer that the page showed in place of one.
async function call(page) {
  const answer = page.getByTestId("answer");
  const verdict = answer.getByTestId("verdict");
  const again = answer.getByRole("button", { name: "Try again" });
  const ready = page.locator("button.main:enabled");
  await ready.or(again).waitFor({ timeout });
  while (await again.isVisible()) await repeat();
  await ready.click();
  await verdict.or(again).or(answer.locator(".note")).first().waitFor({ timeout });
  while (await again.isVisible()) await repeat();
  assert.ok(await verdict.isVisible(), `the playground shows: ${await answer.innerText()}`);
  return verdict.textContent();

  async function repeat() {
    await again.click();
    await answer.getByText(/starts\.|is called\./).waitFor({ state: "hidden", timeout });
  }
}

// Views in both colour schemes, on a desktop and on a phone.
for (const colorScheme of ["light", "dark"]) {
  for (const width of [1440, 360]) {
    test(`axe finds nothing: ${colorScheme}, ${width} px`, { timeout }, async () => {
      const page = await look("overview", { viewport: { width, height: 900 }, colorScheme });
      await page.evaluate(axe);
      for (const [view, table] of [["Overview", "Tenants"], ["Modules", "Modules"], ["Rooms", "Rooms"], ["Connections", ""], ["Desk", ""], ["Decisions", "Decisions"], ["Playground", "Module"], ["Events", ""]]) {
        await page.getByRole("link", { name: view, exact: true }).click();
        if (view === "Playground") await page.locator("button.main:enabled").waitFor();
        else if (table) await page.getByRole("table", { name: table, exact: true }).waitFor();
        else await page.getByText(/^(No (connections|sanctions)|Tenant default has no event sinks)\.$/).first().waitFor();
        const { violations } = await page.evaluate(() => window.axe.run());
        assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(", ")}`), [], view);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.equal(wide, 0, `${view} is ${wide} px too wide`);
        if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `many-${view}-${colorScheme}-${width}.png`), fullPage: true });
      }
      await close(page);
    });
  }
}
