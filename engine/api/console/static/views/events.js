import { at, get } from "../api.js";
import { ago, bytes, h, note, number, patch, span, table } from "../html.js";
import { address, firstTenant, tenantInput } from "../lists.js";
import { split } from "../panel.js";
import { sinkPanel } from "./sink.js";

// stateOf returns the state of a sink in words.
export function stateOf(s) {
  if (!s.configured) return h("span", { class: "bad" }, "not configured");
  if (s.failures) return h("span", { class: "bad" }, `fails: ${number(s.failures)} ${s.failures === 1 ? "time" : "times"}`);
  return h("span", { class: "good" }, s.events ? "delivers" : "nothing waits");
}

// events is the view of the sinks of a tenant, which receive its events.
export function events(main, feed, asked) {
  let tenant = asked.get("tenant");
  let turn = 0;
  const choice = h("div", { class: "row" });
  const list = h("div", { class: "fields" }, h("p", { class: "faint" }, "Loading …"));
  const place = split(h("section", { class: "card", "aria-label": "Event sinks" }, h("h2", {}, "Event sinks"),
    h("p", { class: "faint" }, "A sink receives what happens in a tenant by HTTPS. Sinks are set in the configuration: tenants.NAME.events."), choice, list), () => address("events", { tenant }));
  const one = sinkPanel(place, () => update());

  async function update() {
    if (!tenant) return;
    const mine = ++turn;
    try {
      const { sinks } = await get(at("tenants", tenant, "sinks"));
      if (mine !== turn) return;
      patch(list, sinksTable(tenant, sinks, one.name()));
      one.update(sinks);
    } catch (err) {
      if (mine === turn) patch(list, note(err.status === 404 && err.code === "no_endpoint" ? "This server has no events." : err.message));
    }
  }

  function go(parameters) {
    tenant = parameters.get("tenant") ?? tenant;
    feed.watch(tenant);
    one.show(tenant, parameters.get("sink"));
    update();
  }

  async function begin() {
    tenant ??= await firstTenant(feed);
    patch(choice, tenantInput(feed, tenant, (value) => { if (value) location.hash = address("events", { tenant: value }); }));
    go(asked);
  }

  main.append(place.element);
  begin().catch((err) => patch(list, note(err.message)));
  return { go, update() { if (!feed.fault) update(); } };
}

const sinksTable = (tenant, sinks, shown) => table("Event sinks", [
  ["sink", (s) => h("a", { href: address("events", { tenant, sink: s.name }) }, s.name)],
  ["state", stateOf],
  ["waiting", (s) => (s.events ? `${number(s.events)}, ${bytes(s.bytes)}` : "0"), "number"],
  ["oldest", (s) => (s.oldestAt ? ago(s.oldestAt) : ""), "number"],
  ["next try", (s) => (s.failures && s.nextAt ? (s.nextAt > Date.now() ? `in ${span((s.nextAt - Date.now()) / 1000)}` : "now") : "")],
  ["dead letters", (s) => h("span", { class: s.dead ? "bad" : "" }, number(s.dead)), "number"],
  ["dropped", (s) => h("span", { class: s.dropped ? "bad" : "" }, number(s.dropped)), "number"],
  ["last error", (s) => s.error ?? "", "words"],
], sinks, `Tenant ${tenant} has no event sinks.`, { key: (s) => s.name, current: (s) => s.name === shown });
