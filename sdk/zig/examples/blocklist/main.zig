//! Masks listed words in messages, or denies the message. The config is
//! {"words": ["darn"], "action": "mask" or "deny"}.
const std = @import("std");
const moot = @import("moot");

comptime {
    moot.module(@This());
}

pub const manifest =
    \\{"name":"blocklist","version":"1.0.0","reads":["message"],"pure":true,
    \\"config":{"type":"object","properties":{"words":{"type":"array","items":{"type":"string"}},
    \\"action":{"enum":["mask","deny"],"default":"mask"}}}}
;

var words: std.StringHashMapUnmanaged(void) = .{};
var refuse = false;

/// A word is a run of letters, digits and characters beyond ASCII.
fn inWord(c: u8) bool {
    return std.ascii.isAlphanumeric(c) or c >= 0x80;
}

pub fn init(source: []const u8) ?[]const u8 {
    const Config = struct { words: []const []const u8 = &.{}, action: []const u8 = "mask" };
    const c = moot.json.parse(Config, source) orelse return "words must be a list of words, and action a word";
    refuse = std.mem.eql(u8, c.action, "deny");
    if (!refuse and !std.mem.eql(u8, c.action, "mask"))
        return moot.join(&.{ "action: ", moot.json.quote(c.action), " is neither mask nor deny" });
    for (c.words) |word| {
        if (!isWord(word)) return moot.join(&.{ "words: ", moot.json.quote(word), " is not one word" });
        const small = std.ascii.allocLowerString(std.heap.wasm_allocator, word) catch return "words: too many";
        words.put(std.heap.wasm_allocator, small, {}) catch return "words: too many";
    }
    return null;
}

fn isWord(s: []const u8) bool {
    for (s) |c| if (!inWord(c)) return false;
    return s.len > 0;
}

fn listed(word: []const u8) bool {
    const small = std.ascii.allocLowerString(moot.arena(), word) catch return false;
    return words.contains(small);
}

/// Returns the text with a star for each character of a listed word; null if there is none.
fn mask(text: []const u8) ?[]const u8 {
    const out = moot.arena().alloc(u8, text.len) catch @panic("out of memory");
    var to: usize = 0;
    var found = false;
    var i: usize = 0;
    while (i < text.len) {
        var end = i;
        while (end < text.len and inWord(text[end])) end += 1;
        const hide = end > i and listed(text[i..end]);
        found = found or hide;
        if (end == i) end += 1;
        while (i < end) : (i += 1) {
            if (hide and text[i] & 0xc0 == 0x80) continue;
            out[to] = if (hide) '*' else text[i];
            to += 1;
        }
    }
    return if (found) out[0..to] else null;
}

pub fn on_say_receive(e: moot.Event) moot.Verdict {
    const masked = mask(e.message()) orelse return moot.allow();
    // JSON messages are not masked: a star in the wrong place would break them.
    if (refuse or e.isJSON()) return moot.deny("the message holds a blocked word");
    return moot.text(masked);
}
