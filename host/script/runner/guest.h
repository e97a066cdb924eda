// The guest's side of the ABI, for the runners. See sdk/ABI.md.
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(name) __attribute__((import_module("moot_1"), import_name(name)))

IMPORT("log") void moot_log(int level, const char *p, size_t l);
IMPORT("random") int moot_random(void *p, size_t l);
IMPORT("property_get") int moot_property_get(int conn, const char *kp, size_t kl, char *buf, size_t cap);
IMPORT("property_set") int moot_property_set(const char *kp, size_t kl, const char *p, size_t l);
IMPORT("room_get") int moot_room_get(const char *rp, size_t rl, char *buf, size_t cap);
IMPORT("room_size") int moot_room_size(void);
IMPORT("room_create") int moot_room_create(const char *rp, size_t rl);
IMPORT("room_destroy") int moot_room_destroy(const char *rp, size_t rl);
IMPORT("kv_get") int moot_kv_get(const char *kp, size_t kl, char *buf, size_t cap);
IMPORT("kv_set") int moot_kv_set(const char *kp, size_t kl, const char *p, size_t l, int64_t ttl);
IMPORT("kv_del") int moot_kv_del(const char *kp, size_t kl);
IMPORT("kv_add") int moot_kv_add(const char *kp, size_t kl, int64_t delta, int64_t ttl, int64_t *out);
IMPORT("kv_cas") int moot_kv_cas(const char *kp, size_t kl, const char *op, size_t ol, const char *p, size_t l, int64_t ttl);
IMPORT("rate_take") int moot_rate_take(const char *kp, size_t kl, int tokens, int per, int burst);
IMPORT("emit") int moot_emit(int kind, const char *tp, size_t tl, const char *p, size_t l);
IMPORT("metric_add") int moot_metric_add(const char *np, size_t nl, int64_t delta);
IMPORT("sanction_set") int moot_sanction_set(const char *p, size_t l);
IMPORT("sanction_pardon") int moot_sanction_pardon(const char *p, size_t l);
IMPORT("member_remove") int moot_member_remove(const char *cp, size_t cl, const char *rp, size_t rl, const char *p, size_t l);
IMPORT("connection_close") int moot_connection_close(const char *cp, size_t cl, const char *p, size_t l);
IMPORT("user_set") int moot_user_set(const char *p, size_t l);
IMPORT("message_retract") int moot_message_retract(const char *rp, size_t rl, const char *ip, size_t il);
IMPORT("message_edit") int moot_message_edit(int kind, const char *rp, size_t rl, const char *ip, size_t il, const char *p, size_t l);

enum { GUEST_ERROR = -1 };

// Offsets in a frame, a blob and a variant.
enum {
    FRAME_HOOK = 6, FRAME_FLAGS = 8, FRAME_RECEIVERS = 12, FRAME_EVENT = 16, FRAME_CONNECTION = 20, FRAME_TAB = 24,
    FRAME_VERDICTS = 28, FRAME_ANSWER = 136,
    RESULT_SENT_AT = 80, RESULT_VARIANTS = 96, RESULT_VARIANT_COUNT = 100, RESULT_TTL = 104,
    BLOB_FIELDS = 6, BLOB_TABLE = 24,
    VARIANT_MESSAGE = 0, VARIANT_KIND = 8, VARIANT_EXTRA = 12, VARIANT_SIZE = 20, MAX_VARIANTS = 253,
};

static char *frame; // of the current call
static int answering; // the call is on_answer

#define ANSWER_BLOB 0xffffffffu

static inline uint16_t u16(const char *p) { uint16_t n; memcpy(&n, p, sizeof n); return n; }
static inline uint32_t u32(const char *p) { uint32_t n; memcpy(&n, p, sizeof n); return n; }
static inline uint64_t u64(const char *p) { uint64_t n; memcpy(&n, p, sizeof n); return n; }
static inline void put32(char *p, uint32_t n) { memcpy(p, &n, sizeof n); }
static inline void put64(char *p, uint64_t n) { memcpy(p, &n, sizeof n); }

// blob_at returns the blob of the event (0), of its connection (1), of receiver n-2, or of the answer (ANSWER_BLOB); NULL if there is none.
static inline const char *blob_at(uint32_t n) {
    uint32_t at = 0;
    if (!frame) return NULL;
    if (n == ANSWER_BLOB) at = answering ? u32(frame + FRAME_ANSWER) : 0;
    else if (n == 0) at = u32(frame + FRAME_EVENT);
    else if (n == 1) at = u32(frame + FRAME_CONNECTION);
    else if (n - 2 < u32(frame + FRAME_RECEIVERS)) at = u32(frame + u32(frame + FRAME_TAB) + 4 * (n - 2));
    return at ? frame + at : NULL;
}

// field_of returns a field of a blob; NULL if it is absent.
static inline const char *field_of(const char *blob, uint32_t n, size_t *len) {
    if (!blob || n >= u16(blob + BLOB_FIELDS)) return NULL;
    uint32_t at = u32(blob + BLOB_TABLE + 8 * n);
    *len = u32(blob + BLOB_TABLE + 8 * n + 4);
    return at ? blob + at : NULL;
}

