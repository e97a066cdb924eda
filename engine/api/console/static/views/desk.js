import { h, isAddress, note, patch } from "../html.js";
import { address, firstTenant, tenantInput } from "../lists.js";
import { actions, split } from "../panel.js";
import { personPanel } from "./person.js";
import { queue } from "./queue.js";
import { sanctionForm, sanctionList, set } from "./sanctions.js";

// desk is the view of moderators: held messages and reports, people and sanctions.
export function desk(main, feed, asked) {
  let tenant = asked.get("tenant");
  const result = actions();
  const choice = h("span", { class: "choice" });
  const sanctions = sanctionList(() => tenant, result);
  const find = h("form", { class: "row", "aria-label": "Find a person", onsubmit: (event) => {
    event.preventDefault();
    const who = new FormData(event.target).get("who").trim();
    location.hash = address("desk", { tenant, [isAddress(who) ? "address" : "user"]: who });
  } }, choice, h("label", {}, "User or address", h("input", { name: "who", required: true, maxlength: 256, autocomplete: "off", spellcheck: "false" })), h("button", {}, "Show the person"));
  const items = h("div", {}, h("p", { class: "faint" }, "Loading …"));
  const list = h("div", { class: "stack" },
    find, items,
    h("section", { class: "card", "aria-label": "Sanctions" }, h("h2", {}, "Sanctions"), sanctions.element, result.element,
      h("details", {}, h("summary", {}, "New sanction"), sanctionForm({ submit: async (sanction) => {
        const ok = await set(result, tenant, sanction);
        sanctions.update();
        return ok;
      } }))));
  const place = split(list, () => address("desk", { tenant }));
  const person = personPanel(place, feed, () => sanctions.update());
  const waiting = queue(place, feed, items, () => tenant);

  function show(parameters) {
    const [user, at] = [parameters.get("user"), parameters.get("address")];
    if (waiting.show(parameters)) return person.forget();
    person.show(tenant, user ? { user } : at ? { address: at } : undefined);
  }

  function go(parameters) {
    if (parameters.get("tenant") && parameters.get("tenant") !== tenant) {
      tenant = parameters.get("tenant");
      sanctions.restart();
      waiting.restart();
    }
    show(parameters);
  }

  async function begin() {
    tenant ??= await firstTenant(feed);
    patch(choice, tenantInput(feed, tenant, (value) => { if (value) location.hash = address("desk", { tenant: value }); }));
    sanctions.update();
    waiting.update();
    show(asked);
  }

  main.append(place.element);
  begin().catch((err) => patch(place.side, note(err.message)));
  return {
    go,
    update() {
      if (feed.fault) return;
      waiting.update();
      sanctions.update();
      person.update();
    },
  };
}
