//! Links masks, denies or holds messages with links to unwanted hosts. See README.md. find.zig finds
//! the hosts; this file has the lists and the verdict.
const std = @import("std");
const moot = @import("moot");
const find = @import("find.zig");

comptime {
    moot.module(@This());
}

pub const manifest =
    \\{"name":"links","version":"1.1.0","reads":["message","properties.role"],"pure":true,
    \\"config":{"type":"object","additionalProperties":false,"properties":{
    \\"allow":{"type":"array","items":{"type":"string"},"description":"domains, with all under them; [] = all but those of deny"},
    \\"deny":{"type":"array","items":{"type":"string"},"description":"domains, with all under them; * = all but those of allow"},
    \\"bare":{"type":"boolean","default":true,"description":"example.com is a link too"},
    \\"action":{"enum":["deny","mask","hold"],"default":"deny"},"mask":{"type":"string","default":"[link]"},
    \\"exempt":{"type":"array","items":{"type":"string"},"description":"roles that may link to anything"}}}}
;

const Config = struct {
    allow: []const []const u8 = &.{},
    deny: []const []const u8 = &.{},
    bare: bool = true,
    action: []const u8 = "deny",
    mask: []const u8 = "[link]",
    exempt: []const []const u8 = &.{},
};

/// A list of domains. Of a host, only what is as long as the longest domain is looked up: one host can be that of many links.
const Domains = struct {
    set: std.StringHashMapUnmanaged(void) = .{},
    longest: usize = 0,
};

const lasting = std.heap.wasm_allocator;
var allowed: Domains = .{};
var denied: Domains = .{};
var exempt: std.StringHashMapUnmanaged(void) = .{};
var only_allowed = false;
var bare = true;
var masks = false;
var holds = false;
var mask: []const u8 = "";

pub fn init(source: []const u8) ?[]const u8 {
    find.init(lasting) catch return "there is no memory";
    const c = std.json.parseFromSliceLeaky(Config, moot.arena(), source, .{}) catch |err| return switch (err) {
        error.UnknownField => "there is a setting that is not known; there are allow, deny, bare, action, mask and exempt",
        else => "allow, deny and exempt must be lists of texts, bare true or false, action and mask texts",
    };
    masks = std.mem.eql(u8, c.action, "mask");
    holds = std.mem.eql(u8, c.action, "hold");
    if (!masks and !holds and !std.mem.eql(u8, c.action, "deny")) return moot.join(&.{ "action: ", moot.json.quote(c.action), " is not deny, mask or hold" });
    bare = c.bare;
    mask = keep(c.mask);
    only_allowed = c.allow.len > 0;
    for (c.allow) |domain| if (list(&allowed, "allow: ", domain)) |why| return why;
    for (c.deny) |domain| {
        if (std.mem.eql(u8, domain, "*")) only_allowed = true else if (list(&denied, "deny: ", domain)) |why| return why;
    }
    for (c.exempt) |role| exempt.put(lasting, keep(role), {}) catch return "exempt: too many";
    return null;
}

fn keep(s: []const u8) []const u8 {
    return lasting.dupe(u8, s) catch @panic("out of memory");
}

/// Adds a domain to a list, in the form in which hosts are compared.
fn list(on: *Domains, name: []const u8, domain: []const u8) ?[]const u8 {
    const plain = if (std.mem.startsWith(u8, domain, "*.")) domain[2..] else domain;
    for (plain) |c| if (std.mem.indexOfScalar(u8, "/:@*? \t", c) != null)
        return moot.join(&.{ name, moot.json.quote(domain), " is not a domain: write example.com, without a scheme, port or path" });
    const host = find.canonical(plain);
    if (host.len == 0) return moot.join(&.{ name, moot.json.quote(domain), " is not a domain" });
    on.set.put(lasting, keep(host), {}) catch return moot.join(&.{ name, "too many" });
    on.longest = @max(on.longest, host.len);
    return null;
}

