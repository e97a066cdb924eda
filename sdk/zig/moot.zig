//! Makes a Zig program a Moot module: the program declares handlers, and the host calls them. It
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
//! The host makes one call at a time to an instance. Values of an event are in its frame, and valid
//! until the handler returns, like allocations from `moot.arena()`. A panic ends the instance, and
//! the entry's `onError` decides about the event; with `pub const panic = moot.panic;` in main.zig its
//! message appears in the host's log and decisions.
const std = @import("std");

/// Exports the module `M`: its `manifest`, and the functions of this list that it declares:
/// `init(config: []const u8) ?[]const u8` (the reason of a refusal, or null), `on_connect`,
/// `on_join`, `on_say_receive`, `on_leave`, `on_disconnect`, `on_action` (each
/// `fn (Event) Verdict`), `on_say(Event, Connection)` or `on_say_all(Event)`, and `on_answer(Event, Answer)`.
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
        fn answered(frame: [*]u8) callconv(.C) i32 {
            const e = begin(frame);
            return write(frame, M.on_answer(e, .{ .blob = e.part(136).? }));
        }
    };
    @export(Exports.abi, .{ .name = "moot_abi_1" });
    @export(Exports.alloc, .{ .name = "moot_alloc" });
    @export(Exports.manifest, .{ .name = "moot_manifest" });
    @export(Exports.init, .{ .name = "moot_init" });
    @export(Exports.why, .{ .name = "moot_reason" });
    if (@hasDecl(M, "on_say")) @export(Exports.say, .{ .name = "on_say" });
    if (@hasDecl(M, "on_answer")) @export(Exports.answered, .{ .name = "on_answer" });
    if (@hasDecl(M, "on_say_all")) hook(M.on_say_all, "on_say");
    inline for (.{ "on_connect", "on_join", "on_say_receive", "on_leave", "on_disconnect", "on_action" }) |name| {
        if (@hasDecl(M, name)) hook(@field(M, name), name);
    }
}

fn hook(comptime handler: fn (Event) Verdict, comptime name: []const u8) void {
    const S = struct {
        fn call(frame: [*]u8) callconv(.C) i32 {
            return respond(frame, handler);
        }
    };
    @export(S.call, .{ .name = name });
}

// ---- memory ----

var exchange: []align(8) u8 = &.{};
var reason: []const u8 = "";
var arena_state = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);

/// Memory that is valid until the handler returns. Longer-lived data comes from `std.heap.wasm_allocator`.
pub fn arena() std.mem.Allocator {
    return arena_state.allocator();
}

/// Concatenates the texts. Panics if there is no memory, like all functions of this file.
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

/// Writes a text of a verdict into a slot, as a copy in the arena.
fn put(b: [*]u8, slot: usize, s: []const u8) void {
    if (s.len == 0) return;
    const kept = arena().dupe(u8, s) catch @panic("out of memory");
    put32(b, slot, @intFromPtr(kept.ptr));
    put32(b, slot + 4, kept.len);
}

// ---- events ----

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

/// A client's connection. All values of an absent connection are empty.
pub const Connection = struct {
    blob: ?[*]const u8,

    /// The id, which messages name as their sender.
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
    /// ms since 1970 of the join to the event's room; 0 if it is not a member
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

/// The event that a hook is called for. A field that the module does not read is empty.
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
    /// The connection of the event; empty for events of the system, and at say.
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
    /// The id of the message, by which modules retract and edit it; empty in an ephemeral room. A message that a module
    /// moves to another room gets another id there.
    pub fn messageId(e: Event) []const u8 {
        return e.text(8);
    }
    /// The id of the message that the event edits: the message is its whole new text. Empty: it is a new message.
    pub fn edits(e: Event) []const u8 {
        return e.text(9);
    }
    /// ms since 1970
    pub fn sentAt(e: Event) u64 {
        return time(e.part(16), 8);
    }
    pub fn sequence(e: Event) u64 {
        return time(e.part(16), 16);
    }
};

