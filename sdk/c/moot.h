/*
 * moot.h makes a C or C++ program a Moot module. It needs no library and no libc. In C++
 * its types have methods as well.
 *
 *     #include "moot.h"
 *
 *     MOOT_MANIFEST("{\"name\":\"quiet\",\"reads\":[\"message\"]}")
 *
 *     MOOT_ON_SAY_RECEIVE(e) {
 *         if (moot_starts_with(moot_message(e), MOOT_S("!"))) return moot_deny(MOOT_S("no shouting"));
 *         return moot_allow();
 *     }
 *
 * The host makes one call at a time to an instance. Texts of an event and of host
 * functions, and memory of moot_new, are valid until the handler returns. The host copies
 * the texts of a verdict, so they may be anywhere.
 */
#ifndef MOOT_H
#define MOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text in UTF-8, not terminated. ptr NULL: absent. */
typedef struct moot_str {
    const char *ptr;
    size_t len;
#ifdef __cplusplus
    constexpr moot_str() : ptr(nullptr), len(0) {}
    constexpr moot_str(const char *s, size_t n) : ptr(s), len(n) {}
    constexpr moot_str(const char *s) : ptr(s), len(0) { while (s[len]) len++; }
    template <class T, class = decltype(((const T *)nullptr)->data())> moot_str(const T &s) : ptr(s.data()), len(s.size()) {}
    inline bool operator==(const moot_str &o) const;
    bool operator!=(const moot_str &o) const { return !(*this == o); }
    explicit operator bool() const { return ptr != nullptr; }
    const char *begin() const { return ptr; }
    const char *end() const { return ptr + len; }
#endif
} moot_str;

#ifdef __cplusplus
#define MOOT_S(literal) (moot_str((literal), sizeof(literal) - 1))
#define MOOT_ZERO {}
#define MOOT_C_ extern "C"
#else
#define MOOT_S(literal) ((moot_str){(literal), sizeof(literal) - 1})
#define MOOT_ZERO {0}
#define MOOT_C_
#endif
#define MOOT_F_ static inline __attribute__((unused))
#define MOOT_EXPORT_(name) MOOT_C_ __attribute__((export_name(name), used))

MOOT_F_ moot_str moot_text_of(const char *ptr, size_t len) { moot_str s = MOOT_ZERO; s.ptr = ptr; s.len = len; return s; }
MOOT_F_ bool moot_starts_with(moot_str s, moot_str with) {
    if (s.len < with.len) return false;
    for (size_t i = 0; i < with.len; i++)
        if (s.ptr[i] != with.ptr[i]) return false;
    return true;
}
MOOT_F_ bool moot_equal(moot_str a, moot_str b) { return a.len == b.len && moot_starts_with(a, b); }
#ifdef __cplusplus
inline bool moot_str::operator==(const moot_str &o) const { return moot_equal(*this, o); }
#endif

/* ---- failures ---- */

__attribute__((import_module("wasi_snapshot_preview1"), import_name("fd_write")))
MOOT_C_ int32_t moot_fd_write_(int32_t fd, const moot_str *pieces, size_t count, size_t *written);

MOOT_F_ __attribute__((noreturn)) void moot_fail_(moot_str place, moot_str text) {
    moot_str pieces[] = {place, text};
    size_t written;
    moot_fd_write_(2, pieces, 2, &written);
    __builtin_trap();
}

#define MOOT_LINE__(n) #n
#define MOOT_LINE_(n) MOOT_LINE__(n)
#define MOOT_HERE_ MOOT_S(__FILE__ ":" MOOT_LINE_(__LINE__) ": ")

/* MOOT_PANIC ends the instance. The text, a moot_str, and its place appear in the host's log and decisions; the entry's
 * onError decides about the event. MOOT_ASSERT does this if a condition is false. */
#define MOOT_PANIC(text) moot_fail_(MOOT_HERE_, (text))
#define MOOT_ASSERT(condition) ((condition) ? (void)0 : moot_fail_(MOOT_HERE_, MOOT_S("assertion failed: " #condition)))

/* ---- memory ---- */

static struct { uintptr_t start, at, end; } moot_arena_;

/* moot_new allocates n bytes, 8-aligned, valid until the handler returns; allocations in
 * MOOT_INIT stay valid. It traps when there is no memory left. */
MOOT_F_ void *moot_new(size_t n) {
    uintptr_t at = (moot_arena_.at + 7) & ~(uintptr_t)7;
    if (at + n > moot_arena_.end || at + n < at) {
        /* Each block is twice as large as the last, so that less memory is abandoned than used. */
        size_t pages = (n + (moot_arena_.end - moot_arena_.start) * 2 + 0xffff) >> 16;
        size_t page = __builtin_wasm_memory_grow(0, pages);
        if (page == (size_t)-1) __builtin_trap();
        at = moot_arena_.start = (uintptr_t)page << 16;
        moot_arena_.end = at + (pages << 16);
    }
    moot_arena_.at = at + n;
    return (void *)at;
}

