import { ask } from "../api.js";
import { bytes, duration, h, number, patch, perSecond, table, version } from "../html.js";
import { address, pages } from "../lists.js";
import { actions, confirmed, split } from "../panel.js";
import { perRow } from "./overview.js";
import { values } from "./values.js";

const rollbackOf = (feed) => feed.nodes.filter((n) => n.revisions > 0);

export function modules(main, feed, asked) {
  const result = actions();
  const outcomes = h("div");
  const compiled = h("div");
  const own = h("div"); // with the key of a tenant
  const rates = perRow((m) => `${m.node} ${m.tenant} ${m.name}`, (m) => m.calls);
  const list = pages({ path: () => "/api/modules", size: 20, find: "Tenant name contains", show: (page) => modulesTable(page.modules, rates(page.modules), feed) });
  const reload = h("button", { type: "button", onclick: () => change("Reload all nodes", "/api/reload?nodes=all") }, "Reload all nodes");
  const rollback = h("button", { type: "button", onclick: back }, "Roll back all nodes");
  const why = h("p", { class: "faint", id: "why" });
  const place = split(h("div", { class: "stack" },
    feed.whole && feed.may("operator") ? h("section", { class: "card", "aria-label": "Rules" }, h("h2", {}, "Rules"),
      h("p", { class: "faint" }, "Reload makes every node load its configuration and modules again. A tenant with a mistake keeps its rules. If a mistake is not in a tenant, the node keeps all its rules."),
      h("div", { class: "row" }, reload, rollback), why, result.element, outcomes) : "",
    feed.whole ? h("section", { class: "card", "aria-label": "Compiled modules" }, h("h2", {}, "Compiled modules"), compiled) : "",
    h("section", { class: "card", "aria-label": "Modules of tenants" }, h("h2", {}, "Modules of tenants"), feed.whole ? list.element : own)),
  () => address("modules"));
  const stored = values(place, feed);

  async function back() {
    const nodes = rollbackOf(feed).map((n) => n.name).join(", ");
    if (await confirmed("Roll back the rules?", `Nodes ${nodes} return to the rules before their last reload. The files stay as they are: the next reload loads them again.`, "Roll back")) await change("Roll back all nodes", "/api/rollback?nodes=all");
  }

  async function change(what, path) {
    reload.disabled = rollback.disabled = true;
    patch(outcomes);
    await result.run(what, ({ ok, results }) => {
      patch(outcomes, outcome(results));
      return h("span", { class: ok ? "good" : "bad" }, `${what}: ${ok ? "done on all nodes" : resultOf(results)}`);
    }, () => ask("POST", path));
    reload.disabled = false;
    offer();
  }

  function offer() {
    const none = rollbackOf(feed).length === 0;
    rollback.disabled = none;
    const text = none ? "There is nothing to roll back: no node has reloaded its rules since its start, or all reloads were rolled back." : "";
    if (why.textContent !== text) why.textContent = text;
    rollback.toggleAttribute("aria-describedby", false);
    if (none) rollback.setAttribute("aria-describedby", "why");
  }

  main.append(place.element);
  const go = (parameters) => stored.show(parameters.get("tenant"), parameters.get("module"));
  go(asked);
  return {
    go,
    update() {
      if (!feed.whole) return patch(own, modulesTable(feed.modules, rates(feed.modules), feed));
      if (!reload.disabled) offer();
      patch(compiled, compiledTable(feed.usage.nodes));
      if (!feed.fault) list.update();
    },
  };
}

// resultOf describes a reload that did not succeed everywhere: the nodes that refused it, and the tenants that were left out.
function resultOf(results) {
  const refused = results.filter((r) => !r.ok && !r.partial).map((r) => r.node);
  const left = [...new Set(results.filter((r) => r.partial).flatMap((r) => (r.faults ?? []).map((f) => f.tenant || "an unknown tenant")))];
  return [refused.length ? `refused by ${refused.join(", ")}` : "done",
    left.length ? `except for ${left.length === 1 ? "tenant" : `${number(left.length)} tenants:`} ${left.slice(0, 10).join(", ")}${left.length > 10 ? ", …" : ""}` : ""].filter(Boolean).join(", ");
}

