import { at, get } from "../api.js";
import { clock, duration, h, moduleOf, note, number, patch, select, table, version, words } from "../html.js";
import { address, query, soon, tenantInput } from "../lists.js";

const any = ["", "any"];
const page = 100; // decisions in one answer
const choices = (list) => [any, ...list.map((word) => [word, word])];

export function decisions(main, feed, parameters) {
  const own = feed.whole ? "" : feed.tenant.name; // used if no tenant is chosen
  const asked = { tenant: parameters.get("tenant") ?? own, room: parameters.get("room") ?? "", user: parameters.get("user") ?? "", hook: "", module: "", verdict: "", shadow: "" };
  let older = []; // decisions of older pages; each update replaces only the latest page
  let turn = 0;
  let paused = false;
  let last; // the oldest decision on the page; undefined: there are no older ones
  const place = h("div", { class: "fields", "data-testid": "decisions" });
  const button = h("button", { type: "button", hidden: true, onclick: () => more(last.at) }, "Older");

  const ask = (before) => get(`${asked.tenant ? at("tenants", asked.tenant, "decisions") : "/api/decisions"}?${query({ ...asked, tenant: "", before, limit: page })}`);

  async function update() {
    const mine = ++turn;
    try {
      const { decisions: latest, unreachable = [] } = await ask();
      if (mine !== turn) return;
      const rows = [...latest, ...older.filter((d) => latest.length === 0 || d.at < latest.at(-1).at)];
      patch(place, unreachable.map((name) => note(`Node ${name} does not answer: its decisions are missing.`)), list(rows));
      last = (older.length ? older.page : latest.length) === page ? rows.at(-1) : undefined;
      button.hidden = !last;
    } catch (err) {
      if (mine === turn) patch(place, note(err.message));
    }
  }

  async function more(before) {
    const { decisions: next } = await ask(before);
    older = Object.assign([...older, ...next], { page: next.length });
    await update();
  }

  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", paused);
    pause.textContent = paused ? "Resume" : "Pause";
    if (!paused) update();
  } }, "Pause");
  const change = (field) => (value) => { asked[field] = value; older = []; update(); };
  const text = (title, field) => {
    const input = h("input", { type: "search", size: 14, value: asked[field], oninput: soon(() => change(field)(input.value.trim())) });
    return h("label", {}, title, input);
  };
  main.append(h("section", { class: "card", "aria-label": "Decisions" }, h("h2", {}, "Decisions"),
    h("div", { class: "row" },
      tenantInput(feed, asked.tenant, (value) => change("tenant")(value || own), { placeholder: own || "any" }),
      text("Room", "room"),
      text("User", "user"),
      select("Hook", choices(["connect", "join", "onSayReceive", "say", "leave", "disconnect", "action"]), "", change("hook")),
      text("Module", "module"),
      select("Verdict", choices(["allow", "rewrite", "deny", "drop", "hold", "error", "opened", "closed"]), "", change("verdict")),
      select("Mode", [["", "all"], ["true", "shadow only"]], "", change("shadow")), pause),
    place, button));
  return { update() { if (!feed.fault && !paused) update(); } };
}

const tone = { deny: "bad", drop: "bad", error: "bad", opened: "bad", allow: "good", closed: "good" };
const outage = (d) => ["opened", "closed"].includes(d.verdict);
const done = (d) => (d.shadow && !outage(d) ? [h("span", { class: tone[d.done ?? "allow"] }, d.done ?? "allow"), d.doneBy ? ` by ${moduleOf(d.doneBy)}` : ""] : "");

// Columns that are left out if no row has a value.
const optional = { "applied instead": (d) => d.shadow, message: (d) => d.text, user: (d) => d.user, receivers: (d) => d.count };

const list = (rows) => table("Decisions", [
  ["at", (d) => h("time", { datetime: new Date(d.at).toISOString(), title: new Date(d.at).toISOString() }, clock(d.at))],
  ["verdict", (d) => [h("span", { class: tone[d.verdict] }, d.verdict), d.refused ? ` ${number(d.refused)} refused` : "", d.shadow ? h("span", { class: "faint" }, " in shadow") : ""]],
  ["applied instead", done],
  ["reason", (d) => [d.reason ? words(d.reason) : "", d.code ? ` (code ${d.code})` : "", d.error ? h("div", { class: "faint" }, d.error) : "", (d.effects ?? []).map((effect) => h("div", {}, words(effect)))], "words"],
  ["message", (d) => (d.text ? words(d.text) : ""), "words"],
  ["user", (d) => (d.user ? h("a", { href: address("desk", { tenant: d.tenant, user: d.user }) }, words(d.user)) : ""), "words"],
  ["room", (d) => (d.room ? h("a", { href: address("rooms", { tenant: d.tenant, room: d.room }) }, words(d.room)) : ""), "words"],
  ["tenant", (d) => d.tenant],
  ["module", (d) => moduleOf(d.module)],
  ["hook", (d) => d.hook],
  ["receivers", (d) => (d.count ? number(d.count) : ""), "number"],
  ["took", (d) => duration(d.took), "number"],
  ["node", (d) => d.node],
  ["revision", (d) => h("code", { title: d.module }, version(d.module).split("#").pop().slice(0, 8))],
].filter(([title]) => !(title in optional) || rows.some(optional[title])),
rows, "No decisions. Verdicts other than allow, errors, and breakers that open or close are recorded, and a sample of allows if it is configured.", { key: (d) => `${d.node} ${d.at}` });