/* moot_copy copies s into the arena. */
MOOT_F_ moot_str moot_copy(moot_str s) {
    char *p = (char *)moot_new(s.len + 1);
    for (size_t i = 0; i < s.len; i++) p[i] = s.ptr[i];
    p[s.len] = 0;
    return moot_text_of(p, s.len);
}

/* moot_join concatenates the texts. */
MOOT_F_ moot_str moot_join(const moot_str *list, size_t n) {
    size_t len = 0, at = 0;
    for (size_t i = 0; i < n; i++) len += list[i].len;
    char *p = (char *)moot_new(len + 1);
    for (size_t i = 0; i < n; at += list[i].len, i++)
        for (size_t k = 0; k < list[i].len; k++) p[at + k] = list[i].ptr[k];
    return moot_text_of(p, len);
}

/* ---- events ---- */

enum { MOOT_CONNECT = 1, MOOT_JOIN, MOOT_ON_SAY_RECEIVE_HOOK, MOOT_SAY, MOOT_LEAVE, MOOT_DISCONNECT, MOOT_ACTION };

MOOT_F_ uint32_t moot_u32_(const void *p, size_t at) { uint32_t v; __builtin_memcpy(&v, (const char *)p + at, 4); return v; }
MOOT_F_ int64_t moot_i64_(const void *p, size_t at) { int64_t v; __builtin_memcpy(&v, (const char *)p + at, 8); return v; }
MOOT_F_ void moot_put32_(void *p, size_t at, uint32_t v) { __builtin_memcpy((char *)p + at, &v, 4); }

/* A field of a blob; ptr NULL if it is absent, or the host is older than the field. */
MOOT_F_ moot_str moot_field_(const char *blob, unsigned n) {
    moot_str none = MOOT_ZERO;
    if (!blob || n >= (moot_u32_(blob, 4) >> 16)) return none;
    uint32_t at = moot_u32_(blob, 24 + 8 * n);
    return at ? moot_text_of(blob + at, moot_u32_(blob, 28 + 8 * n)) : none;
}

/* A client's connection. All fields of NULL are empty. */
typedef struct moot_connection {
    const char *blob;
#ifdef __cplusplus
    moot_str id() const { return moot_field_(blob, 0); }
    moot_str user() const { return moot_field_(blob, 2); }
    moot_str locale() const { return moot_field_(blob, 6); }
    inline moot_str property(moot_str name) const;
#endif
} moot_connection;

MOOT_F_ moot_str moot_conn_field_(const moot_connection *c, unsigned n) { return moot_field_(c ? c->blob : NULL, n); }
MOOT_F_ moot_str moot_id(const moot_connection *c) { return moot_conn_field_(c, 0); }
MOOT_F_ moot_str moot_fingerprint(const moot_connection *c) { return moot_conn_field_(c, 1); }
MOOT_F_ moot_str moot_user(const moot_connection *c) { return moot_conn_field_(c, 2); }
MOOT_F_ moot_str moot_transport(const moot_connection *c) { return moot_conn_field_(c, 3); }
MOOT_F_ moot_str moot_remote_ip(const moot_connection *c) { return moot_conn_field_(c, 4); }
MOOT_F_ moot_str moot_conn_tenant(const moot_connection *c) { return moot_conn_field_(c, 5); }
MOOT_F_ moot_str moot_locale(const moot_connection *c) { return moot_conn_field_(c, 6); }
/* ms since 1970; 0: the module does not read it */
MOOT_F_ int64_t moot_connected_at(const moot_connection *c) { return c && c->blob ? moot_i64_(c->blob, 8) : 0; }
/* of the event's room; 0 if it is not a member */
MOOT_F_ int64_t moot_joined_at(const moot_connection *c) { return c && c->blob ? moot_i64_(c->blob, 16) : 0; }

/* moot_property returns a property's value as JSON text; ptr NULL if it is not set. */
MOOT_F_ moot_str moot_property(const moot_connection *c, moot_str name) {
    moot_str rest = moot_conn_field_(c, 7), none = MOOT_ZERO;
    while (rest.len >= 8) {
        size_t n = moot_u32_(rest.ptr, 0), v = moot_u32_(rest.ptr, 4);
        if (moot_equal(moot_text_of(rest.ptr + 8, n), name)) return moot_text_of(rest.ptr + 8 + n, v);
        rest = moot_text_of(rest.ptr + 8 + n + v, rest.len - 8 - n - v);
    }
    return none;
}

/* The event that a hook is called for. */
typedef struct moot_event {
    char *frame;
    const char *blob;
    const moot_connection *connection; /* of the event; NULL for events of the system, and at say */
#ifdef __cplusplus
    moot_str room() const { return moot_field_(blob, 0); }
    moot_str from() const { return moot_field_(blob, 2); }
    moot_str message() const { return moot_field_(blob, 3); }
    moot_str cause() const { return moot_field_(blob, 5); }
    moot_str action() const { return moot_field_(blob, 6); }
    moot_str params() const { return moot_field_(blob, 7); }
    moot_str message_id() const { return moot_field_(blob, 8); }
    moot_str edits() const { return moot_field_(blob, 9); }
    bool is_json() const { return moot_u32_(frame, 8) & 1; }
#endif
} moot_event;

