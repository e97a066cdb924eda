// h creates an element. Attributes that begin with "on" are listeners; children are elements or texts.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

// table creates a table with a column for each [title, cell(row), class]. A cell is an element or a text.
export function table(caption, columns, rows, empty) {
  if (rows.length === 0) return h("p", { class: "faint" }, empty);
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption, "data-focus": `table ${caption}` }, h("table", { "aria-label": caption },
    h("thead", {}, h("tr", {}, columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, columns.map(([, cell, kind]) => h("td", { class: kind }, cell(row) ?? "")))))));
}

// refocus changes elements in place. If the focused element is replaced, the new element with the same data-focus gets
// the focus.
export function refocus(place, change) {
  const before = document.activeElement;
  change();
  if (before.dataset.focus && !before.isConnected) {
    place.querySelector(`[data-focus="${CSS.escape(before.dataset.focus)}"]`)?.focus({ preventScroll: true });
  }
}

export const number = (n) => Number(n ?? 0).toLocaleString("en");
// duration formats a duration of the API, in milliseconds.
export const duration = (ms) => (ms >= 10 ? `${number(Math.round(ms))} ms` : ms >= 1 ? `${ms.toFixed(1)} ms` : `${Math.round(ms * 1000)} µs`);
export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
export const bytes = (n) => (n >= 1 << 20 ? `${number((n / (1 << 20)).toFixed(1))} MiB` : n >= 1024 ? `${Math.round(n / 1024)} KiB` : `${n} B`);

export function ago(ms) {
  const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
  for (const [unit, size] of [["d", 86_400], ["h", 3600], ["min", 60]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${seconds} s`;
}

// version removes the name of the module from NAME@SHA#REVISION.
export const version = (text) => text.slice(text.indexOf("@") + 1);

// select creates a select element. It keeps the chosen value if that is still a choice.
export function select(label, choices, chosen, onchange, attributes = {}) {
  const box = h("select", { ...attributes, onchange: () => onchange(box.value) },
    choices.map(([value, words]) => h("option", { value, selected: value === chosen }, words)));
  return h("label", {}, label, box);
}
