/**
 * Makes an AssemblyScript program a Moot module: the program exports hooks, and the host
 * calls them.
 *
 *     import { Event, Verdict, ask, manifest } from "moot";
 *     export { moot_abi_1, moot_alloc, moot_reason } from "moot";
 *
 *     export function moot_manifest(): u64 {
 *       return manifest('{"name":"shout","reads":["message"]}');
 *     }
 *
 *     export function on_say_receive(frame: usize): i32 {
 *       return ask(frame, (e: Event): Verdict => Verdict.text(e.message.toUpperCase()));
 *     }
 *
 * The host makes one call at a time to an instance. An exception ends the instance; it
 * appears in the host's log, and the entry's `onError` decides about the event. Strings are
 * copies, which the program may keep.
 */

// ---- memory ----

let exchange: usize = 0;
let exchangeSize: usize = 0;
let reason: string = "";
let kept: ArrayBuffer[] = []; // buffers whose addresses the host has, until the next call

export function moot_abi_1(): void {}

export function moot_alloc(size: usize): usize {
  if (size > 1 << 20) return 0;
  if (size > exchangeSize) {
    if (exchange) heap.free(exchange);
    exchange = heap.alloc(size);
    exchangeSize = size;
  }
  return exchange;
}

export function moot_reason(): u64 {
  return span(reason);
}

/** The result of `moot_manifest` for a manifest in JSON. See ABI.md. */
export function manifest(json: string): u64 {
  return span(json);
}

/**
 * The result of `moot_init`, which reads the config: `export function moot_init(minor: u32, p: usize, n: usize): i32`.
 * handler receives the config as JSON, see also `config`, and returns the reason of a refusal; null accepts.
 */
export function init(p: usize, n: usize, handler: (config: string) => string | null): i32 {
  const refused = handler(String.UTF8.decodeUnsafe(p, n));
  if (refused === null) return 0;
  reason = refused;
  return 1;
}

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, pieces: usize, count: usize, written: usize): i32;

/**
 * Writes the reason and the place of an abort to standard error, which the host attaches to the failure of the call. The
 * compiler calls it, by --use abort=~lib/moot/abort.
 */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const text = utf8((message ? message : "abort") + " at " + (file ? file : "?") + ":" + line.toString() + ":" + column.toString());
  const piece = memory.data(16);
  store<usize>(piece, at(text));
  store<usize>(piece, <usize>text.byteLength, sizeof<usize>());
  fd_write(2, piece, 1, piece + 8);
  unreachable();
}

function utf8(s: string): ArrayBuffer {
  return String.UTF8.encode(s, false, String.UTF8.ErrorMode.REPLACE);
}

function at(b: ArrayBuffer): usize {
  return changetype<usize>(b);
}

function span(s: string): u64 {
  const b = utf8(s);
  kept.push(b);
  return (<u64>at(b)) << 32 | <u64>b.byteLength;
}

function put(slot: usize, s: string): void {
  const packed = span(s);
  if (<u32>packed == 0) return;
  store<u32>(slot, <u32>(packed >> 32));
  store<u32>(slot + 4, <u32>packed);
}

// ---- events ----

function field(blob: usize, n: i32): string {
  if (blob == 0 || n >= <i32>load<u16>(blob, 6)) return "";
  const entry = blob + 24 + 8 * n;
  const offset = load<u32>(entry);
  return offset ? String.UTF8.decodeUnsafe(blob + offset, load<u32>(entry, 4)) : "";
}

/** A client's connection. All values of an absent connection are empty. */
export class Connection {
  constructor(private blob: usize) {}

  /** The id, which messages name as their sender. */
  get id(): string { return field(this.blob, 0); }
  get fingerprint(): string { return field(this.blob, 1); }
  get user(): string { return field(this.blob, 2); }
  /** `websocket` or `socket`. */
  get transport(): string { return field(this.blob, 3); }
  get remoteIP(): string { return field(this.blob, 4); }
  get tenant(): string { return field(this.blob, 5); }
  /** A language tag such as `en-GB`. */
  get locale(): string { return field(this.blob, 6); }
  /** ms since 1970; 0: the module does not read it. */
  get connectedAt(): i64 { return this.blob ? load<i64>(this.blob, 8) : 0; }
  /** ms since 1970 of the join to the event's room; 0 if it is not a member. */
  get joinedAt(): i64 { return this.blob ? load<i64>(this.blob, 16) : 0; }