#ifdef __cplusplus
inline moot_str moot_connection::property(moot_str name) const { return moot_property(this, name); }
#endif

MOOT_F_ unsigned moot_hook(const moot_event *e) { return moot_u32_(e->frame, 4) >> 16; }
MOOT_F_ moot_str moot_room(const moot_event *e) { return moot_field_(e->blob, 0); }
MOOT_F_ moot_str moot_tenant(const moot_event *e) { return moot_field_(e->blob, 1); }
MOOT_F_ moot_str moot_from(const moot_event *e) { return moot_field_(e->blob, 2); } /* a connection's id; 0: the system */
MOOT_F_ moot_str moot_message(const moot_event *e) { return moot_field_(e->blob, 3); }
MOOT_F_ bool moot_is_json(const moot_event *e) { return moot_u32_(e->frame, 8) & 1; } /* the message is JSON text */
MOOT_F_ moot_str moot_context(const moot_event *e) { return moot_field_(e->blob, 4); }
MOOT_F_ moot_str moot_cause(const moot_event *e) { return moot_field_(e->blob, 5); }
MOOT_F_ moot_str moot_action(const moot_event *e) { return moot_field_(e->blob, 6); }
MOOT_F_ moot_str moot_params(const moot_event *e) { return moot_field_(e->blob, 7); } /* a JSON object */
/* The id of the message, by which modules retract and edit it; empty in an ephemeral room. A message that a module moves to
 * another room gets another id there. */
MOOT_F_ moot_str moot_message_id(const moot_event *e) { return moot_field_(e->blob, 8); }
/* The id of the message that the event edits: the message is its whole new text. Empty: it is a new message. */
MOOT_F_ moot_str moot_edits(const moot_event *e) { return moot_field_(e->blob, 9); }
MOOT_F_ int64_t moot_sent_at(const moot_event *e) { return moot_i64_(e->blob, 8); }   /* ms since 1970 */
MOOT_F_ int64_t moot_sequence(const moot_event *e) { return moot_i64_(e->blob, 16); }

/* The answer of a service to an ask. */
typedef struct moot_answer {
    const char *blob;
#ifdef __cplusplus
    moot_str name() const { return moot_field_(blob, 0); }
    moot_str json() const { return moot_field_(blob, 1); }
    moot_str state() const { return moot_field_(blob, 2); }
    int status() const { return (int)moot_i64_(blob, 8); }
    int number() const { return (int)moot_i64_(blob, 16); }
#endif
} moot_answer;

MOOT_F_ moot_str moot_answer_name(const moot_answer *a) { return moot_field_(a->blob, 0); }
MOOT_F_ moot_str moot_answer_json(const moot_answer *a) { return moot_field_(a->blob, 1); } /* ptr NULL: the service sent none */
MOOT_F_ moot_str moot_answer_state(const moot_answer *a) { return moot_field_(a->blob, 2); } /* of the ask */
MOOT_F_ int moot_answer_status(const moot_answer *a) { return (int)moot_i64_(a->blob, 8); } /* of HTTP, 200 to 499: a 404 is an answer too */
MOOT_F_ int moot_answer_number(const moot_answer *a) { return (int)moot_i64_(a->blob, 16); } /* 1 for the first ask about the event, 2 for the second one */

/* ---- verdicts ---- */

typedef struct moot_verdict {
    int32_t answer;
    uint32_t code, kind;
    moot_str text, extra, room, from; /* text: the reason of a denial or a hold, a message, a reply, the body of an ask */
    int64_t sent_at, ttl;             /* ms; ttl: of a hold */
    moot_str ask, state;              /* of an ask: its name; any bytes, at most 4096, that come back with the answer */
#ifdef __cplusplus
    moot_verdict with_extra(moot_str json) const { moot_verdict v = *this; v.answer = 2; v.extra = json; return v; }
    moot_verdict to_room(moot_str name) const { moot_verdict v = *this; v.answer = 2; v.room = name; return v; }
    moot_verdict with_state(moot_str bytes) const { moot_verdict v = *this; v.state = bytes; return v; }
    moot_verdict with_code(uint32_t n) const { moot_verdict v = *this; v.code = n; return v; }
#endif
} moot_verdict;

MOOT_F_ moot_verdict moot_answer_(int32_t answer, uint32_t kind, moot_str text) {
    moot_verdict v = MOOT_ZERO;
    v.answer = answer, v.kind = kind, v.text = text;
    return v;
}
MOOT_F_ moot_verdict moot_allow(void) { return moot_answer_(0, 0, MOOT_S("")); }
MOOT_F_ moot_verdict moot_allow_end(void) { return moot_answer_(4, 0, MOOT_S("")); } /* no later module is called */
MOOT_F_ moot_verdict moot_deny(moot_str reason) { return moot_answer_(1, 0, reason); }
MOOT_F_ moot_verdict moot_drop(void) { return moot_answer_(5, 0, MOOT_S("")); }
/* moot_hold keeps a message back at on_say_receive until a moderator, who sees the reason, decides. It expires after ttl ms, at
 * most 30 days; 0: the tenant's default. A host of minor 0 denies the message. */
