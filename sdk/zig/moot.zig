//! Makes a Zig program a Moot module: it declares handlers, and the host asks them. It
//! builds with Zig 0.11.
//!
//!     const moot = @import("moot");
//!
//!     pub const manifest =
//!         \\{"name":"quiet","reads":["message"]}
//!     ;
//!
//!     pub fn on_say_receive(e: moot.Event) moot.Verdict {
//!         return if (std.mem.startsWith(u8, e.message(), "!")) moot.deny("no shouting") else moot.allow();
//!     }
//!
//!     comptime {
//!         moot.module(@This());
//!     }
//!
//! The host asks an instance one thing at a time. What an event gives lies in its frame, and is
//! good until the handler returns; so is what `moot.arena()` gives. A panic ends the instance, and
//! the entry's `onError` decides.
const std = @import("std");

/// Exports the module `M`: its `manifest`, and those it has of `init(config: []const u8) ?[]const u8`
/// (why the config is refused, or null), `on_connect`, `on_join`, `on_say_receive`, `on_leave`,
/// `on_disconnect`, `on_action` (each `fn (Event) Verdict`), and `on_say(Event, Connection)` or
/// `on_say_all(Event)`.
pub fn module(comptime M: type) void {
    const Exports = struct {
        fn abi() callconv(.C) void {}
        fn manifest() callconv(.C) u64 {
            return span(M.manifest);
        }
        fn alloc(size: usize) callconv(.C) ?[*]align(8) u8 {
            if (size > 1 << 20) return null;
            if (size > exchange.len) {
                exchange = std.heap.wasm_allocator.alignedAlloc(u8, 8, size) catch return null;
            }
            return exchange.ptr;
        }
        fn init(_: u32, p: [*]const u8, n: usize) callconv(.C) i32 {
            if (!@hasDecl(M, "init")) return 0;
            reason = M.init(p[0..n]) orelse return 0;
            return 1;
        }
        fn why() callconv(.C) u64 {
            return span(reason);
        }
        fn say(frame: [*]u8) callconv(.C) i32 {
            return each(frame, M.on_say);
        }
    };
    @export(Exports.abi, .{ .name = "moot_abi_1" });
    @export(Exports.alloc, .{ .name = "moot_alloc" });
    @export(Exports.manifest, .{ .name = "moot_manifest" });
    @export(Exports.init, .{ .name = "moot_init" });
    @export(Exports.why, .{ .name = "moot_reason" });
    if (@hasDecl(M, "on_say")) @export(Exports.say, .{ .name = "on_say" });
    if (@hasDecl(M, "on_say_all")) hook(M.on_say_all, "on_say");
    inline for (.{ "on_connect", "on_join", "on_say_receive", "on_leave", "on_disconnect", "on_action" }) |name| {
        if (@hasDecl(M, name)) hook(@field(M, name), name);
    }
}

fn hook(comptime handler: fn (Event) Verdict, comptime name: []const u8) void {
    const S = struct {
        fn call(frame: [*]u8) callconv(.C) i32 {
            return ask(frame, handler);
        }
    };
    @export(S.call, .{ .name = name });
}

// ---- memory ----

var exchange: []align(8) u8 = &.{};
var reason: []const u8 = "";
var arena_state = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);

/// Memory until the handler returns. What must last longer comes from `std.heap.wasm_allocator`.
pub fn arena() std.mem.Allocator {
    return arena_state.allocator();
}

/// The texts one after the other. Without memory it panics, as everything of this file does.
pub fn join(parts: []const []const u8) []const u8 {
    return std.mem.concat(arena(), u8, parts) catch @panic("out of memory");
}

fn make(comptime T: type, n: usize) []T {
    return arena().alloc(T, n) catch @panic("out of memory");
}

fn span(s: []const u8) u64 {
    return @as(u64, @intFromPtr(s.ptr)) << 32 | s.len;
}

fn get32(b: [*]const u8, at: usize) u32 {
    return @as(*align(1) const u32, @ptrCast(b + at)).*;
}

