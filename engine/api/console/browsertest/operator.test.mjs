// An operator's night: two nodes on one Redis, and what goes wrong with them.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHTTP } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { start } from "../../../compat/nodetest/server.mjs";

const timeout = 120_000; // of one test, in ms
const patience = Number(process.env.PATIENCE || timeout / 2); // with one element, in ms
let folder, redis, nodes, browser, page, complaints, receiver;

const rules = (reason) => `moot.on("onSayReceive", function(event)
  if event.message == "boom" then error("the rule is broken") end
  if event.message == "no" then return moot.deny("${reason}") end
end)
`;

async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "operator-"));
  const at = (name) => join(folder, name);
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-subj", "/CN=localhost", "-keyout", at("tls.key"), "-out", at("tls.pem")], { stdio: "ignore" });
  await writeFile(at("rule.lua"), rules("never"));
  receiver = createHTTP((request, response) => request.resume().on("end", () => { response.writeHead(receiver.status).end(receiver.status === 200 ? "" : "not today"); receiver.requests++; }));
  Object.assign(receiver, { status: 200, requests: 0 });
  await once(receiver.listen(0, "127.0.0.1"), "listening");
  await writeFile(at("config.yaml"), `
modules: { rule: { script: rule.lua } }
decisions: { text: true }
tenants:
  default:
    rooms: { starting: [hall, flood] }
    chain: [{ module: rule, room: hall, timeout: 10s, breaker: { minimum: 3, cooldown: 60s } }]
    events: [{ name: crm, url: "http://127.0.0.1:${receiver.address().port}/", secrets: [whsec_${Buffer.alloc(32, 7).toString("base64")}], kinds: [room.created] }]
  calm: { match: { host: [calm.test] } }
`);
  process.env.MOOT_CONFIG = at("config.yaml");
  const port = await freePort();
  redis = spawn("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder], { stdio: "ignore" });
  process.once("exit", () => redis.kill("SIGKILL"));
  const more = (node) => ({ "cluster.backend": "redis", "cluster.redis.addresses": `[127.0.0.1:${port}]`, "cluster.node": node, "cluster.publishTimeout": "1s", "cluster.lease": "30s",
    ...(node === "one" ? { "socket.tls.cert": at("tls.pem"), "socket.tls.key": at("tls.key") } : {}) });
  nodes = [await start({ more: more("one") }), await start({ more: more("two") })];
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(patience);
  complaints = [];
  page.on("pageerror", (err) => complaints.push(err.message));
  await page.goto(`http://${nodes[0].admin}/#overview`);
  await page.getByLabel("Key").fill(nodes[0].key);
  await page.keyboard.press("Enter");
});
after(async () => {
  await browser?.close();
  for (const node of nodes ?? []) await node.kill();
  redis?.kill("SIGKILL");
  receiver?.close();
  receiver?.closeAllConnections();
  await rm(folder, { recursive: true, force: true });
});

const trouble = (text) => page.getByTestId("troubles").getByText(text).first();
const photograph = (name) => process.env.SCREENSHOTS && page.screenshot({ path: join(process.env.SCREENSHOTS, `night-${name}.png`), fullPage: true });

// talk joins a room of a node at a host, and returns a page with ask(frame).
async function talk(host, room) {
  const client = await browser.newPage();
  client.setDefaultTimeout(patience);
  await client.goto(`http://${nodes[0].http}/`);
  await client.evaluate(([url, joined]) => new Promise((resolve, reject) => {
    const answered = new Map();
    const socket = new WebSocket(url);
    socket.onerror = reject;
    socket.onclose = () => { window.ended = true; };
    socket.onmessage = ({ data }) => { const frame = JSON.parse(data); if (frame.context === "response") answered.get(frame.messageId)?.(frame); };
    let id = 0;
    window.ask = (frame) => new Promise((done) => { answered.set(`m${id += 1}`, done); socket.send(JSON.stringify({ room: joined, ...frame, messageId: `m${id}` })); });
    socket.onopen = () => window.ask({ event: "roomAdd" }).then(resolve);
  }), [`ws://${host}/ws`, room]);
  return { client, say: (message, times = 1) => client.evaluate(async ([text, n]) => { for (; n > 0; n--) await window.ask({ event: "say", message: text }); }, [message, times]) };
}

test("a certificate that expires, and nodes on different rules", { timeout }, async () => {
  await page.getByRole("table", { name: "Nodes" }).getByRole("row").nth(2).waitFor();
  await trouble(/The certificate of socket\.listen on node one expires in 2 d/).waitFor();
  await writeFile(join(folder, "rule.lua"), rules("not today"));
  await fetch(`http://${nodes[0].admin}/api/reload`, { method: "POST", headers: { Authorization: `Bearer ${nodes[0].key}` } });
  await trouble(/Nodes run different rules: [0-9a-f]{8} on one; [0-9a-f]{8} on two\./).waitFor();
  await photograph("rules");
  await page.getByRole("link", { name: "Modules" }).click();
  await page.getByRole("button", { name: "Reload all nodes" }).click();
  await page.getByTestId("result").getByText("done on all nodes").waitFor();
  await trouble(/different rules/).waitFor({ state: "detached" });
});