MOOT_F_ moot_verdict moot_hold(moot_str reason, int64_t ttl) {
    moot_verdict v = moot_answer_(6, 0, reason);
    v.ttl = ttl > 0 ? ttl : 0;
    return v;
}
/* moot_ask asks the service with this name, one of asks in the manifest: MOOT_ON_ANSWER receives the answer. json is the body for
 * the service, at most 16 KiB; empty: none. The caller may set the state of the verdict, which comes back with the answer: another
 * instance may receive it. It is for on_connect, on_join, on_say_receive, on_action and, once more, on_answer. The effects of this
 * call are discarded; its changes to the store remain. A host of minor 0 denies the event. */
MOOT_F_ moot_verdict moot_ask(moot_str name, moot_str json) {
    moot_verdict v = moot_answer_(7, 0, json);
    v.ask = name;
    return v;
}
MOOT_F_ moot_verdict moot_fail(void) { return moot_answer_(-1, 0, MOOT_S("")); } /* an error of the module: the entry's onError decides */
MOOT_F_ moot_verdict moot_reply(moot_str json) { return moot_answer_(0, 0, json); }
MOOT_F_ moot_verdict moot_rewrite_text(moot_str text) { return moot_answer_(2, 1, text); }
MOOT_F_ moot_verdict moot_rewrite_json(moot_str json) { return moot_answer_(2, 2, json); }
/* moot_rewrite rewrites the fields that its caller sets: extra, room, from, sent_at. */
MOOT_F_ moot_verdict moot_rewrite(void) { return moot_answer_(2, 0, MOOT_S("")); }

MOOT_F_ void moot_put_(void *p, size_t slot, moot_str s) {
    if (!s.len) return;
    moot_put32_(p, slot, (uint32_t)(uintptr_t)moot_copy(s).ptr);
    moot_put32_(p, slot + 4, (uint32_t)s.len);
}

MOOT_F_ int32_t moot_say_it_(char *f, const moot_verdict *v) {
    switch (v->answer) {
    case 0: case 4:
        moot_put_(f, 88, v->text);
        break;
    case 6:
        moot_put_(f, 36, v->text);
        if (!(moot_u32_(f, 4) & 0xffff)) return 1; /* the host knows no hold */
        __builtin_memcpy(f + 104, &v->ttl, 8);
        break;
    case 7:
        if (!(moot_u32_(f, 4) & 0xffff)) return 1; /* the host knows no asks */
        moot_put_(f, 112, v->ask), moot_put_(f, 120, v->text), moot_put_(f, 128, v->state);
        break;
    case 1:
        moot_put32_(f, 32, v->code);
        moot_put_(f, 36, v->text);
        break;
    case 2:
        moot_put_(f, 44, v->text);
        moot_put32_(f, 52, v->kind);
        moot_put_(f, 56, v->extra), moot_put_(f, 64, v->room), moot_put_(f, 72, v->from);
        __builtin_memcpy(f + 80, &v->sent_at, 8);
    }
    return v->answer;
}

MOOT_F_ moot_event moot_begin_(char *frame, moot_connection *c) {
    moot_event e = MOOT_ZERO;
    moot_arena_.at = moot_arena_.start;
    e.frame = frame, e.blob = frame + moot_u32_(frame, 16);
    if (moot_u32_(frame, 20)) c->blob = frame + moot_u32_(frame, 20), e.connection = c;
    return e;
}

MOOT_F_ int32_t moot_ask_(char *frame, moot_verdict (*handler)(const moot_event *)) {
    moot_connection c = MOOT_ZERO;
    moot_event e = moot_begin_(frame, &c);
    moot_verdict v = handler(&e);
    return moot_say_it_(frame, &v);
}

MOOT_F_ int32_t moot_ask_answered_(char *frame, moot_verdict (*handler)(const moot_event *, const moot_answer *)) {
    moot_connection c = MOOT_ZERO;
    moot_event e = moot_begin_(frame, &c);
    moot_answer a = MOOT_ZERO;
    a.blob = frame + moot_u32_(frame, 136);
    moot_verdict v = handler(&e, &a);
    return moot_say_it_(frame, &v);
}