// The data that the result slots point at is kept until the next call.
static struct kept { struct kept *next; char text[]; } *kept;

static inline const char *keep(const char *text, size_t len) {
    struct kept *k = malloc(sizeof *k + len + 1);
    if (!k) __builtin_trap();
    memcpy(k->text, text, len);
    k->next = kept;
    kept = k;
    return k->text;
}

static char variants[MAX_VARIANTS * VARIANT_SIZE];

static inline void begin(char *f) {
    frame = f;
    while (kept) {
        struct kept *k = kept;
        kept = k->next;
        free(k);
    }
}

static inline void put_text(char *slot, const char *text, size_t len) {
    put32(slot, (uint32_t)(uintptr_t)keep(text, len));
    put32(slot + 4, (uint32_t)len);
}

// add_variant returns the number of the variant, -1 if there are too many.
static inline int add_variant(uint32_t kind, const char *message, size_t ml, const char *extra, size_t el) {
    uint32_t n = u32(frame + RESULT_VARIANT_COUNT);
    if (n == MAX_VARIANTS) return -1;
    char *v = variants + n * VARIANT_SIZE;
    memset(v, 0, VARIANT_SIZE);
    put32(v + VARIANT_KIND, kind);
    if (kind) put_text(v + VARIANT_MESSAGE, message, ml);
    if (el) put_text(v + VARIANT_EXTRA, extra, el);
    put32(frame + RESULT_VARIANTS, (uint32_t)(uintptr_t)variants);
    put32(frame + RESULT_VARIANT_COUNT, n + 1);
    return (int)n;
}

// The script, until it runs.
static char *script, *script_name;
static size_t script_len;

static char *exchange;
static size_t exchange_size;

EXPORT("moot_abi_1") void moot_abi_1(void) {}

EXPORT("moot_alloc") void *moot_alloc(size_t size) {
    free(exchange);
    exchange = NULL;
    if (posix_memalign((void **)&exchange, 8, size)) return exchange = NULL;
    exchange_size = size;
    return exchange;
}

// moot_script receives the script: the name of its file, followed by its text.
EXPORT("moot_script") int moot_script(const char *p, size_t len, size_t name_len) {
    script_name = calloc(1, name_len + 1);
    script_len = len - name_len;
    script = calloc(1, script_len + 1); // QuickJS needs a zero after the text
    if (!script_name || !script) return 1;
    memcpy(script_name, p, name_len);
    memcpy(script, p + name_len, script_len);
    return 0;
}

static char *reason, *manifest; // results of moot_reason and moot_manifest; before the script has run, the part that it has declared
static size_t reason_len, manifest_len;

static inline uint64_t packed(const char *p, size_t len) { return (uint64_t)(uintptr_t)p << 32 | len; }
EXPORT("moot_reason") uint64_t moot_reason(void) { return packed(reason, reason_len < 1024 ? reason_len : 1024); }
EXPORT("moot_manifest") uint64_t moot_manifest(void) { return packed(manifest, manifest_len); }

// line_of_script returns the line of the script that runs, which each runner finds; 0 if the script does not run.
static int line_of_script(void);

// moot_place returns the place of the script that runs, such as "rule.js:3". The host calls it after it has ended a call.
EXPORT("moot_place") uint64_t moot_place(void) {
    static char place[300];
    int line = script_name ? line_of_script() : 0;
    return line > 0 ? packed(place, (size_t)snprintf(place, sizeof place, "%.255s:%d", script_name, line)) : 0;
}

static inline char *copy(const char *p, size_t len) {
    char *q = malloc(len + 1);
    if (!q) __builtin_trap();
    memcpy(q, p, len);
    q[len] = 0;
    return q;
}

static inline void set_manifest(const char *p, size_t len) {
    free(manifest);
    manifest = copy(p, len);
    manifest_len = len;
}

// The export of a hook calls ask, which each runner defines.
static int ask(char *f);
EXPORT("on_connect") int on_connect(char *f) { return ask(f); }
EXPORT("on_join") int on_join(char *f) { return ask(f); }
EXPORT("on_say_receive") int on_say_receive(char *f) { return ask(f); }
EXPORT("on_say") int on_say(char *f) { return ask(f); }
EXPORT("on_leave") int on_leave(char *f) { return ask(f); }
EXPORT("on_disconnect") int on_disconnect(char *f) { return ask(f); }
EXPORT("on_action") int on_action(char *f) { return ask(f); }
EXPORT("on_answer") int on_answer(char *f) {
    answering = 1;
    int n = ask(f);
    answering = 0;
    return n;
}

// buffered calls read with a buffer that is large enough. It returns the length of the value, or the error of read.
static char *buffer;
static size_t buffer_size;
#define BUFFERED(length, call) do { \
    if (!buffer) { buffer_size = 1024; buffer = malloc(buffer_size); } \
    (length) = (call); \
    if ((length) > (int)buffer_size) { \
        buffer_size = (size_t)(length); \
        free(buffer); \
        if (!(buffer = malloc(buffer_size))) __builtin_trap(); \
        (length) = (call); \
    } \
} while (0)

#endif
