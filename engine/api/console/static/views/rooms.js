import { at, get } from "../api.js";
import { h, number, table } from "../html.js";
import { firstTenant, tenantInput } from "../tenants.js";

export function rooms(main, feed, asked) {
  let tenant = asked.get("tenant");
  let prefix = "";
  let room = asked.get("room"); // the room with its members on the page
  let turn = 0; // number of the latest request; answers to older ones are dropped
  const list = h("div", { "data-testid": "rooms" });
  const members = h("div");
  const fail = (where) => (err) => where.replaceChildren(h("p", { class: "note" }, err.message));

  // pages shows a list in the element place, with a button for the next page.
  async function pages(place, path, field, show) {
    const mine = ++turn;
    const rows = [];
    const more = async (cursor) => {
      const page = await get(path + (cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""));
      if (mine !== turn) return;
      rows.push(...page[field]);
      place.replaceChildren(show(rows, page), page.cursor ? h("p", {}, h("button", { type: "button", onclick: () => more(page.cursor).catch(fail(place)) }, "More")) : "");
    };
    await more();
  }

  const showRooms = () => {
    room = undefined;
    members.replaceChildren();
    return pages(list, `${at("tenants", tenant, "rooms")}?counts=true&prefix=${encodeURIComponent(prefix)}`, "rooms", (rows) => table("Rooms", [
      ["room", (r) => h("button", { type: "button", onclick: () => open(r.name) }, r.name)],
      ["members", (r) => number(r.membersCount), "number"],
    ], rows, prefix ? "No room with this prefix." : "No rooms.")).catch(fail(list));
  };

  function open(name) {
    room = name;
    return pages(members, `${at("tenants", tenant, "rooms", name, "members")}?limit=100`, "members", (rows, page) => h("section", { class: "card" },
      h("h2", {}, `${name}: ${number(page.membersCount)} ${page.membersCount === 1 ? "member" : "members"}`),
      table(`Members of ${name}`, [
        ["connection", (m) => h("code", {}, m.id)],
        ["joined", (m) => new Date(m.joinedAt).toLocaleString("en-GB")],
      ], rows, "No members."))).catch(fail(members));
  }

  const filter = h("input", { type: "search", oninput: () => { prefix = filter.value; showRooms(); } });
  const choice = h("span", { class: "choice" });
  main.append(h("section", { class: "card" }, h("h2", {}, "Rooms"),
    h("div", { class: "row" },
      choice,
      h("label", {}, "Name begins with", filter),
      h("button", { type: "button", onclick: () => (room ? open(room) : showRooms()) }, "Refresh")),
    list), members);
  async function begin() {
    tenant ??= await firstTenant(feed);
    choice.replaceChildren(tenantInput(feed, tenant, (value) => { tenant = value; if (tenant) showRooms(); }));
    if (!tenant) return;
    await showRooms();
    if (asked.get("room")) open(asked.get("room"));
  }
  begin().catch(fail(list));
  return { update() {} };
}
