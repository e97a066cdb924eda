//! Finds links in a text, and their hosts, by the rules of browsers. Hosts are compared in ASCII:
//! lower case, punycode, without a final dot.
//!
//! The meter charges a function, and an iteration of a loop, for all of its code, also for the part that does not run: what few texts
//! need is therefore in functions that are not inlined.
const std = @import("std");
const moot = @import("moot");
const unicode = @import("unicode.zig");

var tlds: std.StringHashMapUnmanaged(void) = .{};

/// Parses the list of top-level domains, once per instance.
pub fn init(memory: std.mem.Allocator) !void {
    var lines = std.mem.tokenizeScalar(u8, @embedFile("tlds.txt"), '\n');
    try tlds.ensureTotalCapacity(memory, 2048);
    while (lines.next()) |tld| tlds.putAssumeCapacity(tld, {});
    try out.ensureTotalCapacity(8 * longest);
    try label.ensureTotalCapacity(longest);
}

pub const Link = struct {
    host: []const u8, // canonical; until the next link is searched
    start: usize, // in the text, path included
    end: usize,
};

/// Iterates over the links of a text in order, in time linear in its length. A link can lie inside the authority or the path of
/// another, and ends where that one ends: what one search of an end reads, the next does not read again.
///
/// Programs disagree about where a link ends if letters of scripts without spaces, emoji or invisible characters are next to it:
/// a host with such characters is returned as a whole, and then its parts between them.
pub const Links = struct {
    text: []const u8,
    bare: bool,
    at: usize = 0,
    word_end: usize = 0, // end of the last link: bare links are not searched inside its path
    authority_end: usize = 0, // of the last link with a scheme
    host_end: usize = 0, // of its host
    host_start: usize = 0, // behind the last @ of that authority; 0: it has none
    named: usize = 0, // start of the host of which name is the canonical form
    name: []const u8 = "",
    part: usize = 0, // the parts of a run that are still to be searched, up to parts_end
    parts_end: usize = 0,
    prefix: ?Link = null, // the first part of the last host, if the host has others
    prefixed: usize = 0, // start of the host of which it was that

    pub noinline fn next(l: *Links) ?Link {
        while (true) {
            if (l.part < l.parts_end) if (l.nextPart()) |found| return found;
            if (l.prefix) |found| return l.returnPrefix(found);
            if (l.at >= l.text.len) return null;
            const start = l.at;
            if (l.schemeAt(start)) |authority| {
                const link = l.url(start, authority);
                l.at = @max(authority, start + 1);
                if (link) |found| return found;
                continue;
            }
            const end = runEnd(l.text, start);
            if (end == start) {
                l.at = nextRun(l.text, start + 1);
                continue;
            }
            const word = isWord(l.text[start..end]);
            if (!word and l.bare and start >= l.word_end and looseAt(l.text[start..end]) < end - start) {
                l.part = start;
                l.parts_end = end;
            }
            if (l.schemeBehind(start, end)) |authority| {
                l.at = authority;
                if (l.url(start, authority)) |found| return found;
                continue;
            }
            l.at = end;
            if (l.bare and start >= l.word_end and !word) if (l.bareLink(start, end)) |found| return found;
        }
    }

    /// Returns the next link among the parts of a run.
    noinline fn nextPart(l: *Links) ?Link {
        while (l.part < l.parts_end) {
            const start = l.part;
            const end = start + looseAt(l.text[start..l.parts_end]);
            l.part = end + (if (end < l.parts_end) charAt(l.text, end).len else 0);
            // A part that begins with a dot is the end of a longer host.
            if (end > start and !isJoint(l.text[start]) and !isWord(l.text[start..end])) if (l.bareLink(start, end)) |found| return found;
        }
        return null;
    }

    noinline fn returnPrefix(l: *Links, found: Link) Link {
        l.prefix = null;
        l.named = 0; // canonical overwrites the name
        return .{ .host = canonical(found.host), .start = found.start, .end = found.end };
    }

    /// Returns the start of the authority if a link without a scheme begins at i: //host.
    fn schemeAt(l: *Links, i: usize) ?usize {
        if (i + 2 >= l.text.len or !isSlash(l.text[i]) or !isSlash(l.text[i + 1])) return null;
        if (i > 0 and (isSlash(l.text[i - 1]) or hostCharBefore(l.text, i))) return null; // a path with two slashes is not a link
        return slashes(l.text, i);
    }

    /// Returns the start of the authority if the run is a scheme with "://". For http and similar
    /// schemes browsers accept any number of slashes.
    noinline fn schemeBehind(l: *Links, start: usize, end: usize) ?usize {
        if (end + 1 >= l.text.len or l.text[end] != ':') return null;
        const after = slashes(l.text, end + 1);
        if (after >= end + 3) return after;
        for ([_][]const u8{ "http", "https", "ftp", "ws", "wss" }) |known| {
            const run = l.text[start..end];
            if (run.len >= known.len and std.ascii.eqlIgnoreCase(run[run.len - known.len ..], known)) return after;
        }
        return null;
    }

    noinline fn url(l: *Links, start: usize, authority: usize) ?Link {
        if (authority > l.authority_end) l.readAuthority(authority);
        if (l.host_end == l.authority_end) l.endWord(l.host_end) else l.word_end = @max(l.word_end, l.host_end);
        const from = @max(authority, l.host_start);
        if (from != l.named) {
            const host = decoded(std.mem.trimRight(u8, withoutPort(l.text[from..@max(from, l.host_end)]), "_"));
            l.name = canonical(host);
            l.named = from;
            if (from != l.prefixed) if (firstPart(host)) |part| {
                l.prefix = .{ .host = part, .start = start, .end = l.word_end };
                l.prefixed = from;
            };
        }
        return if (l.name.len == 0) null else .{ .host = l.name, .start = start, .end = l.word_end };
    }

    /// Finds the end of an authority, and its host: text before the last @ is a user name.
    noinline fn readAuthority(l: *Links, authority: usize) void {
        var i = authority;
        while (i < l.text.len and !isSlash(l.text[i]) and !isEnd(l.text, i) and l.text[i] != '?' and l.text[i] != '#') : (i += 1) {
            if (l.text[i] == '@') l.host_start = i + 1;
        }
        l.authority_end = i;
        i = @max(authority, l.host_start);
        while (i < l.authority_end and (isHostByte(l.text[i]) or std.mem.indexOfScalar(u8, "%:[]", l.text[i]) != null)) i += 1;
        l.host_end = i;
    }

    /// Sets word_end for a link whose host ends at from. A word_end behind from was searched from the same word.
    fn endWord(l: *Links, from: usize) void {
        if (from > l.word_end) l.word_end = wordEnd(l.text, from);
    }

    /// Returns a name with a dot whose last part is a top-level domain, or an IPv4 address with a path.
    /// A name next to an @ belongs to an e-mail address, and is not a link.
    noinline fn bareLink(l: *Links, start: usize, end: usize) ?Link {
        if (start > 0 and l.text[start - 1] == '@') return null;
        if (end < l.text.len and l.text[end] == '@') return null;
        l.named = 0; // canonical overwrites the name
        const name = canonical(l.text[start..end]);
        const dot = std.mem.lastIndexOfScalar(u8, name, '.') orelse return null;
        const path = pathAt(l.text, end);
        if (!tlds.contains(name[dot + 1 ..]) and !(path and isAddress(name))) return null;
        if (path) l.endWord(end);
        return .{ .host = name, .start = start, .end = if (path) l.word_end else end };
    }
};

