//! {{.Name}} is a Moot module.
const std = @import("std");
const moot = @import("moot");

comptime {
    moot.module(@This());
}

pub const manifest =
    \\{"name":"{{.Name}}","reads":["message"],
    \\"config":{"type":"object","additionalProperties":false,"properties":{"mark":{"type":"string","default":"!"}}}}
;

pub const panic = moot.panic; // its message appears in the log

var mark: []const u8 = "!";

pub fn init(source: []const u8) ?[]const u8 {
    const Config = struct { mark: []const u8 = "!" };
    const c = moot.json.parse(Config, source) orelse return "mark: must be a text";
    mark = std.heap.wasm_allocator.dupe(u8, c.mark) catch return "mark: too long";
    return null;
}

pub fn on_say_receive(e: moot.Event) moot.Verdict {
    if (std.mem.trim(u8, e.message(), " ").len == 0) return moot.deny("say something");
    return moot.text(moot.join(&.{ e.message(), mark }));
}
