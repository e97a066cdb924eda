import { at, get } from "../api.js";
import { duration, h, number, select, table } from "../html.js";
import { tenantInput } from "../tenants.js";

const any = ["", "any"];
const page = 100; // decisions in one answer
const words = (list) => [any, ...list.map((word) => [word, word])];

export function decisions(main, feed) {
  const own = feed.whole ? "" : feed.tenant.name; // used if no tenant is chosen
  const asked = { tenant: own, room: "", hook: "", module: "", verdict: "", shadow: "" };
  let older = []; // decisions of older pages; each update replaces only the latest page
  let turn = 0;
  let last; // the oldest decision on the page; undefined: there are no older ones
  const place = h("div", { "data-testid": "decisions" });
  const button = h("button", { type: "button", hidden: true, onclick: () => more(last.at) }, "Older");

  const ask = (before) => {
    const query = new URLSearchParams(Object.entries({ ...asked, tenant: "", before: before ?? "", limit: page }).filter(([, value]) => value));
    return get(`${asked.tenant ? at("tenants", asked.tenant, "decisions") : "/api/decisions"}?${query}`);
  };

  async function update() {
    const mine = ++turn;
    try {
      const { decisions: latest, unreachable = [] } = await ask();
      if (mine !== turn) return;
      const rows = [...latest, ...older.filter((d) => latest.length === 0 || d.at < latest.at(-1).at)];
      place.replaceChildren(
        ...unreachable.map((name) => h("p", { class: "note" }, `Node ${name} does not answer: its decisions are missing.`)),
        list(rows));
      last = (older.length ? older.page : latest.length) === page ? rows.at(-1) : undefined;
      button.hidden = !last;
    } catch (err) {
      if (mine === turn) place.replaceChildren(h("p", { class: "note" }, err.message));
    }
  }

  async function more(before) {
    const { decisions: next } = await ask(before);
    older = Object.assign([...older, ...next], { page: next.length });
    await update();
  }

  const change = (field) => (value) => { asked[field] = value; older = []; update(); };
  const text = (title, field) => {
    const input = h("input", { type: "search", size: 14, oninput: () => change(field)(input.value.trim()) });
    return h("label", {}, title, input);
  };
  main.append(h("section", { class: "card" }, h("h2", {}, "Decisions"),
    h("div", { class: "row" },
      tenantInput(feed, own, (value) => change("tenant")(value || own), { placeholder: own || "any" }),
      text("Room", "room"),
      select("Hook", words(["connect", "join", "onSayReceive", "say", "leave", "disconnect", "action"]), "", change("hook")),
      text("Module", "module"),
      select("Verdict", words(["allow", "rewrite", "deny", "drop", "hold", "error", "opened", "closed"]), "", change("verdict")),
      select("Mode", [["", "all"], ["true", "shadow only"]], "", change("shadow"))),
    place, button));
  return { update };
}

const tone = { deny: "bad", drop: "bad", error: "bad", opened: "bad", allow: "good", closed: "good" };
const beside = (d) => [
  d.refused ? ` ${number(d.refused)} refused` : "",
  !d.shadow ? "" : ["opened", "closed"].includes(d.verdict) ? " in shadow" : ` in shadow; done: ${d.done ?? "allow"}${d.doneBy ? ` by ${d.doneBy}` : ""}`,
].join("");

const list = (rows) => table("Decisions", [
  ["at", (d) => h("time", { datetime: new Date(d.at).toISOString(), title: new Date(d.at).toISOString() }, new Date(d.at).toLocaleTimeString("en-GB"))],
  ["tenant", (d) => d.tenant],
  ["room", (d) => d.room, "words"],
  ["hook", (d) => d.hook],
  ["module", (d) => h("code", {}, d.module)],
  ["verdict", (d) => [h("span", { class: tone[d.verdict] }, d.verdict), h("span", { class: "faint" }, beside(d))]],
  ["reason", (d) => [d.reason, d.code ? ` (code ${d.code})` : "", d.error ? h("div", { class: "faint" }, d.error) : "", d.text ? h("div", { class: "faint" }, d.text) : ""], "words"],
  ["receivers", (d) => (d.count ? number(d.count) : ""), "number"],
  ["took", (d) => duration(d.took), "number"],
  ["node", (d) => d.node],
], rows, "No decisions. Verdicts other than allow, errors, and breakers that open or close are recorded, and a sample of allows if it is configured.");