  /** A property as JSON text, see `text`; null if it is not set. */
  property(name: string): string | null {
    if (this.blob == 0 || load<u16>(this.blob, 6) < 8) return null;
    const offset = load<u32>(this.blob, 80);
    if (offset == 0) return null;
    let p = this.blob + offset;
    const end = p + load<u32>(this.blob, 84);
    while (p + 8 <= end) {
      const n = load<u32>(p), v = load<u32>(p, 4);
      if (String.UTF8.decodeUnsafe(p + 8, n) == name) return String.UTF8.decodeUnsafe(p + 8 + n, v);
      p += 8 + n + v;
    }
    return null;
  }
}

/** The event that a hook is called for. A field that the module does not read is empty. */
export class Event {
  private blob: usize;
  /** The connection of the event; empty for events of the system, and at say. */
  connection: Connection;

  constructor(private frame: usize) {
    this.blob = frame + load<u32>(frame, 16);
    const conn = load<u32>(frame, 20);
    this.connection = new Connection(conn ? frame + conn : 0);
  }

  /** 1 connect, 2 join, 3 onSayReceive, 4 say, 5 leave, 6 disconnect, 7 action. */
  get hook(): i32 { return load<u16>(this.frame, 6); }
  get room(): string { return field(this.blob, 0); }
  get tenant(): string { return field(this.blob, 1); }
  /** The sender: a connection's id, `0` for the system. */
  get from(): string { return field(this.blob, 2); }
  get message(): string { return field(this.blob, 3); }
  /** Whether the message is JSON text. */
  get isJSON(): bool { return (load<u32>(this.frame, 8) & 1) != 0; }
  get context(): string { return field(this.blob, 4); }
  /** At leave `roomLeave`, `destroyed`, `disconnect`, `removed` or `node_lost`; at join empty or `rejoined`. */
  get cause(): string { return field(this.blob, 5); }
  get action(): string { return field(this.blob, 6); }
  /** The action's parameters, a JSON object. */
  get params(): string { return field(this.blob, 7); }
  /**
   * The id of the message, by which modules retract and edit it; empty in an ephemeral room. A message that a module
   * moves to another room gets another id there.
   */
  get messageId(): string { return field(this.blob, 8); }
  /** The id of the message that the event edits; the message is its whole new text. Empty: it is a new message. */
  get edits(): string { return field(this.blob, 9); }
  /** ms since 1970. */
  get sentAt(): i64 { return load<i64>(this.blob, 8); }
  get sequence(): i64 { return load<i64>(this.blob, 16); }
}

/** The answer of a service to an ask. */
export class Answer {
  constructor(private blob: usize) {}

  /** The name of the ask. */
  get name(): string { return field(this.blob, 0); }
  /** The answer as JSON text; empty if the service sent none. */
  get json(): string { return field(this.blob, 1); }
  /** The state of the ask. */
  get state(): string { return field(this.blob, 2); }
  /** The HTTP status, 200 to 499: a 404 is an answer too. */
  get status(): i32 { return <i32>load<u64>(this.blob, 8); }
  /** 1 for the first ask about the event, 2 for the second one. */
  get number(): i32 { return <i32>load<u64>(this.blob, 16); }
}

// ---- verdicts ----

/** A module's answer. */
export class Verdict {
  code: u32 = 0;
  kind: u32 = 0;
  extra: string = "";
  room: string = "";
  from: string = "";
  sentAt: i64 = 0;
  ttl: i64 = 0;
  name: string = "";
  state: string = "";

  constructor(public answer: i32 = 0, public body: string = "") {}