fn put32(b: [*]u8, at: usize, n: usize) void {
    @as(*align(1) u32, @ptrCast(b + at)).* = @intCast(n);
}

/// Texts of a verdict are copied: they may lie anywhere.
fn put(b: [*]u8, slot: usize, s: []const u8) void {
    if (s.len == 0) return;
    const kept = arena().dupe(u8, s) catch @panic("out of memory");
    put32(b, slot, @intFromPtr(kept.ptr));
    put32(b, slot + 4, kept.len);
}

// ---- what happens ----

fn field(blob: ?[*]const u8, n: usize) ?[]const u8 {
    const b = blob orelse return null;
    if (n >= get32(b, 4) >> 16) return null;
    const at = get32(b, 24 + 8 * n);
    return if (at == 0) null else b[at..][0..get32(b, 28 + 8 * n)];
}

fn time(blob: ?[*]const u8, at: usize) u64 {
    const b = blob orelse return 0;
    return @as(*align(1) const u64, @ptrCast(b + at)).*;
}

/// A client's connection. Of one that is not there, everything is empty.
pub const Connection = struct {
    blob: ?[*]const u8,

    /// Its id, the name it goes by in messages.
    pub fn id(c: Connection) []const u8 {
        return field(c.blob, 0) orelse "";
    }
    pub fn fingerprint(c: Connection) []const u8 {
        return field(c.blob, 1) orelse "";
    }
    pub fn user(c: Connection) []const u8 {
        return field(c.blob, 2) orelse "";
    }
    /// `websocket` or `socket`
    pub fn transport(c: Connection) []const u8 {
        return field(c.blob, 3) orelse "";
    }
    pub fn remoteIP(c: Connection) []const u8 {
        return field(c.blob, 4) orelse "";
    }
    pub fn tenant(c: Connection) []const u8 {
        return field(c.blob, 5) orelse "";
    }
    /// A language tag such as `en-GB`.
    pub fn locale(c: Connection) []const u8 {
        return field(c.blob, 6) orelse "";
    }
    /// ms since 1970; 0: the module does not read it
    pub fn connectedAt(c: Connection) u64 {
        return time(c.blob, 8);
    }
    /// when it joined the event's room; 0 outside one
    pub fn joinedAt(c: Connection) u64 {
        return time(c.blob, 16);
    }
    /// A property as JSON text, see `json.text`.
    pub fn property(c: Connection, name: []const u8) ?[]const u8 {
        var rest = field(c.blob, 7) orelse return null;
        while (rest.len >= 8) {
            const n = 8 + get32(rest.ptr, 0);
            const end = n + get32(rest.ptr, 4);
            if (std.mem.eql(u8, rest[8..n], name)) return rest[n..end];
            rest = rest[end..];
        }
        return null;
    }
};

/// What happens. A field that the module does not read is empty.
pub const Event = struct {
    frame: [*]u8,

    fn part(e: Event, slot: usize) ?[*]const u8 {
        const at = get32(e.frame, slot);
        return if (at == 0) null else e.frame + at;
    }
    fn text(e: Event, n: usize) []const u8 {
        return field(e.part(16), n) orelse "";
    }
    /// 1 connect, 2 join, 3 onSayReceive, 4 say, 5 leave, 6 disconnect, 7 action
    pub fn hook(e: Event) u32 {
        return get32(e.frame, 4) >> 16;
    }
    /// Whose event it is; of the system's, and at say, all of it is empty.
    pub fn connection(e: Event) Connection {
        return .{ .blob = e.part(20) };
    }
    pub fn room(e: Event) []const u8 {
        return e.text(0);
    }
    pub fn tenant(e: Event) []const u8 {
        return e.text(1);
    }
    /// The sender: a connection's id, `0` for the system.
    pub fn from(e: Event) []const u8 {
        return e.text(2);
    }
    pub fn message(e: Event) []const u8 {
        return e.text(3);
    }
    /// Whether the message is JSON text.
    pub fn isJSON(e: Event) bool {
        return get32(e.frame, 8) & 1 != 0;
    }
    pub fn context(e: Event) []const u8 {
        return e.text(4);
    }
    /// At leave `roomLeave`, `destroyed`, `disconnect`, `removed` or `node_lost`; at join empty or `rejoined`.
    pub fn cause(e: Event) []const u8 {
        return e.text(5);
    }
    pub fn action(e: Event) []const u8 {
        return e.text(6);
    }
    /// The action's parameters, a JSON object.
    pub fn params(e: Event) []const u8 {
        return e.text(7);
    }
    /// ms since 1970
    pub fn sentAt(e: Event) u64 {
        return time(e.part(16), 8);
    }
    pub fn sequence(e: Event) u64 {
        return time(e.part(16), 16);
    }
};