/* Each receiver gets a byte; equal rewrites share a variant. */
MOOT_F_ int32_t moot_ask_each_(char *frame, moot_verdict (*handler)(const moot_event *, const moot_connection *)) {
    moot_connection c = MOOT_ZERO;
    moot_event e = moot_begin_(frame, &c);
    uint32_t n = moot_u32_(frame, 12), variants = 0, tab = moot_u32_(frame, 24);
    char *verdicts = frame + moot_u32_(frame, 28), *table = NULL;
    moot_verdict kept[253];
    for (uint32_t i = 0; i < n; i++) {
        moot_connection r = MOOT_ZERO;
        r.blob = frame + moot_u32_(frame, tab + 4 * i);
        moot_verdict v = handler(&e, &r);
        if (v.answer < 0 || v.answer == 6 || v.answer == 7) return v.answer; /* errors of the module */
        verdicts[i] = v.answer == 1 || v.answer == 5;
        if (v.answer != 2) continue;
        uint32_t k = variants;
        while (k > 0 && !(kept[k - 1].kind == v.kind && moot_equal(kept[k - 1].text, v.text) && moot_equal(kept[k - 1].extra, v.extra))) k--;
        if (k == 0) {
            if (variants == 253) return -1;
            v.text = moot_copy(v.text), v.extra = moot_copy(v.extra);
            kept[variants++] = v;
            k = variants;
        }
        verdicts[i] = (char)(1 + k);
    }
    bool same = n > 0;
    for (uint32_t i = 1; i < n; i++) same = same && verdicts[i] == verdicts[0];
    if (same && verdicts[0] < 2) return verdicts[0] ? 5 : 0; /* one answer for all */
    if (variants) table = (char *)moot_new(20 * variants);
    for (uint32_t k = 0; k < variants; k++) {
        uint32_t record[5] = {(uint32_t)(uintptr_t)kept[k].text.ptr, (uint32_t)kept[k].text.len, kept[k].kind,
                              (uint32_t)(uintptr_t)kept[k].extra.ptr, (uint32_t)kept[k].extra.len};
        __builtin_memcpy(table + 20 * k, record, 20);
    }
    moot_put32_(frame, 96, (uint32_t)(uintptr_t)table);
    moot_put32_(frame, 100, variants);
    return 3;
}

/* ---- handlers ---- */

