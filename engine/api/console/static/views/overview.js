import { Chart } from "../chart.js";
import { quantile } from "../feed.js";
import { ago, bytes, duration, h, number, table } from "../html.js";
import { tenantPages } from "../tenants.js";

// troubles returns sentences about problems that an operator must solve.
function troubles(feed) {
  const found = [];
  for (const node of feed.nodes) {
    if (node.error) found.push(`Node ${node.name} does not answer: ${node.error}`);
    else if (!node.ready) found.push(`Node ${node.name} is not ready.`);
    if (node.lastReload && !node.lastReload.ok) found.push(`Node ${node.name} refused the last reload: ${(node.lastReload.problems ?? []).join("; ")}`);
  }
  for (const name of feed.unreachable) found.push(`Node ${name} does not answer: its counters are missing.`);
  const failing = feed.whole
    ? feed.usage.nodes.flatMap((n) => (n.failing ?? []).map((f) => [f.module, f.tenant, n.node]))
    : feed.modules.filter((m) => m.openBreakers > 0).map((m) => [m.name, m.tenant, m.node]);
  for (const [module, tenant, node] of failing) found.push(`Module ${module} of tenant ${tenant} failed too often on node ${node}: its breaker is open.`);
  for (const n of feed.whole ? feed.usage.nodes : []) {
    const more = n.openBreakers - (n.failing ?? []).length;
    if (more > 0) found.push(`Node ${n.node} has ${number(more)} more open breakers.`);
  }
  return [...new Set(found)];
}

export function overview(main, feed) {
  const perSecond = (n) => `${number(Math.round(n))}/s`;
  const charts = [
    ...(feed.whole ? [["rate", new Chart("Messages and deliveries", [["messages", "--first", perSecond], ["deliveries", "--second", perSecond]])]] : []),
    ["latency", new Chart("Calls of modules", [["p50", "--first", duration], ["p99", "--second", duration]], 0.001)],
    ["connections", new Chart("Connections", [["connections", "--first", number]])],
  ];
  const alerts = h("div", { role: "status", "data-testid": "troubles" });
  const tables = h("div", { class: "stack" });
  const list = tenantPages("/api/tenants", 25, (page) => tenants(page.tenants));
  main.append(alerts, h("div", { class: "grid" }, charts.map(([, chart]) => chart.element)), tables,
    h("section", { class: "card" }, h("h2", {}, "Tenants"), list.element));
  return {
    update() {
      alerts.replaceChildren(...troubles(feed).map((text) => h("p", { class: "note" }, text)));
      for (const [name, chart] of charts) chart.set(feed.series[name]);
      tables.replaceChildren(...(feed.whole ? [nodes(feed), usage(feed), costs(feed)] : []));
      list.update();
    },
    end: () => charts.forEach(([, chart]) => chart.end()),
  };
}

const nodes = (feed) => h("section", { class: "card" }, h("h2", {}, "Nodes"), table("Nodes", [
  ["node", (n) => [n.name, n.name === feed.self ? h("span", { class: "faint" }, " (answers)") : ""]],
  ["state", (n) => h("span", { class: n.ready ? "good" : "bad" }, n.error ? "does not answer" : n.ready ? "ready" : "not ready")],
  ["up", (n) => (n.startedAt ? ago(n.startedAt) : ""), "number"],
  ["connections", (n) => number(n.connections), "number"],
  ["messages", (n) => number(n.messages), "number"],
  ["deliveries", (n) => number(n.deliveries), "number"],
  ["version", (n) => n.version],
  ["rules", (n) => h("code", { title: n.revision }, (n.revision ?? "").slice(0, 8))],
], feed.nodes, "None."));

const wakes = (n, share) => {
  const took = quantile(n.wakes, share);
  return took === null ? "" : duration(took);
};

const usage = (feed) => h("section", { class: "card" }, h("h2", {}, "Modules of each node"), table("Use of modules", [
  ["node", (n) => n.node],
  ["modules", (n) => number(n.modulesCount), "number"],
  ["bindings", (n) => number(n.bindings), "number"],
  ["awake", (n) => number(n.awake), "number"],
  ["asleep", (n) => number(n.asleep), "number"],
  ["instances", (n) => number(n.instances), "number"],
  ["spare", (n) => number(n.spare ?? 0), "number"],
  ["images", (n) => `${number(n.images ?? 0)}, ${bytes(n.memory.images)}`, "number"],
  ["memory", (n) => bytes(n.memory.instances), "number"],
  ["code", (n) => bytes(n.memory.code), "number"],
  ["limit", (n) => bytes(n.memory.limit), "number"],
  ["wakes", (n) => `${n.wakesPerSecond.toFixed(1)}/s`, "number"],
  ["wake p50", (n) => wakes(n, 0.5), "number"],
  ["wake p99", (n) => wakes(n, 0.99), "number"],
], feed.usage.nodes, "None."));

const costs = (feed) => h("section", { class: "card" }, h("h2", {}, "Tenants whose modules cost most"), table("Costs", [
  ["tenant", (t) => t.tenant],
  ["processors", (t) => t.cpu.toFixed(3), "number"],
  ["CPU time", (t) => duration(t.cpuTime), "number"],
  ["memory", (t) => bytes(t.memory), "number"],
  ["awake", (t) => number(t.awake), "number"],
], feed.usage.tenants, "No module was used."));

const tenants = (rows) => table("Tenants", [
  ["tenant", (t) => t.name],
  ["connections", (t) => number(t.connections), "number"],
  ["rooms", (t) => h("a", { "data-focus": t.name, "aria-label": `${number(t.rooms)} rooms of ${t.name}`, href: `#rooms?tenant=${encodeURIComponent(t.name)}` }, number(t.rooms)), "number"],
  ["outbox", (t) => bytes(t.outboxBytes), "number"],
], rows, "No tenant with this name.");