// ---- verdicts ----

/// A module's answer. Of a rewrite, what is set is changed.
pub const Verdict = struct {
    answer: i32 = 0,
    code: u32 = 0, // of a denial: the module's own
    kind: u32 = 0,
    body: []const u8 = "",
    extra: []const u8 = "", // a JSON object, merged into what clients get
    room: []const u8 = "",
    from: []const u8 = "",
    sent_at: u64 = 0,
};

/// The next module is asked.
pub fn allow() Verdict {
    return .{};
}
/// It happens, and no later module is asked.
pub fn allowEnd() Verdict {
    return .{ .answer = 4 };
}
/// It is refused, and the client told why, in at most 1024 bytes.
pub fn deny(why: []const u8) Verdict {
    return .{ .answer = 1, .body = why };
}
/// The message vanishes: at say for the receiver.
pub fn drop() Verdict {
    return .{ .answer = 5 };
}
/// Answers an action with a JSON object.
pub fn reply(object: []const u8) Verdict {
    return .{ .body = object };
}
/// The message is this text now.
pub fn text(message: []const u8) Verdict {
    return .{ .answer = 2, .kind = 1, .body = message };
}
/// The message is this JSON text now.
pub fn jsonText(message: []const u8) Verdict {
    return .{ .answer = 2, .kind = 2, .body = message };
}

fn begin(frame: [*]u8) Event {
    _ = arena_state.reset(.retain_capacity);
    return .{ .frame = frame };
}

fn ask(frame: [*]u8, comptime handler: fn (Event) Verdict) i32 {
    const v = handler(begin(frame));
    switch (v.answer) {
        0, 4 => put(frame, 88, v.body),
        1 => {
            put32(frame, 32, v.code);
            put(frame, 36, v.body);
        },
        2 => {
            put(frame, 44, v.body);
            put32(frame, 52, v.kind);
            put(frame, 56, v.extra);
            put(frame, 64, v.room);
            put(frame, 72, v.from);
            @as(*align(1) u64, @ptrCast(frame + 80)).* = v.sent_at;
        },
        else => {},
    }
    return v.answer;
}

/// Each receiver gets a byte; equal rewrites share a variant.
fn each(frame: [*]u8, comptime handler: fn (Event, Connection) Verdict) i32 {
    const e = begin(frame);
    const n = get32(frame, 12);
    const tab = get32(frame, 24);
    const verdicts = (frame + get32(frame, 28))[0..n];
    const variants = make(Verdict, @min(n, 253));
    var count_of: usize = 0;
    var same = n > 0;
    for (verdicts, 0..) |*b, i| {
        const v = handler(e, .{ .blob = frame + get32(frame, tab + 4 * i) });
        b.* = if (v.answer == 1 or v.answer == 5) 1 else 0;
        if (v.answer == 2) {
            var k = count_of;
            while (k > 0 and !alike(variants[k - 1], v)) k -= 1;
            if (k == 0) {
                if (count_of == 253) return -1;
                variants[count_of] = v;
                count_of += 1;
                k = count_of;
            }
            b.* = @intCast(1 + k);
        }
        same = same and b.* == verdicts[0];
    }
    if (same and verdicts[0] < 2) return if (verdicts[0] == 1) 5 else 0;
    const table = make(u8, 20 * count_of);
    @memset(table, 0);
    for (variants[0..count_of], 0..) |v, k| {
        put(table.ptr, 20 * k, v.body);
        put32(table.ptr, 20 * k + 8, v.kind);
        put(table.ptr, 20 * k + 12, v.extra);
    }
    put32(frame, 96, if (count_of == 0) 0 else @intFromPtr(table.ptr));
    put32(frame, 100, count_of);
    return 3;
}

