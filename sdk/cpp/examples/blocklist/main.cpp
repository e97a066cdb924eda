// Masks listed words in messages, or denies the message. The config is
// {"words": ["darn"], "action": "mask" or "deny"}.
#include "../../../c/moot.h"

MOOT_MANIFEST(R"({"name":"blocklist","version":"1.0.0","reads":["message"],"pure":true,
    "config":{"type":"object","properties":{"words":{"type":"array","items":{"type":"string"}},
    "action":{"enum":["mask","deny"],"default":"mask"}}}})")

namespace {

// A word is a run of letters, digits and characters beyond ASCII.
constexpr bool in_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c & 0x80);
}

constexpr char small(char c) { return c >= 'A' && c <= 'Z' ? char(c | 32) : c; }

bool same_word(moot_str a, moot_str b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        if (small(a.ptr[i]) != small(b.ptr[i])) return false;
    return true;
}

class List {
    moot_str words[1000];
    size_t count = 0;

  public:
    bool full() const { return count == sizeof words / sizeof *words; }
    void add(moot_str word) { words[count++] = word; }
    bool has(moot_str word) const {
        for (size_t k = 0; k < count; k++)
            if (same_word(words[k], word)) return true;
        return false;
    }
} list;

bool deny = false;

bool one_word(moot_str s) {
    for (char c : s)
        if (!in_word(c)) return false;
    return s.len > 0;
}

template <size_t N> moot_str join(const moot_str (&parts)[N]) { return moot_join(parts, N); }

// mask returns text with a star for each character of a listed word; none if there is none.
moot_str mask(moot_str text) {
    char *out = static_cast<char *>(moot_new(text.len)), *at = out;
    bool found = false;
    for (const char *p = text.begin(), *end; p < text.end(); p = end) {
        for (end = p; end < text.end() && in_word(*end);) end++;
        bool hide = end > p && list.has(moot_str(p, end - p));
        found |= hide;
        if (end == p) end++;
        for (; p < end; p++) {
            if (!hide) *at++ = *p;
            else if ((*p & 0xc0) != 0x80) *at++ = '*';
        }
    }
    return found ? moot_str(out, at - out) : moot_str();
}

} // namespace

MOOT_INIT(config) {
    moot_str json, item;
    for (moot_str rest = moot_json_open(config); moot_json_next(&rest, &item) && moot_json_next(&rest, &json);) {
        if (item == "\"action\"") {
            deny = json == "\"deny\"";
            if (!deny && json != "\"mask\"") return join({"action: ", json, " is neither mask nor deny"});
        }
        if (item != "\"words\"") continue;
        for (moot_str words = moot_json_open(json); moot_json_next(&words, &item);) {
            moot_str word = moot_json_text(item);
            if (!one_word(word)) return join({"words: ", item, " is not one word"});
            if (list.full()) return "words: there are more than 1000";
            list.add(word);
        }
    }
    return {};
}

MOOT_ON_SAY_RECEIVE(e) {
    moot_str masked = mask(e->message());
    if (!masked) return moot_allow();
    // JSON messages are not masked: a star in the wrong place would break them.
    if (deny || e->is_json()) return moot_deny("the message holds a blocked word");
    return moot_rewrite_text(masked);
}