#define MOOT_HOOK_(hook, e)                                                             \
    static moot_verdict moot_handle_##hook(const moot_event *e);                        \
    MOOT_EXPORT_(#hook) int32_t moot_export_##hook(char *f) { return moot_ask_(f, moot_handle_##hook); } \
    static moot_verdict moot_handle_##hook(const moot_event *e)
#define MOOT_ON_CONNECT(e) MOOT_HOOK_(on_connect, e)
#define MOOT_ON_JOIN(e) MOOT_HOOK_(on_join, e)
#define MOOT_ON_SAY_RECEIVE(e) MOOT_HOOK_(on_say_receive, e) /* once per message */
#define MOOT_ON_LEAVE(e) MOOT_HOOK_(on_leave, e)
#define MOOT_ON_DISCONNECT(e) MOOT_HOOK_(on_disconnect, e)
#define MOOT_ON_ACTION(e) MOOT_HOOK_(on_action, e)
/* the answer to an ask about the event; the verdict is for its hook */
#define MOOT_ON_ANSWER(e, answer)                                                       \
    static moot_verdict moot_handle_on_answer(const moot_event *e, const moot_answer *answer); \
    MOOT_EXPORT_("on_answer") int32_t moot_export_on_answer(char *f) { return moot_ask_answered_(f, moot_handle_on_answer); } \
    static moot_verdict moot_handle_on_answer(const moot_event *e, const moot_answer *answer)
#define MOOT_ON_SAY_ALL(e) MOOT_HOOK_(on_say, e) /* one answer for all receivers */
/* for each receiver, or each class of them: see vary in ABI.md */
#define MOOT_ON_SAY(e, receiver)                                                        \
    static moot_verdict moot_handle_on_say(const moot_event *e, const moot_connection *receiver); \
    MOOT_EXPORT_("on_say") int32_t moot_export_on_say(char *f) { return moot_ask_each_(f, moot_handle_on_say); } \
    static moot_verdict moot_handle_on_say(const moot_event *e, const moot_connection *receiver)

static moot_str moot_reason_;

/* MOOT_INIT reads the config, once per instance: config is the whole config as JSON, see
 * also moot_config. It returns the reason of a refusal, or {0} to accept. */
#define MOOT_INIT(config)                                                               \
    static moot_str moot_init_(moot_str config);                                        \
    MOOT_EXPORT_("moot_init") int32_t moot_export_init(int32_t minor, const char *p, size_t n) { \
        (void)minor;                                                                    \
        moot_reason_ = moot_init_(moot_text_of(p, n));                                  \
        moot_arena_.start = moot_arena_.at; /* its allocations stay */                  \
        return moot_reason_.ptr != NULL;                                                \
    }                                                                                   \
    MOOT_EXPORT_("moot_reason") int64_t moot_export_reason(void) { return moot_span_(moot_reason_); } \
    static moot_str moot_init_(moot_str config)

/* MOOT_MANIFEST sets the manifest, as JSON; once in a module. */
#define MOOT_MANIFEST(json)                                                             \
    MOOT_EXPORT_("moot_abi_1") void moot_export_abi_1(void) {}                          \
    MOOT_EXPORT_("moot_manifest") int64_t moot_export_manifest(void) { return moot_span_(MOOT_S(json)); } \
    MOOT_EXPORT_("moot_alloc") char *moot_export_alloc(size_t size) {                   \
        static char first[1 << 16] __attribute__((aligned(8)));                         \
        if (size <= sizeof first) return first;                                         \
        size_t page = size > 1 << 20 ? (size_t)-1 : __builtin_wasm_memory_grow(0, (size + 0xffff) >> 16); \
        return page == (size_t)-1 ? NULL : (char *)(page << 16);                        \
    }

MOOT_F_ int64_t moot_span_(moot_str s) { return (int64_t)((uint64_t)(uintptr_t)s.ptr << 32 | s.len); }

/* ---- the host ---- */

enum { MOOT_ABSENT = -1, MOOT_NOT_GRANTED = -2, MOOT_OVER_BUDGET = -3, MOOT_BAD_POINTER = -4, MOOT_TOO_LARGE = -5, MOOT_UNAVAILABLE = -6 };
enum { MOOT_DEBUG, MOOT_INFO, MOOT_WARN, MOOT_ERROR };
enum { MOOT_TEXT = 0, MOOT_JSON = 1, MOOT_TO_ROOM = 0, MOOT_TO_CONNECTION = 2, MOOT_TO_USER = 4 };

#define MOOT_IMPORT_(name) MOOT_C_ __attribute__((import_module("moot_1"), import_name(#name)))
MOOT_IMPORT_(log) void moot_host_log(int32_t, const char *, size_t);
MOOT_IMPORT_(now_ms) int64_t moot_now_ms(void); /* ms since 1970 */
MOOT_IMPORT_(random) int32_t moot_random(void *p, size_t n); /* at most 64 KiB */
MOOT_IMPORT_(config_get) int32_t moot_host_config_get(const char *, size_t, char *, size_t);
MOOT_IMPORT_(property_set) int32_t moot_host_property_set(const char *, size_t, const char *, size_t);
MOOT_IMPORT_(room_get) int32_t moot_host_room_get(const char *, size_t, char *, size_t);
MOOT_IMPORT_(room_size) int32_t moot_room_size(void); /* members of the event's room */
MOOT_IMPORT_(room_create) int32_t moot_host_room_create(const char *, size_t);
MOOT_IMPORT_(room_destroy) int32_t moot_host_room_destroy(const char *, size_t);
MOOT_IMPORT_(kv_get) int32_t moot_host_kv_get(const char *, size_t, char *, size_t);
MOOT_IMPORT_(kv_set) int32_t moot_host_kv_set(const char *, size_t, const char *, size_t, int64_t);
MOOT_IMPORT_(kv_del) int32_t moot_host_kv_del(const char *, size_t);
MOOT_IMPORT_(kv_add) int32_t moot_host_kv_add(const char *, size_t, int64_t, int64_t, int64_t *);
MOOT_IMPORT_(kv_cas) int32_t moot_host_kv_cas(const char *, size_t, const char *, size_t, const char *, size_t, int64_t);
MOOT_IMPORT_(rate_take) int32_t moot_host_rate_take(const char *, size_t, int32_t, int32_t, int32_t);
MOOT_IMPORT_(emit) int32_t moot_host_emit(int32_t, const char *, size_t, const char *, size_t);
MOOT_IMPORT_(metric_add) int32_t moot_host_metric_add(const char *, size_t, int64_t);
MOOT_IMPORT_(sanction_set) int32_t moot_host_sanction_set(const char *, size_t);
MOOT_IMPORT_(sanction_pardon) int32_t moot_host_sanction_pardon(const char *, size_t);
MOOT_IMPORT_(member_remove) int32_t moot_host_member_remove(const char *, size_t, const char *, size_t, const char *, size_t);
MOOT_IMPORT_(connection_close) int32_t moot_host_connection_close(const char *, size_t, const char *, size_t);
MOOT_IMPORT_(user_set) int32_t moot_host_user_set(const char *, size_t);
MOOT_IMPORT_(message_retract) int32_t moot_host_message_retract(const char *, size_t, const char *, size_t);
MOOT_IMPORT_(message_edit) int32_t moot_host_message_edit(int32_t, const char *, size_t, const char *, size_t, const char *, size_t);

/* Reads a whole value of the host; returns 0, or an error. */
MOOT_F_ int32_t moot_fetch_(int32_t (*get)(const char *, size_t, char *, size_t), moot_str key, moot_str *value) {
    size_t size = 256;
    for (;;) {
        char *p = (char *)moot_new(size + 1);
        int32_t n = get(key.ptr, key.len, p, size);
        if (n < 0) return n;
        if ((size_t)n <= size) return *value = moot_text_of(p, (size_t)n), 0;
        size = (size_t)n;
    }
}

/* All return 0 or more on success, otherwise an error. ABI.md names the capability that
 * each needs. Times to live are in ms; 0: no expiry. */
MOOT_F_ void moot_log(int level, moot_str line) { moot_host_log(level, line.ptr, line.len); }
MOOT_F_ int32_t moot_config(moot_str key, moot_str *json) { return moot_fetch_(moot_host_config_get, key, json); }
MOOT_F_ int32_t moot_property_set(moot_str name, moot_str json) { return moot_host_property_set(name.ptr, name.len, json.ptr, json.len); }
MOOT_F_ int32_t moot_room_get(moot_str room, moot_str *json) { return moot_fetch_(moot_host_room_get, room, json); }
MOOT_F_ int32_t moot_room_create(moot_str room) { return moot_host_room_create(room.ptr, room.len); }
MOOT_F_ int32_t moot_room_destroy(moot_str room) { return moot_host_room_destroy(room.ptr, room.len); }
MOOT_F_ int32_t moot_kv_get(moot_str key, moot_str *value) { return moot_fetch_(moot_host_kv_get, key, value); }
MOOT_F_ int32_t moot_kv_set(moot_str key, moot_str value, int64_t ttl) { return moot_host_kv_set(key.ptr, key.len, value.ptr, value.len, ttl); }
/* 1 if the key existed */
MOOT_F_ int32_t moot_kv_del(moot_str key) { return moot_host_kv_del(key.ptr, key.len); }
MOOT_F_ int32_t moot_kv_add(moot_str key, int64_t delta, int64_t ttl, int64_t *sum) { return moot_host_kv_add(key.ptr, key.len, delta, ttl, sum); }
/* 1 if the key's value was old ("": absent) and is now value */
MOOT_F_ int32_t moot_kv_swap(moot_str key, moot_str old, moot_str value, int64_t ttl) {
    return moot_host_kv_cas(key.ptr, key.len, old.ptr, old.len, value.ptr, value.len, ttl);
}
/* 0 if the tokens were taken, otherwise ms until they are available */
MOOT_F_ int32_t moot_rate_take(moot_str key, int32_t tokens, int32_t per_ms, int32_t burst) { return moot_host_rate_take(key.ptr, key.len, tokens, per_ms, burst); }
/* kind: MOOT_TEXT or MOOT_JSON, plus MOOT_TO_ROOM, MOOT_TO_CONNECTION or MOOT_TO_USER */
MOOT_F_ int32_t moot_emit(int kind, moot_str to, moot_str body) { return moot_host_emit(kind, to.ptr, to.len, body.ptr, body.len); }
MOOT_F_ int32_t moot_metric_add(moot_str name, int64_t delta) { return moot_host_metric_add(name.ptr, name.len, delta); }

/* Names the user of the event's connection, at connect or an action, once the whole chain allows. MOOT_NOT_GRANTED:
 * the connection has another user, which cannot be changed. */
MOOT_F_ int32_t moot_user_set(moot_str user) { return moot_host_user_set(user.ptr, user.len); }

/* Retracts the message with this id from a room, also if the event is denied. Needs amend. */
MOOT_F_ int32_t moot_message_retract(moot_str room, moot_str id) { return moot_host_message_retract(room.ptr, room.len, id.ptr, id.len); }
/* Replaces the text of a message that is in the history of its room, also if the event is denied; kind: MOOT_TEXT or MOOT_JSON.
 * Other rules see the new text as an event with moot_edits, and may deny it. A message that a moderator has edited is not
 * changed. Needs amend. */
MOOT_F_ int32_t moot_message_edit(int kind, moot_str room, moot_str id, moot_str body) {
    return moot_host_message_edit(kind, room.ptr, room.len, id.ptr, id.len, body.ptr, body.len);
}

/* ---- a small JSON reader and writer ---- */

/* moot_json_quote returns s as a JSON string. */
MOOT_F_ moot_str moot_json_quote(moot_str s) {
    char *p = (char *)moot_new(s.len * 6 + 2), *at = p;
    *at++ = '"';
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < ' ') {
            const char *hex = "0123456789abcdef";
            char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            for (int k = 0; k < 6; k++) *at++ = escape[k];
            continue;
        }
        if (c == '"' || c == '\\') *at++ = '\\';
        *at++ = (char)c;
    }
    *at++ = '"';
    return moot_text_of(p, (size_t)(at - p));
}

