/* The conformance guest: it exercises the whole SDK by executing a script, see
 * host/hosttest/CONFORMANCE.md. The same file is compiled as C and as C++. */
#include "../moot.h"

MOOT_MANIFEST(
    "{\"name\":\"conformance\",\"version\":\"1.0.0\","
    "\"hooks\":[\"connect\",\"join\",\"onSayReceive\",\"say\",\"leave\",\"disconnect\",\"action\"],"
    "\"reads\":[\"room\",\"tenant\",\"from\",\"message\",\"context\",\"cause\",\"action\",\"params\",\"messageId\",\"edits\",\"id\",\"fingerprint\",\"user\",\"transport\","
    "\"remoteIP\",\"locale\",\"connectedAt\",\"joinedAt\",\"properties.do\",\"properties.role\",\"properties.strikes\",\"properties.mood\"],"
    "\"capabilities\":[\"kv\",\"rate\",\"emit\",\"rooms\",\"properties:mood\",\"sanctions\",\"members\",\"identity\",\"amend\"],\"asks\":[\"one\",\"two\"],"
    "\"actions\":[{\"name\":\"login\",\"description\":\"logs in\",\"inputs\":{\"token\":{\"required\":true,\"description\":\"who\"}}},{\"name\":\"roll\",\"speech\":true}]}")

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static moot_str unhex(moot_str s) {
    char *p = (char *)moot_new(s.len / 2 + 1);
    for (size_t i = 0; i + 1 < s.len; i += 2) p[i / 2] = (char)(digit(s.ptr[i]) << 4 | digit(s.ptr[i + 1]));
    return moot_text_of(p, s.len / 2);
}

MOOT_INIT(config) {
    (void)config;
    moot_str reason, none = MOOT_ZERO;
    if (moot_config(MOOT_S("refuse"), &reason) == 0) return unhex(moot_json_text(reason));
    return none;
}

static int64_t number(moot_str s) {
    int64_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != '-') n = n * 10 + (s.ptr[i] - '0');
    return s.len && s.ptr[0] == '-' ? -n : n;
}

static moot_str decimal(int64_t n) {
    char *end = (char *)moot_new(24) + 24, *p = end;
    uint64_t u = n < 0 ? -(uint64_t)n : (uint64_t)n;
    do *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (n < 0) *--p = '-';
    return moot_text_of(p, (size_t)(end - p));
}

/* The output of the script so far. */
struct run {
    const moot_event *e;
    const moot_connection *c;
    const moot_answer *a; /* NULL: at a hook */
    moot_verdict v;
    moot_str lines[64];
    size_t n;
};

static void line(struct run *r, moot_str name, moot_str value) {
    moot_str parts[] = {r->n ? MOOT_S("\n") : MOOT_S(""), name, MOOT_S("="), value};
    r->lines[r->n++] = moot_join(parts, 4);
}

static void field(struct run *r, moot_str name, moot_str value) {
    if (value.len) line(r, name, value);
}

static void numeric(struct run *r, moot_str name, int64_t n) {
    if (n) line(r, name, decimal(n));
}

/* Appends a value, or the error. */
static moot_str either(int32_t code, moot_str value) {
    moot_str failed[] = {MOOT_S("!"), decimal(code)};
    return code < 0 ? moot_join(failed, 2) : value;
}

