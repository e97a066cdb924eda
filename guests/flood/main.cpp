// Flood denies messages that flood a room: repeated texts, capitals, long runs of one
// character, too many mentions, lines or characters. See README.md.
#include "moot.h"

MOOT_MANIFEST(R"({"name":"flood","version":"1.0.0","reads":["room","message","id","user","properties.role"],"capabilities":["rate"],
"config":{"type":"object","additionalProperties":false,"properties":{
"repeats":{"type":"integer","default":3,"description":"times that a sender may say the same in a room; 0 = any"},
"forget":{"type":"string","default":"30s","description":"after which one more of the same may be said"},
"capitals":{"type":"integer","default":70,"description":"percent of the letters that may be capitals; 100 = any"},
"letters":{"type":"integer","default":10,"description":"of a text with fewer, capitals are not counted"},
"row":{"type":"integer","default":12,"description":"of the same character; 0 = any"},
"mentions":{"type":"integer","default":5,"description":"@names; 0 = any"},
"lines":{"type":"integer","default":20,"description":"0 = any"},
"length":{"type":"integer","default":0,"description":"characters; 0 = any"},
"exempt":{"type":"array","items":{"type":"string"},"description":"roles that may do all this"}}}})")

namespace {

template <size_t N> moot_str join(const moot_str (&parts)[N]) { return moot_join(parts, N); }

// A number of the config and its range.
struct Setting {
    moot_str name;
    int32_t value, least, most;
};

enum { REPEATS, CAPITALS, LETTERS, ROW, MENTIONS, LINES, LENGTH };

Setting settings[] = {
    {"repeats", 3, 0, 100}, {"capitals", 70, 0, 100}, {"letters", 10, 1, 1000}, {"row", 12, 0, 1000},
    {"mentions", 5, 0, 1000}, {"lines", 20, 0, 1000}, {"length", 0, 0, 100000},
};
int32_t forget = 30000; // ms
moot_str exempt;        // a JSON array

moot_str decimal(int64_t n) {
    char *end = static_cast<char *>(moot_new(20)) + 20, *p = end;
    do *--p = char('0' + n % 10);
    while (n /= 10);
    return {p, size_t(end - p)};
}

// leading removes a number from the beginning of text and returns it; -1 if there is none.
int64_t leading(moot_str &text) {
    int64_t n = 0;
    size_t i = 0;
    for (; i < text.len && i < 9 && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) n = n * 10 + (text.ptr[i] - '0');
    text = {text.ptr + i, text.len - i};
    return i ? n : -1;
}

moot_str set(Setting &s, moot_str json) {
    moot_str rest = json;
    int64_t n = leading(rest);
    if (n < s.least || n > s.most || rest.len)
        return join({s.name, ": ", json, " is not a number from ", decimal(s.least), " to ", decimal(s.most)});
    s.value = int32_t(n);
    return {};
}

moot_str set_forget(moot_str json) {
    moot_str unit = moot_json_text(json);
    int64_t n = leading(unit), ms = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "m" ? 60000 : unit == "h" ? 3600000 : 0;
    if (n < 1 || !ms || n * ms > 24 * 3600000) return join({"forget: ", json, " is not a time from 1ms to 24h, such as 30s"});
    forget = int32_t(n * ms);
    return {};
}

moot_str set_exempt(moot_str json) {
    moot_str role;
    if (!json.len || json.ptr[0] != '[') return join({"exempt: ", json, " is not a list of roles"});
    for (moot_str rest = moot_json_open(json); moot_json_next(&rest, &role);)
        if (!moot_json_text(role)) return join({"exempt: ", role, " is not a string"});
    exempt = moot_copy(json);
    return {};
}

bool is_exempt(moot_str role) {
    moot_str item;
    for (moot_str rest = moot_json_open(exempt); role && moot_json_next(&rest, &item);)
        if (moot_json_text(item) == moot_json_text(role)) return true;
    return false;
}

// The counts of a text, or of all strings of a JSON message. A message without strings has no lines.
struct Counts {
    int64_t characters = 0, letters = 0, capitals = 0, row = 0, mentions = 0, lines = 0;
    uint64_t hash = 0xcbf29ce484222325; // hash of its letters and digits in lower case
};

// next returns the character at p and moves p behind it.
uint32_t next(const char *&p, const char *end) {
    uint32_t c = static_cast<unsigned char>(*p++);
    int more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (more) c &= 0x3f >> more;
    for (; more && p < end; more--) c = c << 6 | (static_cast<unsigned char>(*p++) & 0x3f);
    return c;
}

// Upper and lower case of Latin, Greek and Cyrillic letters. Other scripts have no case, or
// their capitals are rare in messages.
bool is_capital(uint32_t c) {
    return (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x100 && c < 0x180 && c % 2 == 0) ||
           (c >= 0x391 && c <= 0x3a9) || (c >= 0x400 && c <= 0x42f);
}
bool is_small(uint32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 0xdf && c <= 0xff && c != 0xf7) || (c >= 0x100 && c < 0x180 && c % 2) ||
           (c >= 0x3b1 && c <= 0x3c9) || (c >= 0x430 && c <= 0x45f);
}
uint32_t small(uint32_t c) {
    if (!is_capital(c)) return c;
    return c >= 0x100 && c < 0x180 ? c + 1 : c >= 0x400 && c <= 0x40f ? c + 80 : c + 32;
}
bool in_word(uint32_t c) { return (c >= '0' && c <= '9') || is_small(c) || is_capital(c) || c > 0x45f; }