/// The answer of a service to an ask.
pub const Answer = struct {
    blob: [*]const u8,

    /// The name of the ask.
    pub fn name(a: Answer) []const u8 {
        return field(a.blob, 0) orelse "";
    }
    /// The answer as JSON text; empty if the service sent none.
    pub fn body(a: Answer) []const u8 {
        return field(a.blob, 1) orelse "";
    }
    /// The state that the ask had.
    pub fn state(a: Answer) []const u8 {
        return field(a.blob, 2) orelse "";
    }
    /// The HTTP status, 200 to 499: a 404 is an answer too.
    pub fn status(a: Answer) u64 {
        return time(a.blob, 8);
    }
    /// 1 for the first ask about the event, 2 for the second one.
    pub fn number(a: Answer) u64 {
        return time(a.blob, 16);
    }
};

// ---- verdicts ----

/// A module's answer. A rewrite changes the fields that are set.
pub const Verdict = struct {
    answer: i32 = 0,
    code: u32 = 0, // of a denial: a number that the module defines
    kind: u32 = 0,
    body: []const u8 = "",
    extra: []const u8 = "", // a JSON object, merged into the payload that clients receive
    room: []const u8 = "",
    from: []const u8 = "",
    sent_at: u64 = 0,
    ttl: u64 = 0, // of a hold, in ms
    ask: []const u8 = "", // the name of an ask
    state: []const u8 = "", // of an ask: any bytes, at most 4096, that come back with the answer
};

/// Allows; the next module is called.
pub fn allow() Verdict {
    return .{};
}
/// Allows, and no later module is called.
pub fn allowEnd() Verdict {
    return .{ .answer = 4 };
}
/// Refuses. The client receives the reason, at most 1024 bytes.
pub fn deny(why: []const u8) Verdict {
    return .{ .answer = 1, .body = why };
}
/// Discards the message silently: at say for this receiver.
pub fn drop() Verdict {
    return .{ .answer = 5 };
}
/// Keeps a message back at onSayReceive until a moderator, who sees the reason, decides. It expires after
/// ttl ms, at most 30 days; 0: the tenant's default. A host of minor 0 denies the message.
pub fn hold(why: []const u8, ttl: u64) Verdict {
    return .{ .answer = 6, .body = why, .ttl = ttl };
}
/// Asks the service with this name, one of asks in the manifest: on_answer receives the answer. body is JSON text for the
/// service, at most 16 KiB; "": none. Set `state` of the verdict to have it back with the answer: another instance may receive
/// it. For connect, join, onSayReceive, actions and, once more, on_answer. The effects of this call are discarded; its
/// changes to the store remain. A host of minor 0 denies the event.
pub fn ask(name: []const u8, body: []const u8) Verdict {
    return .{ .answer = 7, .ask = name, .body = body };
}
/// Answers an action with a JSON object.
pub fn reply(object: []const u8) Verdict {
    return .{ .body = object };
}
/// Rewrites the message to this text.
pub fn text(message: []const u8) Verdict {
    return .{ .answer = 2, .kind = 1, .body = message };
}
/// Rewrites the message to this JSON text.
pub fn jsonText(message: []const u8) Verdict {
    return .{ .answer = 2, .kind = 2, .body = message };
}

fn begin(frame: [*]u8) Event {
    _ = arena_state.reset(.retain_capacity);
    return .{ .frame = frame };
}

fn respond(frame: [*]u8, comptime handler: fn (Event) Verdict) i32 {
    return write(frame, handler(begin(frame)));
}

