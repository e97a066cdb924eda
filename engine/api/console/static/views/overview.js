import { Chart } from "../chart.js";
import { quantile } from "../feed.js";
import { ago, bytes, duration, h, number, patch, perSecond, select, table } from "../html.js";
import { address, pages } from "../lists.js";
import { filled, Series } from "../series.js";

const times = [["p50", "--first", duration], ["p99", "--second", duration]];
const processors = (n) => n.toFixed(2);

// The charts of the whole server: title, lines, smallest tick, and the names of the measures.
const ofServer = [
  ["Messages and deliveries", [["messages", "--first", perSecond], ["deliveries", "--second", perSecond]], 1, ["messages", "deliveries"]],
  ["Connections", [["connections", "--first", number]], 1, ["connections"]],
  ["Rate of requests", [["requests of clients", "--first", perSecond]], 1, ["verbs"]],
  ["Requests of clients", times, 0.001, ["verbTimes.p50", "verbTimes.p99"]],
  ["Chains of rules", times, 0.001, ["chainTimes.p50", "chainTimes.p99"]],
  ["Calls of modules", times, 0.001, ["moduleTimes.p50", "moduleTimes.p99"]],
  ["Processors", [["in use", "--first", processors]], 0.01, ["processors"]],
  ["Memory", [["process", "--first", bytes], ["instances of modules", "--second", bytes]], 1 << 20, ["memory", "moduleMemory"]],
];
const ofTenant = [
  ["Connections", [["connections", "--first", number]], 1, "connections"],
  ["Calls of modules", times, 0.001, "latency"],
];

export function overview(main, feed) {
  const series = new Series();
  const charts = (feed.whole ? ofServer : ofTenant).map(([title, lines, step, data]) => [new Chart(title, lines, step), data]);
  const tables = h("div", { class: "stack" });
  const glance = h("div");
  const nodeRates = [perRow((n) => n.name, (n) => n.messages ?? 0), perRow((n) => n.name, (n) => n.deliveries ?? 0)];
  const rates = perRow((t) => t.name, (t) => t.messages);
  const list = pages({ path: () => "/api/tenants", size: 25, find: "Tenant name contains", order: "name", show: (page, sort) => tenants(page.tenants, rates(page.tenants), sort) });
  const nodeChoice = h("span", { class: "choice" });
  const draw = () => charts.forEach(([chart, data]) => chart.set(feed.whole ? series.data(...data) : filled(feed.series[data])));

  async function redraw() {
    if (feed.whole && !feed.fault) await series.update().catch(() => {}); // the feed reports the fault
    if (feed.whole && series.names.length > 1) patch(nodeChoice, select("Node", [["", "all"], ...series.names.map((n) => [n, n])], series.node, (node) => { series.node = node; draw(); }));
    draw();
  }

  main.append(
    ...(feed.whole ? [glance, h("div", { class: "row" },
      select("Time", [["10m", "the last 10 minutes"], ["2h", "the last 2 hours"], ["24h", "the last 24 hours"]], series.span, (span) => { series.choose(span); redraw(); }), nodeChoice)] : []),
    h("div", { class: "grid" }, charts.map(([chart]) => chart.element)), tables,
    h("section", { class: "card", "aria-label": "Tenants" }, h("h2", {}, "Tenants"), list.element));
  return {
    update() {
      redraw();
      if (feed.whole) patch(glance, tiles(feed, nodeRates.map((rates) => sum(feed.nodes, rates(feed.nodes)))));
      patch(tables, feed.whole ? [nodes(feed), costs(feed), usage(feed)] : []);
      if (!feed.fault) list.update();
    },
    end: () => charts.forEach(([chart]) => chart.end()),
  };
}

const sum = (rows, of) => rows.reduce((all, row) => all + (of(row) ?? 0), 0);

// tiles shows the numbers of the cluster that an operator reads first.
function tiles(feed, [messages, deliveries]) {
  const ready = feed.nodes.filter((n) => n.ready).length;
  const breakers = sum(feed.usage.nodes, (n) => n.openBreakers);
  const faulty = Math.max(0, ...feed.nodes.map((n) => n.faultyTenants ?? 0));
  return h("dl", { class: "card tiles" }, [
    ["Nodes ready", `${ready} of ${feed.nodes.length}`, ready < feed.nodes.length],
    ["Connections", number(sum(feed.nodes, (n) => n.connections))],
    ["Messages", perSecond(messages)],
    ["Deliveries", perSecond(deliveries)],
    ["Tenants", `${number(Math.max(0, ...feed.nodes.map((n) => n.tenants ?? 0)))}${faulty ? `, ${number(faulty)} faulty` : ""}`, faulty],
    ["Open breakers", number(breakers), breakers],
  ].map(([name, value, bad]) => h("div", {}, h("dt", {}, name), h("dd", { class: bad ? "bad" : "" }, value))));
}

