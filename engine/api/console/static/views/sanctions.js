import { ask, at } from "../api.js";
import { h, isAddress, moduleOf, moment, plain, select, span, table, words } from "../html.js";
import { address, pages, soon } from "../lists.js";
import { confirmed } from "../panel.js";

const minute = 60_000;
export const day = 1440 * minute;
export const times = [[10 * minute, "10 min"], [60 * minute, "1 h"], [day, "1 d"], [7 * day, "7 d"], [0, "without an end"]];
const kinds = { mute: "Mute", ban: "Ban", shadow: "Shadow" };

export const subjectOf = (s) => (s.user ? { user: s.user } : { address: s.address });
export const nameOf = (subject) => plain(subject.user ?? subject.address);

// impose sets a sanction, and resolves to the result in words.
export async function impose(tenant, sanction) {
  const { until } = await ask("POST", at("tenants", tenant, "sanctions"), sanction);
  return `${nameOf(sanction)}: ${sanction.kind} ${until ? `until ${new Date(until).toLocaleString("en-GB")}` : "without an end"}.`;
}

// set sets a sanction, and shows the result.
export const set = (result, tenant, sanction) => result.run(`${kinds[sanction.kind]} ${nameOf(sanction)}`, (text) => text, () => impose(tenant, sanction));

// sanctionTable lists sanctions with a button to remove each. changed is called after a removal.
export const sanctionTable = (caption, rows, tenant, result, changed, named = true) => table(caption, [
  ...(named ? [["who", (s) => h("a", { href: address("desk", { tenant, ...subjectOf(s) }) }, words(s.user ?? s.address)), "words"]] : []),
  ["kind", (s) => h("span", { class: "bad" }, s.kind)],
  ["ends", (s) => (s.until ? [`in ${span((s.until - Date.now()) / 1000)}`, h("div", { class: "faint" }, moment(s.until))] : "no end")],
  ["rooms", (s) => (s.rooms === "*" ? "all" : words(s.rooms)), "words"],
  ["reason", (s) => [s.reason ? words(s.reason) : "", s.note ? h("div", {}, "Note: ", words(s.note)) : "", h("div", { class: "faint" }, `by ${s.module ? `rule ${moduleOf(s.module)}` : s.by ?? "?"}, `, moment(s.at))], "words"],
  ["action", (s) => h("button", { type: "button", "aria-label": `Remove the ${s.kind} of ${nameOf(s)}`, onclick: () => remove(s, tenant, result, changed) }, "Remove")],
], rows, "No sanctions.", { key: (s) => s.id });

async function remove(s, tenant, result, changed) {
  if (!await confirmed(`Remove the ${s.kind} of ${nameOf(s)}?`, "The sanction ends now, on all nodes.", "Remove")) return;
  await result.run("Removing the sanction", `The ${s.kind} of ${nameOf(s)} is removed.`, () => ask("DELETE", at("tenants", tenant, "sanctions", s.id)));
  changed();
}

// sanctionForm creates a form for a new sanction of the subject, or, without a subject, of the user or address that is entered.
// submit gets the sanction; if it resolves to true, the form is reset.
export function sanctionForm({ subject, submit, key }) {
  const named = !subject;
  return h("form", { class: "row", "data-key": key, "aria-label": "New sanction", onsubmit: async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const who = form.get("who")?.trim();
    const sanction = { ...(subject ?? { [form.get("by")]: who }), kind: form.get("kind"), reason: form.get("reason").trim(), note: form.get("note").trim() };
    if (form.get("rooms").trim()) sanction.rooms = form.get("rooms").trim();
    if (Number(form.get("ttl"))) sanction.ttl = Number(form.get("ttl"));
    const target = event.target;
    if (await submit(sanction)) target.reset();
  } },
  named && select("Who", [["user", "user"], ["address", "address"]], "user", () => {}, { name: "by" }),
  named && h("label", {}, "User, address or network", h("input", { name: "who", required: true, maxlength: 256 })),
  select("Kind", Object.entries(kinds), "mute", () => {}, { name: "kind" }),
  select("For", times.map(([ms, text]) => [String(ms), text]), String(10 * minute), () => {}, { name: "ttl" }),
  h("label", {}, "Rooms: a name, with at most one *; empty: all rooms", h("input", { name: "rooms", maxlength: 400, size: 12 })),
  h("label", { class: "grow" }, "Reason, for the user", h("input", { name: "reason", maxlength: 256 })),
  h("label", { class: "grow" }, "Note, for moderators", h("input", { name: "note", maxlength: 1024 })),
  h("button", {}, "Set"));
}

// sanctionList creates the list of the sanctions of a tenant with a filter. tenant() is the current one.
export function sanctionList(tenant, result) {
  let who = "";
  const filter = h("input", { type: "search", autocomplete: "off", spellcheck: "false", oninput: soon(() => { who = filter.value.trim(); list.restart(); }) });
  const asAddress = () => isAddress(who);
  const list = pages({
    path: () => tenant() && at("tenants", tenant(), "sanctions"), size: 20, beside: [h("label", {}, "User or address", filter)],
    fields: () => (who ? { [asAddress() ? "address" : "user"]: who } : {}),
    show: (page) => sanctionTable("Sanctions", page.sanctions, tenant(), result, () => list.update()),
  });
  return list;
}