  /** Allows; the next module is called. */
  static allow(): Verdict { return new Verdict(); }
  /** Allows, and no later module is called. */
  static allowEnd(): Verdict { return new Verdict(4); }
  /** Refuses. The client receives the reason, at most 1024 bytes. */
  static deny(reason: string): Verdict { return new Verdict(1, reason); }
  /** Discards the message silently: at say for this receiver. */
  static drop(): Verdict { return new Verdict(5); }
  /**
   * Keeps a message back at onSayReceive until a moderator, who sees the reason, decides. It expires after
   * ttl ms, at most 30 days; 0: the tenant's default. A host of minor 0 denies the message.
   */
  static hold(reason: string, ttl: i64 = 0): Verdict { const v = new Verdict(6, reason); v.ttl = ttl > 0 ? ttl : 0; return v; }
  /**
   * Asks the service with this name, one of `asks` in the manifest: `on_answer` receives the answer, see `answered`. json is the body
   * for the service, at most 16 KiB; "": none. state, at most 4096 bytes, comes back with the answer, which another instance may receive. For
   * connect, join, onSayReceive, actions and, once more, `on_answer`. The effects of this call are discarded; its
   * changes to the store remain. A host of minor 0 denies the event.
   */
  static ask(name: string, json: string = "", state: string = ""): Verdict { const v = new Verdict(7, json); v.name = name; v.state = state; return v; }
  /** Answers an action with a JSON object. */
  static reply(json: string): Verdict { return new Verdict(0, json); }
  /** Rewrites the message to this text. */
  static text(text: string): Verdict { return new Verdict().withText(text); }
  /** Rewrites the message; the `with` methods set the changes. */
  static rewrite(): Verdict { return new Verdict(2); }

  withCode(code: u32): Verdict { this.code = code; return this; }
  withText(text: string): Verdict { this.answer = 2; this.kind = 1; this.body = text; return this; }
  withJSON(json: string): Verdict { this.answer = 2; this.kind = 2; this.body = json; return this; }
  /** Adds the members of a JSON object to the payload that clients receive. */
  withExtra(json: string): Verdict { this.answer = 2; this.extra = json; return this; }
  withRoom(name: string): Verdict { this.answer = 2; this.room = name; return this; }
  withFrom(id: string): Verdict { this.answer = 2; this.from = id; return this; }
  withSentAt(ms: i64): Verdict { this.answer = 2; this.sentAt = ms; return this; }

  same(o: Verdict): bool {
    return this.kind == o.kind && this.body == o.body && this.extra == o.extra;
  }
}

/** Answers a hook by calling handler with the event. */
export function ask(frame: usize, handler: (e: Event) => Verdict): i32 {
  kept = [];
  return write(frame, handler(new Event(frame)));
}

/** Answers `on_answer` by calling handler with the event and the answer: `export function on_answer(frame: usize): i32`. */
export function answered(frame: usize, handler: (e: Event, a: Answer) => Verdict): i32 {
  kept = [];
  return write(frame, handler(new Event(frame), new Answer(frame + load<u32>(frame, 136))));
}

// write fills the result slots, and returns the number for the host.
function write(frame: usize, v: Verdict): i32 {
  switch (v.answer) {
    case 0:
    case 4:
      put(frame + 88, v.body);
      break;
    case 1:
      store<u32>(frame, v.code, 32);
      put(frame + 36, v.body);
      break;
    case 2:
      put(frame + 44, v.body);
      store<u32>(frame, v.kind, 52);
      put(frame + 56, v.extra);
      put(frame + 64, v.room);
      put(frame + 72, v.from);
      store<i64>(frame, v.sentAt, 80);
      break;
    case 6:
      put(frame + 36, v.body);
      if (load<u16>(frame, 4) == 0) return 1; // the host knows no hold
      store<i64>(frame, v.ttl, 104);
      break;
    case 7:
      if (load<u16>(frame, 4) == 0) return 1; // the host knows no asks
      put(frame + 112, v.name);
      put(frame + 120, v.body);
      put(frame + 128, v.state);
  }
  return v.answer;
}

/** Answers `on_say` for each receiver, or each class of receivers: see vary in ABI.md. Equal rewrites share a variant. */
export function each(frame: usize, handler: (e: Event, receiver: Connection) => Verdict): i32 {
  kept = [];
  const e = new Event(frame);
  const n = load<u32>(frame, 12), tab = frame + load<u32>(frame, 24), verdicts = frame + load<u32>(frame, 28);
  const variants: Verdict[] = [];
  let same = n > 0;
  for (let i: u32 = 0; i < n; i++) {
    const v = handler(e, new Connection(frame + load<u32>(tab + 4 * i)));
    if (v.answer == 6 || v.answer == 7) return v.answer; // an error of the module
    let b: u8 = v.answer == 1 || v.answer == 5 ? 1 : 0;
    if (v.answer == 2) {
      let k = variants.length - 1;
      while (k >= 0 && !variants[k].same(v)) k--;
      if (k < 0) {
        k = variants.length;
        if (k == 253) return -1;
        variants.push(v);
      }
      b = <u8>(2 + k);
    }
    store<u8>(verdicts + i, b);
    same = same && b == load<u8>(verdicts);
  }
  if (same && load<u8>(verdicts) < 2) return load<u8>(verdicts) ? 5 : 0;
  const table = new ArrayBuffer(20 * variants.length);
  kept.push(table);
  for (let k = 0; k < variants.length; k++) {
    const record = at(table) + 20 * k;
    put(record, variants[k].body);
    store<u32>(record, variants[k].kind, 8);
    put(record + 12, variants[k].extra);
  }
  store<u32>(frame, at(table), 96);
  store<u32>(frame, variants.length, 100);
  return 3;
}