fn isSlash(c: u8) bool {
    return c == '/' or c == '\\'; // browsers treat them alike
}

fn slashes(text: []const u8, from: usize) usize {
    var i = from;
    while (i < text.len and isSlash(text[i])) i += 1;
    return i;
}

/// Names may contain these characters, dots of all scripts, and non-ASCII characters.
fn isHostByte(c: u8) bool {
    return std.ascii.isAlphanumeric(c) or c == '-' or c == '.' or c == '_' or c >= 0x80;
}

/// Reports whether a port, a path, a query or a fragment begins at i.
fn pathAt(text: []const u8, i: usize) bool {
    if (i >= text.len) return false;
    if (text[i] == ':') return i + 1 < text.len and std.ascii.isDigit(text[i + 1]);
    return isSlash(text[i]) or text[i] == '?' or text[i] == '#';
}

fn isJoint(c: u8) bool {
    return c == '.' or c == '-' or c == '_';
}

/// Returns the end of the run of characters from a start that names may contain.
noinline fn runEnd(text: []const u8, start: usize) usize {
    var i = start;
    while (i < text.len and isHostByte(text[i])) {
        if (text[i] < 0x80) {
            i += 1;
            continue;
        }
        const c = charAt(text, i);
        if (isApart(c.code)) break;
        i += c.len;
    }
    return i;
}