MOOT_F_ bool moot_json_between_(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ',' || c == ':'; }

/* moot_json_open returns the contents of an array or object, for moot_json_next. */
MOOT_F_ moot_str moot_json_open(moot_str json) {
    size_t i = 0;
    while (i < json.len && moot_json_between_(json.ptr[i])) i++;
    return i < json.len && (json.ptr[i] == '[' || json.ptr[i] == '{') ? moot_text_of(json.ptr + i + 1, json.len - i - 1) : MOOT_S("");
}

/* moot_json_next returns the values of an array, or the alternating names and values of an
 * object, as JSON text; false after the last. */
MOOT_F_ bool moot_json_next(moot_str *rest, moot_str *item) {
    size_t from = 0, depth = 0;
    bool quoted = false;
    while (from < rest->len && moot_json_between_(rest->ptr[from])) from++;
    size_t i = from;
    for (; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (quoted) {
            if (c == '\\') i++;
            else if (c == '"') quoted = false;
        } else if (c == '"') quoted = true;
        else if (c == '[' || c == '{') depth++;
        else if (depth == 0 && (c == ']' || c == '}' || moot_json_between_(c))) break;
        else if (c == ']' || c == '}') depth--;
    }
    *item = moot_text_of(rest->ptr + from, i - from);
    *rest = moot_text_of(rest->ptr + i, rest->len - i);
    return i > from;
}

