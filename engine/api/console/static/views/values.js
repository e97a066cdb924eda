import { ask, at, get } from "../api.js";
import { h, patch, plain, words } from "../html.js";
import { query } from "../lists.js";
import { actions, confirmed } from "../panel.js";

// values shows the stored values of a module in the panel of a split.
export function values(place, feed) {
  const result = actions();
  const list = h("div", { class: "fields", "data-own": true });
  let path; // of the module's values
  let title;
  let key; // whose value is open
  let cursor = "";

  async function load() {
    const of = path;
    try {
      const page = await get(`${path}?${query({ limit: 50, cursor })}`);
      if (of !== path) return;
      patch(list, page.keys.length ? h("ul", { class: "plain" }, page.keys.map((name) => h("li", { "data-key": name }, h("button", { type: "button", class: "link", onclick: () => open(name) }, words(name))))) : h("p", { class: "faint" }, "No stored values."),
        page.cursor ? h("p", {}, h("button", { type: "button", onclick: () => { cursor = page.cursor; load(); } }, "Next keys")) : "");
    } catch (err) {
      patch(list, h("p", { class: "note" }, err.message));
    }
  }

  async function open(name) {
    key = name;
    try {
      draw(await get(`${path}/${encodeURIComponent(name)}`));
    } catch (err) {
      patch(list, h("p", { class: "note" }, err.message));
    }
  }

  const save = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const name = form.get("key");
    const ttl = Number(form.get("ttl")) * 1000;
    if (await result.run(`Setting ${plain(name)}`, `${plain(name)} is set.`, () => ask("PUT", `${path}/${encodeURIComponent(name)}`, { text: form.get("value"), ...(ttl ? { ttl } : {}) }))) {
      key = undefined;
      draw();
      load();
    }
  };

  const remove = async () => {
    const name = key;
    if (!await confirmed(`Remove ${plain(name)}?`, "The module does not find the value any more.", "Remove")) return;
    if (await result.run(`Removing ${plain(name)}`, `${plain(name)} is removed.`, () => ask("DELETE", `${path}/${encodeURIComponent(name)}`))) {
      key = undefined;
      draw();
      load();
    }
  };

  // draw shows the list of keys, and a form with the value of the open key.
  function draw(value) {
    const form = h("form", { class: "fields", "data-key": `value ${key ?? ""}`, onsubmit: save, "aria-label": "Set a key" },
      h("label", {}, "Key", h("input", { name: "key", value: key ?? "", required: true, maxlength: 256, readonly: key !== undefined })),
      h("label", {}, "Value", h("textarea", { name: "value", value: value?.text ?? value?.bytes ?? "", spellcheck: "false", readonly: value?.bytes !== undefined })),
      h("label", {}, "Seconds until the value is removed; empty: it stays", h("input", { name: "ttl", type: "number", min: 0 })),
      h("div", { class: "row" }, value?.bytes === undefined ? h("button", { class: "main" }, "Set") : h("p", { class: "faint" }, "The value is not UTF-8: it is shown in base64 and cannot be changed here."),
        key === undefined ? "" : h("button", { type: "button", class: "danger", onclick: remove }, "Remove"),
        key === undefined ? "" : h("button", { type: "button", onclick: () => { key = undefined; draw(); } }, "Another key")));
    place.open(title, result.element, list, form);
  }

  return {
    show(tenant, module) {
      if (!module || !feed.may("author")) return place.close();
      path = at("tenants", tenant, "modules", module, "kv");
      title = `Stored values of ${module}, tenant ${tenant}`;
      key = undefined;
      cursor = "";
      patch(list);
      draw();
      load();
    },
  };
}
