//! The conformance guest: it exercises the whole SDK by executing a script, see
//! host/hosttest/CONFORMANCE.md.
const std = @import("std");
const moot = @import("moot");

comptime {
    moot.module(@This());
}

pub const manifest =
    \\{"name":"conformance","version":"1.0.0",
    \\"hooks":["connect","join","onSayReceive","say","leave","disconnect","action"],
    \\"reads":["room","tenant","from","message","context","cause","action","params","messageId","edits","id","fingerprint","user","transport",
    \\"remoteIP","locale","connectedAt","joinedAt","properties.do","properties.role","properties.strikes","properties.mood"],
    \\"capabilities":["kv","rate","emit","rooms","properties:mood","sanctions","members","identity","amend"],"asks":["one","two"],
    \\"actions":[{"name":"login","description":"logs in","inputs":{"token":{"required":true,"description":"who"}}},{"name":"roll","speech":true}]}
;

pub fn init(_: []const u8) ?[]const u8 {
    const refuse = moot.config("refuse") catch return null;
    return unhex(moot.json.parse([]const u8, refuse).?);
}

pub const on_connect = plain;
pub const on_join = plain;
pub const on_say_receive = plain;
pub const on_leave = plain;
pub const on_disconnect = plain;
pub const on_action = plain;

pub fn on_say(e: moot.Event, receiver: moot.Connection) moot.Verdict {
    return follow(e, receiver, null);
}

pub fn on_answer(e: moot.Event, answer: moot.Answer) moot.Verdict {
    return follow(e, e.connection(), answer);
}

fn plain(e: moot.Event) moot.Verdict {
    return follow(e, e.connection(), null);
}

fn unhex(digits: []const u8) []const u8 {
    const b = moot.arena().alloc(u8, digits.len / 2) catch @panic("out of memory");
    return std.fmt.hexToBytes(b, digits) catch @panic("no hex");
}

fn number(comptime T: type, digits: []const u8) T {
    return std.fmt.parseInt(T, digits, 10) catch @panic("no number");
}

fn print(comptime format: []const u8, args: anytype) []const u8 {
    return std.fmt.allocPrint(moot.arena(), format, args) catch @panic("out of memory");
}

const Run = struct {
    c: moot.Connection,
    a: ?moot.Answer,
    v: moot.Verdict = .{},
    said: []const u8 = "",

    fn line(r: *Run, name: []const u8, value: []const u8) void {
        r.said = moot.join(&.{ r.said, if (r.said.len > 0) "\n" else "", name, "=", value });
    }
    fn field(r: *Run, name: []const u8, value: []const u8) void {
        if (value.len > 0) r.line(name, value);
    }
    fn numeric(r: *Run, name: []const u8, n: u64) void {
        if (n != 0) r.line(name, print("{d}", .{n}));
    }
};

fn follow(e: moot.Event, c: moot.Connection, a: ?moot.Answer) moot.Verdict {
    const quoted = moot.config("do") catch e.connection().property("do");
    const script = if (quoted) |q| moot.json.parse([]const u8, q).? else e.message();
    var r = Run{ .c = c, .a = a };
    var mine = a == null;
    var operations = std.mem.splitScalar(u8, script, ';');
    while (operations.next()) |text| {
        var words = std.mem.splitScalar(u8, text, ' ');
        const op = words.first();
        var args = [_][]const u8{""} ** 7;
        for (&args) |*arg| arg.* = words.next() orelse "";
        if (is(op, "id")) {
            mine = is(unhex(args[0]), c.id());
        } else if (is(op, "answered")) {
            mine = if (a) |answer| answer.number() == number(u64, args[0]) else false;
        } else if (mine) operation(&r, e, op, args);
    }
    if (r.said.len == 0) return r.v;
    return switch (e.hook()) {
        3, 4 => moot.text(r.said),
        7 => moot.reply(moot.join(&.{ "{\"said\":", moot.json.quote(r.said), "}" })),
        else => moot.deny(r.said),
    };
}

fn is(a: []const u8, b: []const u8) bool {
    return std.mem.eql(u8, a, b);
}

fn operation(r: *Run, e: moot.Event, op: []const u8, a: [7][]const u8) void {
    if (op.len == 0) return;
    if (is(op, "allow")) {
        r.v = moot.allow();
    } else if (is(op, "end")) {
        r.v = moot.allowEnd();
    } else if (is(op, "drop")) {
        r.v = moot.drop();
    } else if (is(op, "hold")) {
        r.v = moot.hold(unhex(a[1]), number(u64, a[0]));
    } else if (is(op, "ask")) {
        r.v = moot.ask(unhex(a[0]), unhex(a[1]));
        r.v.state = unhex(a[2]);
    } else if (is(op, "deny")) {
        r.v = moot.deny(unhex(a[1]));
        r.v.code = number(u32, a[0]);
    } else if (is(op, "fail")) {
        @panic("as it was told");
    } else if (is(op, "text") or is(op, "json")) {
        const new = if (is(op, "text")) moot.text(unhex(a[0])) else moot.jsonText(unhex(a[0]));
        r.v.answer = new.answer;
        r.v.kind = new.kind;
        r.v.body = new.body;
    } else if (is(op, "extra")) {
        r.v.answer = 2;
        r.v.extra = unhex(a[0]);
    } else if (is(op, "room")) {
        r.v.answer = 2;
        r.v.room = unhex(a[0]);
    } else if (is(op, "from")) {
        r.v.answer = 2;
        r.v.from = unhex(a[0]);
    } else if (is(op, "sentAt")) {
        r.v.answer = 2;
        r.v.sent_at = number(u64, a[0]);
    } else if (is(op, "reply")) {
        r.v = moot.reply(unhex(a[0]));
    } else if (is(op, "tell")) {
        tell(r, e);
    } else if (is(op, "log")) {
        moot.log(@enumFromInt(number(u32, a[0])), unhex(a[1]));
    } else {
        r.line(op, call(r, op, a) catch |err| print("!-{d}", .{@as(u32, switch (err) {
            error.Absent => 1,
            error.NotGranted => 2,
            error.OverBudget => 3,
            error.BadPointer => 4,
            error.TooLarge => 5,
            error.Unavailable => 6,
        })}));
    }
}