/// Returns the start of the next run, or a slash before it.
noinline fn nextRun(text: []const u8, from: usize) usize {
    var i = from;
    while (i < text.len and !isSlash(text[i])) : (i += 1) {
        if (!isHostByte(text[i]) or text[i] & 0xc0 == 0x80) continue; // also inside of a character
        if (text[i] < 0x80 or !isApart(charAt(text, i).code)) break;
    }
    return i;
}

const Char = struct { code: u21, len: usize };

/// Returns the character that begins at i. In text that is not UTF-8 it has one byte.
noinline fn charAt(text: []const u8, i: usize) Char {
    const len = std.unicode.utf8ByteSequenceLength(text[i]) catch 1;
    if (len > 1 and i + len <= text.len) if (std.unicode.utf8Decode(text[i .. i + len])) |code| return .{ .code = code, .len = len } else |_| {};
    return .{ .code = if (text[i] < 0x80) text[i] else 0xfffd, .len = 1 };
}

/// Reports whether names may contain the character before i.
noinline fn hostCharBefore(text: []const u8, i: usize) bool {
    var start = i - 1;
    while (start > 0 and i - start < 4 and text[start] & 0xc0 == 0x80) start -= 1;
    return isHostByte(text[start]) and (text[start] < 0x80 or !isApart(charAt(text, start).code));
}

/// Reports whether a character ends a host and a link: a space, punctuation or a control.
fn isApart(c: u21) bool {
    return switch (c) {
        0xc0...0x2c1, 0x400...0x559, 0x3041...0x3098, 0x4e00...0x9fff, 0xac00...0xd7a3 => false, // the common letters
        else => within(&unicode.apart, c),
    };
}

noinline fn within(ranges: []const [2]u21, c: u21) bool {
    var low: usize = 0;
    var high = ranges.len;
    while (low < high) {
        const mid = (low + high) / 2;
        if (c > ranges[mid][1]) low = mid + 1 else high = mid;
    }
    return low < ranges.len and c >= ranges[low][0];
}

/// Returns the start of the first character next to which a link may end: one of a script without capital letters, a symbol or an
/// invisible one; the length of the text if there is none.
noinline fn looseAt(text: []const u8) usize {
    var i: usize = 0;
    while (i < text.len) {
        if (text[i] < 0x80) {
            i += 1;
            continue;
        }
        const c = charAt(text, i);
        if (isLoose(c.code)) return i;
        i += c.len;
    }
    return text.len;
}

noinline fn isLoose(c: u21) bool {
    if (isInvisible(c)) return true;
    return switch (c) {
        0...0x58f, 0x10a0...0x10ff, 0x13a0...0x13ff, 0x1ab0...0x1aff, 0x1c80...0x1cbf, 0x1d00...0x1fff, 0x2c00...0x2dff, 0xa640...0xa69f, 0xa720...0xa7ff, 0xab30...0xabbf, 0xfe20...0xfe2f => within(&unicode.symbols, c),
        else => !isDot(c) and !(c >= 0xff01 and c <= 0xff5e) and folded(c) == null,
    };
}

/// Returns the part of a host before a loose character, if it may be a host of its own.
noinline fn firstPart(host: []const u8) ?[]const u8 {
    if (isASCII(host)) return null;
    const end = looseAt(host);
    if (end == 0 or end == host.len or isJoint(host[end - 1]) or isWord(host[0..end])) return null;
    return host[0..end];
}

