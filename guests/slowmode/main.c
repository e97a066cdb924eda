/* Slowmode makes senders wait between their messages, separately in each room. The wait
 * depends on the sender's role. It uses rate limits of the host, which all nodes share.
 * See README.md. */
#include "moot.h"

MOOT_MANIFEST(
    "{\"name\":\"slowmode\",\"version\":\"1.0.0\",\"reads\":[\"room\",\"id\",\"user\",\"remoteIP\",\"properties.role\"],"
    "\"capabilities\":[\"rate\"],\"config\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"wait\":{\"type\":\"string\",\"default\":\"5s\",\"description\":\"between two messages: 500ms, 5s, 2m, 1h; 0s = none\"},"
    "\"burst\":{\"type\":\"integer\",\"default\":1,\"description\":\"messages that may come at once; 1 to 100\"},"
    "\"roles\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"},\"description\":\"role: its wait\"},"
    "\"by\":{\"enum\":[\"user\",\"connection\",\"address\"],\"default\":\"user\"}}}}")

enum { MAX_ROLES = 64, MAX_WAIT = 24 * 60 * 60 * 1000 };

/* The entry's config. Waits are in ms. */
static struct {
    int64_t wait;
    int32_t burst;
    moot_str by;
    size_t roles;
    struct { moot_str name; int64_t wait; } role[MAX_ROLES];
} settings = {.wait = 5000, .burst = 1, .by = {"user", 4}};

static moot_str joined(moot_str a, moot_str b, moot_str c) {
    moot_str parts[] = {a, b, c};
    return moot_join(parts, 3);
}

/* Removes a number from the beginning of text; returns false if there is none. */
static bool number(moot_str *text, int64_t *n) {
    size_t i = 0;
    for (*n = 0; i < text->len && i < 9 && text->ptr[i] >= '0' && text->ptr[i] <= '9'; i++) *n = *n * 10 + (text->ptr[i] - '0');
    *text = moot_text_of(text->ptr + i, text->len - i);
    return i > 0;
}

/* Returns the ms of a JSON string such as "5s"; -1 if it is not valid or more than a day. */
static int64_t duration(moot_str json) {
    moot_str text = moot_json_text(json);
    int64_t n;
    if (!number(&text, &n)) return -1;
    int64_t unit = moot_equal(text, MOOT_S("ms")) ? 1 : moot_equal(text, MOOT_S("s")) ? 1000
                 : moot_equal(text, MOOT_S("m")) ? 60000 : moot_equal(text, MOOT_S("h")) ? 3600000 : 0;
    return unit > 0 && n * unit <= MAX_WAIT ? n * unit : -1;
}

#define NO_WAIT MOOT_S(" is not a wait: use 500ms, 5s, 2m or 24h; 0s means no wait")

static moot_str read_roles(moot_str json) {
    moot_str name, value, none = MOOT_ZERO;
    if (json.len == 0 || json.ptr[0] != '{') return joined(MOOT_S("roles: "), json, MOOT_S(" is not an object of ROLE: WAIT"));
    for (moot_str rest = moot_json_open(json); moot_json_next(&rest, &name) && moot_json_next(&rest, &value);) {
        if (settings.roles == MAX_ROLES) return MOOT_S("roles: there are more than 64");
        int64_t wait = duration(value);
        if (wait < 0) {
            moot_str parts[] = {MOOT_S("roles."), moot_json_text(name), MOOT_S(": "), value, NO_WAIT};
            return moot_join(parts, 5);
        }
        settings.role[settings.roles].name = moot_json_text(name);
        settings.role[settings.roles++].wait = wait;
    }
    return none;
}