fn call(r: *Run, op: []const u8, a: [7][]const u8) moot.Error![]const u8 {
    if (is(op, "quote")) return moot.json.quote(unhex(a[0]));
    if (is(op, "now")) return print("{d}", .{moot.now()});
    if (is(op, "roomsize")) return print("{d}", .{try moot.roomSize()});
    if (is(op, "random")) {
        const b = moot.arena().alloc(u8, number(usize, a[0])) catch @panic("out of memory");
        try moot.random(b);
        return print("{}", .{std.fmt.fmtSliceHexLower(b)});
    }
    if (is(op, "emit")) {
        const kind = number(u32, a[0]);
        const to = unhex(a[1]);
        const body = unhex(a[2]);
        try moot.emit(if (kind & 4 != 0) .{ .user = to } else if (kind & 2 != 0) .{ .connection = to } else .{ .room = to }, if (kind & 1 != 0) .{ .json = body } else .{ .text = body });
        return "0";
    }
    if (is(op, "edit")) {
        const body = unhex(a[3]);
        try moot.editMessage(unhex(a[1]), unhex(a[2]), if (is(a[0], "1")) .{ .json = body } else .{ .text = body });
        return "0";
    }
    if (is(op, "sanction") or is(op, "pardon")) {
        var s = moot.Sanction{ .kind = unhex(a[0]), .user = unhex(a[1]), .address = unhex(a[2]), .rooms = unhex(a[3]) };
        if (is(op, "pardon")) {
            try moot.pardonSanction(s);
            return "0";
        }
        s.ttl = number(u64, a[4]);
        s.reason = unhex(a[5]);
        s.note = unhex(a[6]);
        try moot.setSanction(s);
        return "0";
    }
    const key = unhex(a[0]);
    if (is(op, "config")) return moot.config(key);
    if (is(op, "prop")) return r.c.property(key) orelse error.Absent;
    if (is(op, "roomget")) return moot.findRoom(key);
    if (is(op, "get")) return moot.kv.get(key);
    if (is(op, "del")) return if (try moot.kv.delete(key)) "1" else "0";
    if (is(op, "add")) return print("{d}", .{try moot.kv.add(key, number(i64, a[1]), number(u64, a[2]))});
    if (is(op, "cas")) return if (try moot.kv.swap(key, unhex(a[1]), unhex(a[2]), number(u64, a[3]))) "1" else "0";
    if (is(op, "take")) return print("{d}", .{try moot.take(key, number(u32, a[1]), number(u32, a[2]), number(u32, a[3]))});
    if (is(op, "setprop")) {
        try moot.setProperty(key, unhex(a[1]));
    } else if (is(op, "roomnew")) {
        try moot.createRoom(key);
    } else if (is(op, "roomend")) {
        try moot.destroyRoom(key);
    } else if (is(op, "set")) {
        try moot.kv.set(key, unhex(a[1]), number(u64, a[2]));
    } else if (is(op, "remove")) {
        try moot.removeMember(key, unhex(a[1]), unhex(a[2]));
    } else if (is(op, "close")) {
        try moot.closeConnection(key, unhex(a[1]));
    } else if (is(op, "user")) {
        try moot.setUser(key);
    } else if (is(op, "retract")) {
        try moot.retractMessage(key, unhex(a[1]));
    } else if (is(op, "count")) {
        try moot.count(key, number(i64, a[1]));
    } else @panic("there is no such operation");
    return "0";
}

fn tell(r: *Run, e: moot.Event) void {
    const c = r.c;
    r.numeric("hook", e.hook());
    r.field("room", e.room());
    r.field("tenant", e.tenant());
    r.field("from", e.from());
    r.field("message", e.message());
    r.field("json", if (e.isJSON()) "1" else "");
    r.field("context", e.context());
    r.field("cause", e.cause());
    r.field("action", e.action());
    r.field("params", e.params());
    r.field("messageId", e.messageId());
    r.field("edits", e.edits());
    r.numeric("sentAt", e.sentAt());
    r.numeric("sequence", e.sequence());
    r.field("c.id", c.id());
    r.field("c.fingerprint", c.fingerprint());
    r.field("c.user", c.user());
    r.field("c.transport", c.transport());
    r.field("c.remoteIP", c.remoteIP());
    r.field("c.tenant", c.tenant());
    r.field("c.locale", c.locale());
    r.numeric("c.connectedAt", c.connectedAt());
    r.numeric("c.joinedAt", c.joinedAt());
    inline for (.{ "role", "strikes", "mood" }) |name| r.field("c." ++ name, c.property(name) orelse "");
    const a = r.a orelse return;
    r.field("a.name", a.name());
    r.numeric("a.status", a.status());
    r.numeric("a.number", a.number());
    r.field("a.json", a.body());
    r.field("a.state", a.state());
}