/// Reports whether a run is an ordinary word, without a dot of any script.
noinline fn isWord(run: []const u8) bool {
    for (run) |c| if (c == '.' or c >= 0x80) return false;
    return true;
}

/// Reports whether a link ends at i: at a space, a quote or a bracket, or at such a character of another script.
fn isEnd(text: []const u8, i: usize) bool {
    const c = text[i];
    if (c >= 0xc0) return isApart(charAt(text, i).code);
    return c <= ' ' or c == '"' or c == '<' or c == '>' or c == '`' or c == '{' or c == '}' or c == '|';
}

noinline fn wordEnd(text: []const u8, from: usize) usize {
    var i = from;
    while (i < text.len and !isEnd(text, i)) i += 1;
    return i;
}

/// An IPv6 address keeps its port, but no more than 64 bytes: others may begin in the same bytes, and the longest has 45.
fn withoutPort(host: []const u8) []const u8 {
    if (host.len > 0 and host[0] == '[') {
        var end = @min(host.len, 64);
        while (end < host.len and host[end] & 0xc0 == 0x80) end -= 1; // whole characters
        return host[0..end];
    }
    return host[0 .. std.mem.indexOfScalar(u8, host, ':') orelse host.len];
}

fn isAddress(name: []const u8) bool {
    if (std.mem.count(u8, name, ".") != 3) return false;
    for (name) |c| if (c != '.' and !std.ascii.isDigit(c)) return false;
    return true;
}

/// Returns the host with percent-encoding decoded.
noinline fn decoded(host: []const u8) []const u8 {
    if (std.mem.indexOfScalar(u8, host, '%') == null) return host;
    const plain = moot.arena().alloc(u8, host.len) catch @panic("out of memory");
    var n: usize = 0;
    var i: usize = 0;
    while (i < host.len) : (i += 1) {
        plain[n] = host[i];
        if (host[i] == '%' and i + 2 < host.len) if (std.fmt.parseInt(u8, host[i + 1 .. i + 3], 16)) |c| {
            plain[n] = c;
            i += 2;
        } else |_| {};
        n += 1;
    }
    return plain[0..n];
}

const longest = 1024; // bytes of a host that is read; names have at most 253

// Buffers of canonical: memory that grew for each name would cost more than the search.
var out = std.ArrayList(u8).init(std.heap.wasm_allocator);
var label = std.ArrayList(u21).init(std.heap.wasm_allocator);

/// Returns a host in the form in which hosts are compared; "" if it is not a host. Characters that browsers read as letters, digits
/// or dots of ASCII become these, invisible ones are removed, letters are composed with their marks, and other non-ASCII labels
/// become punycode. The result is overwritten by the next call.
pub noinline fn canonical(host: []const u8) []const u8 {
    if (host.len > longest) return "";
    out.clearRetainingCapacity();
    if (isASCII(host)) {
        for (host) |c| out.appendAssumeCapacity(std.ascii.toLower(c));
        return std.mem.trim(u8, out.items, "._-");
    }
    label.clearRetainingCapacity();
    const view = std.unicode.Utf8View.init(host) catch return "";
    var chars = view.iterator();
    while (chars.nextCodepoint()) |c| {
        if (isDot(c)) {
            finish();
            out.append('.') catch @panic("out of memory");
        } else if (!isInvisible(c)) add(c);
    }
    finish();
    return std.mem.trim(u8, out.items, "._-");
}

fn isDot(c: u21) bool {
    return c == '.' or c == 0x3002 or c == 0xff0e or c == 0xff61 or c == 0x2024 or c == 0xfe52;
}

/// Reports whether browsers ignore a character in a host. Those of bidirectional text are refused by browsers, but not shown.
fn isInvisible(c: u21) bool {
    return switch (c) {
        0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180b...0x180f, 0x200b...0x200f, 0x2060...0x2064, 0x3164, 0xfe00...0xfe0f, 0xfeff, 0xffa0, 0xe0000...0xe0fff => true,
        else => false,
    };
}