static void tell(struct run *r) {
    const moot_event *e = r->e;
    numeric(r, MOOT_S("hook"), moot_hook(e));
    field(r, MOOT_S("room"), moot_room(e));
    field(r, MOOT_S("tenant"), moot_tenant(e));
    field(r, MOOT_S("from"), moot_from(e));
    field(r, MOOT_S("message"), moot_message(e));
    numeric(r, MOOT_S("json"), moot_is_json(e));
    field(r, MOOT_S("context"), moot_context(e));
    field(r, MOOT_S("cause"), moot_cause(e));
    field(r, MOOT_S("action"), moot_action(e));
    field(r, MOOT_S("params"), moot_params(e));
    field(r, MOOT_S("messageId"), moot_message_id(e));
    field(r, MOOT_S("edits"), moot_edits(e));
    numeric(r, MOOT_S("sentAt"), moot_sent_at(e));
    numeric(r, MOOT_S("sequence"), moot_sequence(e));
    const moot_connection *c = r->c;
    field(r, MOOT_S("c.id"), moot_id(c));
    field(r, MOOT_S("c.fingerprint"), moot_fingerprint(c));
    field(r, MOOT_S("c.user"), moot_user(c));
    field(r, MOOT_S("c.transport"), moot_transport(c));
    field(r, MOOT_S("c.remoteIP"), moot_remote_ip(c));
    field(r, MOOT_S("c.tenant"), moot_conn_tenant(c));
    field(r, MOOT_S("c.locale"), moot_locale(c));
    numeric(r, MOOT_S("c.connectedAt"), moot_connected_at(c));
    numeric(r, MOOT_S("c.joinedAt"), moot_joined_at(c));
    field(r, MOOT_S("c.role"), moot_property(c, MOOT_S("role")));
    field(r, MOOT_S("c.strikes"), moot_property(c, MOOT_S("strikes")));
    field(r, MOOT_S("c.mood"), moot_property(c, MOOT_S("mood")));
    if (!r->a) return;
    field(r, MOOT_S("a.name"), moot_answer_name(r->a));
    numeric(r, MOOT_S("a.status"), moot_answer_status(r->a));
    numeric(r, MOOT_S("a.number"), moot_answer_number(r->a));
    field(r, MOOT_S("a.json"), moot_answer_json(r->a));
    field(r, MOOT_S("a.state"), moot_answer_state(r->a));
}

static moot_str random_hex(size_t n) {
    unsigned char *b = (unsigned char *)moot_new(n);
    char *p = (char *)moot_new(2 * n + 1);
    int32_t code = moot_random(b, n);
    for (size_t i = 0; i < n; i++) p[2 * i] = "0123456789abcdef"[b[i] >> 4], p[2 * i + 1] = "0123456789abcdef"[b[i] & 15];
    return either(code, moot_text_of(p, 2 * n));
}

/* The sanction of the parameters kind, user, address, rooms and, for a new one, ttl, reason and note. */
static moot_sanction sanction(moot_str *a) {
    moot_sanction s = MOOT_ZERO;
    s.kind = unhex(a[0]), s.user = unhex(a[1]), s.address = unhex(a[2]), s.rooms = unhex(a[3]);
    s.ttl = number(a[4]), s.reason = unhex(a[5]), s.note = unhex(a[6]);
    return s;
}

/* Calls a host function and returns its result; none if the operation is unknown. */
static moot_str call(struct run *r, moot_str op, moot_str *a) {
#define OP(name) moot_equal(op, MOOT_S(name))
    moot_str s = MOOT_ZERO, t0 = unhex(a[0]), t1 = unhex(a[1]);
    int64_t sum = 0;
    int32_t n = 0;
    moot_sanction one = MOOT_ZERO;
    if (OP("quote")) return moot_json_quote(t0);
    if (OP("now")) return decimal(moot_now_ms());
    if (OP("random")) return random_hex((size_t)number(a[0]));
    if (OP("config")) return n = moot_config(t0, &s), either(n, s);
    if (OP("prop")) return s = moot_property(r->c, t0), either(s.ptr ? 0 : MOOT_ABSENT, s);
    if (OP("roomget")) return n = moot_room_get(t0, &s), either(n, s);
    if (OP("get")) return n = moot_kv_get(t0, &s), either(n, s);
    if (OP("add")) return n = moot_kv_add(t0, number(a[1]), number(a[2]), &sum), either(n, decimal(sum));
    if (OP("roomsize")) n = moot_room_size();
    else if (OP("setprop")) n = moot_property_set(t0, t1);
    else if (OP("roomnew")) n = moot_room_create(t0);
    else if (OP("roomend")) n = moot_room_destroy(t0);
    else if (OP("set")) n = moot_kv_set(t0, t1, number(a[2]));
    else if (OP("del")) n = moot_kv_del(t0);
    else if (OP("cas")) n = moot_kv_swap(t0, t1, unhex(a[2]), number(a[3]));
    else if (OP("take")) n = moot_rate_take(t0, (int32_t)number(a[1]), (int32_t)number(a[2]), (int32_t)number(a[3]));
    else if (OP("emit")) n = moot_emit((int)number(a[0]), t1, unhex(a[2]));
    else if (OP("sanction")) one = sanction(a), n = moot_sanction_set(&one);
    else if (OP("pardon")) one = sanction(a), n = moot_sanction_pardon(&one);
    else if (OP("remove")) n = moot_member_remove(t0, t1, unhex(a[2]));
    else if (OP("close")) n = moot_connection_close(t0, t1);
    else if (OP("user")) n = moot_user_set(t0);
    else if (OP("retract")) n = moot_message_retract(t0, t1);
    else if (OP("edit")) n = moot_message_edit((int)number(a[0]), t1, unhex(a[2]), unhex(a[3]));
    else if (OP("count")) n = moot_metric_add(t0, number(a[1]));
    else __builtin_trap();
    return either(n, decimal(n));
}

