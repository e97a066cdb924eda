import { ask, at, get } from "../api.js";
import { clock, h, moment, number, patch, plain, table, words } from "../html.js";
import { address, query } from "../lists.js";
import { actions, confirmed } from "../panel.js";

// roomPanel shows a room in the panel of a split: its members and messages, and what the key may do. changed is called after
// the number of its members or of rooms has changed.
export function roomPanel(place, feed, changed) {
  const result = actions();
  let tenant;
  let room; // undefined: the panel is closed
  let cursors = [""]; // of the pages of members
  let turn = 0;
  const path = (...more) => at("tenants", tenant, "rooms", room, ...more);

  async function update() {
    if (!room) return;
    const mine = ++turn;
    try {
      const [members, history] = await Promise.all([
        get(`${path("members")}?${query({ limit: 50, cursor: cursors.at(-1) })}`),
        feed.may("moderator") ? get(`${path("messages")}?limit=50`) : {},
      ]);
      if (mine === turn) draw(members, history);
    } catch (err) {
      if (mine === turn) place.open(plain(room), h("p", { class: "note", "data-key": "error" }, err.message), result.element);
    }
  }

  const act = async (doing, done, action) => {
    const ok = await result.run(doing, done, action);
    changed();
    await update();
    return ok;
  };

  async function kick(id) {
    if (await confirmed(`Remove ${id}?`, `The connection leaves ${plain(room)}. It may join again: set a sanction at the desk to prevent it.`, "Remove")) {
      await act(`Removing ${id}`, `${id} is not in ${plain(room)} any more.`, () => ask("DELETE", path("members", id)));
    }
  }

  async function destroy() {
    if (!await confirmed(`Destroy ${plain(room)}?`, "All members are notified and leave, and the history of the room is deleted.", "Destroy")) return;
    const name = room;
    if (await result.run(`Destroying ${plain(name)}`, `${plain(name)} is destroyed.`, () => ask("DELETE", path()))) {
      changed();
      location.hash = address("rooms", { tenant });
    }
  }

  function say(event) {
    event.preventDefault();
    const form = event.target;
    act(`Sending to ${plain(room)}`, "The message is sent.", () => ask("POST", path("messages"), { message: new FormData(form).get("message") })).then((ok) => ok && form.reset());
  }

  function draw({ members, membersCount, cursor }, { messages, kept }) {
    const of = (m) => (m.user ? h("a", { href: address("desk", { tenant, user: m.user }) }, words(m.user)) : "");
    place.open(`${plain(room)}: ${number(membersCount)} ${membersCount === 1 ? "member" : "members"}`,
      result.element,
      feed.may("operator") && h("form", { class: "row", "data-key": "say", "aria-label": "Send a message", onsubmit: say },
        h("label", { class: "grow" }, "Say as the system", h("input", { name: "message", required: true, autocomplete: "off" })), h("button", {}, "Say"),
        h("button", { type: "button", class: "danger", onclick: destroy }, "Destroy the room")),
      h("div", { "data-key": "members" }, table(`Members of ${plain(room)}`, [
        ["connection", (m) => (feed.may("moderator") ? h("a", { href: address("connections", { tenant, connection: m.id }) }, h("code", {}, m.id)) : h("code", {}, m.id))],
        ["user", of],
        ["joined", (m) => moment(m.joinedAt)],
        ["action", (m) => feed.may("moderator") && h("button", { type: "button", "aria-label": `Remove ${m.id}`, onclick: () => kick(m.id) }, "Remove")],
      ].filter(([title]) => title !== "user" || members.some((m) => m.user)), members, "No members.", { key: (m) => m.id })),
      h("div", { class: "row", "data-key": "pages" }, cursors.length > 1 && h("button", { type: "button", "data-key": "back", onclick: () => { cursors.pop(); update(); } }, "Previous members"),
        cursor && h("button", { type: "button", "data-key": "on", onclick: () => { cursors.push(cursor); update(); } }, "Next members")),
      messages && h("div", { "data-key": "history", class: "fields" }, h("h3", {}, "History"), kept ? log(messages) : h("p", { class: "faint" }, "The room keeps no history.")));
  }

  return {
    update,
    name: () => room,
    show(of, name) {
      if (!name) {
        room = undefined;
        turn++;
        return place.close();
      }
      if (name !== room) {
        patch(result.element);
        cursors = [""];
      }
      [tenant, room] = [of, name];
      update();
    },
  };
}

// log shows messages, the oldest first. Their texts are those of users.
export const log = (messages) => (messages.length === 0 ? h("p", { class: "faint" }, "No messages.") : h("ol", { class: "log", tabindex: 0 }, messages.map((m) => h("li", { "data-key": m.id ?? m.offset },
  h("span", { class: "faint" }, m.sentAt ? clock(m.sentAt) : "", " ", words(m.user ?? (m.from === "0" ? "system" : m.from ?? ""))), " ", words(messageText(m))))));

export const messageText = (m) => (typeof m.message === "string" ? m.message : JSON.stringify(m.message));
