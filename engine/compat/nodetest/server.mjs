// Starts a server for tests: the program $MOOT with the configuration $MOOT_CONFIG.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const startsWithin = 60_000; // ms
const key = "key-of-the-nodetest-server"; // of the server API
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1)); // runs the handlers of exit

// start starts a server and resolves to its addresses and functions to stop it.
// Listeners use free ports by default. more sets other settings by their paths. Modules
// have time to start on a busy machine: otherwise their rules refuse the first message.
export async function start({ http = "127.0.0.1:0", socket = "127.0.0.1:0", more = {} } = {}) {
  const settings = { "limits.chainTimeout": "20s", ...more, "http.listen": http, "socket.listen": socket, "admin.listen": "127.0.0.1:0", "admin.key": key, "log.format": "json", "log.level": "info", drain: "0s" };
  const args = Object.entries(settings).flatMap(([path, value]) => ["--set", `${path}=${value}`]);
  const child = spawn(process.env.MOOT, ["serve", "--config", process.env.MOOT_CONFIG, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const exited = once(child, "exit");
  const log = [];
  const addresses = await new Promise((resolve, reject) => {
    const found = {};
    const fail = (why) => reject(new Error(`${why}\n${log.join("\n")}`));
    const timer = setTimeout(fail, startsWithin, "the server did not start in time");
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
      const entry = parse(line);
      if (entry.msg === "serving") Object.assign(found, entry);
      if (found.http && found.socket && found.admin) resolve(found);
    });
    exited.then(([code]) => fail(`the server ended with ${code}`));
    timer.unref();
  });
  return {
    ...addresses, // http, socket, admin: host:port
    key,
    // kill ends the server by SIGKILL.
    async kill() {
      kill();
      await exited;
      process.off("exit", kill);
    },
    // stop ends the server by SIGTERM. It throws an error with the log if the exit code is not 0.
    async stop() {
      child.kill("SIGTERM");
      const [code] = await exited;
      process.off("exit", kill);
      if (code !== 0) throw new Error(`the server ended with ${code}\n${log.join("\n")}`);
    },
  };
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return {}; // output of the race detector or of a panic
  }
}
