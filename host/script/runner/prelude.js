// What scripts find as the global moot. native is the runner's own side, see js.c.
(function (native) {
  "use strict";
  const hooks = { connect: 1, join: 2, onSayReceive: 3, say: 4, leave: 5, disconnect: 6, action: 7 };
  const slots = { code: 32, reason: 36, message: 44, kind: 52, extra: 56, room: 64, from: 72, reply: 88, ask: 112, body: 120, state: 128 };
  const failures = {
    "-1": "there is no such thing", "-3": "too many, or too often", "-4": "not a text or JSON that the host takes",
    "-5": "too large", "-6": "unavailable",
  };
  const handlers = [], actions = new Map();
  let declared = {}, live = true;

  class Verdict {
    constructor(answer, what = {}) { this.answer = answer; this.what = what; }
  }
  const allowed = new Verdict(0);

  // check throws if a host function has failed. capability is the one that it needs; default: the first word of what.
  function check(what, n, capability = what.split(".")[0]) {
    if (n === -2) throw new Error(`${what}: not granted: declare and grant ${capability}; say and the start of a script cannot change anything`);
    if (n < 0) throw new Error(`${what}: ${failures[n]}`);
    return n;
  }
  const text = (what, value) => {
    if (typeof value !== "string") throw new TypeError(`${what} must be a string, not ${typeof value}`);
    return value;
  };
  const json = (what, value) => {
    const encoded = JSON.stringify(value);
    if (encoded === undefined) throw new TypeError(`${what} must be what JSON can hold, not ${typeof value}`);
    return encoded;
  };
  const parsed = (value) => (value === undefined ? undefined : JSON.parse(value));
  const ms = (value) => (value === undefined ? 0 : Math.max(0, Math.round(Number(value)) || 0));

  class Connection {
    constructor(blob, conn) { this.blob = blob; this.conn = conn; }
    get id() { return native.field(this.blob, 0); }
    get fingerprint() { return native.field(this.blob, 1); }
    get user() { return native.field(this.blob, 2); }
    get transport() { return native.field(this.blob, 3); }
    get remoteIP() { return native.field(this.blob, 4); }
    get tenant() { return native.field(this.blob, 5); }
    get locale() { return native.field(this.blob, 6); }
    get connectedAt() { return native.time(this.blob, 8); }
    get joinedAt() { return native.time(this.blob, 16); }
    property(name) { return parsed(native.property(this.conn, text("a property's name", name))); }
    setProperty(name, value) {
      if (this.conn !== 0) throw new Error("properties of receivers cannot be set");
      check(`property ${name}`, native.setProperty(text("a property's name", name), value === undefined ? "" : json("a property", value)), `properties:${name}`);
    }
  }

  class Event {
    get hook() { return Object.keys(hooks)[native.hook() - 1]; }
    get room() { return native.field(0, 0); }
    get tenant() { return native.field(0, 1); }
    get from() { return native.field(0, 2); }
    get message() {
      const message = native.field(0, 3);
      return native.isJSON() ? parsed(message) : message;
    }
    get context() { return native.field(0, 4); }
    get cause() { return native.field(0, 5); }
    get action() { return native.field(0, 6); }
    get params() { return parsed(native.field(0, 7)) ?? {}; }
    get messageId() { return native.field(0, 8); }
    get edits() { return native.field(0, 9); }
    get sentAt() { return native.time(0, 8); }
    get sequence() { return native.time(0, 16); }
    get roomSize() { return check("roomSize", native.roomSize()); }
  }
  class Answer {
    get name() { return native.field(-1, 0); }
    get json() { return parsed(native.field(-1, 1)); }
    get state() { return parsed(native.field(-1, 2)); }
    get status() { return native.time(-1, 8); }
    get number() { return native.time(-1, 16); }
  }
  const answer = new Answer();
  const event = new Event(), connection = new Connection(1, 0);

  function verdictOf(answer) {
    if (answer === undefined) return allowed;
    if (answer instanceof Verdict) return answer;
    if (answer instanceof Promise) throw new TypeError("a handler must answer at once: it may not be async");
    throw new TypeError("a handler must give a verdict, such as moot.deny(reason), or nothing");
  }
  const kindOf = (message) => (message === undefined ? 0 : typeof message === "string" ? 1 : 2);
  const encoded = (message) => (message === undefined ? "" : typeof message === "string" ? message : json("a message", message));

  // put writes a verdict into the result slots and is what the hook returns.
  function put({ answer, what }) {
    for (const name of ["reason", "room", "from", "ask"]) if (what[name] !== undefined) native.put(slots[name], text(name, what[name]));
    for (const name of ["extra", "reply", "body", "state"]) if (what[name] !== undefined) native.put(slots[name], json(name, what[name]));
    if (what.code !== undefined) native.putNumber(slots.code, what.code);
    if (what.message !== undefined) {
      native.put(slots.message, encoded(what.message));
      native.putNumber(slots.kind, kindOf(what.message));
    }
    if (what.sentAt !== undefined) native.putTime(ms(what.sentAt));
    if (what.ttl !== undefined) native.putTTL(Math.min(ms(what.ttl), Number.MAX_SAFE_INTEGER));
    return answer;
  }

  // say asks about each receiver. Equal rewrites share a variant.
  function say(handler) {
    const count = native.receivers(), variants = new Map(), bytes = [];
    let first, same = true;
    for (let i = 0; i < count; i++) {
      const verdict = verdictOf(handler(event, new Connection(2 + i, 1 + i)));
      const byte = byteOf(verdict, variants);
      bytes.push(byte);
      first ??= verdict;
      same &&= byte === bytes[0] && verdict.answer === first.answer;
    }
    if (count === 0) return put(verdictOf(handler(event, undefined)));
    if (same) return put(new Verdict(first.answer, { reason: first.what.reason, message: first.what.message, extra: first.what.extra }));
    variants.forEach(({ kind, message, extra }) => native.variant(kind, message, extra));
    bytes.forEach((byte, i) => native.verdict(i, byte));
    return 3;
  }

  function byteOf({ answer, what }, variants) {
    if (answer === 6) throw new Error("moot.hold is for onSayReceive");
    if (answer === 7) throw new Error("moot.ask is for connect, join, onSayReceive and actions");
    if (answer === 1 || answer === 5) return 1;
    if (answer !== 2) return 0;
    const kind = kindOf(what.message), message = encoded(what.message), extra = what.extra === undefined ? "" : json("extra", what.extra);
    const key = `${kind}\0${extra}\0${message}`;
    if (!variants.has(key)) variants.set(key, { number: variants.size, kind, message, extra });
    if (variants.size > 253) throw new Error("more than 253 different rewrites of one message");
    return 2 + variants.get(key).number;
  }

  const moot = {
    config: {},
    declare(what) {
      if (!live) throw new Error("moot.declare belongs at the top of the script");
      for (const name of Object.keys(what)) {
        if (!["name", "version", "reads", "vary", "pure", "capabilities", "config", "denials", "asks"].includes(name)) throw new TypeError(`moot.declare: there is no ${name}`);
      }
      Object.assign(declared, what);
      // If the script fails because of its config, the host has the schema, which explains it.
      if (declared.config !== undefined) native.declare(json("the schema of the config", { name: "script", config: declared.config }));
    },
    on(hook, handler) {
      if (!live) throw new Error("moot.on belongs at the top of the script");
      if (!(hook in hooks || hook === "answer") || hook === "action") throw new TypeError(`moot.on: there is no hook ${hook}; there are ${Object.keys(hooks).filter((h) => h !== "action").join(", ")}`);
      if (typeof handler !== "function") throw new TypeError(`moot.on("${hook}") needs a function`);
      const at = hook === "answer" ? 0 : hooks[hook];
      if (handlers[at]) throw new Error(`moot.on("${hook}") was called before`);
      handlers[at] = handler;
    },
    action(name, spec, handler = spec) {
      if (!live) throw new Error("moot.action belongs at the top of the script");
      if (typeof handler !== "function") throw new TypeError(`moot.action("${name}") needs a function`);
      actions.set(text("an action's name", name), { spec: spec === handler ? {} : spec, handler });
    },
    allow: () => allowed,
    allowEnd: () => new Verdict(4),
    deny: (reason = "", code) => new Verdict(1, { reason, code }),
    drop: () => new Verdict(5),
    hold: (reason = "", { ttl } = {}) => new Verdict(6, { reason, ttl }),
    ask: (name, body, { state } = {}) => new Verdict(7, { ask: name, body, state }),
    rewrite: (what) => new Verdict(2, typeof what === "string" ? { message: what } : what),
    reply: (fields) => new Verdict(0, { reply: fields }),
    kv: {
      get: (key) => { const n = native.kvGet(text("a key", key)); return typeof n === "string" ? n : n === -1 ? undefined : check("kv.get", n); },
      set: (key, value, ttl) => void check("kv.set", native.kvSet(text("a key", key), text("a value", value), ms(ttl))),
      delete: (key) => check("kv.delete", native.kvDel(text("a key", key))) === 1,
      add: (key, delta = 1, ttl) => native.kvAdd(text("a key", key), delta, ms(ttl), (n) => check("kv.add", n)),
      swap: (key, old, value, ttl) => check("kv.swap", native.kvSwap(text("a key", key), old ?? "", text("a value", value), ms(ttl))) === 1,
    },
    rate: { take: (key, { tokens = 1, burst, per }) => check("rate.take", native.take(text("a key", key), tokens, ms(per), burst)) },
    rooms: {
      get: (name) => { const n = native.roomGet(text("a room's name", name)); return typeof n === "string" ? parsed(n) : n === -1 ? undefined : check("rooms.get", n); },
      create: (name) => void check("rooms.create", native.roomCreate(text("a room's name", name))),
      destroy: (name) => void check("rooms.destroy", native.roomDestroy(text("a room's name", name))),
    },
    emit({ room, connection: to, user, message }) {
      const kind = (kindOf(message) === 2 ? 1 : 0) + (user !== undefined ? 4 : to !== undefined ? 2 : 0);
      check("emit", native.emit(kind, text("a room, connection or user", user ?? to ?? room), encoded(message)));
    },
    sanctions: {
      set: (what) => void check("sanctions.set", native.sanctionSet(json("a sanction", what))),
      pardon: (what) => void check("sanctions.pardon", native.sanctionPardon(json("a sanction", what))),
    },
    members: {
      remove: ({ connection: from, room, reason = "" }) =>
        void check("members.remove", native.memberRemove(text("a connection", from), text("a room's name", room), text("a reason", reason))),
      close: ({ connection: from, reason = "" }) =>
        void check("members.close", native.connectionClose(text("a connection", from), text("a reason", reason))),
    },
    identity: {
      setUser: (user) => {
        const n = native.userSet(text("a user", user));
        if (n === -2) throw new Error("identity.setUser: not granted, or not at connect or an action, or the connection has another user: see the log");
        check("identity.setUser", n);
      },
    },
    amend: {
      retract: ({ room, id }) => void check("amend.retract", native.messageRetract(text("a room's name", room), text("the id of a message", id))),
      edit: ({ room, id, message }) => void check("amend.edit", native.messageEdit(kindOf(message) === 2 ? 1 : 0, text("a room's name", room), text("the id of a message", id), encoded(message))),
    },
    count: (metric, delta = 1) => void check("count", native.count(text("a metric's name", metric), delta)),
    log: (...words) => native.log(1, words.map(String).join(" ")),
    random: () => native.random(),
  };
  Math.random = moot.random;
  globalThis.moot = Object.freeze(moot);
  const levels = { debug: 0, log: 1, info: 1, warn: 2, error: 3 };
  globalThis.console = Object.fromEntries(Object.entries(levels).map(([name, level]) => [name, (...words) => native.log(level, words.map(String).join(" "))]));

  return {
    // begin gives the script its config, before it runs.
    begin(config) { Object.assign(moot.config, config === "" ? {} : JSON.parse(config)); },
    // manifest is asked when the script has run.
    manifest(name) {
      live = false;
      const has = Object.keys(hooks).filter((hook) => handlers[hooks[hook]] || (hook === "action" && actions.size > 0));
      if (has.length === 0) throw new Error("the script has no handler: call moot.on(hook, handler) or moot.action(name, handler)");
      if (!declared.asks !== !handlers[0]) throw new Error('moot.declare({ asks: [...] }) and moot.on("answer", handler) belong together');
      const list = [...actions].map(([action, { spec }]) => ({ name: action, description: spec.description, speech: spec.speech, inputs: spec.inputs }));
      const reads = declared.reads && actions.size > 0 ? [...new Set([...declared.reads, "action", "params"])] : declared.reads;
      return JSON.stringify({ name, ...declared, reads: reads ?? null, vary: declared.vary ?? null, hooks: has, actions: list });
    },
    ask() {
      const hook = native.hook();
      if (hook === 4) return say(handlers[4]);
      const handler = hook === 7 ? actions.get(event.action)?.handler : handlers[hook];
      return handler ? put(verdictOf(handler(event, native.connected() ? connection : undefined))) : 0;
    },
    // answer is asked about the answer to an ask.
    answer() { return handlers[0] ? put(verdictOf(handlers[0](event, answer, native.connected() ? connection : undefined))) : -1; },
  };
})
