// Checks the package as npm publishes it: installed from its tarball, in ESM, CommonJS and TypeScript.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";

const here = import.meta.dirname, tsc = join(here, "node_modules/typescript/bin/tsc"), maxBytes = 6 * 1024;
const names = "Client,CloseCode,ClosedError,LostError,VerbError";
let folder;

// run runs Node.js in the folder of the project that uses the package.
const run = (...args) => execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const check = (file) => run(tsc, "--noEmit", "--strict", "--target", "ES2022", "--lib", "ES2022,DOM", "--module", "NodeNext", file);

before(() => {
  folder = mkdtempSync(join(tmpdir(), "moot-client-"));
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { cwd: here, encoding: "utf8" }));
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], { cwd: folder, stdio: "pipe" });
});
after(() => rmSync(folder, { recursive: true, force: true }));

test("the package has its licence and nothing else of the repository", () => {
  const root = join(folder, "node_modules/@mootchat/client");
  assert.deepEqual(readdirSync(root).sort(), ["LICENSE", "README.md", "dist", "package.json"]);
  assert.equal(readFileSync(join(root, "LICENSE"), "utf8"), readFileSync(join(here, "../../LICENSE"), "utf8"));
  assert.equal(JSON.parse(readFileSync(join(root, "package.json"))).repository.directory, "sdk/client");
});

test("it can be imported as an ES module and required", () => {
  writeFileSync(join(folder, "a.mjs"), 'import * as all from "@mootchat/client"; console.log(Object.keys(all).sort().join());');
  writeFileSync(join(folder, "a.cjs"), 'console.log(Object.keys(require("@mootchat/client")).sort().join());');
  for (const file of ["a.mjs", "a.cjs"]) assert.equal(run(file).trim(), names);
});

test("its types fit ES modules and CommonJS", () => {
  const program = `
    import { Client, CloseCode, type Message } from "@mootchat/client";
    const client = new Client("ws://localhost");
    const off: () => void = client.once("message", (m) => console.log((m as Message<{ color: string }>).color.length));
    client.on("state", ({ code, reason }) => code === CloseCode.shutdown && console.log(reason));
    void client.join("r", { history: 5 }).then(({ history }) => history?.messages.length);
    void client.say("r", { a: [1] });
    off();`;
  for (const file of ["b.mts", "b.cts"]) {
    writeFileSync(join(folder, file), program);
    check(file);
  }
  writeFileSync(join(folder, "c.mts"), 'import { Client } from "@mootchat/client"; void new Client("ws://localhost").say("r", () => 1);');
  assert.throws(() => check("c.mts"), (err) => /error TS2345/.test(err.stdout));
});

test("its code is at most 6 KiB with gzip", () => {
  const dist = join(here, "dist"), code = readdirSync(dist).filter((name) => name.endsWith(".js")).map((name) => readFileSync(join(dist, name)));
  const size = gzipSync(Buffer.concat(code), { level: 9 }).length;
  assert.ok(size > 1000 && size <= maxBytes, `${size} bytes`);
});