// count adds the counts of a text to n.
void count(Counts &n, moot_str text) {
    n.lines++;
    uint32_t before = 0, c = 0;
    int64_t row = 0;
    for (const char *p = text.begin(); p < text.end(); before = c) {
        c = next(p, text.end());
        n.characters++;
        n.capitals += is_capital(c);
        n.letters += is_capital(c) || is_small(c);
        n.lines += c == '\n';
        row = c == before && c != ' ' ? row + 1 : 1;
        if (row > n.row) n.row = row;
        n.mentions += before == '@' && in_word(c); // an @ inside of an e-mail address counts too, because it notifies a user as well
        if (in_word(c)) n.hash = (n.hash ^ small(c)) * 0x100000001b3;
    }
}

// count_strings adds the counts of the strings of a JSON message to n, without the names of members.
void count_strings(Counts &n, moot_str json) {
    for (const char *p = json.begin(); p < json.end(); p++) {
        if (*p != '"') continue;
        const char *start = p++;
        for (; p < json.end() && *p != '"'; p++) p += *p == '\\';
        const char *after = p + 1;
        while (after < json.end() && (*after == ' ' || *after == '\n' || *after == '\r' || *after == '\t')) after++;
        if (after < json.end() && *after == ':') continue; // the name of a member
        count(n, moot_json_text({start, size_t(p + 1 - start)}));
    }
}

// why returns the reason to deny a text; empty if it exceeds no limit.
moot_str why(const Counts &n) {
    auto over = [](int64_t is, int setting) { return settings[setting].value && is > settings[setting].value; };
    if (over(n.characters, LENGTH)) return join({"too long: at most ", decimal(settings[LENGTH].value), " characters"});
    if (over(n.lines, LINES)) return join({"too many lines: at most ", decimal(settings[LINES].value)});
    if (over(n.mentions, MENTIONS)) return join({"too many mentions: at most ", decimal(settings[MENTIONS].value)});
    if (over(n.row, ROW)) return "too many of the same character";
    if (n.letters >= settings[LETTERS].value && n.capitals * 100 > n.letters * settings[CAPITALS].value) return "too many capitals";
    return {};
}

// bucket returns the key by which the host counts equal texts of a sender in a room.
moot_str bucket(moot_str who, moot_str room, uint64_t text) {
    const moot_str parts[] = {who, "\n", room};
    for (moot_str part : parts)
        for (char c : part) text = (text ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    char *p = static_cast<char *>(moot_new(16));
    for (int i = 0; i < 16; i++) p[i] = "0123456789abcdef"[text >> (4 * i) & 15];
    return {p, 16};
}

moot_verdict denied(moot_str reason) {
    moot_metric_add("denied", 1);
    return moot_deny(reason);
}

} // namespace

MOOT_INIT(config) {
    moot_str item, value;
    for (moot_str rest = moot_json_open(config); moot_json_next(&rest, &item) && moot_json_next(&rest, &value);) {
        moot_str name = moot_json_text(item), refused;
        Setting *s = settings;
        while (s < settings + sizeof settings / sizeof *settings && s->name != name) s++;
        if (s < settings + sizeof settings / sizeof *settings) refused = set(*s, value);
        else if (name == "forget") refused = set_forget(value);
        else if (name == "exempt") refused = set_exempt(value);
        else refused = join({"unknown setting ", name, ": use repeats, forget, capitals, letters, row, mentions, lines, length or exempt"});
        if (refused) return refused;
    }
    return {};
}

MOOT_ON_SAY_RECEIVE(e) {
    moot_str id = moot_id(e->connection), user = moot_user(e->connection);
    if (!id.len || is_exempt(moot_property(e->connection, "role"))) return moot_allow(); // a message of the system has no id
    Counts n;
    if (e->is_json()) count_strings(n, e->message());
    else count(n, e->message());
    if (moot_str reason = why(n)) return denied(reason);
    if (e->is_json()) { // two JSON messages with the same strings can differ
        n = {};
        count(n, e->message());
    }
    if (!settings[REPEATS].value) return moot_allow();
    int32_t wait = moot_rate_take(bucket(user.len ? user : id, e->room(), n.hash), 1, forget, settings[REPEATS].value);
    if (wait < 0) {
        moot_log(MOOT_WARN, wait == MOOT_OVER_BUDGET ? "too many texts are counted" : "the store is out of reach");
        return moot_fail(); // the entry's onError decides
    }
    return wait ? denied("you have said that already") : moot_allow();
}
