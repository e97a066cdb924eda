import { ask, at, get } from "../api.js";
import { bytes, h, moment, number, plain, table, words } from "../html.js";
import { address } from "../lists.js";
import { actions, confirmed } from "../panel.js";

// facts creates a list of names and values; those without a value are left out.
export const facts = (...all) => h("dl", { class: "facts" }, all.filter(([, value]) => value !== undefined && value !== "" && value !== null).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

// connectionPanel shows a connection in the panel of a split: what is known of it, its rooms and properties, and what the key
// may do. changed is called after an action.
export function connectionPanel(place, feed, changed) {
  const result = actions();
  let tenant;
  let id; // undefined: the panel is closed
  let turn = 0;
  const path = (...more) => at("tenants", tenant, "connections", id, ...more);

  async function update() {
    if (!id) return;
    const mine = ++turn;
    try {
      const c = await get(path());
      if (mine === turn) draw(c);
    } catch (err) {
      if (mine === turn) place.open(id, result.element, h("p", { class: "note", "data-key": "error" }, err.status === 404 ? "The connection does not exist any more." : err.message));
    }
  }

  const act = async (doing, done, action) => {
    const ok = await result.run(doing, done, action);
    changed();
    await update();
    return ok;
  };

  async function close() {
    if (await confirmed("Close the connection?", `${id} is closed, and its client does not connect again by itself.`, "Close")) await act(`Closing ${id}`, `${id} is closed.`, () => ask("DELETE", path()));
  }

  async function leave(room) {
    if (await confirmed(`Remove ${id} from ${plain(room)}?`, `${id} leaves the room. It may join again.`, "Remove")) {
      await act(`Removing ${id}`, `${id} is not in ${plain(room)} any more.`, () => ask("DELETE", at("tenants", tenant, "rooms", room, "members", id)));
    }
  }

  async function set(event) {
    event.preventDefault();
    const form = event.target;
    const name = new FormData(form).get("name");
    const text = new FormData(form).get("value").trim();
    if (await act(`Setting ${name}`, text ? `${name} is set.` : `${name} is removed.`, () => ask("PATCH", path("properties"), { [name]: text ? valueOf(text) : null }))) form.reset();
  }

  async function send(event) {
    event.preventDefault();
    const form = event.target;
    if (await act("Sending", "The message is sent.", () => ask("POST", path("messages"), { message: new FormData(form).get("message") }))) form.reset();
  }

  function draw(c) {
    const properties = Object.entries(c.properties ?? {});
    const claims = c.claims ?? [];
    place.open(c.id, result.element,
      facts(["User", c.user && h("a", { href: address("desk", { tenant, user: c.user }) }, words(c.user))],
        ["Address", h("a", { href: address("desk", { tenant, address: c.remoteIP }) }, c.remoteIP)],
        ["Connected", moment(c.connectedAt)], ["State", c.away ? "away: lost, but its session may be resumed" : "connected"], ["Transport", c.transport], ["Node", c.node],
        ["Locale", c.locale], ["Fingerprint", c.fingerprint && h("code", {}, plain(c.fingerprint))], ["Outbox", bytes(c.outboxBytes)], ["Requests", `${number(c.totalActions)}, ${number(c.pendingActions)} in progress`]),
      h("div", { class: "row", "data-key": "actions" }, h("button", { type: "button", class: "danger", onclick: close }, "Close the connection")),
      h("div", { "data-key": "rooms" }, table("Its rooms", [
        ["room", (room) => h("a", { href: address("rooms", { tenant, room }) }, words(room)), "words"],
        ["action", (room) => h("button", { type: "button", "aria-label": `Remove from ${plain(room)}`, onclick: () => leave(room) }, "Remove")],
      ], c.rooms, "The connection is in no room.", { key: (room) => room })),
      h("div", { "data-key": "properties" }, table("Its properties", [
        ["property", ([name]) => [plain(name), claims.includes(name) ? h("span", { class: "faint" }, " (from its token)") : ""]],
        ["value", ([, value]) => h("code", {}, plain(JSON.stringify(value))), "words"],
      ], properties, "The connection has no properties.", { key: ([name]) => name })),
      feed.may("operator") && h("form", { class: "row", "data-key": "set", "aria-label": "Set a property", onsubmit: set },
        h("label", {}, "Property", h("input", { name: "name", required: true, size: 12 })), h("label", { class: "grow" }, "Value: JSON or text; empty removes it", h("input", { name: "value" })), h("button", {}, "Set")),
      feed.may("operator") && h("form", { class: "row", "data-key": "send", "aria-label": "Send a message", onsubmit: send },
        h("label", { class: "grow" }, "Message to this connection", h("input", { name: "message", required: true, autocomplete: "off" })), h("button", {}, "Send")));
  }

  return {
    update,
    id: () => id,
    show(of, connection) {
      if (!connection) {
        id = undefined;
        turn++;
        return place.close();
      }
      if (connection !== id) result.element.replaceChildren();
      [tenant, id] = [of, connection];
      update();
    },
  };
}

// valueOf returns the JSON value that a text is, or the text.
function valueOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
