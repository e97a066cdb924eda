// The conformance guest: it exercises the whole SDK by executing a script, see
// host/hosttest/CONFORMANCE.md.
import * as moot from "moot";
import { Answer, Connection, Event, Got, Verdict, answered, ask, each } from "moot";
export { moot_abi_1, moot_alloc, moot_reason } from "moot";

export function moot_manifest(): u64 {
  return moot.manifest('{"name":"conformance","version":"1.0.0",' +
    '"hooks":["connect","join","onSayReceive","say","leave","disconnect","action"],' +
    '"reads":["room","tenant","from","message","context","cause","action","params","messageId","edits","id","fingerprint","user","transport",' +
    '"remoteIP","locale","connectedAt","joinedAt","properties.do","properties.role","properties.strikes","properties.mood"],' +
    '"capabilities":["kv","rate","emit","rooms","properties:mood","sanctions","members","identity","amend"],"asks":["one","two"],' +
    '"actions":[{"name":"login","description":"logs in","inputs":{"token":{"required":true,"description":"who"}}},{"name":"roll","speech":true}]}');
}

export function moot_init(minor: u32, p: usize, n: usize): i32 {
  return moot.init(p, n, (_: string): string | null => {
    const refuse = moot.config("refuse");
    return refuse.code == 0 ? unhex(moot.text(refuse.value)!) : null;
  });
}

let lines: string[] = [];
let answer: Answer | null = null; // null: at a hook

const plain = (e: Event): Verdict => follow(e, e.connection);

export function on_connect(frame: usize): i32 { return ask(frame, plain); }
export function on_join(frame: usize): i32 { return ask(frame, plain); }
export function on_say_receive(frame: usize): i32 { return ask(frame, plain); }
export function on_say(frame: usize): i32 { return each(frame, follow); }
export function on_leave(frame: usize): i32 { return ask(frame, plain); }
export function on_disconnect(frame: usize): i32 { return ask(frame, plain); }
export function on_action(frame: usize): i32 { return ask(frame, plain); }
export function on_answer(frame: usize): i32 {
  return answered(frame, (e: Event, a: Answer): Verdict => {
    answer = a;
    const v = follow(e, e.connection);
    answer = null;
    return v;
  });
}

function unhex(digits: string): string {
  const b = new Uint8Array(digits.length / 2);
  for (let i = 0; i < b.length; i++) b[i] = <u8>parseInt(digits.substr(2 * i, 2), 16);
  return String.UTF8.decode(b.buffer);
}

function follow(e: Event, c: Connection): Verdict {
  let script = e.message;
  const configured = moot.config("do"), property = e.connection.property("do");
  if (configured.code == 0) script = moot.text(configured.value)!;
  else if (property !== null) script = moot.text(property)!;
  lines = [];
  const a = answer;
  let v = Verdict.allow(), mine = a === null;
  const operations = script.split(";");
  for (let i = 0; i < operations.length; i++) {
    const words = operations[i].split(" ");
    if (words[0] == "id") mine = unhex(words[1]) == c.id;
    else if (words[0] == "answered") mine = a !== null && a.number == i32.parse(words[1]);
    else if (mine) v = operation(e, c, v, words[0], words.slice(1));
  }
  if (lines.length == 0) return v;
  const said = lines.join("\n");
  if (e.hook == 3 || e.hook == 4) return Verdict.text(said);
  return e.hook == 7 ? Verdict.reply('{"said":' + moot.quote(said) + "}") : Verdict.deny(said);
}

function operation(e: Event, c: Connection, v: Verdict, op: string, a: string[]): Verdict {
  if (op == "") return v;
  if (op == "allow") return Verdict.allow();
  if (op == "end") return Verdict.allowEnd();
  if (op == "drop") return Verdict.drop();
  if (op == "hold") return Verdict.hold(unhex(a[1]), i64.parse(a[0]));
  if (op == "ask") return Verdict.ask(unhex(a[0]), unhex(a[1]), unhex(a[2]));
  if (op == "deny") return Verdict.deny(unhex(a[1])).withCode(u32.parse(a[0]));
  if (op == "fail") throw new Error("as it was told");
  if (op == "text") return v.withText(unhex(a[0]));
  if (op == "json") return v.withJSON(unhex(a[0]));
  if (op == "extra") return v.withExtra(unhex(a[0]));
  if (op == "room") return v.withRoom(unhex(a[0]));
  if (op == "from") return v.withFrom(unhex(a[0]));
  if (op == "sentAt") return v.withSentAt(i64.parse(a[0]));
  if (op == "reply") return Verdict.reply(unhex(a[0]));
  if (op == "tell") tell(e, c);
  else if (op == "log") moot.log(i32.parse(a[0]), unhex(a[1]));
  else lines.push(op + "=" + call(c, op, a));
  return v;
}