// ---- the host ----

/** The errors of host functions, which otherwise return 0 or more. */
export namespace Err {
  export const Absent = -1;
  export const NotGranted = -2;
  export const OverBudget = -3;
  export const BadPointer = -4;
  export const TooLarge = -5;
  export const Unavailable = -6;
}

export enum Level { Debug, Info, Warn, Error }

// @ts-ignore: decorator
@external("moot_1", "log") declare function host_log(level: i32, p: usize, n: i32): void;
// @ts-ignore: decorator
@external("moot_1", "now_ms") declare function host_now(): i64;
// @ts-ignore: decorator
@external("moot_1", "random") declare function host_random(p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "config_get") declare function host_config_get(k: usize, kn: i32, p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "property_set") declare function host_property_set(k: usize, kn: i32, p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "room_get") declare function host_room_get(k: usize, kn: i32, p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "room_size") declare function host_room_size(): i32;
// @ts-ignore: decorator
@external("moot_1", "room_create") declare function host_room_create(p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "room_destroy") declare function host_room_destroy(p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "kv_get") declare function host_kv_get(k: usize, kn: i32, p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "kv_set") declare function host_kv_set(k: usize, kn: i32, p: usize, n: i32, ttl: i64): i32;
// @ts-ignore: decorator
@external("moot_1", "kv_del") declare function host_kv_del(k: usize, kn: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "kv_add") declare function host_kv_add(k: usize, kn: i32, delta: i64, ttl: i64, sum: usize): i32;
// @ts-ignore: decorator
@external("moot_1", "kv_cas") declare function host_kv_cas(k: usize, kn: i32, o: usize, on: i32, p: usize, n: i32, ttl: i64): i32;
// @ts-ignore: decorator
@external("moot_1", "rate_take") declare function host_rate_take(k: usize, kn: i32, tokens: i32, per: i32, burst: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "emit") declare function host_emit(kind: i32, t: usize, tn: i32, p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "metric_add") declare function host_metric_add(k: usize, kn: i32, delta: i64): i32;
// @ts-ignore: decorator
@external("moot_1", "sanction_set") declare function host_sanction_set(p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "sanction_pardon") declare function host_sanction_pardon(p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "member_remove") declare function host_member_remove(c: usize, cn: i32, r: usize, rn: i32, p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "connection_close") declare function host_connection_close(c: usize, cn: i32, p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "user_set") declare function host_user_set(p: usize, n: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "message_retract") declare function host_message_retract(r: usize, rn: i32, i: usize, il: i32): i32;
// @ts-ignore: decorator
@external("moot_1", "message_edit") declare function host_message_edit(kind: i32, r: usize, rn: i32, i: usize, il: i32, p: usize, n: i32): i32;

/** A value of the host, or an error: `code` is then one of `Err`, otherwise 0. */
export class Got {
  constructor(public code: i32, public value: string) {}
}

let small = new ArrayBuffer(256);

function fetch(key: string, get: (k: usize, kn: i32, p: usize, n: i32) => i32): Got {
  const k = utf8(key);
  let b = small;
  let n = get(at(k), k.byteLength, at(b), b.byteLength);
  while (n > b.byteLength) {
    b = new ArrayBuffer(n);
    n = get(at(k), k.byteLength, at(b), n);
  }
  return n < 0 ? new Got(n, "") : new Got(0, String.UTF8.decodeUnsafe(at(b), n));
}

