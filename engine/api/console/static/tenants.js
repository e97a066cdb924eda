// Lists and choices of tenants, of which there may be ten thousand: a page is requested at a time, and a search finds the
// others.
import { get } from "./api.js";
import { h, refocus } from "./html.js";

const patience = 150; // ms after the last key before a search is sent

// soon calls f when it was not called again for some time.
function soon(f) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(f, patience);
  };
}

// tenantPages creates a list of tenants, one page at a time, with a search by name. path answers with pages of tenants;
// show(page) creates the table. update requests the page again.
export function tenantPages(path, size, show) {
  const cursors = [""]; // of the pages up to the current one
  let turn = 0;
  let next = "";
  const place = h("div");
  const where = h("p", { class: "faint", role: "status" });
  const search = h("input", { type: "search", autocomplete: "off", spellcheck: "false", oninput: soon(() => move(() => cursors.splice(1))) });
  const back = h("button", { type: "button", disabled: true, onclick: () => move(() => cursors.pop()) }, "Previous");
  const on = h("button", { type: "button", disabled: true, onclick: () => move(() => cursors.push(next)) }, "Next");

  function move(change) {
    change();
    return update();
  }

  async function update() {
    const mine = ++turn;
    const query = new URLSearchParams(Object.entries({ limit: size, search: search.value.trim(), cursor: cursors.at(-1) }).filter(([, value]) => value));
    try {
      const page = await get(`${path}?${query}`);
      if (mine !== turn) return;
      next = page.cursor ?? "";
      refocus(place, () => place.replaceChildren(show(page)));
      where.textContent = next || cursors.length > 1 ? `Page ${cursors.length}` : "";
    } catch (err) {
      if (mine === turn) place.replaceChildren(h("p", { class: "note" }, err.message));
    }
    back.disabled = cursors.length === 1;
    on.disabled = !next;
  }

  const element = h("div", { class: "fields" }, h("div", { class: "row" }, h("label", {}, "Tenant name contains", search), back, on, where), place);
  return { element, update };
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