static moot_str read(moot_str name, moot_str value) {
    moot_str none = MOOT_ZERO;
    if (moot_equal(name, MOOT_S("wait"))) {
        settings.wait = duration(value);
        return settings.wait >= 0 ? none : joined(MOOT_S("wait: "), value, NO_WAIT);
    }
    if (moot_equal(name, MOOT_S("burst"))) {
        int64_t n;
        moot_str rest = value;
        bool good = number(&rest, &n) && rest.len == 0 && n >= 1 && n <= 100;
        settings.burst = (int32_t)n;
        return good ? none : joined(MOOT_S("burst: "), value, MOOT_S(" is not a number from 1 to 100"));
    }
    if (moot_equal(name, MOOT_S("by"))) {
        moot_str by = settings.by = moot_json_text(value);
        bool good = moot_equal(by, MOOT_S("user")) || moot_equal(by, MOOT_S("connection")) || moot_equal(by, MOOT_S("address"));
        return good ? none : joined(MOOT_S("by: "), value, MOOT_S(" is neither user nor connection nor address"));
    }
    if (moot_equal(name, MOOT_S("roles"))) return read_roles(value);
    return joined(MOOT_S("unknown setting "), name, MOOT_S(": use wait, burst, roles or by"));
}

MOOT_INIT(config) {
    moot_str name, value, none = MOOT_ZERO;
    for (moot_str rest = moot_json_open(config); moot_json_next(&rest, &name) && moot_json_next(&rest, &value);) {
        moot_str refused = read(moot_json_text(name), value);
        if (refused.ptr) return refused;
    }
    return none;
}

static int64_t wait_of(const moot_connection *c) {
    moot_str role = moot_json_text(moot_property(c, MOOT_S("role")));
    for (size_t i = 0; role.ptr && i < settings.roles; i++)
        if (moot_equal(settings.role[i].name, role)) return settings.role[i].wait;
    return settings.wait;
}

/* The sender: the user, or the connection if it has no user. */
static moot_str sender(const moot_connection *c) {
    if (moot_equal(settings.by, MOOT_S("address"))) return joined(MOOT_S("a:"), moot_remote_ip(c), MOOT_S(""));
    moot_str user = moot_user(c);
    if (user.len > 0 && moot_equal(settings.by, MOOT_S("user"))) return joined(MOOT_S("u:"), user, MOOT_S(""));
    return joined(MOOT_S("c:"), moot_id(c), MOOT_S(""));
}

/* A long name is hashed, because the host limits the length of keys. */
static moot_str bucket(moot_str room, moot_str who) {
    moot_str key = joined(who, MOOT_S("\n"), room);
    if (key.len <= 256) return key;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < key.len; i++) hash = (hash ^ (unsigned char)key.ptr[i]) * 0x100000001b3;
    char *p = (char *)moot_new(16);
    for (int i = 0; i < 16; i++) p[i] = "0123456789abcdef"[hash >> (4 * i) & 15];
    return moot_text_of(p, 16);
}

/* Returns ms as "3s", rounded up. */
static moot_str seconds(int64_t ms) {
    char *end = (char *)moot_new(24) + 24, *p = end;
    *--p = 's';
    for (int64_t n = (ms + 999) / 1000, first = 1; n > 0 || first; n /= 10, first = 0) *--p = (char)('0' + n % 10);
    return moot_text_of(p, (size_t)(end - p));
}

MOOT_ON_SAY_RECEIVE(e) {
    const moot_connection *c = e->connection;
    if (moot_id(c).len == 0) return moot_allow(); /* a message of the system */
    int64_t wait = wait_of(c);
    if (wait == 0) return moot_allow();
    int32_t left = moot_rate_take(bucket(moot_room(e), sender(c)), 1, (int32_t)wait, settings.burst);
    if (left < 0) {
        moot_log(MOOT_WARN, left == MOOT_OVER_BUDGET ? MOOT_S("too many senders are counted") : MOOT_S("the store is out of reach"));
        return moot_fail(); /* the entry's onError decides */
    }
    if (left == 0) return moot_allow();
    moot_metric_add(MOOT_S("denied"), 1);
    return moot_deny(joined(MOOT_S("slow mode: wait "), seconds(left), MOOT_S("")));
}
