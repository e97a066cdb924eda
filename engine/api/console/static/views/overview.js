import { Chart } from "../chart.js";
import { ago, bytes, duration, h, number, table } from "../html.js";

// troubles returns sentences about problems that an operator must solve.
function troubles(feed) {
  const found = [];
  for (const node of feed.nodes) {
    if (node.error) found.push(`Node ${node.name} does not answer: ${node.error}`);
    else if (!node.ready) found.push(`Node ${node.name} is not ready.`);
    if (node.lastReload && !node.lastReload.ok) found.push(`Node ${node.name} refused the last reload: ${(node.lastReload.problems ?? []).join("; ")}`);
  }
  for (const name of feed.unreachable) found.push(`Node ${name} does not answer: its counters are missing.`);
  for (const m of feed.modules) if (m.openBreakers > 0) found.push(`Module ${m.name} of tenant ${m.tenant} failed too often on node ${m.node}: its breaker is open.`);
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
  main.append(alerts, h("div", { class: "grid" }, charts.map(([, chart]) => chart.element)), tables);
  return {
    update() {
      alerts.replaceChildren(...troubles(feed).map((text) => h("p", { class: "note" }, text)));
      for (const [name, chart] of charts) chart.set(feed.series[name]);
      tables.replaceChildren(...(feed.whole ? [nodes(feed)] : []), tenants(feed));
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

const tenants = (feed) => h("section", { class: "card" }, h("h2", {}, "Tenants"), table("Tenants", [
  ["tenant", (t) => t.name],
  ["connections", (t) => number(t.connections), "number"],
  ["rooms", (t) => h("a", { "data-focus": t.name, href: `#rooms?tenant=${encodeURIComponent(t.name)}` }, number(t.rooms)), "number"],
  ["outbox", (t) => bytes(t.outboxBytes), "number"],
], feed.tenants, "None."));
