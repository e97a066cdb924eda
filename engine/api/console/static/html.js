// h creates an element. Attributes that begin with "on" are listeners; children are elements or texts.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false || value === null) continue;
    if (name.startsWith("on")) element[name] = value;
    else if (name === "class") element.className = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

const present = (children) => children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false && child !== "");

// patch makes the children of place like next. Elements stay where they are if only their attributes or texts differ, with
// their scroll position, selection and focus. Children with data-key are found by it. Fields keep what is typed in them; a
// checkbox is as in next. An element with data-own is never changed, only replaced.
export function patch(place, ...next) {
  const wanted = present(next).map((child) => (child instanceof Node ? child : document.createTextNode(child)));
  const keys = new Set(wanted.map(keyOf).filter(Boolean));
  const keyed = new Map();
  for (const child of [...place.children]) {
    const key = keyOf(child);
    if (key && keys.has(key) && !keyed.has(key)) keyed.set(key, child);
    else if (key) child.remove();
  }
  const focused = document.activeElement;
  let at = place.firstChild;
  for (const node of wanted) {
    const old = keyOf(node) ? keyed.get(keyOf(node)) : at;
    if (!old || !alike(old, node)) place.insertBefore(node, at);
    else {
      if (old === at) at = at.nextSibling;
      else place.insertBefore(old, at);
      change(old, node);
    }
  }
  while (at) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true }); // its row was moved
}

const keyOf = (node) => node.dataset?.key;
const own = (node) => node.dataset?.own !== undefined;
const alike = (a, b) => a === b || (a.nodeName === b.nodeName && keyOf(a) === keyOf(b) && a.type === b.type && !own(a) && !own(b));
const listeners = ["onclick", "oninput", "onchange", "onsubmit", "onkeydown"];

function change(old, node) {
  if (old === node) return;
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.nodeValue !== node.nodeValue) old.nodeValue = node.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!node.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const name of listeners) old[name] = node[name];
  if (old.type === "checkbox") old.checked = node.checked;
  patch(old, ...node.childNodes);
}

// table creates a table with a column for each [title, cell(row), class, order]. A cell is an element or a text. key(row)
// identifies a row when the table is patched. sort has the order in use and a function that chooses another one; with sort, the
// title of a column that has an order is a button. On narrow screens a row is a card, and its first cell is the title.
export function table(caption, columns, rows, empty, { key, sort, current } = {}) {
  if (rows.length === 0) return h("p", { class: "faint" }, empty);
  const title = ([text, , , order]) => (sort && order
    ? h("button", { type: "button", class: "order", onclick: () => sort.choose(order) }, text, h("span", { "aria-hidden": "true" }, sort.order === order ? (order === "name" ? " ▲" : " ▼") : ""))
    : text);
  const sorted = (order) => sort && order && sort.order === order && (order === "name" ? "ascending" : "descending");
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Table: ${caption}` }, h("table", { role: "table", "aria-label": caption },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) => h("th", { role: "columnheader", scope: "col", class: column[2], "aria-sort": sorted(column[3]) }, title(column))))),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row", "data-key": key?.(row), "aria-current": current?.(row) && "true" },
      columns.map(([text, cell, kind]) => h("td", { role: "cell", class: kind, "data-title": text }, cell(row))))))));
}

export const note = (...text) => h("p", { class: "note" }, ...text);

export const number = (n) => Number(n ?? 0).toLocaleString("en");
// duration formats a duration of the API, in milliseconds.
export const duration = (ms) => (ms >= 10 ? `${number(Math.round(ms))} ms` : ms >= 1 ? `${ms.toFixed(1)} ms` : `${Math.round(ms * 1000)} µs`);
export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
// moment shows a time: of today without the date, of this year without the year.
export function moment(ms) {
  const [at, now] = [new Date(ms), new Date()];
  const day = at.toDateString() === now.toDateString() ? "" : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...(at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" }) })}, `;
  return h("time", { datetime: at.toISOString(), title: at.toLocaleString("en-GB") }, `${day}${clock(ms)}`);
}
export const bytes = (n) => (n >= 1 << 30 ? `${(n / 2 ** 30).toFixed(1)} GiB` : n >= 1 << 20 ? `${number((n / (1 << 20)).toFixed(1))} MiB` : n >= 1024 ? `${Math.round(n / 1024)} KiB` : `${n} B`);
export const perSecond = (n) => `${n >= 10 || n === 0 ? number(Math.round(n)) : n.toPrecision(2)}/s`;

const units = [["d", 86_400], ["h", 3600], ["min", 60]];

// span formats a number of seconds in its largest unit.
export function span(seconds) {
  for (const [unit, size] of units) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.max(0, Math.round(seconds))} s`;
}

export const ago = (ms) => span((Date.now() - ms) / 1000);

// version removes the name of the module from NAME@SHA#REVISION.
export const version = (text) => text.slice(text.indexOf("@") + 1);
export const moduleOf = (text) => text.split("@")[0];

// select creates a select element.
export function select(label, choices, chosen, onchange, attributes = {}) {
  const box = h("select", { ...attributes, onchange: () => onchange(box.value) },
    choices.map(([value, words]) => h("option", { value, selected: value === chosen }, words)));
  return h("label", {}, label, box);
}

// isAddress reports whether a text is an IP address or a network, and not the name of a user.
export const isAddress = (text) => /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*)(\/\d{1,3})?$/i.test(text);

// plain returns the text of a user with the code points of control characters, of invisible characters and of those that change
// the direction of text, so that the text cannot look like another one.
export const plain = (text) => String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]|\udb40[\udc00-\udfff]/g,
  (found) => `[U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

// words creates an element for text of a user, whose direction does not change that of the text around it.
export const words = (text, attributes = {}) => h("bdi", { class: "said", ...attributes }, plain(text));
