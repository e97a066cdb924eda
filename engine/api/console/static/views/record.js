import { at, get } from "../api.js";
import { h, moment, words } from "../html.js";
import { query } from "../lists.js";
import { ofHeld, ofReport, title } from "./items.js";
import { messageText } from "./room.js";

const most = 12; // messages, and decisions of each kind

// readRecord reads the last messages of a user in all rooms, and the decisions about the user's messages, the latest first. The
// given room is searched even if the user has left it.
export async function readRecord(tenant, user, room) {
  const decided = query({ user, decided: true, limit: most });
  const [{ messages }, { held }, { reports }] = await Promise.all([
    get(`${at("tenants", tenant, "users", user, "messages")}?${query({ room, limit: most })}`).catch(() => ({ messages: [] })),
    get(`${at("tenants", tenant, "held")}?${decided}`).catch(() => ({ held: [] })),
    get(`${at("tenants", tenant, "reports")}?${decided}`).catch(() => ({ reports: [] })),
  ]);
  return { of: user, messages, decided: [...held.map(ofHeld), ...reports.map(ofReport)].sort((a, b) => b.at - a.at) };
}

// showMessages shows messages, the latest first, with their rooms if they have one.
export const showMessages = (heading, messages) => h("div", { class: "fields", "data-key": "theirs" }, h("h3", {}, heading),
  messages.length ? h("ol", { class: "log", tabindex: 0, "aria-label": heading }, messages.map((m) => h("li", { "data-key": `${m.room ?? ""} ${m.id ?? m.offset}` }, h("span", { class: "faint" }, moment(m.sentAt), m.room ? [" ", words(m.room)] : ""), " ", words(messageText(m)))))
    : h("p", { class: "faint" }, "There are none."));

// showDecided shows the decisions about the messages of an author.
export const showDecided = (decided) => h("div", { class: "fields", "data-key": "record" }, h("h3", {}, "Earlier decisions about the author's messages"),
  decided.length ? h("ol", { class: "log", tabindex: 0, "aria-label": "Earlier decisions" }, decided.map((m) => h("li", { "data-key": m.key },
    h("span", { class: ["released", "dismissed"].includes(m.outcome) ? "good" : "bad" }, m.outcome), h("span", { class: "faint" }, m.decision?.by ? ` by ${m.decision.by} ` : " ", moment(m.decision?.at ?? m.at)), " ", words(title(m)))))
    : h("p", { class: "faint" }, "None."));
