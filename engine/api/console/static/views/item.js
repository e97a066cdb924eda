import { at, get } from "../api.js";
import { h, moduleOf, moment, note, number, span, words } from "../html.js";
import { address, query } from "../lists.js";
import { actions } from "../panel.js";
import { facts } from "./connection.js";
import { applies, author, authorName, keys, ofHeld, ofReport, path, title } from "./items.js";
import { readRecord, showDecided, showMessages } from "./record.js";
import { log } from "./room.js";
import { sanctionTable } from "./sanctions.js";

const around = 12; // messages of the room before the item
const pages = 5; // of 200 messages of the room, the latest first, that are searched for these messages
const rarely = 5; // updates between two requests of the author's messages and record, which seldom change

// item shows a held message or a report in the panel of a split, with the messages before it, its author and the decision about
// it. decide is called with the item, an action of keys, a place for the result and a reason; move(1) and move(-1) show the next
// and the previous item; at(item) returns the names of other moderators who look at it.
export function item(place, feed, tenant, { decide, move, at: others }) {
  const result = actions();
  const reason = h("input", { maxlength: 256, autocomplete: "off" });
  const reasonFor = h("span");
  const reasonBox = h("label", { "data-own": true }, reasonFor, reason);
  let shown; // { kind, id, key }; undefined: the panel does not show an item
  let turn = 0;
  let updates = 0; // of the same item
  let talk; // messages of the room; of is the key of the item that they were read for
  let record = {}; // of the author

  async function update() {
    if (!shown) return;
    const mine = ++turn;
    const label = shown.kind === "held" ? "Held message" : "Report";
    try {
      const one = (shown.kind === "held" ? ofHeld : ofReport)(await get(path(tenant(), shown)));
      if (mine !== turn) return;
      const seldom = updates++ % rarely === 0;
      const [person] = await Promise.all([
        one.user ? get(at("tenants", tenant(), "users", one.user)) : one.address ? get(`${at("tenants", tenant(), "sanctions")}?${query({ address: one.address })}`) : { sanctions: [] },
        seldom && remember(one), seldom && listen(one),
      ]);
      if (mine === turn) draw(label, one, person);
    } catch (err) {
      if (mine === turn) place.open(label, result.element, h("p", { class: "note", "data-key": "error" }, err.message));
    }
  }

  // listen reads the messages of the room before the item, and the latest ones of the author. It drops them if the panel then shows
  // another item.
  async function listen(one) {
    const found = { of: one.key, kept: false, before: [], theirs: [] };
    const until = one.sentAt ?? one.at;
    for (let n = 0, offset = 0; one.room && n < pages && found.before.length < around; n++) {
      const page = await get(`${at("tenants", tenant(), "rooms", one.room, "messages")}?${query({ limit: 200, beforeOffset: offset })}`).catch((err) => ({ messages: [], error: err.message }));
      if (page.error) {
        found.error = page.error;
        break;
      }
      found.kept = page.kept;
      found.before = [...page.messages.filter((m) => m.sentAt <= until && m.id !== one.messageId), ...found.before];
      found.theirs = [...page.messages.filter((m) => one.connection && m.from === one.connection), ...found.theirs];
      if (page.messages.length < 200) break;
      offset = page.messages[0].offset;
    }
    if (shows(one)) talk = { ...found, before: found.before.slice(-around), theirs: found.theirs.slice(-around).reverse() };
  }

  const shows = (one) => shown?.key === one.key;

  // remember reads the record of the author, and drops it if the panel then shows another item.
  async function remember(one) {
    const read = one.user ? await readRecord(tenant(), one.user, one.room) : {};
    if (shows(one)) record = read;
  }

  // act carries out an action on the item, if it is possible.
  async function act(one, k) {
    await decide(one, k, result, reason.value.trim());
    reason.value = "";
    updates = 0;
    await update();
  }

  const possible = (k, one) => applies(k, one) && (one.state === "open" || k.sanction || one.kind === "report");

  function draw(label, one, { sanctions }) {
    const names = others(one);
    const who = author(one);
    const open = one.state === "open";
    const heard = talk?.of === one.key ? talk : undefined;
    drawn = one;
    reasonFor.textContent = one.kind === "held" ? "Reason, for the author" : "Reason, for the reporters; of a sanction, for the author";
    place.open(label,
      h("div", { class: "row centered", "data-key": "move" }, h("button", { type: "button", "aria-keyshortcuts": "k", onclick: () => move(-1) }, "Previous", h("kbd", { "aria-hidden": "true" }, "k")), h("button", { type: "button", "aria-keyshortcuts": "j", onclick: () => move(1) }, "Next", h("kbd", { "aria-hidden": "true" }, "j")),
        names.length ? h("span", { class: "tag person", "data-testid": "lookers" }, `${names.join(", ")} ${names.length === 1 ? "looks" : "look"} at it too`) : ""),
      h("blockquote", { "data-key": "text", tabindex: 0 }, words(title(one))),
      one.shown && one.shown !== one.text ? h("div", { "data-key": "shown" }, h("h3", {}, "As the first reporter received it"), h("blockquote", { tabindex: 0 }, words(one.shown))) : "",
      open ? "" : decision(one),
      h("div", { class: "row decide", "data-key": "decide" }, keys.filter((k) => possible(k, one)).map((k) => h("button", { type: "button", "data-key": k.key, class: k.danger && "danger", "aria-keyshortcuts": k.key, onclick: () => act(one, k) }, k.label, h("kbd", { "aria-hidden": "true" }, k.key)))),
      reasonBox,
      result.element,
      facts(["Author", who ? h("a", { href: address("desk", { tenant: tenant(), ...who }) }, words(authorName(one))) : words(authorName(one))],
        ["Room", one.room && h("a", { href: address("rooms", { tenant: tenant(), room: one.room }) }, words(one.room))],
        ["Rule", one.rule && [moduleOf(one.rule), one.reason ? [": ", words(one.reason)] : ""]],
        [one.kind === "held" ? "Held" : "First reported", moment(one.at)], ["Sent", one.kind === "report" && one.sentAt ? moment(one.sentAt) : ""],
        ["Expires", open && one.until ? `in ${span((one.until - Date.now()) / 1000)}${one.kind === "report" ? "" : `, then it is ${one.onExpire === "release" ? "released" : "rejected"}`}` : ""],
        ["Last decision", one.failure && ["not carried out: ", words(one.failure)]]),
      one.reporters && h("div", { class: "fields", "data-key": "reporters" }, h("h3", {}, "Reporters"), reporters(one)),
      one.room && h("div", { class: "fields", "data-key": "talk" }, h("h3", {}, "Messages before it"), before(heard)),
      theirs(one, heard),
      h("div", { class: "fields", "data-key": "sanctions" }, h("h3", {}, "Sanctions of the author"), sanctionTable(`Sanctions of ${authorName(one)}`, sanctions, tenant(), result, update, false)));
  }

  function before(heard) {
    if (!heard) return h("p", { class: "faint" }, "The history of the room is not read yet.");
    if (heard.error) return [note(`The history cannot be read: ${heard.error}`), heard.before.length ? log(heard.before) : ""];
    if (heard.before.length) return log(heard.before);
    return h("p", { class: "faint" }, heard.kept ? "The history of the room has none." : "The room keeps no history.");
  }

  const reporters = (one) => h("ol", { class: "log", "aria-label": "Reporters", tabindex: 0 }, one.reporters.map((r) => h("li", { "data-key": `${r.user ?? ""} ${r.connection ?? ""} ${r.at}` },
    h("span", { class: "faint" }, moment(r.at)), " ", r.user ? h("a", { href: address("desk", { tenant: tenant(), user: r.user }) }, words(r.user)) : words(r.connection ?? r.address ?? ""), r.reason ? [": ", words(r.reason)] : "")),
    one.reports > one.reporters.length && h("li", { class: "faint" }, `and ${number(one.reports - one.reporters.length)} more`));

  // theirs shows the author's messages of all rooms, and the earlier decisions. An author without a user is known in one room only.
  const theirs = (one, heard) => (one.user && record.of === one.user
    ? [showMessages("Last messages of the author in all rooms", record.messages), showDecided(record.decided.filter((m) => m.key !== one.key))]
    : heard && !(heard.error && !heard.theirs.length) && showMessages("Last messages of the author in the room", heard.theirs));

  const decision = ({ decision: d, outcome }) => h("p", { class: "decided", "data-key": "decided", "data-testid": "decided" },
    `${outcome[0].toUpperCase()}${outcome.slice(1)}`, d?.by ? ` by ${d.by}` : "", d ? [" at ", moment(d.at)] : "", d?.reason ? [": ", words(d.reason)] : "", ".");

  let drawn; // the item as it was drawn last
  place.side.addEventListener("keydown", (event) => {
    if (!shown || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const by = { j: 1, k: -1 }[event.key];
    const k = keys.find(({ key }) => key === event.key);
    if (by) move(by);
    else if (k && drawn?.key === shown.key && possible(k, drawn)) act(drawn, k);
    else return;
    event.preventDefault();
  });

  return {
    update,
    shown: () => shown,
    show(next) {
      if (next?.key !== shown?.key) {
        result.element.replaceChildren();
        reason.value = "";
        updates = 0;
      }
      shown = next;
      turn++;
      update();
      return Boolean(shown);
    },
  };
}