fn alike(a: Verdict, b: Verdict) bool {
    return a.kind == b.kind and std.mem.eql(u8, a.body, b.body) and std.mem.eql(u8, a.extra, b.extra);
}

// ---- the host ----

const raw = struct {
    extern "moot_1" fn log(level: u32, p: [*]const u8, n: usize) void;
    extern "moot_1" fn now_ms() u64;
    extern "moot_1" fn random(p: [*]u8, n: usize) i32;
    extern "moot_1" fn config_get(k: [*]const u8, kn: usize, p: [*]u8, n: usize) i32;
    extern "moot_1" fn property_set(k: [*]const u8, kn: usize, p: [*]const u8, n: usize) i32;
    extern "moot_1" fn room_get(k: [*]const u8, kn: usize, p: [*]u8, n: usize) i32;
    extern "moot_1" fn room_size() i32;
    extern "moot_1" fn room_create(p: [*]const u8, n: usize) i32;
    extern "moot_1" fn room_destroy(p: [*]const u8, n: usize) i32;
    extern "moot_1" fn kv_get(k: [*]const u8, kn: usize, p: [*]u8, n: usize) i32;
    extern "moot_1" fn kv_set(k: [*]const u8, kn: usize, p: [*]const u8, n: usize, ttl: u64) i32;
    extern "moot_1" fn kv_del(k: [*]const u8, kn: usize) i32;
    extern "moot_1" fn kv_add(k: [*]const u8, kn: usize, delta: i64, ttl: u64, sum: *i64) i32;
    extern "moot_1" fn kv_cas(k: [*]const u8, kn: usize, o: [*]const u8, on: usize, p: [*]const u8, n: usize, ttl: u64) i32;
    extern "moot_1" fn rate_take(k: [*]const u8, kn: usize, tokens: u32, per: u32, burst: u32) i32;
    extern "moot_1" fn emit(kind: u32, t: [*]const u8, tn: usize, p: [*]const u8, n: usize) i32;
    extern "moot_1" fn metric_add(k: [*]const u8, kn: usize, delta: i64) i32;
};

/// An empty slice may point anywhere: to the host it does not.
fn address(s: []const u8) [*]const u8 {
    return if (s.len == 0) "" else s.ptr;
}

/// Why the host did not do it.
pub const Error = error{ Absent, NotGranted, OverBudget, BadPointer, TooLarge, Unavailable };

fn outcome(n: i32) Error!u32 {
    return switch (n) {
        -1 => error.Absent,
        -2 => error.NotGranted,
        -3 => error.OverBudget,
        -4 => error.BadPointer,
        -5 => error.TooLarge,
        else => if (n < 0) error.Unavailable else @intCast(n),
    };
}

fn done(n: i32) Error!void {
    _ = try outcome(n);
}

fn fetch(key: []const u8, comptime get: fn ([*]const u8, usize, [*]u8, usize) callconv(.C) i32) Error![]const u8 {
    var buf = make(u8, 256);
    while (true) {
        const n = try outcome(get(address(key), key.len, buf.ptr, buf.len));
        if (n <= buf.len) return buf[0..n];
        buf = make(u8, n);
    }
}

pub const Level = enum(u32) { debug, info, warn, err };