test("an open breaker is named with its cause", { timeout }, async () => {
  const { client, say } = await talk(nodes[0].http, "hall");
  await say("boom", 5);
  await trouble(/Module rule of tenant default failed too often on node one and is not called/).waitFor();
  await trouble(/rule\.lua:2.*the rule is broken/).waitFor();
  await photograph("breaker");
  await client.close();
});

test("a hostile tenant is found by its messages, and its client is stopped", { timeout }, async () => {
  const { client, say } = await talk(nodes[0].http, "flood");
  await say("spam", 50);
  await page.getByRole("link", { name: "Overview" }).click();
  const tenants = page.getByRole("table", { name: "Tenants", exact: true });
  await tenants.getByRole("row").nth(1).filter({ hasText: "calm" }).waitFor();
  await tenants.getByRole("button", { name: "messages" }).click();
  await tenants.getByRole("row").nth(1).filter({ hasText: "default" }).waitFor();
  assert.equal(await tenants.getByRole("columnheader", { name: "messages" }).getAttribute("aria-sort"), "descending");
  await tenants.getByRole("link", { name: "2 rooms of default" }).click();
  await page.getByRole("link", { name: "flood" }).click();
  await page.getByRole("table", { name: "Members of flood" }).getByRole("link").first().click();
  await page.getByRole("button", { name: "Close the connection" }).click();
  await page.getByTestId("question").getByRole("button", { name: "Close" }).click();
  await client.waitForFunction(() => window.ended);
  await page.getByText("The connection does not exist any more.").waitFor();
  await photograph("closed");
  await client.close();
});

test("a sink that is down, and its dead letters", { timeout }, async () => {
  const create = (room) => fetch(`http://${nodes[0].admin}/api/tenants/default/rooms/${room}`, { method: "PUT", headers: { Authorization: `Bearer ${nodes[0].key}` } });
  receiver.status = 503;
  await create("first");
  await trouble(/Sink crm of tenant default is down: the last \d+ deliveries failed\. 1 event waits/).waitFor();
  await trouble(/503/).waitFor();
  await photograph("sink");
  await page.getByTestId("troubles").getByRole("link", { name: "Show the sink" }).first().click();
  await page.getByRole("heading", { name: "Sink crm" }).waitFor();
  await page.getByRole("region", { name: "Details" }).getByText(/fails: \d+ times/).waitFor();
  await page.getByRole("button", { name: "Send a test event" }).click();
  await page.getByTestId("result").getByText("The sink did not accept a test event").waitFor();
  await page.getByTestId("result").getByText("not today").waitFor();

  receiver.status = 422; // the sink rejects the event
  await page.getByRole("heading", { name: "Dead letters: 1" }).waitFor();
  await page.getByRole("table", { name: "Dead letters" }).getByText("room.created").waitFor();
  await trouble(/Sink crm of tenant default has 1 dead letter/).waitFor();
  await photograph("dead-letters");
  receiver.status = 200;
  const before = receiver.requests;
  await page.getByRole("button", { name: /^Deliver evt_.* again$/ }).click();
  await page.getByTestId("result").getByText("1 event is delivered again.").waitFor();
  await page.getByRole("heading", { name: "Dead letters: 0" }).waitFor();
  await trouble(/Sink crm/).waitFor({ state: "detached" });
  await page.getByRole("region", { name: "Details" }).getByText("nothing waits").waitFor();
  assert.ok(receiver.requests > before);
  await page.getByRole("button", { name: "Send a test event" }).click();
  await page.getByTestId("result").getByText("The sink accepted a test event: 200").waitFor();

  receiver.status = 422;
  await create("second");
  await page.getByRole("heading", { name: "Dead letters: 1" }).waitFor();
  await page.getByRole("button", { name: "Drop all dead letters" }).click();
  await page.getByTestId("question").getByRole("button", { name: "Drop" }).click();
  await page.getByTestId("result").getByText("1 event is dropped.").waitFor();
  await page.getByText("There are no dead letters.").waitFor();
});

test("a dead node, and a Redis that is away", { timeout }, async () => {
  await page.getByRole("link", { name: "Overview" }).click();
  await nodes[1].kill();
  await trouble(/Node two does not answer/).waitFor();
  await photograph("dead");
  redis.kill("SIGKILL");
  await trouble(/The cluster does not answer|has no cluster/).waitFor();
  assert.match(await page.getByTestId("troubles").innerText(), /Redis/);
  await photograph("redis");
  assert.deepEqual(complaints, []);
});