function got(g: Got): string { return g.code < 0 ? "!" + g.code.toString() : g.value; }
function num(n: i32): string { return n < 0 ? "!" + n.toString() : n.toString(); }

function call(c: Connection, op: string, a: string[]): string {
  if (op == "quote") return moot.quote(unhex(a[0]));
  if (op == "now") return moot.now().toString();
  if (op == "roomsize") return num(moot.roomSize());
  if (op == "random") {
    const b = moot.random(i32.parse(a[0]));
    let hex = "";
    for (let i = 0; i < b.length; i++) hex += b[i].toString(16).padStart(2, "0");
    return hex;
  }
  const key = unhex(a[0]);
  if (op == "config") return got(moot.config(key));
  if (op == "prop") {
    const p = c.property(key);
    return p === null ? num(moot.Err.Absent) : p;
  }
  if (op == "setprop") return num(moot.setProperty(key, unhex(a[1])));
  if (op == "roomget") return got(moot.findRoom(key));
  if (op == "roomnew") return num(moot.createRoom(key));
  if (op == "roomend") return num(moot.destroyRoom(key));
  if (op == "get") return got(moot.kv.get(key));
  if (op == "set") return num(moot.kv.set(key, unhex(a[1]), i64.parse(a[2])));
  if (op == "del") return num(moot.kv.del(key));
  if (op == "add") {
    const sum = moot.kv.add(key, i64.parse(a[1]), i64.parse(a[2]));
    return moot.kv.added < 0 ? num(moot.kv.added) : sum.toString();
  }
  if (op == "cas") return num(moot.kv.swap(key, unhex(a[1]), unhex(a[2]), i64.parse(a[3])));
  if (op == "take") return num(moot.take(key, i32.parse(a[1]), i32.parse(a[2]), i32.parse(a[3])));
  if (op == "emit") return num(moot.emit(i32.parse(a[0]), unhex(a[1]), unhex(a[2])));
  if (op == "sanction") return num(moot.setSanction(sanction(a)));
  if (op == "pardon") return num(moot.pardonSanction(sanction(a)));
  if (op == "remove") return num(moot.removeMember(key, unhex(a[1]), unhex(a[2])));
  if (op == "close") return num(moot.closeConnection(key, unhex(a[1])));
  if (op == "user") return num(moot.setUser(key));
  if (op == "retract") return num(moot.retractMessage(key, unhex(a[1])));
  if (op == "edit") return num(moot.editMessage(i32.parse(a[0]), unhex(a[1]), unhex(a[2]), unhex(a[3])));
  if (op == "count") return num(moot.count(key, i64.parse(a[1])));
  throw new Error("there is no operation " + op);
}

// The sanction of the parameters kind, user, address, rooms and, for a new one, ttl, reason and note.
function sanction(a: string[]): moot.Sanction {
  const s = new moot.Sanction(unhex(a[0]));
  s.user = unhex(a[1]);
  s.address = unhex(a[2]);
  s.rooms = unhex(a[3]);
  if (a.length > 4) {
    s.ttl = i64.parse(a[4]);
    s.reason = unhex(a[5]);
    s.note = unhex(a[6]);
  }
  return s;
}

function say(name: string, value: string): void {
  if (value.length) lines.push(name + "=" + value);
}

function at(name: string, n: i64): void {
  if (n != 0) say(name, n.toString());
}

function tell(e: Event, c: Connection): void {
  at("hook", e.hook);
  say("room", e.room);
  say("tenant", e.tenant);
  say("from", e.from);
  say("message", e.message);
  say("json", e.isJSON ? "1" : "");
  say("context", e.context);
  say("cause", e.cause);
  say("action", e.action);
  say("params", e.params);
  say("messageId", e.messageId);
  say("edits", e.edits);
  at("sentAt", e.sentAt);
  at("sequence", e.sequence);
  say("c.id", c.id);
  say("c.fingerprint", c.fingerprint);
  say("c.user", c.user);
  say("c.transport", c.transport);
  say("c.remoteIP", c.remoteIP);
  say("c.tenant", c.tenant);
  say("c.locale", c.locale);
  at("c.connectedAt", c.connectedAt);
  at("c.joinedAt", c.joinedAt);
  const names = ["role", "strikes", "mood"];
  for (let i = 0; i < names.length; i++) {
    const value = c.property(names[i]);
    if (value !== null) say("c." + names[i], value);
  }
  const a = answer;
  if (a === null) return;
  say("a.name", a.name);
  at("a.status", a.status);
  at("a.number", a.number);
  say("a.json", a.json);
  say("a.state", a.state);
}