// perRow returns a function that computes how fast a counter of each row grows between two calls.
export function perRow(key, count) {
  let before = new Map();
  return (rows) => {
    const now = performance.now() / 1000;
    const next = new Map(rows.map((row) => {
      const old = before.get(key(row));
      const rate = old && now - old.at > 0.5 ? Math.max(0, count(row) - old.count) / (now - old.at) : undefined;
      return [key(row), old && rate === undefined ? old : { at: now, count: count(row), rate: rate ?? old?.rate }];
    }));
    before = next;
    return (row) => next.get(key(row))?.rate;
  };
}

const nodes = (feed) => h("section", { class: "card", "data-key": "nodes", "aria-label": "Nodes" }, h("h2", {}, "Nodes"), table("Nodes", [
  ["node", (n) => [n.name, n.name === feed.self ? h("span", { class: "faint" }, " (answers)") : ""]],
  ["state", (n) => h("span", { class: n.ready ? "good" : "bad" }, n.error ? "does not answer" : n.ready ? "ready" : "not ready")],
  ["up", (n) => (n.startedAt ? ago(n.startedAt) : ""), "number"],
  ["connections", (n) => number(n.connections), "number"],
  ["messages", (n) => number(n.messages), "number"],
  ["deliveries", (n) => number(n.deliveries), "number"],
  ["version", (n) => n.version ?? ""],
  ["rules", (n) => h("code", { title: n.revision }, (n.revision ?? "").slice(0, 8))],
], feed.nodes, "None.", { key: (n) => n.name }));

const wakes = (n, share) => {
  const took = quantile(n.wakes, share);
  return took === null ? "" : duration(took);
};

const usage = (feed) => h("section", { class: "card", "data-key": "usage", "aria-label": "Modules of each node" }, h("h2", {}, "Modules of each node"), table("Use of modules", [
  ["node", (n) => n.node],
  ["modules", (n) => number(n.modulesCount), "number"],
  ["bindings", (n) => number(n.bindings), "number"],
  ["awake", (n) => number(n.awake), "number"],
  ["asleep", (n) => number(n.asleep), "number"],
  ["instances", (n) => number(n.instances), "number"],
  ["spare", (n) => number(n.spare ?? 0), "number"],
  ["images", (n) => `${number(n.images ?? 0)}, ${bytes(n.memory.images)}`, "number"],
  ["diffs", (n) => bytes(n.memory.diffs), "number"],
  ["memory", (n) => bytes(n.memory.instances), "number"],
  ["code", (n) => bytes(n.memory.code), "number"],
  ["limit", (n) => bytes(n.memory.limit), "number"],
  ["wakes", (n) => `${n.wakesPerSecond.toFixed(1)}/s`, "number"],
  ["wake p50", (n) => wakes(n, 0.5), "number"],
  ["wake p99", (n) => wakes(n, 0.99), "number"],
], feed.usage.nodes, "None.", { key: (n) => n.node }));

const costs = (feed) => h("section", { class: "card", "data-key": "costs", "aria-label": "Costs" }, h("h2", {}, "Tenants whose modules cost most"), table("Costs", [
  ["tenant", (t) => t.tenant],
  ["processors", (t) => t.cpu.toFixed(3), "number"],
  ["CPU time", (t) => duration(t.cpuTime), "number"],
  ["memory", (t) => bytes(t.memory), "number"],
  ["awake", (t) => number(t.awake), "number"],
], feed.usage.tenants, "No module was used.", { key: (t) => t.tenant }));

const tenants = (rows, rate, sort) => table("Tenants", [
  ["tenant", (t) => t.name, "", "name"],
  ["connections", (t) => number(t.connections), "number", "connections"],
  ["rooms", (t) => h("a", { "aria-label": `${number(t.rooms)} rooms of ${t.name}`, href: address("rooms", { tenant: t.name }) }, number(t.rooms)), "number", "rooms"],
  ["messages", (t) => number(t.messages), "number", "messages"],
  ["now", (t) => (rate(t) === undefined ? "" : perSecond(rate(t))), "number"],
  ["outbox", (t) => bytes(t.outboxBytes), "number", "outboxBytes"],
], rows, "No tenant has this in its name.", { key: (t) => t.name, sort });
