// The region beside a list that shows one of its items, and actions with a confirmation and a result.
import { h, note, patch } from "./html.js";

// split puts a list and a panel side by side; on narrow screens the panel takes the place of the list. back() returns the
// address of the list.
export function split(list, back) {
  const side = h("section", { class: "card panel", hidden: true, "aria-label": "Details", tabindex: -1, onkeydown: (event) => { if (event.key === "Escape") location.hash = back(); } });
  const element = h("div", { class: "split" }, list, side);
  let from = ""; // address of the item
  return {
    element,
    side,
    // open shows an item in the panel, with a heading and the elements of its content.
    open(title, ...content) {
      const first = side.hidden || from !== location.hash;
      from = location.hash;
      side.hidden = false;
      element.classList.add("open");
      patch(side, h("div", { class: "row between" }, h("h2", { tabindex: -1 }, title), h("a", { href: back(), class: "button" }, "Close")), content);
      if (first) side.querySelector("h2").focus({ preventScroll: innerWidth > 1000 });
    },
    // close hides the panel, and gives the focus to the link that opened it.
    close() {
      if (side.hidden) return;
      side.hidden = true;
      element.classList.remove("open");
      list.querySelector(`[href="${CSS.escape(from)}"]`)?.focus();
      side.replaceChildren();
    },
  };
}

// confirmed asks before an action that cannot be undone. fields are labels with inputs of the dialog. It resolves to true if
// the person confirms.
export function confirmed(title, text, action, ...fields) {
  return new Promise((resolve) => {
    const box = h("dialog", { "aria-labelledby": "question", "data-testid": "question" }, h("form", { method: "dialog", class: "fields" },
      h("h2", { id: "question" }, title), h("p", {}, text), fields,
      h("div", { class: "row" }, h("button", { class: "danger", value: "yes" }, action), h("button", { type: "button", onclick: () => box.close("") }, "Cancel"))));
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue === "yes");
    });
    document.body.append(box);
    box.showModal();
    if (!fields.length) box.querySelector("[type=button]").focus(); // Enter does not confirm by mistake
  });
}

// actions returns an element for results, and a function that runs an action and shows its result there.
export function actions() {
  const element = h("div", { role: "status", "data-testid": "result", "data-own": true });
  return {
    element,
    async run(doing, done, action) {
      patch(element, h("p", { class: "faint" }, `${doing} …`));
      try {
        const answer = await action();
        patch(element, h("p", { class: "good" }, typeof done === "function" ? done(answer) : done));
        return true;
      } catch (err) {
        patch(element, note(`${doing}: ${err.message}`));
        return false;
      }
    },
  };
}
