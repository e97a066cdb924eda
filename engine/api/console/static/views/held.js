import { at, get } from "../api.js";
import { h, moment, moduleOf, span, words } from "../html.js";
import { address } from "../lists.js";
import { actions } from "../panel.js";
import { facts } from "./connection.js";
import { author, keys, textOf } from "./queue.js";
import { log } from "./room.js";
import { nameOf, sanctionTable } from "./sanctions.js";

const around = 12; // messages of the room before it

// held shows a held message in the panel of a split, with the messages before it, its author and the decision about it. decide
// is called with the message, an action of keys and a place for the result.
export function held(place, feed, tenant, decide) {
  const result = actions();
  let id; // undefined: the panel does not show a message
  let turn = 0;

  async function update() {
    if (!id) return;
    const mine = ++turn;
    try {
      const m = await get(at("tenants", tenant(), "held", id));
      const [talk, person] = await Promise.all([
        get(`${at("tenants", tenant(), "rooms", m.to ?? m.room, "messages")}?limit=100`).catch(() => ({ messages: [], kept: false })),
        m.user ? get(at("tenants", tenant(), "users", m.user)) : get(`${at("tenants", tenant(), "sanctions")}?address=${encodeURIComponent(m.address)}`),
      ]);
      if (mine === turn) draw(m, talk, person);
    } catch (err) {
      if (mine === turn) place.open("Waiting message", result.element, h("p", { class: "note", "data-key": "error" }, err.message));
    }
  }

  function draw(m, { messages, kept }, { sanctions }) {
    const before = messages.filter((other) => other.sentAt <= m.heldAt).slice(-around);
    const theirs = messages.filter((other) => (m.user ? other.user === m.user : other.from === m.from)).slice(-around);
    const open = m.state === "open";
    place.open("Waiting message", result.element,
      h("blockquote", { "data-key": "text" }, words(textOf(m))),
      open ? "" : decision(m),
      h("div", { class: "row", "data-key": "decide" }, keys.filter((k) => open || k.sanction).map((k) => h("button", { type: "button", class: k.danger && "danger", onclick: () => decide(m, k, result).then(update) }, k.label))),
      facts(["Author", h("a", { href: address("desk", { tenant: tenant(), ...author(m) }) }, words(nameOf(author(m))))],
        ["Room", h("a", { href: address("rooms", { tenant: tenant(), room: m.to ?? m.room }) }, words(m.to ?? m.room))],
        ["Rule", [moduleOf(m.rule), m.reason ? [": ", words(m.reason)] : ""]], ["Held", moment(m.heldAt)],
        ["Expires", open && m.until ? `in ${span((m.until - Date.now()) / 1000)}, then it is ${m.onExpire === "release" ? "released" : "rejected"}` : ""],
        ["Last release refused", m.failure && words(m.failure)]),
      h("div", { class: "fields", "data-key": "talk" }, h("h3", {}, "Messages before it"), kept ? log(before) : h("p", { class: "faint" }, "The room keeps no history.")),
      kept && h("div", { class: "fields", "data-key": "theirs" }, h("h3", {}, "Last messages of the author in the room"), log(theirs)),
      h("div", { "data-key": "sanctions" }, sanctionTable(`Sanctions of ${nameOf(author(m))}`, sanctions, tenant(), result, update, false)));
  }

  const decision = ({ decision: d, outcome }) => h("p", { "data-key": "decided", "data-testid": "decided" },
    `${outcome[0].toUpperCase()}${outcome.slice(1)}`, d?.by ? ` by ${d.by}` : "", d ? [" at ", moment(d.at)] : "", d?.reason ? [": ", words(d.reason)] : "", ".");

  return {
    update,
    show(message) {
      if (message !== id) result.element.replaceChildren();
      id = message ?? undefined;
      turn++;
      update();
      return Boolean(id);
    },
  };
}
