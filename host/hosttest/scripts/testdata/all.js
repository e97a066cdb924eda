// Does what the message asks for, so that a test sees all of the API.
moot.declare({
  version: "1.2.3",
  reads: ["room", "tenant", "from", "message", "cause", "messageId", "edits", "id", "user", "locale", "connectedAt", "joinedAt", "params", "properties.mood"],
  capabilities: moot.config.capabilities ?? ["kv", "rate", "emit", "rooms", "sanctions", "members", "identity", "amend", "properties:mood"],
});

const commands = {
  allow: () => moot.allow(),
  nothing: () => {},
  end: () => moot.allowEnd(),
  deny: (_, why) => moot.deny(why, 7),
  drop: () => moot.drop(),
  hold: (_, why) => (why === "" ? moot.hold() : moot.hold(why, { ttl: 60_000.4 })),
  ever: () => moot.hold("ever", { ttl: Infinity }),
  rewrite: (_, text) => moot.rewrite(text.toUpperCase()),
  envelope: () => moot.rewrite({ room: "other", from: "0", sentAt: 1234, extra: { lang: "de", n: [1, 2.5, null, true] } }),
  json: () => moot.rewrite({ message: { a: ["ü", "\n"], b: {} } }),
  fields: (e) => moot.rewrite([e.hook, e.room, e.tenant, e.from, e.sentAt, e.sequence].join(" ")),
  who: (_, __, c) => moot.rewrite([c.id, c.user, c.locale, c.connectedAt, c.property("mood"), c.property("role") ?? "none"].join(" ")),
  config: () => moot.rewrite(JSON.stringify(moot.config.deep)),
  set: (_, value, c) => c.setProperty("mood", { value }),
  kv: () => {
    const { kv } = moot, seen = [kv.get("k") ?? "absent"];
    kv.set("k", "v", 60_000);
    seen.push(kv.get("k"), kv.swap("k", "x", "y"), kv.swap("k", "v", "w"), kv.get("k"), kv.delete("k"), kv.delete("k"));
    seen.push(kv.add("n"), kv.add("n", 41));
    return moot.rewrite(seen.join(" "));
  },
  long: () => { moot.kv.set("long", "x".repeat(5000)); return moot.rewrite(String(moot.kv.get("long").length)); },
  rate: () => moot.rewrite([1, 2].map(() => moot.rate.take("b", { burst: 1, per: 60_000 }) > 0).join(" ")),
  emit: () => { moot.emit({ room: "r", message: "psst" }); moot.emit({ connection: "c1", message: { hint: 1 } }); moot.emit({ user: "ann", message: "hi" }); },
  rooms: () => { moot.rooms.create("made"); moot.rooms.destroy("gone"); return moot.rewrite(String(moot.rooms.get("nowhere"))); },
  count: () => moot.count("seen", 3),
  log: (_, what) => moot.log("told:", what),
  throw: () => {
    throw new TypeError("on purpose");
  },
  loop: () => { for (;;) try { for (;;); } catch { } finally { continue; } },
  hoard: () => { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); },
  recurse: () => { const f = (n) => 1 + f(n + 1); return f(0); },
  nonsense: () => 42,
  moderate: () => {
    moot.sanctions.set({ user: "ann", kind: "mute", ttl: 60_000, reason: "be kind", note: "n" });
    moot.sanctions.pardon({ address: "192.0.2.7", kind: "ban", rooms: "r*" });
    moot.members.remove({ connection: "c1", room: "r", reason: "off topic" });
    moot.members.close({ connection: "c2" });
    return moot.deny("moderated");
  },
  amend: (e) => {
    moot.amend.retract({ room: "r", id: e.messageId });
    moot.amend.edit({ room: "q", id: e.edits, message: "better" });
    moot.amend.edit({ room: "q", id: "m3", message: { n: 1 } });
    return moot.deny(`${e.messageId} ${e.edits}`);
  },
  unamended: () => moot.amend.retract({ room: "r", id: "no id" }),
  wrong: () => moot.sanctions.set({ user: "ann", kind: "scold" }),
};

moot.on("onSayReceive", (event, connection) => {
  if (typeof event.message !== "string") return moot.rewrite({ message: { heard: event.message } });
  const [command, ...rest] = event.message.split(" ");
  return commands[command]?.(event, rest.join(" "), connection);
});
moot.on("join", (event, connection) => {
  if (connection.user === "mallory") return moot.deny("members only");
});
moot.on("leave", (event) => moot.log("left by", event.cause));
moot.on("say", (event, receiver) => {
  if (receiver.locale === "xx") return moot.drop();
  if (receiver.locale === "hold") return moot.hold("at say");
  if (receiver.locale === "de") return moot.rewrite({ message: "hallo", extra: { lang: "de" } });
});
moot.action("greet", { description: "says hello", speech: true, inputs: { name: { required: true, description: "name" } } }, (event) =>
  moot.reply({ greeting: `hello ${event.params.name}`, by: event.action }));
moot.action("login", (event) => moot.identity.setUser(event.params.name));