/** Writes a line to the host's log. */
export function log(level: Level, line: string): void { const b = utf8(line); host_log(level, at(b), b.byteLength); }
/** The current time, in ms since 1970. */
export function now(): i64 { return host_now(); }
/** Returns n random bytes, at most 64 KiB. */
export function random(n: i32): Uint8Array { const b = new Uint8Array(n); host_random(b.dataStart, n); return b; }
/** The value of a key of the entry's config, as JSON text. */
export function config(key: string): Got { return fetch(key, (k: usize, kn: i32, p: usize, n: i32): i32 => host_config_get(k, kn, p, n)); }
/** Describes a room as `{"room","membersCount"}`. Needs `rooms`. */
export function findRoom(name: string): Got { return fetch(name, (k: usize, kn: i32, p: usize, n: i32): i32 => host_room_get(k, kn, p, n)); }
/** The number of members of the event's room on all nodes. */
export function roomSize(): i32 { return host_room_size(); }
/** Sets a property of the event's connection to JSON text; an empty one removes it. Needs `properties:NAME`. */
export function setProperty(name: string, json: string): i32 {
  const k = utf8(name), b = utf8(json);
  return host_property_set(at(k), k.byteLength, at(b), b.byteLength);
}
export function createRoom(name: string): i32 { const b = utf8(name); return host_room_create(at(b), b.byteLength); }
export function destroyRoom(name: string): i32 { const b = utf8(name); return host_room_destroy(at(b), b.byteLength); }

/** The module's own store. Needs `kv`. A time to live is in ms; 0: no expiry. */
export namespace kv {
  export function get(key: string): Got { return fetch(key, (k: usize, kn: i32, p: usize, n: i32): i32 => host_kv_get(k, kn, p, n)); }
  export function set(key: string, value: string, ttl: i64 = 0): i32 {
    const k = utf8(key), b = utf8(value);
    return host_kv_set(at(k), k.byteLength, at(b), b.byteLength, ttl);
  }
  /** 1 if the key existed. */
  export function del(key: string): i32 { const k = utf8(key); return host_kv_del(at(k), k.byteLength); }
  /** Adds delta to the number at key, and returns the sum. After a failure `added` is the error. */
  export function add(key: string, delta: i64, ttl: i64 = 0): i64 {
    const k = utf8(key), sum = new ArrayBuffer(8);
    added = host_kv_add(at(k), k.byteLength, delta, ttl, at(sum));
    return load<i64>(at(sum));
  }
  /** The outcome of the last add: 0, or one of `Err`. */
  export let added: i32 = 0;
  /** 1 if the key's value was old (empty: absent) and is now value. */
  export function swap(key: string, old: string, value: string, ttl: i64 = 0): i32 {
    const k = utf8(key), o = utf8(old), b = utf8(value);
    return host_kv_cas(at(k), k.byteLength, at(o), o.byteLength, at(b), b.byteLength, ttl);
  }
}

/** 0 if the tokens were taken from the bucket, otherwise ms until they are available. Needs `rate`. */
export function take(key: string, tokens: i32, perMS: i32, burst: i32): i32 { const k = utf8(key); return host_rate_take(at(k), k.byteLength, tokens, perMS, burst); }

/** Kinds of an emit: the sum of two. */
export namespace Emit {
  export const Text = 0;
  export const JSON = 1;
  export const ToRoom = 0;
  export const ToConnection = 2;
  export const ToUser = 4;
}

/** Sends a message once the whole chain allows. Needs `emit`. */
export function emit(kind: i32, to: string, body: string): i32 {
  const t = utf8(to), b = utf8(body);
  return host_emit(kind, at(t), t.byteLength, at(b), b.byteLength);
}
/**
 * A sanction of a user or an address, see ABI.md. kind is "mute", "shadow" or "ban"; rooms is a
 * name in which one * stands for any text, "": all rooms; ttl is in ms, 0: no end.
 */
export class Sanction {
  user: string = "";
  address: string = "";
  rooms: string = "";
  ttl: i64 = 0;
  reason: string = "";
  note: string = "";
  constructor(public kind: string) {}

  json(): string {
    let out = '{"kind":' + quote(this.kind) + part("user", this.user) + part("address", this.address) + part("rooms", this.rooms) +
      part("reason", this.reason) + part("note", this.note);
    if (this.ttl != 0) out += ',"ttl":' + this.ttl.toString();
    return out + "}";
  }
}

function part(name: string, value: string): string { return value.length == 0 ? "" : ',"' + name + '":' + quote(value); }

