import { at, get } from "../api.js";
import { query } from "../lists.js";

// presence tells the server which item of the review queue this page shows, and reads who else is at the desk of the tenant.
export function presence(tenant, feed) {
  const visit = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  let others = [];
  let turn = 0;
  const unique = (moderators) => [...new Set(moderators.map((m) => (m.name === feed.key.name ? `${m.name} (another page)` : m.name)))];
  return {
    // update resolves to true if the others, or the items that they look at, have changed.
    async update(looking = "") {
      const mine = ++turn;
      const { moderators } = await get(`${at("tenants", tenant(), "desk")}?${query({ visit, looking })}`).catch(() => ({ moderators: others })); // the feed reports the fault
      const before = describe(others);
      if (mine === turn) others = moderators;
      return describe(others) !== before;
    },
    names: () => unique(others),
    // at returns the names of the others who look at the item.
    at: (item) => unique(others.filter((m) => m.looking === item.id)),
  };
}

const describe = (moderators) => moderators.map((m) => `${m.name} ${m.looking ?? ""}`).join("\n");
