import { ask, at } from "../api.js";
import { h, note, number, patch, plain, table, words } from "../html.js";
import { address, firstTenant, pages, tenantInput } from "../lists.js";
import { actions, split } from "../panel.js";
import { roomPanel } from "./room.js";

export function rooms(main, feed, asked) {
  let tenant = asked.get("tenant");
  const result = actions();
  const choice = h("span", { class: "choice" });
  const list = pages({
    path: () => tenant && at("tenants", tenant, "rooms"), fields: () => ({ counts: true }), size: 50, find: "Name contains", order: "name", beside: [choice],
    show: (page, sort) => [table("Rooms", [
      ["room", (r) => h("a", { href: address("rooms", { tenant, room: r.name }) }, words(r.name)), "words", "name"],
      ["members", (r) => number(r.membersCount), "number", "members"],
    ], page.rooms, "No rooms.", { key: (r) => r.name, sort, current: (r) => r.name === room.name() }),
    page.partial ? h("p", { class: "faint" }, "The tenant has too many rooms to sort all of them: search for a part of the name.") : ""],
  });
  const create = feed.may("operator") ? h("form", { class: "row", "aria-label": "Create a room", onsubmit: add }, h("label", {}, "New room", h("input", { name: "room", required: true, maxlength: 200 })), h("button", {}, "Create")) : "";
  const place = split(h("section", { class: "card", "aria-label": "Rooms" }, h("h2", {}, "Rooms"), list.element, create, result.element), () => address("rooms", { tenant }));
  const room = roomPanel(place, feed, () => list.update());

  async function add(event) {
    event.preventDefault();
    const name = new FormData(event.target).get("room");
    if (await result.run(`Creating ${plain(name)}`, `${plain(name)} exists.`, () => ask("PUT", at("tenants", tenant, "rooms", name)))) {
      event.target.reset();
      list.update();
    }
  }

  function go(parameters) {
    if (parameters.get("tenant") && parameters.get("tenant") !== tenant) {
      tenant = parameters.get("tenant");
      list.restart();
    }
    room.show(tenant, parameters.get("room"));
  }

  async function begin() {
    tenant ??= await firstTenant(feed);
    patch(choice, tenantInput(feed, tenant, (value) => { if (value) location.hash = address("rooms", { tenant: value }); }));
    list.update();
    if (tenant) room.show(tenant, asked.get("room"));
  }

  main.append(place.element);
  begin().catch((err) => patch(place.side, note(err.message)));
  return { go, update() { if (!feed.fault) { list.update(); room.update(); } } };
}
