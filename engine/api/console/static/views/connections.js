import { at } from "../api.js";
import { h, moment, note, number, patch, table, words } from "../html.js";
import { address, firstTenant, pages, soon, tenantInput } from "../lists.js";
import { split } from "../panel.js";
import { connectionPanel } from "./connection.js";

export function connections(main, feed, asked) {
  let tenant = asked.get("tenant");
  let user = asked.get("user") ?? "";
  const choice = h("span", { class: "choice" });
  const ofUser = h("input", { type: "search", value: user, autocomplete: "off", spellcheck: "false", oninput: soon(() => { user = ofUser.value.trim(); list.restart(); }) });
  const list = pages({
    path: () => tenant && at("tenants", tenant, "connections"), fields: () => ({ user }), size: 50, beside: [choice, h("label", {}, "User", ofUser)],
    show: (page) => table("Connections", [
      ["connection", (c) => h("a", { href: address("connections", { tenant, connection: c.id }) }, h("code", {}, c.id))],
      ["user", (c) => (c.user ? words(c.user) : ""), "words"],
      ["address", (c) => c.remoteIP],
      ["rooms", (c) => number(c.rooms.length), "number"],
      ["connected", (c) => [moment(c.connectedAt), c.away ? h("span", { class: "bad" }, " away") : ""]],
      ["transport", (c) => c.transport],
      ["node", (c) => c.node],
    ], page.connections, user ? "No connections of this user." : "No connections.", { key: (c) => c.id, current: (c) => c.id === one.id() }),
  });
  const place = split(h("section", { class: "card", "aria-label": "Connections" }, h("h2", {}, "Connections"), list.element), () => address("connections", { tenant, user }));
  const one = connectionPanel(place, feed, () => list.update());

  function go(parameters) {
    if (parameters.get("tenant") && parameters.get("tenant") !== tenant) {
      tenant = parameters.get("tenant");
      list.restart();
    }
    one.show(tenant, parameters.get("connection"));
  }

  async function begin() {
    tenant ??= await firstTenant(feed);
    patch(choice, tenantInput(feed, tenant, (value) => { if (value) location.hash = address("connections", { tenant: value }); }));
    list.update();
    if (tenant) one.show(tenant, asked.get("connection"));
  }

  main.append(place.element);
  begin().catch((err) => patch(place.side, note(err.message)));
  return { go, update() { if (!feed.fault) { list.update(); one.update(); } } };
}