/** Sets a sanction of the module, also if the event is denied. Needs `sanctions`. */
export function setSanction(s: Sanction): i32 { const b = utf8(s.json()); return host_sanction_set(at(b), b.byteLength); }
/** Removes the module's sanction of this user or address, kind and rooms. Needs `sanctions`. */
export function pardonSanction(s: Sanction): i32 { const b = utf8(s.json()); return host_sanction_pardon(at(b), b.byteLength); }
/** Removes a connection from a room, also if the event is denied. Needs `members`. */
export function removeMember(connection: string, room: string, reason: string = ""): i32 {
  const c = utf8(connection), r = utf8(room), b = utf8(reason);
  return host_member_remove(at(c), c.byteLength, at(r), r.byteLength, at(b), b.byteLength);
}
/** Closes a connection, also if the event is denied. Needs `members`. */
export function closeConnection(connection: string, reason: string = ""): i32 {
  const c = utf8(connection), b = utf8(reason);
  return host_connection_close(at(c), c.byteLength, at(b), b.byteLength);
}
/**
 * Names the user of the event's connection, at connect or an action, once the whole chain allows.
 * `Err.NotGranted`: the connection has another user, which cannot be changed. Needs `identity`.
 */
export function setUser(user: string): i32 { const u = utf8(user); return host_user_set(at(u), u.byteLength); }
/** Retracts the message with this id from a room, also if the event is denied. Needs `amend`. */
export function retractMessage(room: string, id: string): i32 {
  const r = utf8(room), i = utf8(id);
  return host_message_retract(at(r), r.byteLength, at(i), i.byteLength);
}
/**
 * Replaces the text of a message that is in the history of its room, also if the event is denied; kind: `Emit.Text` or
 * `Emit.JSON`. Other rules see the new text as an event with `edits`, and may deny it. A message that a moderator has edited
 * does not change. Needs `amend`.
 */
export function editMessage(kind: i32, room: string, id: string, body: string): i32 {
  const r = utf8(room), i = utf8(id), b = utf8(body);
  return host_message_edit(kind, at(r), r.byteLength, at(i), i.byteLength, at(b), b.byteLength);
}
/** Adds to one of the module's own counters. */
export function count(metric: string, delta: i64): i32 { const k = utf8(metric); return host_metric_add(at(k), k.byteLength, delta); }

// ---- a small JSON reader and writer ----

/** s as a JSON string, with its quotes. */
export function quote(s: string): string {
  const parts: string[] = ['"'];
  let done = 0;
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c >= 32 && c != 34 && c != 92) continue;
    parts.push(s.substring(done, i));
    parts.push(c < 32 ? "\\u" + c.toString(16).padStart(4, "0") : "\\" + s.charAt(i));
    done = i + 1;
  }
  parts.push(s.substring(done));
  parts.push('"');
  return parts.join("");
}

/** The text of a JSON string; null if json is not a string. */
export function text(json: string): string | null {
  if (!json.startsWith('"') || !json.endsWith('"') || json.length < 2) return null;
  const parts: string[] = [];
  let done = 1;
  for (let i = 1; i < json.length - 1; i++) {
    if (json.charCodeAt(i) != 92) continue;
    parts.push(json.substring(done, i));
    let c = json.charAt(++i);
    if (c == "u") {
      c = String.fromCharCode(<i32>parseInt(json.substring(i + 1, i + 5), 16));
      i += 4;
    } else c = c == "n" ? "\n" : c == "t" ? "\t" : c == "r" ? "\r" : c == "b" ? "\b" : c == "f" ? "\f" : c;
    parts.push(c);
    done = i + 1;
  }
  parts.push(json.substring(done, json.length - 1));
  return parts.join("");
}

/** The values of a JSON array, or the alternating names and values of an object, as JSON text. */
export function items(json: string): string[] {
  const list: string[] = [];
  let depth = 0, quoted = false, start = -1;
  for (let i = 0; i < json.length; i++) {
    const c = json.charCodeAt(i);
    if (quoted && c == 92) { i++; continue; }
    if (c == 34) quoted = !quoted;
    const open = !quoted && (c == 91 || c == 123), close = !quoted && (c == 93 || c == 125);
    const between = !quoted && (c <= 32 || c == 44 || c == 58);
    if (close) depth--;
    if (start >= 0 && (depth == 0 || depth == 1 && between)) {
      list.push(json.substring(start, i));
      start = -1;
    } else if (start < 0 && depth == 1 && !between && !close) start = i;
    if (open) depth++;
  }
  return list;
}
