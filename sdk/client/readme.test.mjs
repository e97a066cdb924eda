// Runs the program that the README shows.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { start } from "../../engine/compat/nodetest/server.mjs";

test("the program of the README runs", { timeout: 60_000 }, async () => {
  const [, program] = /^```js\n([^]*?)^```$/m.exec(await readFile("README.md", "utf8"));
  const town = await start(), file = "readme-program.mjs"; // in this folder, so that it finds the package
  await writeFile(file, `globalThis.WebSocket ??= (await import("ws")).WebSocket;\n${program.replace("localhost:8080", town.http)}`);
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const lines = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (/^\[defaultRoom\] \S+: hello$/.test(line)) break;
    }
    assert.deepEqual(lines.slice(0, 2), ["connecting ", "connected "]);
    assert.match(lines.at(-1), /: hello$/);
  } finally {
    child.kill();
    await once(child, "exit");
    await rm(file, { force: true });
    await town.stop();
  }
});