/// Adds a character to the label: as ASCII, or composed with the letter before it, if that is how browsers read it.
noinline fn add(c: u21) void {
    if (folded(c)) |fold| {
        if (fold.to.len > 1) {
            for (fold.to) |letter| label.append(letter) catch @panic("out of memory");
        } else label.append(fold.to[0] + (c - fold.first)) catch @panic("out of memory");
        return;
    }
    const last = label.items.len;
    if (c >= 0x300 and c < 0x370 and last > 0) if (composed(label.items[last - 1], c)) |letter| {
        label.items[last - 1] = letter;
        return;
    };
    label.append(small(c)) catch @panic("out of memory");
}

const Fold = std.meta.Child(@TypeOf(unicode.folds));

noinline fn folded(c: u21) ?*const Fold {
    if (c < 0x80) return null;
    var low: usize = 0;
    var high: usize = unicode.folds.len;
    while (low < high) {
        const mid = (low + high) / 2;
        if (c > unicode.folds[mid].last) low = mid + 1 else high = mid;
    }
    if (low == unicode.folds.len or c < unicode.folds[low].first) return null;
    return &unicode.folds[low];
}

noinline fn composed(letter: u21, mark: u21) ?u21 {
    var low: usize = 0;
    var high: usize = unicode.pairs.len;
    while (low < high) {
        const mid = (low + high) / 2;
        const pair = unicode.pairs[mid];
        if (letter == pair[0] and mark == pair[1]) return pair[2];
        if (letter > pair[0] or letter == pair[0] and mark > pair[1]) low = mid + 1 else high = mid;
    }
    return null;
}

fn isASCII(text: []const u8) bool {
    for (text) |c| if (c >= 0x80) return false;
    return true;
}

/// Returns the lower case of a letter, for scripts that host names use.
fn small(c: u21) u21 {
    return switch (c) {
        'A'...'Z', 0xc0...0xd6, 0xd8...0xde, 0x391...0x3a9, 0x410...0x42f => c + 32,
        0x400...0x40f => c + 80,
        0x100...0x137, 0x14a...0x177, 0x460...0x481, 0x48a...0x4bf, 0x4d0...0x52f, 0x1e00...0x1eff => c | 1,
        0xff01...0xff20, 0xff41...0xff5e => c - 0xfee0,
        0xff21...0xff3a => c - 0xfee0 + 32,
        else => c,
    };
}

/// Appends a label, in punycode (RFC 3492) if it is not ASCII.
noinline fn finish() void {
    defer label.clearRetainingCapacity();
    var basic: u32 = 0;
    for (label.items) |c| {
        if (c < 0x80) basic += 1;
    }
    if (basic < label.items.len) out.appendSlice("xn--") catch @panic("out of memory");
    for (label.items) |c| {
        if (c < 0x80) out.append(@intCast(c)) catch @panic("out of memory");
    }
    if (basic == label.items.len) return;
    if (label.items.len > 63) return; // host names have no such label
    if (basic > 0) out.append('-') catch @panic("out of memory");
    punycode(basic);
}

noinline fn punycode(basic: u32) void {
    var n: u32 = 128;
    var delta: u32 = 0;
    var bias: u32 = 72;
    var done = basic;
    while (done < label.items.len) {
        var least: u32 = 0x10ffff;
        for (label.items) |c| {
            if (c >= n and c < least) least = c;
        }
        delta += (least - n) * (done + 1);
        n = least;
        for (label.items) |c| {
            if (c < n) delta += 1;
            if (c != n) continue;
            var q = delta;
            var k: u32 = 36;
            while (true) : (k += 36) {
                const t: u32 = if (k <= bias) 1 else @min(k - bias, 26);
                if (q < t) break;
                out.append(digit(t + (q - t) % (36 - t))) catch @panic("out of memory");
                q = (q - t) / (36 - t);
            }
            out.append(digit(q)) catch @panic("out of memory");
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done += 1;
        }
        delta += 1;
        n += 1;
    }
}

fn digit(n: u32) u8 {
    return @intCast(if (n < 26) 'a' + n else '0' + n - 26);
}

fn adapt(first: u32, points: u32, at_first: bool) u32 {
    var delta = first / @as(u32, if (at_first) 700 else 2);
    delta += delta / points;
    var k: u32 = 0;
    while (delta > 455) : (k += 36) delta /= 35;
    return k + 36 * delta / (delta + 38);
}
