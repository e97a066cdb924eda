import { ask } from "../api.js";
import { bytes, duration, h, number, table, version } from "../html.js";
import { tenantPages } from "../tenants.js";

export function modules(main, feed) {
  const result = h("div", { role: "status", "data-testid": "result" });
  const compiled = h("div");
  const own = h("div"); // with the key of a tenant
  const list = tenantPages("/api/modules", 20, (page) => modulesTable(page.modules));
  const buttons = [["Reload all nodes", "/api/reload?nodes=all"], ["Roll back all nodes", "/api/rollback?nodes=all"]].map(([words, path]) =>
    h("button", { type: "button", onclick: () => change(words, path) }, words));

  async function change(words, path) {
    for (const button of buttons) button.disabled = true;
    result.replaceChildren(h("p", { class: "faint" }, `${words} …`));
    try {
      result.replaceChildren(outcome(words, await ask("POST", path)));
    } catch (err) {
      result.replaceChildren(h("p", { class: "note" }, `${words}: ${err.message}`));
    }
    for (const button of buttons) button.disabled = false;
  }

  main.append(
    ...(feed.whole && feed.may("operator") ? [h("section", { class: "card" }, h("h2", {}, "Rules"),
      h("p", { class: "faint" }, "Reload makes every node load its configuration and modules again. A node on which anything is wrong keeps its rules."),
      h("div", { class: "row" }, buttons), result)] : []),
    ...(feed.whole ? [h("section", { class: "card" }, h("h2", {}, "Compiled modules"), compiled)] : []),
    h("section", { class: "card" }, h("h2", {}, "Modules of tenants"), feed.whole ? list.element : own));
  return {
    update() {
      if (!feed.whole) return own.replaceChildren(modulesTable(feed.modules));
      compiled.replaceChildren(compiledTable(feed.usage.nodes));
      list.update();
    },
  };
}

function outcome(words, { ok, results }) {
  return h("div", {}, h("p", { class: ok ? "good" : "bad" }, `${words}: ${ok ? "done on all nodes" : "refused by some nodes"}`), table("Results", [
    ["node", (r) => r.node],
    ["rules", (r) => h("code", { title: r.revision }, (r.revision ?? "").slice(0, 8))],
    ["before", (r) => (r.before ? h("code", { title: r.before }, r.before.slice(0, 8)) : "")],
    ["took", (r) => (r.took === undefined ? "" : duration(r.took)), "number"],
    ["problems", (r) => (r.problems ?? []).map((text) => h("div", { class: "bad" }, text)), "words"],
    ["notes", (r) => (r.notes ?? []).map((text) => h("div", {}, text)), "words"],
  ], results, "No results."));
}

const compiledTable = (nodes) => table("Compiled modules", [
  ["module", (m) => m.name],
  ["SHA-256", (m) => h("code", { title: m.sha256 }, m.sha256.slice(0, 8))],
  ["node", (m) => m.node],
  ["bindings", (m) => number(m.bindings), "number"],
  ["awake", (m) => number(m.awake), "number"],
  ["instances", (m) => number(m.instances), "number"],
  ["code", (m) => bytes(m.code), "number"],
  ["image", (m) => (m.noImage ? `none: it ${m.noImage}` : m.image ? bytes(m.image) : "none yet"), "words"],
], nodes.flatMap(({ node, modules }) => modules.map((m) => ({ ...m, node }))), "No tenant has a module in its chain.");

const breaker = (m) => h("span", { class: m.openBreakers ? "bad" : "good" }, m.openBreakers ? `open (${m.openBreakers})` : "closed");
const errors = (m) => Object.entries(m.errors ?? {}).filter(([, n]) => n > 0).map(([kind, n]) => h("div", { class: "bad" }, `${kind} ${number(n)}`));
const metrics = (m) => Object.entries(m.metrics ?? {}).map(([name, n]) => h("div", {}, `${name} ${number(n)}`));

const modulesTable = (rows) => table("Modules", [
  ["tenant", (m) => m.tenant],
  ["module", (m) => m.name],
  ["version", (m) => h("code", {}, version(m.version))],
  ["node", (m) => m.node],
  ["breaker", breaker],
  ["calls", (m) => number(m.calls), "number"],
  ["rewritten", (m) => number(m.rewritten), "number"],
  ["denied", (m) => number(m.denied), "number"],
  ["dropped", (m) => number(m.dropped), "number"],
  ["held", (m) => number(m.held), "number"],
  ["errors", errors],
  ["p50", (m) => duration(m.p50), "number"],
  ["p99", (m) => duration(m.p99), "number"],
  ["instances", (m) => number(m.instances), "number"],
  ["own metrics", metrics],
], rows, "No modules of such tenants.");