MOOT_F_ uint32_t moot_json_hex_(const char *p) {
    uint32_t n = 0;
    for (int k = 0; k < 4; k++) n = n << 4 | (uint32_t)(p[k] <= '9' ? p[k] - '0' : (p[k] | 32) - 'a' + 10);
    return n;
}

/* moot_json_text returns the text of a JSON string; ptr NULL if json is not a string. */
MOOT_F_ moot_str moot_json_text(moot_str json) {
    moot_str none = MOOT_ZERO;
    if (json.len < 2 || json.ptr[0] != '"') return none;
    char *p = (char *)moot_new(json.len), *at = p;
    for (size_t i = 1; i + 1 < json.len; i++) {
        char c = json.ptr[i];
        if (c != '\\') { *at++ = c; continue; }
        c = json.ptr[++i];
        if (c != 'u') { *at++ = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c; continue; }
        if (i + 4 >= json.len) break;
        uint32_t r = moot_json_hex_(json.ptr + i + 1);
        i += 4;
        if (r >> 10 == 0x36 && i + 6 < json.len && json.ptr[i + 1] == '\\') {
            r = 0x10000 + ((r & 0x3ff) << 10) + (moot_json_hex_(json.ptr + i + 3) & 0x3ff);
            i += 6;
        } else if (r >> 11 == 0x1b) r = 0xfffd;
        if (r < 0x80) { *at++ = (char)r; continue; }
        if (r < 0x800) *at++ = (char)(0xc0 | r >> 6);
        else {
            if (r < 0x10000) *at++ = (char)(0xe0 | r >> 12);
            else *at++ = (char)(0xf0 | r >> 18), *at++ = (char)(0x80 | (r >> 12 & 63));
            *at++ = (char)(0x80 | (r >> 6 & 63));
        }
        *at++ = (char)(0x80 | (r & 63));
    }
    return moot_text_of(p, (size_t)(at - p));
}

/* ---- sanctions and removals ---- */

/* A sanction of a user or an address, see ABI.md. kind is "mute", "shadow" or "ban"; rooms is a
 * name in which one * stands for any text, empty: all rooms; ttl is in ms, 0: no end. */
typedef struct {
    moot_str user, address, kind, rooms, reason, note;
    int64_t ttl;
} moot_sanction;

MOOT_F_ moot_str moot_sanction_json_(const moot_sanction *s) {
    char digits[24], *end = digits + sizeof digits, *p = end;
    uint64_t n = s->ttl < 0 ? -(uint64_t)s->ttl : (uint64_t)s->ttl;
    do *--p = (char)('0' + n % 10);
    while (n /= 10);
    if (s->ttl < 0) *--p = '-';
    moot_str names[] = {MOOT_S(",\"user\":"), MOOT_S(",\"address\":"), MOOT_S(",\"rooms\":"), MOOT_S(",\"reason\":"), MOOT_S(",\"note\":")};
    moot_str values[] = {s->user, s->address, s->rooms, s->reason, s->note}, parts[16];
    size_t count = 0;
    parts[count++] = MOOT_S("{\"kind\":"), parts[count++] = moot_json_quote(s->kind);
    for (size_t i = 0; i < 5; i++)
        if (values[i].len) parts[count++] = names[i], parts[count++] = moot_json_quote(values[i]);
    if (s->ttl) parts[count++] = MOOT_S(",\"ttl\":"), parts[count++] = moot_text_of(p, (size_t)(end - p));
    parts[count++] = MOOT_S("}");
    return moot_join(parts, count);
}

/* Sets a sanction of the module, also if the event is denied. Needs sanctions. */
MOOT_F_ int32_t moot_sanction_set(const moot_sanction *s) {
    moot_str json = moot_sanction_json_(s);
    return moot_host_sanction_set(json.ptr, json.len);
}
/* Removes the module's sanction of this user or address, kind and rooms. Needs sanctions. */
MOOT_F_ int32_t moot_sanction_pardon(const moot_sanction *s) {
    moot_str json = moot_sanction_json_(s);
    return moot_host_sanction_pardon(json.ptr, json.len);
}
/* Removes a connection from a room, also if the event is denied. Needs members. */
MOOT_F_ int32_t moot_member_remove(moot_str connection, moot_str room, moot_str reason) {
    return moot_host_member_remove(connection.ptr, connection.len, room.ptr, room.len, reason.ptr, reason.len);
}
/* Closes a connection, also if the event is denied. Needs members. */
MOOT_F_ int32_t moot_connection_close(moot_str connection, moot_str reason) {
    return moot_host_connection_close(connection.ptr, connection.len, reason.ptr, reason.len);
}

#endif