static void rewritten(struct run *r) { r->v.answer = 2; }

static void operation(struct run *r, moot_str op, moot_str *a) {
    if (op.len == 0) return;
    if (OP("allow")) r->v = moot_allow();
    else if (OP("end")) r->v = moot_allow_end();
    else if (OP("drop")) r->v = moot_drop();
    else if (OP("hold")) r->v = moot_hold(unhex(a[1]), number(a[0]));
    else if (OP("ask")) r->v = moot_ask(unhex(a[0]), unhex(a[1])), r->v.state = unhex(a[2]);
    else if (OP("deny")) r->v = moot_deny(unhex(a[1])), r->v.code = (uint32_t)number(a[0]);
    else if (OP("fail")) __builtin_trap();
    else if (OP("text")) rewritten(r), r->v.text = unhex(a[0]), r->v.kind = 1;
    else if (OP("json")) rewritten(r), r->v.text = unhex(a[0]), r->v.kind = 2;
    else if (OP("extra")) rewritten(r), r->v.extra = unhex(a[0]);
    else if (OP("room")) rewritten(r), r->v.room = unhex(a[0]);
    else if (OP("from")) rewritten(r), r->v.from = unhex(a[0]);
    else if (OP("sentAt")) rewritten(r), r->v.sent_at = number(a[0]);
    else if (OP("reply")) r->v = moot_reply(unhex(a[0]));
    else if (OP("tell")) tell(r);
    else if (OP("log")) moot_log((int)number(a[0]), unhex(a[1]));
    else line(r, op, call(r, op, a));
}

/* Takes the next word of the script, up to a space or a semicolon; *end is that character. */
static moot_str word(moot_str *script, char *end) {
    size_t i = 0;
    while (i < script->len && script->ptr[i] != ' ' && script->ptr[i] != ';') i++;
    moot_str w = moot_text_of(script->ptr, i);
    *end = i < script->len ? script->ptr[i] : 0;
    if (i < script->len) i++;
    *script = moot_text_of(script->ptr + i, script->len - i);
    return w;
}

static moot_verdict follow(const moot_event *e, const moot_connection *c, const moot_answer *a) {
    struct run r = MOOT_ZERO;
    r.e = e, r.c = c, r.a = a, r.v = moot_allow();
    moot_str script, property = moot_property(e->connection, MOOT_S("do"));
    if (moot_config(MOOT_S("do"), &script) == 0) script = moot_json_text(script);
    else script = property.ptr ? moot_json_text(property) : moot_message(e);
    bool mine = !a;
    for (char end = ';'; end;) {
        moot_str args[8] = MOOT_ZERO, op = word(&script, &end);
        for (int i = 0; end == ' '; i++) args[i] = word(&script, &end);
        if (OP("id")) mine = moot_equal(unhex(args[0]), moot_id(c));
        else if (OP("answered")) mine = a && moot_answer_number(a) == number(args[0]);
        else if (mine) operation(&r, op, args);
    }
    if (r.n == 0) return r.v;
    moot_str said = moot_join(r.lines, r.n), reply[] = {MOOT_S("{\"said\":"), moot_json_quote(said), MOOT_S("}")};
    switch (moot_hook(e)) {
    case MOOT_ON_SAY_RECEIVE_HOOK: case MOOT_SAY: return moot_rewrite_text(said);
    case MOOT_ACTION: return moot_reply(moot_join(reply, 3));
    }
    return moot_deny(said);
}

MOOT_ON_CONNECT(e) { return follow(e, e->connection, NULL); }
MOOT_ON_JOIN(e) { return follow(e, e->connection, NULL); }
MOOT_ON_SAY_RECEIVE(e) { return follow(e, e->connection, NULL); }
MOOT_ON_SAY(e, receiver) { return follow(e, receiver, NULL); }
MOOT_ON_LEAVE(e) { return follow(e, e->connection, NULL); }
MOOT_ON_DISCONNECT(e) { return follow(e, e->connection, NULL); }
MOOT_ON_ACTION(e) { return follow(e, e->connection, NULL); }
MOOT_ON_ANSWER(e, answer) { return follow(e, e->connection, answer); }
