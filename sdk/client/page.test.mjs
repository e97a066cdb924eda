// Runs the programs that the README shows.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { start } from "../../engine/compat/nodetest/server.mjs";

const page = await readFile("README.md", "utf8");
const programs = [...page.matchAll(/^```js\n([^]*?)^```$/gm)].map(([, program]) => program);

// output runs a program of the README, and returns its lines up to the last one that is expected.
async function output(program, more, last) {
  const town = await start({ more }), file = "page-program.mjs"; // in this folder, so that it finds the package
  await writeFile(file, `globalThis.WebSocket ??= (await import("ws")).WebSocket;\n${program.replaceAll("localhost:8080", town.http)}`);
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = [];
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (last.test(line)) break;
    }
    return lines;
  } finally {
    child.kill();
    await once(child, "exit");
    await rm(file, { force: true });
    await town.stop();
  }
}

test("the first program runs", { timeout: 60_000 }, async () => {
  const lines = await output(programs[0], {}, /^\[defaultRoom\] \S+: hello$/);
  assert.deepEqual(lines.slice(0, 2), ["connecting ", "connected "]);
  assert.match(lines.at(-1), /: hello$/);
});

test("typing and read state, with the rooms of the page", { timeout: 60_000 }, async () => {
  const [, starting, first, second] = /starting: (\[.*\])\n\s+settings:\n\s+- (\{.*\})\n\s+- (\{.*\})/.exec(page);
  const more = { "tenants.default.rooms.starting": starting, "tenants.default.rooms.settings": `[${first}, ${second}]`, "tenants.default.chain": "[]" };
  assert.deepEqual(await output(programs[1], more, /^read/), ["typing", "read up to 1"]);
});