// problemsOf returns the problems of a node's reload. The problems of a tenant have its name and the consequence.
const problemsOf = (r) => (r.partial && r.faults?.length
  ? r.faults.map((f) => h("div", {}, h("b", {}, f.tenant ? `Tenant ${f.tenant}` : "An unknown tenant"), f.kept ? " stays as before:" : ": its clients are refused:", f.problems.map((text) => h("div", { class: "bad" }, text))))
  : (r.problems ?? []).map((text) => h("div", { class: "bad" }, text)));

const outcome = (results) => table("Results", [
  ["node", (r) => r.node],
  ["result", (r) => h("span", { class: r.ok ? "good" : "bad" }, r.ok ? "done" : r.partial ? "done except for some tenants" : "refused")],
  ["problems", problemsOf, "words"],
  ["notes", (r) => (r.notes ?? []).map((text) => h("div", {}, text)), "words"],
  ["rules", (r) => h("code", { title: r.revision }, (r.revision ?? "").slice(0, 8))],
  ["before", (r) => (r.before ? h("code", { title: r.before }, r.before.slice(0, 8)) : "")],
  ["took", (r) => (r.took === undefined ? "" : duration(r.took)), "number"],
], results, "No results.", { key: (r) => r.node });

const compiledTable = (nodes) => table("Compiled modules", [
  ["module", (m) => m.name],
  ["SHA-256", (m) => h("code", { title: m.sha256 }, m.sha256.slice(0, 8))],
  ["node", (m) => m.node],
  ["bindings", (m) => number(m.bindings), "number"],
  ["awake", (m) => number(m.awake), "number"],
  ["instances", (m) => number(m.instances), "number"],
  ["code", (m) => bytes(m.code), "number"],
  ["image", (m) => (m.noImage ? `none: it ${m.noImage}` : m.image ? bytes(m.image) : "none yet"), "words"],
], nodes.flatMap(({ node, modules }) => modules.map((m) => ({ ...m, node }))), "No tenant has a module in its chain.", { key: (m) => `${m.node} ${m.name} ${m.sha256}` });

const breaker = (m) => h("span", { class: m.openBreakers ? "bad" : "good" }, m.openBreakers ? `open (${m.openBreakers})` : "closed");
const errors = (m) => Object.entries(m.errors ?? {}).filter(([, n]) => n > 0).map(([kind, n]) => h("div", { class: "bad" }, `${kind} ${number(n)}`));
const metrics = (m) => Object.entries(m.metrics ?? {}).map(([name, n]) => h("div", {}, `${name} ${number(n)}`));

// Columns that are left out if no row has a value.
const optional = { errors: (m) => Object.values(m.errors ?? {}).some(Boolean), "own metrics": (m) => Object.keys(m.metrics ?? {}).length };

// modulesTable links the name of a module to its stored values, if the key may read them. Modules in shadow have none of
// their own.
const modulesTable = (rows, rate, feed) => table("Modules", [
  ["module", (m) => (feed.may("author") && !m.name.includes("+") ? h("a", { href: address("modules", { tenant: m.tenant, module: m.name }) }, m.name) : m.name)],
  ["tenant", (m) => m.tenant],
  ["breaker", breaker],
  ["calls", (m) => number(m.calls), "number"],
  ["now", (m) => (rate(m) === undefined ? "" : perSecond(rate(m))), "number"],
  ["rewritten", (m) => number(m.rewritten), "number"],
  ["denied", (m) => number(m.denied), "number"],
  ["dropped", (m) => number(m.dropped), "number"],
  ["held", (m) => number(m.held), "number"],
  ["errors", errors],
  ["p50", (m) => duration(m.p50), "number"],
  ["p99", (m) => duration(m.p99), "number"],
  ["instances", (m) => number(m.instances), "number"],
  ["own metrics", metrics],
  ["node", (m) => m.node],
  ["version", (m) => h("code", { title: version(m.version) }, version(m.version))],
].filter(([title]) => !(title in optional) || rows.some(optional[title])), rows, "No tenant with this name has modules.", { key: (m) => `${m.node} ${m.tenant} ${m.name}` });
