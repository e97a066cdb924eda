import { ask, at, get } from "../api.js";
import { h, moment, note, number, table, words } from "../html.js";
import { address } from "../lists.js";
import { actions, confirmed } from "../panel.js";
import { facts } from "./connection.js";
import { readRecord, showDecided, showMessages } from "./record.js";
import { day, nameOf, sanctionForm, sanctionTable, set } from "./sanctions.js";

const rarely = 5; // updates between two requests of the record

// The sanctions that one press sets: label, kind and duration in ms.
const quick = [["Mute 10 min", "mute", 600_000], ["Mute 1 h", "mute", 3_600_000], ["Mute 1 d", "mute", day], ["Shadow 1 d", "shadow", day]];

// personPanel shows a user or an address in the panel of a split: connections, rooms and sanctions, and what the key may do.
export function personPanel(place, feed, changed) {
  const result = actions();
  let tenant;
  let subject; // { user } or { address }; undefined: the panel is closed
  let turn = 0;
  let updates = 0; // of the same person
  let record = {}; // messages and decisions of the user

  async function read() {
    if (subject.user) return get(at("tenants", tenant, "users", subject.user));
    const { sanctions } = await get(`${at("tenants", tenant, "sanctions")}?address=${encodeURIComponent(subject.address)}`);
    return { sanctions };
  }

  async function update() {
    if (!subject) return;
    const mine = ++turn;
    try {
      const [person] = await Promise.all([read(), subject.user && updates++ % rarely === 0 ? readRecord(tenant, subject.user).then((read) => { record = read; }) : undefined]);
      if (mine === turn) draw(person);
    } catch (err) {
      if (mine === turn) place.open(nameOf(subject), result.element, h("p", { class: "note", "data-key": "error" }, err.message));
    }
  }

  async function impose(sanction) {
    const ok = await set(result, tenant, { ...subject, ...sanction });
    changed();
    await update();
    return ok;
  }

  async function ban() {
    const name = nameOf(subject);
    const reason = h("input", { maxlength: 256 });
    if (await confirmed(`Ban ${name} from all rooms?`, "Connections are closed, and refused until the ban is removed.", "Ban", h("label", {}, "Reason, for the user", reason))) {
      await impose({ kind: "ban", reason: reason.value.trim() });
    }
  }

  async function closeAll() {
    if (!await confirmed(`Close all connections of ${nameOf(subject)}?`, "Their clients do not connect again by themselves.", "Close")) return;
    await result.run("Closing", ({ connections }) => `${number(connections)} connections are closed.`, () => ask("DELETE", at("tenants", tenant, "users", subject.user, "connections")));
    await update();
  }

  async function send(event) {
    event.preventDefault();
    const form = event.target;
    if (await result.run("Sending", ({ connections }) => `The message is sent to ${number(connections)} connections.`, () => ask("POST", at("tenants", tenant, "users", subject.user, "messages"), { message: new FormData(form).get("message") }))) form.reset();
  }

  function draw({ connections, more, rooms, sanctions, unreachable = [] }) {
    place.open(nameOf(subject), result.element,
      unreachable.map((node) => note(`Node ${node} does not answer: its connections are missing.`)),
      h("div", { class: "row", "data-key": "quick" },
        quick.map(([label, kind, ttl]) => h("button", { type: "button", onclick: () => impose({ kind, ttl }) }, label)),
        h("button", { type: "button", class: "danger", onclick: ban }, "Ban"),
        subject.user && h("button", { type: "button", class: "danger", onclick: closeAll, disabled: connections.length === 0 }, "Close all connections")),
      h("div", { "data-key": "sanctions" }, sanctionTable(`Sanctions of ${nameOf(subject)}`, sanctions, tenant, result, () => { changed(); update(); }, false)),
      h("details", { "data-key": "more" }, h("summary", {}, "Another sanction"), sanctionForm({ subject, submit: impose })),
      subject.user && facts(["Rooms", rooms.length ? rooms.map((room) => [h("a", { href: address("rooms", { tenant, room }) }, words(room)), " "]) : "none"]),
      subject.user && h("div", { "data-key": "connections" }, table(`Connections of ${nameOf(subject)}`, [
        ["connection", (c) => h("a", { href: address("connections", { tenant, connection: c.id }) }, h("code", {}, c.id))],
        ["address", (c) => h("a", { href: address("desk", { tenant, address: c.remoteIP }) }, c.remoteIP)],
        ["connected", (c) => [moment(c.connectedAt), c.away ? h("span", { class: "bad" }, " away") : ""]],
        ["node", (c) => c.node],
      ], connections, "No connections.", { key: (c) => c.id }), more ? h("p", { class: "faint" }, "There are more: ", h("a", { href: address("connections", { tenant, user: subject.user }) }, "all connections")) : ""),
      subject.user && record.of === subject.user && [showMessages("Last messages in all rooms", record.messages), showDecided(record.decided),
        h("p", { "data-key": "rules" }, h("a", { href: address("decisions", { tenant, user: subject.user }) }, "Decisions of rules about this user"))],
      subject.user && feed.may("operator") && h("form", { class: "row", "data-key": "send", "aria-label": "Send a message", onsubmit: send },
        h("label", { class: "grow" }, "Message to all connections", h("input", { name: "message", required: true, autocomplete: "off" })), h("button", {}, "Send")));
  }

  return {
    update,
    // forget lets another view use the panel.
    forget() {
      subject = undefined;
      turn++;
    },
    show(of, who) {
      if (!who) {
        subject = undefined;
        turn++;
        return place.close();
      }
      if (JSON.stringify(who) !== JSON.stringify(subject)) {
        result.element.replaceChildren();
        updates = 0;
      }
      [tenant, subject] = [of, who];
      update();
    },
  };
}
