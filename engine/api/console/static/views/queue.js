import { ask, at, get } from "../api.js";
import { h, moduleOf, note, number, patch, span, words } from "../html.js";
import { address, query } from "../lists.js";
import { actions, confirmed } from "../panel.js";
import { held } from "./held.js";
import { day, set } from "./sanctions.js";

const shown = 50; // messages in the list
const together = 4; // maximum number of decisions in progress at the same time

// The actions on the current message or on the selected ones: the key, the label, and the decision or the sanction.
export const keys = [
  { key: "r", label: "Release", decision: "release" },
  { key: "x", label: "Reject", decision: "reject", danger: true },
  { key: "1", label: "Mute 10 min", sanction: { kind: "mute", ttl: 600_000 } },
  { key: "2", label: "Mute 1 h", sanction: { kind: "mute", ttl: 3_600_000 } },
  { key: "3", label: "Mute 1 d", sanction: { kind: "mute", ttl: day } },
  { key: "b", label: "Ban", sanction: { kind: "ban" }, danger: true },
];

export const author = (m) => (m.user ? { user: m.user } : { address: m.address });

// queue shows the messages that wait for a decision in an element, and one of them in the panel of a split. tenant() is the
// current one.
export function queue(place, feed, element, tenant) {
  const result = actions();
  const heading = h("h2", {}, "Waiting messages");
  const list = h("ol", { class: "queue", "aria-label": "Waiting messages", "data-testid": "queue" });
  const all = h("input", { type: "checkbox", onchange: () => { chosen = new Set(all.checked ? messages.map((m) => m.id) : []); draw(); } });
  const section = h("section", { class: "card", "aria-label": "Queue", onkeydown: pressed }, heading,
    h("p", { class: "faint" }, "The oldest first. ↓ and ↑, or j and k, move; Space selects; Enter shows the messages before the current one. The keys in brackets decide about the selected messages; if none is selected, about the current one."),
    h("div", { class: "row keys" }, h("label", { class: "check" }, all, "All"), keys.map((k) => h("button", { type: "button", class: k.danger && "danger", "aria-keyshortcuts": k.key, onclick: () => act(k) }, `${k.label} [${k.key}]`))),
    result.element, list);
  let messages = [];
  let chosen = new Set(); // ids
  let current; // id of the message that has or had the focus
  let turn = 0;
  let missing = false; // the server keeps no held messages
  const one = held(place, feed, tenant, (m, k, shows) => decide([m], k, shows));

  async function update() {
    if (!tenant() || missing) return;
    const mine = ++turn;
    try {
      const page = await get(`${at("tenants", tenant(), "held")}?${query({ limit: shown })}`);
      if (mine !== turn) return;
      messages = page.held.filter((m) => m.state === "open");
      heading.textContent = `Waiting messages: ${page.cursor ? `more than ${shown}` : number(messages.length)}`;
      chosen = new Set(messages.map((m) => m.id).filter((id) => chosen.has(id)));
      patch(element, section);
      draw();
    } catch (err) {
      if (mine !== turn) return;
      missing = err.status === 501;
      patch(element, missing ? "" : note(err.message));
    }
    one.update();
  }

  function draw() {
    all.checked = messages.length > 0 && chosen.size === messages.length;
    const had = list.contains(document.activeElement);
    const index = messages.findIndex((m) => m.id === current);
    patch(list, messages.map(item));
    if (messages.length === 0) patch(list, h("li", { class: "faint" }, "No message waits."));
    if (had && !list.contains(document.activeElement)) focus(Math.max(0, index));
  }

  const item = (m) => h("li", { "data-key": m.id, class: chosen.has(m.id) && "chosen" },
    h("label", { class: "check" }, h("input", { type: "checkbox", "aria-label": "Select", checked: chosen.has(m.id), onchange: (event) => toggle(m.id, event.target.checked) })),
    h("div", { class: "grow" },
      h("a", { class: "text", href: address("desk", { tenant: tenant(), held: m.id }), "data-id": m.id }, words(textOf(m))),
      h("p", { class: "faint" }, words(m.user ?? m.address), " in ", words(m.to ?? m.room), ` · ${span((Date.now() - m.heldAt) / 1000)} ago · ${moduleOf(m.rule)}`, m.reason ? [": ", words(m.reason)] : "",
        m.until ? ` · ${m.onExpire === "release" ? "released" : "rejected"} in ${span((m.until - Date.now()) / 1000)}` : ""),
      m.failure ? h("p", { class: "bad" }, "The last release was refused: ", words(m.failure)) : ""));

  function toggle(id, on) {
    if (on) chosen.add(id);
    else chosen.delete(id);
    draw();
  }

  const links = () => [...list.querySelectorAll("a.text")];
  function focus(index) {
    const found = links();
    found[Math.min(index, found.length - 1)]?.focus();
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target.matches("input") && event.target.type !== "checkbox")) return;
    const at = links().indexOf(event.target.closest("li")?.querySelector("a.text"));
    const move = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    const known = keys.find(({ key }) => key === event.key);
    if (move) focus(Math.max(0, at + move));
    else if (event.key === " " && at >= 0 && event.target.matches("a")) toggle(messages[at].id, !chosen.has(messages[at].id));
    else if (known && (chosen.size || at >= 0)) act(known, messages[at]);
    else return;
    event.preventDefault();
  }

  list.addEventListener("focusin", (event) => { current = event.target.closest("li")?.dataset.key ?? current; });

  // act decides about the selected messages, or about m.
  function act(k, m = messages.find((other) => other.id === current)) {
    const of = chosen.size ? messages.filter((other) => chosen.has(other.id)) : m ? [m] : [];
    if (of.length) decide(of, k);
  }

  // decide decides about messages, and shows the results in shows.
  async function decide(of, k, shows = result) {
    if (k.sanction) await impose(of, k.sanction, shows);
    else {
      const failed = [];
      let done = 0;
      await shows.run(`${k.label}: ${number(of.length)}`, () => "", async () => {
        const left = [...of];
        await Promise.all(Array.from({ length: together }, async () => {
          for (let m = left.shift(); m; m = left.shift()) {
            try {
              await ask("POST", at("tenants", tenant(), "held", m.id, k.decision), {});
              done++;
            } catch (err) {
              failed.push(h("p", { class: "note" }, words(textOf(m).slice(0, 40)), `: ${err.message}`));
            }
            chosen.delete(m.id);
          }
        }));
      });
      const what = k.decision === "release" ? "released" : "rejected";
      patch(shows.element, done ? h("p", { class: "good" }, `${number(done)} ${done === 1 ? "message" : "messages"} ${what}.`) : "", failed);
    }
    await update();
  }

  async function impose(of, sanction, shows) {
    const people = [...new Map(of.map((m) => [JSON.stringify(author(m)), author(m)])).values()];
    if (sanction.kind === "ban" && !await confirmed(`Ban ${number(people.length)} ${people.length === 1 ? "person" : "people"} from all rooms?`, "Connections are closed, and refused until the ban is removed.", "Ban")) return;
    for (const who of people) await set(shows, tenant(), { ...who, ...sanction });
  }

  return {
    update,
    // show opens the message with the id in the panel. It returns false without an id.
    show: (id) => one.show(id),
    restart() {
      messages = [];
      chosen.clear();
      missing = false;
      patch(list);
      patch(result.element);
      update();
    },
  };
}

export const textOf = (m) => (typeof m.message === "string" ? m.message : JSON.stringify(m.message));
