import { at, get } from "../api.js";
import { h, note, number, patch, select, span, words } from "../html.js";
import { address, query } from "../lists.js";
import { actions, confirmed } from "../panel.js";
import { item as itemPanel } from "./item.js";
import { applies, author, authorName, decide, keys, ofHeld, ofReport, sanctioned, title, why } from "./items.js";
import { presence } from "./presence.js";

const shown = 50; // items in the list
const together = 4; // maximum number of decisions in progress at the same time
const lists = { held: ofHeld, reports: ofReport };

// queue shows the held messages and reports that wait for a decision in an element, and one of them in the panel of a split.
// tenant() is the current one.
export function queue(place, feed, element, tenant) {
  const result = actions();
  const heading = h("h2", {}, "Review queue");
  const here = h("p", { class: "faint", "data-testid": "moderators" });
  const list = h("ol", { class: "queue", "aria-label": "Review queue", "data-testid": "queue" });
  const all = h("input", { type: "checkbox", onchange: () => { chosen = new Set(all.checked ? items.map((m) => m.key) : []); draw(); } });
  const filter = select("Show", [["", "held messages and reports"], ["held", "held messages"], ["reports", "reports"]], "", (value) => { only = value; update(); });
  const section = h("section", { class: "card", "aria-label": "Queue", onkeydown: pressed },
    h("div", { class: "row between wraps" }, h("div", {}, heading, here), filter),
    h("div", { class: "row keys", role: "group", "aria-label": "Decisions about the selected items or the current one" }, h("label", { class: "check" }, all, "All"), keys.map((k) => h("button", { type: "button", class: k.danger && "danger", "aria-keyshortcuts": k.key, onclick: () => act(k) }, k.label, h("kbd", { "aria-hidden": "true" }, k.key)))),
    result.element, list,
    h("details", {}, h("summary", {}, "Keys"), h("p", { class: "faint" }, "The oldest item is first. ↓ and ↑, or j and k, move; Space selects; Enter shows the item with the messages before it. The key of a button decides about the selected items; if none is selected, about the current one. A mute or ban ends a report; a held message still waits for its decision.")));
  const others = presence(tenant, feed);
  const one = itemPanel(place, feed, tenant, { decide: (m, k, shows, reason) => settle([m], k, shows, reason), move: step, at: others.at });
  let items = [];
  let only = ""; // one of lists; "": all
  let chosen = new Set(); // keys of items
  let current; // key of the item that has the focus, or had it last
  let index = 0; // of the item in the panel or, if that is gone, of the item that followed it
  let turn = 0;
  let missing = false; // the server has no review queue

  async function update() {
    if (!tenant() || missing) return;
    const mine = ++turn;
    others.update(one.shown()?.id).then((changed) => changed && draw());
    try {
      const pages = await Promise.all(Object.entries(lists).map(async ([name, of]) => {
        if (only && name !== only) return { rows: [], more: false };
        const page = await get(`${at("tenants", tenant(), name)}?${query({ limit: shown })}`);
        return { rows: page[name].map(of), more: Boolean(page.cursor) };
      }));
      if (mine !== turn) return;
      items = pages.flatMap((page) => page.rows).filter((m) => m.state === "open").sort((a, b) => a.at - b.at).slice(0, shown);
      const more = pages.some((page) => page.more) || pages.reduce((n, page) => n + page.rows.length, 0) > shown;
      heading.textContent = `Review queue: ${more ? `more than ${items.length}` : number(items.length)}`;
      document.title = `${items.length ? `(${more ? `${items.length}+` : items.length}) ` : ""}Desk · Moot console`;
      chosen = new Set(items.map((m) => m.key).filter((key) => chosen.has(key)));
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
    const names = others.names();
    const text = names.length ? `Also at the desk: ${names.join(", ")}` : "Nobody else is at the desk.";
    if (here.textContent !== text) here.textContent = text;
    all.checked = items.length > 0 && chosen.size === items.length;
    const had = list.contains(document.activeElement);
    const before = items.findIndex((m) => m.key === current);
    const position = before < 0 ? [...list.children].findIndex((li) => li.dataset.key === current) : before;
    patch(list, items.length ? items.map(row) : h("li", { class: "faint" }, only ? "None waits for a decision." : "Nothing waits for a decision."));
    const at = items.findIndex((m) => m.key === one.shown()?.key);
    if (at >= 0) index = at;
    if (had && !list.contains(document.activeElement)) focus(Math.max(0, position));
  }

  const row = (m) => h("li", { "data-key": m.key, class: `${chosen.has(m.key) ? "chosen" : ""} ${one.shown()?.key === m.key ? "open" : ""}` },
    h("input", { type: "checkbox", "aria-label": `Select: ${title(m).slice(0, 40)}`, checked: chosen.has(m.key), onchange: (event) => toggle(m.key, event.target.checked) }),
    h("div", { class: "grow" },
      h("a", { class: "text", href: address("desk", { tenant: tenant(), [m.kind]: m.id }) }, words(title(m))),
      h("p", { class: "faint" }, h("span", { class: `tag ${m.kind}` }, m.kind === "held" ? "held" : "reported"), " ", words(authorName(m)), m.room ? [" in ", words(m.room)] : "", ` · ${span((Date.now() - m.at) / 1000)} ago · `, why(m),
        m.until ? ` · ${m.kind === "report" ? "expires" : m.onExpire === "release" ? "released" : "rejected"} in ${span((m.until - Date.now()) / 1000)}` : "",
        others.at(m).map((name) => h("span", { class: "tag person" }, `${name} looks at it`))),
      m.failure ? h("p", { class: "bad" }, "The last decision was not carried out: ", words(m.failure)) : ""));

  function toggle(key, on) {
    if (on) chosen.add(key);
    else chosen.delete(key);
    draw();
  }

  const links = () => [...list.querySelectorAll("a.text")];
  function focus(index) {
    const found = links();
    (found[Math.min(index, found.length - 1)] ?? heading).focus();
  }

  // step shows the next or the previous item in the panel.
  function step(by) {
    const known = items.findIndex((m) => m.key === one.shown()?.key);
    const next = items[Math.min(items.length - 1, Math.max(0, known < 0 ? index + Math.min(by, 0) : known + by))];
    if (next) location.replace(address("desk", { tenant: tenant(), [next.kind]: next.id }));
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target.matches("input, select") && event.target.type !== "checkbox")) return;
    const at = links().indexOf(event.target.closest("li")?.querySelector("a.text"));
    const move = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    const known = keys.find(({ key }) => key === event.key);
    if (move) focus(Math.max(0, at + move));
    else if (event.key === " " && at >= 0 && event.target.matches("a")) toggle(items[at].key, !chosen.has(items[at].key));
    else if (known && (chosen.size || at >= 0)) act(known, items[at]);
    else return;
    event.preventDefault();
  }

  list.addEventListener("focusin", (event) => { current = event.target.closest("li")?.dataset.key ?? current; });

  // act decides about the selected items, or about m.
  function act(k, m = items.find((other) => other.key === current)) {
    const of = chosen.size ? items.filter((other) => chosen.has(other.key)) : m ? [m] : [];
    if (of.length) settle(of, k);
    else patch(result.element, note(`${k.label}: select items, or move to one.`));
  }

  // settle carries out an action on items, and shows the results in shows. With a sanction it takes the items of each author
  // together: a decision about a report sets the sanction, and settle sets it directly only if no such decision has succeeded.
  async function settle(of, k, shows = result, reason = "") {
    const where = tenant(); // another one may be chosen meanwhile
    const possible = of.filter((m) => applies(k, m));
    const left = of.length - possible.length;
    const work = k.sanction ? Object.values(Object.groupBy(possible, (m) => JSON.stringify(author(m)))) : possible.map((m) => [m]);
    if (k.sanction?.kind === "ban" && work.length && !await confirmed(`Ban ${number(work.length)} ${work.length === 1 ? "person" : "people"} from all rooms?`, `${work.slice(0, 5).map(([m]) => authorName(m)).join(", ")}${work.length > 5 ? ", …" : ""}: connections are closed, and refused until the ban is removed.`, "Ban")) return;
    const failed = [];
    const results = [];
    let done = 0;
    const attempt = async (m, action) => {
      try {
        results.push(await action());
        return true;
      } catch (err) {
        failed.push(h("p", { class: "note" }, words(title(m).slice(0, 40)), `: ${err.message}`));
        return false;
      }
    };
    const decided = async (m) => {
      await decide(where, m, k, reason);
      done++;
      return k.sanction && `${authorName(m)}: ${k.sanction.kind}${k.sanction.ttl ? ` for ${span(k.sanction.ttl / 1000)}` : ""}.`;
    };
    const carryOut = async (group) => {
      let set = false;
      for (const m of group) if (!k.sanction || m.kind === "report") set = await attempt(m, () => decided(m)) || set;
      const held = k.sanction && !set && group.find((m) => m.kind === "held");
      if (held) await attempt(held, () => sanctioned(where, held, k, reason));
      for (const m of group) chosen.delete(m.key);
    };
    await shows.run(`${k.label}: ${number(work.length)}`, () => "", async () => {
      const queue = [...work];
      await Promise.all(Array.from({ length: together }, async () => {
        for (let group = queue.shift(); group; group = queue.shift()) await carryOut(group);
      }));
    });
    const ended = done ? `${number(done)} ${k.of === "held" ? (done === 1 ? "message" : "messages") : done === 1 ? "report" : "reports"} ${k.done ?? "decided"}.` : "";
    const skipped = left ? `${number(left)} left out: ${k.label} is ${k.of === "held" ? "for held messages" : k.of ? "for reported messages" : "for authors who are known"}.` : "";
    patch(shows.element, [...new Set(results), ended].filter(Boolean).map((text) => h("p", { class: "good" }, text)), skipped ? h("p", {}, skipped) : "", failed);
    await update();
  }

  return {
    update,
    // show opens the item of the parameters in the panel. It returns false if they have none.
    show(parameters) {
      const kind = ["held", "report"].find((name) => parameters.get(name));
      return one.show(kind && { kind, id: parameters.get(kind), key: `${kind} ${parameters.get(kind)}` });
    },
    restart() {
      items = [];
      chosen.clear();
      missing = false;
      patch(list);
      patch(result.element);
      update();
    },
  };
}
