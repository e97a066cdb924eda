// Lists that may have ten thousand items: the page requests one part at a time, and a search finds the others.
import { get } from "./api.js";
import { h, note, patch } from "./html.js";

const patience = 150; // ms after the last key before a search is sent

// soon returns a function that calls f when it has not been called again for some time.
export function soon(f) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(f, patience, ...args);
  };
}

export const query = (fields) => new URLSearchParams(Object.entries(fields).filter(([, value]) => value)).toString();

// address returns the address of a view of the page with parameters.
export const address = (view, fields = {}) => `#${view}?${query(fields)}`;

// pages creates a list that shows one page at a time. path() answers with pages; show(page, sort) creates the table. find is
// the label of a search, order the first order of the list; without them it has none. update requests the page again.
export function pages({ path, size, show, find, order = "", fields = () => ({}), beside = [] }) {
  let cursors = [""]; // of the pages up to the current one
  let turn = 0;
  let next = "";
  const place = h("div");
  const where = h("p", { class: "faint", role: "status" });
  const search = h("input", { type: "search", autocomplete: "off", spellcheck: "false", oninput: soon(() => restart()) });
  const back = h("button", { type: "button", disabled: true, onclick: () => { cursors.pop(); update(); } }, "Previous");
  const on = h("button", { type: "button", disabled: true, onclick: () => { cursors.push(next); update(); } }, "Next");
  const sort = { order, choose(chosen) { sort.order = chosen; restart(); } };

  function restart() {
    cursors = [""];
    return update();
  }

  async function update() {
    const mine = ++turn;
    const of = path();
    if (!of) return patch(place);
    try {
      const page = await get(`${of}?${query({ limit: size, search: search.value.trim(), sort: sort.order === "name" ? "" : sort.order, cursor: cursors.at(-1), ...fields() })}`);
      if (mine !== turn) return;
      next = page.cursor ?? "";
      patch(place, (page.unreachable ?? []).map((node) => note(`Node ${node} does not answer: its part is missing.`)), show(page, sort));
      const text = next || cursors.length > 1 ? `Page ${cursors.length}` : "";
      if (where.textContent !== text) where.textContent = text;
    } catch (err) {
      if (mine === turn) patch(place, note(err.message));
    }
    back.disabled = cursors.length === 1;
    on.disabled = !next;
  }

  const element = h("div", { class: "fields" }, h("div", { class: "row" }, beside, find && h("label", {}, find, search), back, on, where), place);
  return { element, update, restart };
}

let lists = 0; // for ids

// tenantInput creates a field for the name of a tenant, which offers names that contain what is typed. It calls chosen
// with the name when it is entered. With the key of one tenant there is no choice, and it creates nothing.
export function tenantInput(feed, value, chosen, attributes = {}) {
  if (feed.key.tenants?.length === 1) return "";
  const names = h("datalist", { id: `tenants-${lists += 1}` });
  let last = value;
  const enter = () => {
    if (box.value.trim() === last) return;
    last = box.value.trim();
    chosen(last);
  };
  const offer = soon(async () => {
    const { tenants } = await get(`/api/tenants?limit=20&search=${encodeURIComponent(box.value.trim())}`);
    names.replaceChildren(...tenants.map(({ name }) => h("option", { value: name })));
  });
  const known = () => [...names.children].some((option) => option.value === box.value);
  const box = h("input", {
    ...attributes, type: "search", list: names.id, value, autocomplete: "off", spellcheck: "false", size: 16,
    oninput: () => (known() || box.value === "" ? enter() : offer()), onchange: enter, onfocus: offer,
  });
  return h("span", { class: "choice" }, h("label", {}, "Tenant", box), names);
}

// firstTenant returns the name of the first tenant that the key reaches.
export async function firstTenant(feed) {
  if (!feed.whole) return feed.tenant.name;
  return (await get("/api/tenants?limit=1")).tenants[0]?.name;
}
