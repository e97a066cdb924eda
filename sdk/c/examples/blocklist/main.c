/* Masks listed words in messages, or denies the message. The config is
 * {"words": ["darn"], "action": "mask" or "deny"}. */
#include "../../moot.h"

MOOT_MANIFEST(
    "{\"name\":\"blocklist\",\"version\":\"1.0.0\",\"reads\":[\"message\"],\"pure\":true,"
    "\"config\":{\"type\":\"object\",\"properties\":{\"words\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"action\":{\"enum\":[\"mask\",\"deny\"],\"default\":\"mask\"}}}}")

static moot_str words[1000];
static size_t count;
static bool deny;

/* A word is a run of letters, digits and characters beyond ASCII. */
static bool in_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c & 0x80);
}

static char small(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c; }

static moot_str complaint(moot_str what, moot_str about, moot_str why) {
    moot_str parts[] = {what, about, why};
    return moot_join(parts, 3);
}

MOOT_INIT(config) {
    (void)config;
    moot_str json, item, none = {0};
    if (moot_config(MOOT_S("action"), &json) == 0) {
        deny = moot_equal(json, MOOT_S("\"deny\""));
        if (!deny && !moot_equal(json, MOOT_S("\"mask\""))) return complaint(MOOT_S("action: "), json, MOOT_S(" is neither mask nor deny"));
    }
    if (moot_config(MOOT_S("words"), &json) != 0) return none;
    for (moot_str rest = moot_json_open(json); moot_json_next(&rest, &item);) {
        moot_str word = moot_json_text(item);
        bool good = word.len > 0;
        for (size_t i = 0; i < word.len; i++) good = good && in_word(word.ptr[i]);
        if (!good) return complaint(MOOT_S("words: "), item, MOOT_S(" is not one word"));
        if (count == sizeof words / sizeof *words) return MOOT_S("words: there are more than 1000");
        words[count++] = word;
    }
    return none;
}

static bool listed(const char *word, size_t len) {
    for (size_t k = 0; k < count; k++) {
        size_t i = 0;
        while (i < len && words[k].len == len && small(words[k].ptr[i]) == small(word[i])) i++;
        if (i == len) return true;
    }
    return false;
}

/* Masks listed words in place, with a star for each character. */
static moot_str mask(moot_str text, bool *found) {
    size_t to = 0;
    char *p = (char *)text.ptr;
    for (size_t i = 0, end; i < text.len; i = end) {
        for (end = i; end < text.len && in_word(p[end]);) end++;
        bool hide = end > i && listed(p + i, end - i);
        *found = *found || hide;
        if (end == i) end++;
        for (size_t k = i; k < end; k++) {
            if (!hide) p[to++] = p[k];
            else if ((p[k] & 0xc0) != 0x80) p[to++] = '*';
        }
    }
    return moot_text_of(p, to);
}

MOOT_ON_SAY_RECEIVE(e) {
    bool found = false;
    moot_str masked = mask(moot_copy(moot_message(e)), &found);
    if (!found) return moot_allow();
    /* JSON messages are not masked: a star in the wrong place would break them. */
    if (deny || moot_is_json(e)) return moot_deny(MOOT_S("the message holds a blocked word"));
    return moot_rewrite_text(masked);
}
