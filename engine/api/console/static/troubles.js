import { ago, h, number, patch, span } from "./html.js";
import { address } from "./lists.js";

const soon = 14 * 86_400; // s before a certificate expires

// differences returns a text with each value of a field and the nodes that have it; undefined if all nodes have the same value.
function differences(nodes, of) {
  const by = new Map();
  for (const node of nodes.filter((n) => !n.error)) by.set(of(node), [...(by.get(of(node)) ?? []), node.name]);
  return by.size < 2 ? undefined : [...by].map(([value, names]) => `${value || "none"} on ${names.join(", ")}`).join("; ");
}

function ofServer(feed) {
  const found = [];
  if (!feed.fault) return found;
  const since = feed.at ? ` The data on this page is from ${new Date(feed.at).toLocaleTimeString("en-GB")}.` : "";
  const cluster = feed.checks.cluster;
  if (feed.fault.status === 0) found.push(["Server", `The server cannot be reached.${since}`]);
  else if (cluster && !cluster.ok) found.push(["Redis", `The cluster does not answer: ${cluster.detail ?? feed.fault.message}. Messages to other nodes wait or are refused until it does.${since}`]);
  else found.push(["Server", `The server refuses to answer: ${feed.fault.message}.${since}`]);
  return found;
}

// leftOut returns the names of the tenants that a reload has left out.
function leftOut({ faults = [] }) {
  const names = faults.map((f) => f.tenant || "(unknown)");
  const joined = (list) => `${list.slice(0, 5).join(", ")}${list.length > 5 ? ` and ${number(list.length - 5)} more` : ""}`;
  return names.length ? `${names.length === 1 ? "tenant" : "tenants"} ${joined(names)}` : "some tenants";
}

function ofNodes(feed) {
  const found = [];
  const add = (...entry) => found.push(entry);
  const versions = differences(feed.nodes, (n) => n.version);
  const revisions = differences(feed.nodes, (n) => (n.revision ?? "").slice(0, 8));
  if (versions) add("Versions", `Nodes run different versions of Moot: ${versions}. Complete the upgrade.`);
  if (revisions) add("Rules", `Nodes run different rules: ${revisions}. Reload all nodes, or give all the same files.`);
  for (const node of feed.nodes) {
    if (node.error) add("Node", `Node ${node.name} does not answer: ${node.error}`);
    for (const { check, detail } of node.failing ?? []) {
      if (check === "cluster") add("Redis", `Node ${node.name} has no cluster: ${detail}`);
      else if (check === "engine" || check === "shutdown") add("Node", `Node ${node.name} is not ready: ${detail}`);
      else if (check === "restart") add("Restart", `Node ${node.name} ${detail}`);
      else if (check !== "rules") add("Node", `Node ${node.name}, check ${check}: ${detail}`);
    }
    const last = node.lastReload;
    if (last && !last.ok) add("Reload", `Node ${node.name} ${last.partial ? `took the last reload except for ${leftOut(last)}` : "refused the last reload and keeps its rules"}:`, last.problems ?? []);
    for (const fault of last && !last.ok ? [] : node.faults ?? []) {
      add("Tenant", `Tenant ${fault.tenant || "(unknown)"} on node ${node.name} is not configured correctly; ${fault.kept ? "it stays as before" : "its clients are refused"}:`, fault.problems);
    }
    for (const { listener, expiresAt } of node.certificates ?? []) {
      const left = (expiresAt - Date.now()) / 1000;
      if (left < 0) add("Certificate", `The certificate of ${listener}.listen on node ${node.name} expired ${span(-left)} ago: clients refuse it.`);
      else if (left < soon) add("Certificate", `The certificate of ${listener}.listen on node ${node.name} expires in ${span(left)}.`);
    }
  }
  return found;
}

function ofModules(feed) {
  const found = [];
  for (const name of feed.unreachable) if (!feed.nodes.some((n) => n.name === name && n.error)) found.push(["Node", `Node ${name} does not answer: its counters are missing.`]);
  for (const { module, tenant, node, cause } of feed.failing()) {
    const refused = cause?.refused ? ` ${number(cause.refused)} calls were not made.` : "";
    found.push(["Breaker", `Module ${module} of tenant ${tenant} failed too often on node ${node} and is not called: its breaker is open${cause ? ` (${cause.reason})` : ""}.${refused}`, cause?.error ? [cause.error] : []]);
  }
  for (const n of feed.whole ? feed.usage.nodes : []) {
    const more = n.openBreakers - (n.failing ?? []).length;
    if (more > 0) found.push(["Breaker", `Node ${n.node} has ${number(more)} more open breakers.`]);
  }
  return found;
}

const blips = 2; // failed deliveries in a row that are not shown

function ofSinks(feed) {
  const found = [];
  for (const s of feed.sinks) {
    const name = `${s.name} of tenant ${s.tenant}`;
    const wait = s.events ? ` ${number(s.events)} ${s.events === 1 ? "event waits" : "events wait"}${s.oldestAt ? `, the oldest for ${ago(s.oldestAt)}` : ""}.` : "";
    if (!s.configured && s.events) found.push(["Events", `No sink ${name} is configured, but events wait for it.${wait}`]);
    else if (s.failures > blips) found.push(["Events", `Sink ${name} is down: the last ${number(s.failures)} deliveries failed.${wait}`, s.error ? [s.error] : [], s]);
    if (s.dead) found.push(["Events", `Sink ${name} has ${number(s.dead)} dead ${s.dead === 1 ? "letter" : "letters"}. Deliver ${s.dead === 1 ? "it" : "them"} again, or drop ${s.dead === 1 ? "it" : "them"}.`, [], s]);
    if (s.dropped) found.push(["Events", `Sink ${name} has lost ${number(s.dropped)} ${s.dropped === 1 ? "event" : "events"}: too many waited, or they were too old.`, [], s]);
  }
  return found;
}

// showTroubles shows the problems that an operator must solve.
export function showTroubles(place, feed) {
  const all = [...ofServer(feed), ...ofNodes(feed), ...ofModules(feed), ...ofSinks(feed)];
  patch(place, all.map(([about, text, lines = [], sink]) => h("div", { class: "note", "data-key": sink ? `${about} ${text.replace(/\d.*/, "")}` : `${about} ${text}` },
    h("p", {}, h("strong", {}, about), " ", text, sink ? [" ", h("a", { href: address("events", { tenant: sink.tenant, sink: sink.name }) }, "Show the sink")] : ""), lines.length ? h("pre", {}, lines.join("\n")) : "")));
}