/// Writes a line to the host's log.
pub fn log(level: Level, line: []const u8) void {
    raw.log(@intFromEnum(level), address(line), line.len);
}
/// The time, in ms since 1970.
pub fn now() u64 {
    return raw.now_ms();
}
/// Fills b, at most 64 KiB, with random bytes.
pub fn random(b: []u8) Error!void {
    return done(raw.random(b.ptr, b.len));
}
/// A key of the entry's config, as JSON text.
pub fn config(key: []const u8) Error![]const u8 {
    return fetch(key, raw.config_get);
}
/// Sets a property of the event's connection to JSON text; "" removes it. Needs properties:NAME.
pub fn setProperty(name: []const u8, value: []const u8) Error!void {
    return done(raw.property_set(address(name), name.len, address(value), value.len));
}
/// `{"room","membersCount"}` of a room. Needs rooms.
pub fn findRoom(name: []const u8) Error![]const u8 {
    return fetch(name, raw.room_get);
}
/// How many members the event's room has on all nodes.
pub fn roomSize() Error!u32 {
    return outcome(raw.room_size());
}
pub fn createRoom(name: []const u8) Error!void {
    return done(raw.room_create(address(name), name.len));
}
pub fn destroyRoom(name: []const u8) Error!void {
    return done(raw.room_destroy(address(name), name.len));
}

/// The module's own store. Needs kv. A time to live is in ms; 0 has no end.
pub const kv = struct {
    pub fn get(key: []const u8) Error![]const u8 {
        return fetch(key, raw.kv_get);
    }
    pub fn set(key: []const u8, value: []const u8, ttl: u64) Error!void {
        return done(raw.kv_set(address(key), key.len, address(value), value.len, ttl));
    }
    /// whether it was there
    pub fn delete(key: []const u8) Error!bool {
        return try outcome(raw.kv_del(address(key), key.len)) == 1;
    }
    /// the number at key, 0 at first, after delta was added
    pub fn add(key: []const u8, delta: i64, ttl: u64) Error!i64 {
        var sum: i64 = 0;
        try done(raw.kv_add(address(key), key.len, delta, ttl, &sum));
        return sum;
    }
    /// whether key held old (empty: was absent) and now has value
    pub fn swap(key: []const u8, old: []const u8, value: []const u8, ttl: u64) Error!bool {
        return try outcome(raw.kv_cas(address(key), key.len, address(old), old.len, address(value), value.len, ttl)) == 1;
    }
};

/// 0 if the tokens were taken from the bucket, else ms until they are there. Needs rate.
pub fn take(key: []const u8, tokens: u32, per_ms: u32, burst: u32) Error!u32 {
    return outcome(raw.rate_take(address(key), key.len, tokens, per_ms, burst));
}

pub const To = union(enum) { room: []const u8, connection: []const u8 };
pub const Body = union(enum) { text: []const u8, json: []const u8 };

/// Sends a message once the whole chain allows. Needs emit.
pub fn emit(to: To, body: Body) Error!void {
    const t = switch (to) {
        inline else => |s| s,
    };
    const b = switch (body) {
        inline else => |s| s,
    };
    const kind = @as(u32, if (to == .connection) 2 else 0) + @as(u32, if (body == .json) 1 else 0);
    return done(raw.emit(kind, address(t), t.len, address(b), b.len));
}
/// Adds to a metric of the module's own.
pub fn count(metric: []const u8, delta: i64) Error!void {
    return done(raw.metric_add(address(metric), metric.len, delta));
}

/// JSON as std.json has it, in the arena.
pub const json = struct {
    /// s as a JSON string, with its quotes.
    pub fn quote(s: []const u8) []const u8 {
        return std.json.stringifyAlloc(arena(), s, .{}) catch @panic("out of memory");
    }
    /// JSON text as a `T`, null if it is none.
    pub fn parse(comptime T: type, source: []const u8) ?T {
        return std.json.parseFromSliceLeaky(T, arena(), source, .{ .ignore_unknown_fields = true }) catch null;
    }
};
