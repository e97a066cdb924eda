// Downloads ActionHero's browser client, one file of its published package, unless the
// file exists.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const version = "29.3.5";
const integrity = "sha512-P1ai1UfQ64s2K4Nv99A1JjQsHHybh+9MRtaE+DVHrT09vUtLIovW1cB/ZlIFplK+++v6BaB2thxIfllVr8MMEg==";
const modules = join(import.meta.dirname, "node_modules");
export const clientFile = join(modules, ".actionhero", `ActionheroWebsocketClient-${version}.js`);

if (import.meta.filename === process.argv[1] && !existsSync(clientFile)) {
  mkdirSync(join(modules, ".actionhero"), { recursive: true });
  const dir = mkdtempSync(join(modules, ".actionhero", "pack-"));
  try {
    execFileSync("npm", ["pack", "--silent", `actionhero@${version}`, "--pack-destination", dir], { cwd: dir, stdio: ["ignore", "ignore", "inherit"] });
    const tarball = join(dir, `actionhero-${version}.tgz`);
    const found = "sha512-" + createHash("sha512").update(readFileSync(tarball)).digest("base64");
    if (found !== integrity) throw new Error(`actionhero@${version} has integrity ${found}, not ${integrity}`);
    writeFileSync(clientFile, execFileSync("tar", ["-xzOf", tarball, "package/client/ActionheroWebsocketClient.js"]));
  } finally {
    rmSync(dir, { recursive: true });
  }
}