/// Writes a verdict into the result slots, and returns the number for the host.
fn write(frame: [*]u8, v: Verdict) i32 {
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
        6 => {
            put(frame, 36, v.body);
            if (get32(frame, 4) & 0xffff == 0) return 1; // the host knows no hold
            @as(*align(1) u64, @ptrCast(frame + 104)).* = v.ttl;
        },
        7 => {
            if (get32(frame, 4) & 0xffff == 0) return 1; // the host knows no asks
            put(frame, 112, v.ask);
            put(frame, 120, v.body);
            put(frame, 128, v.state);
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
        if (v.answer == 6 or v.answer == 7) return v.answer; // an error of the module
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

// ---- failures ----

extern "wasi_snapshot_preview1" fn fd_write(fd: u32, pieces: [*]const [2]usize, count: usize, written: *usize) u32;

/// Writes the message of a panic to standard error, which the host attaches to the failure of the
/// call. Declare it in main.zig: `pub const panic = moot.panic;`.
pub fn panic(message: []const u8, _: ?*std.builtin.StackTrace, _: ?usize) noreturn {
    const pieces = [2][2]usize{ .{ @intFromPtr("panic: "), 7 }, .{ @intFromPtr(message.ptr), message.len } };
    var written: usize = 0;
    _ = fd_write(2, &pieces, pieces.len, &written);
    @trap();
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
    extern "moot_1" fn sanction_set(p: [*]const u8, n: usize) i32;
    extern "moot_1" fn sanction_pardon(p: [*]const u8, n: usize) i32;
    extern "moot_1" fn member_remove(c: [*]const u8, cn: usize, r: [*]const u8, rn: usize, p: [*]const u8, n: usize) i32;
    extern "moot_1" fn connection_close(c: [*]const u8, cn: usize, p: [*]const u8, n: usize) i32;
    extern "moot_1" fn user_set(p: [*]const u8, n: usize) i32;
    extern "moot_1" fn message_retract(r: [*]const u8, rn: usize, i: [*]const u8, il: usize) i32;
    extern "moot_1" fn message_edit(kind: u32, r: [*]const u8, rn: usize, i: [*]const u8, il: usize, p: [*]const u8, n: usize) i32;
};

/// The address of a slice. The pointer of an empty slice is arbitrary, and replaced by one that the host accepts.
fn address(s: []const u8) [*]const u8 {
    return if (s.len == 0) "" else s.ptr;
}

/// The error of a host function.
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
/// The current time, in ms since 1970.
pub fn now() u64 {
    return raw.now_ms();
}
/// Fills b, at most 64 KiB, with random bytes.
pub fn random(b: []u8) Error!void {
    return done(raw.random(b.ptr, b.len));
}
/// The value of a key of the entry's config, as JSON text.
pub fn config(key: []const u8) Error![]const u8 {
    return fetch(key, raw.config_get);
}
/// Sets a property of the event's connection to JSON text; "" removes it. Needs properties:NAME.
pub fn setProperty(name: []const u8, value: []const u8) Error!void {
    return done(raw.property_set(address(name), name.len, address(value), value.len));
}
/// Describes a room as `{"room","membersCount"}`. Needs rooms.
pub fn findRoom(name: []const u8) Error![]const u8 {
    return fetch(name, raw.room_get);
}
/// The number of members of the event's room on all nodes.
pub fn roomSize() Error!u32 {
    return outcome(raw.room_size());
}
pub fn createRoom(name: []const u8) Error!void {
    return done(raw.room_create(address(name), name.len));
}
pub fn destroyRoom(name: []const u8) Error!void {
    return done(raw.room_destroy(address(name), name.len));
}

/// The module's own store. Needs kv. A time to live is in ms; 0: no expiry.
pub const kv = struct {
    pub fn get(key: []const u8) Error![]const u8 {
        return fetch(key, raw.kv_get);
    }
    pub fn set(key: []const u8, value: []const u8, ttl: u64) Error!void {
        return done(raw.kv_set(address(key), key.len, address(value), value.len, ttl));
    }
    /// Removes a key; true if it existed.
    pub fn delete(key: []const u8) Error!bool {
        return try outcome(raw.kv_del(address(key), key.len)) == 1;
    }
    /// Adds delta to the number at key, which starts at 0, and returns the sum.
    pub fn add(key: []const u8, delta: i64, ttl: u64) Error!i64 {
        var sum: i64 = 0;
        try done(raw.kv_add(address(key), key.len, delta, ttl, &sum));
        return sum;
    }
    /// Sets key to value if its value is old (empty: absent); true if it did.
    pub fn swap(key: []const u8, old: []const u8, value: []const u8, ttl: u64) Error!bool {
        return try outcome(raw.kv_cas(address(key), key.len, address(old), old.len, address(value), value.len, ttl)) == 1;
    }
};

/// 0 if the tokens were taken from the bucket, otherwise ms until they are available. Needs rate.
pub fn take(key: []const u8, tokens: u32, per_ms: u32, burst: u32) Error!u32 {
    return outcome(raw.rate_take(address(key), key.len, tokens, per_ms, burst));
}

pub const To = union(enum) { room: []const u8, connection: []const u8, user: []const u8 };
pub const Body = union(enum) { text: []const u8, json: []const u8 };

/// Sends a message once the whole chain allows. Needs emit.
pub fn emit(to: To, body: Body) Error!void {
    const t = switch (to) {
        inline else => |s| s,
    };
    const b = switch (body) {
        inline else => |s| s,
    };
    const kind = @as(u32, switch (to) {
        .room => 0,
        .connection => 2,
        .user => 4,
    }) + @as(u32, if (body == .json) 1 else 0);
    return done(raw.emit(kind, address(t), t.len, address(b), b.len));
}
/// A sanction of a user or an address, see ABI.md. rooms is a name in which one * stands for any
/// text; empty: all rooms. ttl is in ms; 0: no end.
pub const Sanction = struct {
    kind: []const u8, // "mute", "shadow" or "ban"
    user: []const u8 = "",
    address: []const u8 = "",
    rooms: []const u8 = "",
    ttl: u64 = 0,
    reason: []const u8 = "",
    note: []const u8 = "",

    fn text(s: Sanction) []const u8 {
        var out = join(&.{ "{\"kind\":", json.quote(s.kind) });
        inline for (.{ "user", "address", "rooms", "reason", "note" }) |name| {
            if (@field(s, name).len > 0) out = join(&.{ out, ",\"" ++ name ++ "\":", json.quote(@field(s, name)) });
        }
        var digits: [24]u8 = undefined;
        if (s.ttl > 0) out = join(&.{ out, ",\"ttl\":", std.fmt.bufPrint(&digits, "{d}", .{s.ttl}) catch unreachable });
        return join(&.{ out, "}" });
    }
};
/// Sets a sanction of the module, also if the event is denied. Needs sanctions.
pub fn setSanction(s: Sanction) Error!void {
    const t = s.text();
    return done(raw.sanction_set(t.ptr, t.len));
}
/// Removes the module's sanction of this user or address, kind and rooms. Needs sanctions.
pub fn pardonSanction(s: Sanction) Error!void {
    const t = s.text();
    return done(raw.sanction_pardon(t.ptr, t.len));
}
/// Removes a connection from a room, also if the event is denied. Needs members.
pub fn removeMember(connection: []const u8, room: []const u8, why: []const u8) Error!void {
    return done(raw.member_remove(address(connection), connection.len, address(room), room.len, address(why), why.len));
}
/// Closes a connection, also if the event is denied. Needs members.
pub fn closeConnection(connection: []const u8, why: []const u8) Error!void {
    return done(raw.connection_close(address(connection), connection.len, address(why), why.len));
}
/// Names the user of the event's connection, at connect or an action, once the whole chain allows.
/// NotGranted: the connection has another user, which cannot be changed. Needs identity.
pub fn setUser(user: []const u8) Error!void {
    return done(raw.user_set(address(user), user.len));
}
/// Retracts the message with this id from a room, also if the event is denied. Needs amend.
pub fn retractMessage(room: []const u8, id: []const u8) Error!void {
    return done(raw.message_retract(address(room), room.len, address(id), id.len));
}
/// Replaces the text of a message that is in the history of its room, also if the event is denied. Other rules see the
/// new text as an event with edits, and may deny it. A message that a moderator has edited is not changed. Needs amend.
pub fn editMessage(room: []const u8, id: []const u8, new: Body) Error!void {
    const b = switch (new) {
        inline else => |s| s,
    };
    return done(raw.message_edit(if (new == .json) 1 else 0, address(room), room.len, address(id), id.len, address(b), b.len));
}
/// Adds to one of the module's own counters.
pub fn count(metric: []const u8, delta: i64) Error!void {
    return done(raw.metric_add(address(metric), metric.len, delta));
}

/// Functions of std.json with memory of the arena.
pub const json = struct {
    /// s as a JSON string, with its quotes.
    pub fn quote(s: []const u8) []const u8 {
        return std.json.stringifyAlloc(arena(), s, .{}) catch @panic("out of memory");
    }
    /// Parses JSON text as a `T`; null if it is not one.
    pub fn parse(comptime T: type, source: []const u8) ?T {
        return std.json.parseFromSliceLeaky(T, arena(), source, .{ .ignore_unknown_fields = true }) catch null;
    }
};