/// Returns the length of the longest listed domain that is the host or a parent of it; 0 if there is none.
fn listed(on: *const Domains, host: []const u8) usize {
    var rest = host;
    if (host.len > on.longest) {
        const dot = std.mem.indexOfScalarPos(u8, host, host.len - on.longest - 1, '.') orelse return 0;
        rest = host[dot + 1 ..];
    }
    while (true) {
        if (on.set.contains(rest)) return rest.len;
        const dot = std.mem.indexOfScalar(u8, rest, '.') orelse return 0;
        rest = rest[dot + 1 ..];
    }
}

/// The longer match of the two lists decides; deny decides if both are equally long.
noinline fn good(host: []const u8) bool {
    const yes = listed(&allowed, host);
    const no = listed(&denied, host);
    if (yes == 0 and no == 0) return !only_allowed;
    return yes > no;
}

fn isExempt(e: moot.Event) bool {
    if (exempt.count() == 0) return false;
    const json = e.connection().property("role") orelse return false;
    const role = moot.json.parse([]const u8, json) orelse return false;
    return exempt.contains(role);
}

pub fn on_say_receive(e: moot.Event) moot.Verdict {
    if (isExempt(e)) return moot.allow();
    const message = e.message();
    var bad: []const u8 = "";
    const clean = if (!e.isJSON()) inText(message, &bad) else inStrings(message, &bad) orelse
        return refused("the message has a text that cannot be searched for links");
    if (bad.len == 0) return moot.allow();
    if (masks) return if (e.isJSON()) moot.jsonText(clean) else moot.text(clean);
    const host = bad[0..@min(bad.len, 100)];
    return refused(moot.join(if (holds) &.{ "a link to ", host } else &.{ "links to ", host, " are not allowed" }));
}

fn refused(why: []const u8) moot.Verdict {
    return if (holds) moot.hold(why, 0) else moot.deny(why);
}

/// Returns the JSON message with unwanted links in its strings masked, if they are masked. It leaves the names of members as they
/// are, and searches the strings of all members, because parsers differ in which of two with the same name counts. Returns null if
/// a string cannot be read. bad is as that of inText.
fn inStrings(json: []const u8, bad: *[]const u8) ?[]const u8 {
    var out = std.ArrayList(u8).init(moot.arena());
    var done: usize = 0;
    var i: usize = 0;
    while (i < json.len and (masks or bad.len == 0)) : (i += 1) {
        if (json[i] != '"') continue;
        const start = i;
        i += 1;
        while (i < json.len and json[i] != '"') : (i += 1) {
            if (json[i] == '\\') i += 1;
        }
        const end = @min(i + 1, json.len);
        const rest = std.mem.trimLeft(u8, json[end..], " \t\r\n");
        if (rest.len > 0 and rest[0] == ':') continue;
        const text = moot.json.parse([]const u8, json[start..end]) orelse return null;
        const masked = inText(text, bad);
        if (masked.ptr == text.ptr) continue;
        out.appendSlice(json[done..start]) catch @panic("out of memory");
        out.appendSlice(moot.json.quote(masked)) catch @panic("out of memory");
        done = end;
    }
    if (done == 0) return json;
    out.appendSlice(json[done..]) catch @panic("out of memory");
    return out.items;
}

/// Returns the text with unwanted links masked, if they are masked. bad is the first of their hosts.
fn inText(text: []const u8, bad: *[]const u8) []const u8 {
    var out = std.ArrayList(u8).init(moot.arena());
    var links = find.Links{ .text = text, .bare = bare };
    var done: usize = 0;
    while (links.next()) |link| {
        if (good(link.host)) continue;
        if (bad.len == 0) bad.* = moot.arena().dupe(u8, link.host) catch @panic("out of memory");
        if (!masks) return text;
        if (link.start < done) continue; // inside a link that is masked already
        out.appendSlice(text[done..link.start]) catch @panic("out of memory");
        out.appendSlice(mask) catch @panic("out of memory");
        done = link.end;
    }
    if (done == 0) return text;
    out.appendSlice(text[done..]) catch @panic("out of memory");
    return out.items;
}
