// A TCP proxy whose connections a test can break without stopping the server, and a Redis server for tests.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";

// line starts a proxy to target (host:port). cut closes its connections. down also refuses
// new ones until up, which may set another target.
export async function line(target) {
  const sockets = new Set();
  let leads = target;
  const proxy = createServer((near) => {
    if (!leads) return near.destroy();
    const [host, port] = leads.split(":");
    const far = connect(Number(port), host);
    for (const [a, b] of [[near, far], [far, near]]) {
      a.on("error", () => {}).on("close", () => { b.destroy(); sockets.delete(a); });
      a.pipe(b);
      sockets.add(a);
    }
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const cut = () => { for (const socket of sockets) socket.destroy(); };
  return {
    address: `127.0.0.1:${proxy.address().port}`,
    url: `ws://127.0.0.1:${proxy.address().port}`,
    cut,
    down() { leads = undefined; cut(); },
    up(other = target) { leads = target = other; },
    close() { cut(); proxy.close(); },
  };
}

// redis starts a Redis server on a free port, without persistence.
export async function redis() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  const child = spawn("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], { stdio: ["ignore", "pipe", "inherit"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const exited = once(child, "exit");
  await new Promise((resolve, reject) => {
    child.stdout.on("data", (text) => String(text).includes("Ready to accept connections") && resolve());
    exited.then(([code]) => reject(new Error(`redis-server ended with ${code}`)), (err) => reject(new Error(`${err.message}: run \`make test\`, which installs it`)));
  });
  return { address: `127.0.0.1:${port}`, async stop() { kill(); await exited; process.off("exit", kill); } };
}
