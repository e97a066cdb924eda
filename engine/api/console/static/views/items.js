// Held messages and reports in one form, and what a moderator may do with them.
import { ask, at } from "../api.js";
import { moduleOf, plain, words } from "../html.js";
import { day, impose, nameOf } from "./sanctions.js";

// The actions on an item: the key, the label, the kind of items (missing: both), and the decision or the sanction.
export const keys = [
  { key: "r", label: "Release", of: "held", decision: "release", done: "released" },
  { key: "x", label: "Reject", of: "held", decision: "reject", done: "rejected", danger: true },
  { key: "d", label: "Dismiss", of: "report", decision: "dismiss", done: "dismissed" },
  { key: "t", label: "Retract", of: "report", decision: "retract", done: "retracted", danger: true },
  { key: "1", label: "Mute 10 min", sanction: { kind: "mute", ttl: 600_000 } },
  { key: "2", label: "Mute 1 h", sanction: { kind: "mute", ttl: 3_600_000 } },
  { key: "3", label: "Mute 1 d", sanction: { kind: "mute", ttl: day } },
  { key: "b", label: "Ban", sanction: { kind: "ban" }, danger: true },
];

const textOf = (message) => (typeof message === "string" ? message : JSON.stringify(message));

const both = (kind, one) => ({
  kind, id: one.id, key: `${kind} ${one.id}`, state: one.state, outcome: one.outcome, decision: one.decision, failure: one.failure,
  until: one.until, user: one.user, address: one.address, connection: one.connection, sentAt: one.sentAt, messageId: one.messageId,
});

export const ofHeld = (m) => ({
  ...both("held", m), at: m.heldAt, room: m.to ?? m.room, text: textOf(m.message), rule: m.rule, reason: m.reason, onExpire: m.onExpire,
});

export const ofReport = (r) => ({
  ...both("report", r), at: r.reportedAt, room: r.room, reports: r.reports, reporters: r.reporters, text: r.messageId ? textOf(r.message) : undefined,
  shown: r.shown && textOf(r.shown.message),
});

// path returns the address of the API of an item.
export const path = (tenant, item, ...more) => at("tenants", tenant, item.kind === "held" ? "held" : "reports", item.id, ...more);

// author returns the user or the address of the author; undefined if neither is known.
export const author = (item) => (item.user ? { user: item.user } : item.address ? { address: item.address } : undefined);
export const authorName = (item) => (author(item) ? nameOf(author(item)) : plain(item.connection ?? "unknown"));

// title returns the text of an item; for the report of a user it names the user.
export const title = (item) => item.text ?? `User ${authorName(item)}`;

// why returns why an item is in the queue.
export function why(item) {
  if (item.kind === "held") return [moduleOf(item.rule), item.reason ? [": ", words(item.reason)] : ""];
  const reasons = [...new Set(item.reporters.map((r) => r.reason).filter(Boolean))];
  return [`${item.reports} ${item.reports === 1 ? "report" : "reports"}`, reasons.slice(0, 3).map((reason, i) => [i ? ", " : ": ", words(reason)]), reasons.length > 3 ? ", …" : ""];
}

// applies reports whether an action is possible with an item.
export const applies = (k, item) => (!k.of || k.of === item.kind) && !(k.decision === "retract" && !item.messageId) && !(k.sanction && !author(item));

// decide decides about an item. A sanction ends a report; a held message still waits for its decision. It throws a Fault.
export function decide(tenant, item, k, reason = "") {
  const body = reason ? { reason } : {};
  if (!k.sanction) return ask("POST", path(tenant, item, k.decision), body);
  return ask("POST", path(tenant, item, "sanction"), { ...k.sanction, ...body });
}

// sanctioned sets the sanction of an action for the author of an item, and resolves to the result in words. It throws a Fault.
export const sanctioned = (tenant, item, k, reason = "") => impose(tenant, { ...author(item), ...k.sanction, ...(reason ? { reason } : {}) });
