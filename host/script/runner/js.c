// The runner of JavaScript: QuickJS with the guest ABI. prelude.js defines the API of scripts; this file defines what
// needs C, the object that prelude.js calls native.
#include "guest.h"
#include "quickjs.h"

int script_line(JSContext *, const char *file); // see line.c

static const char prelude[] =
#include "prelude_js.h"
    ;

static JSContext *js;
static JSValue begin_fn, manifest_fn, ask_fn, answer_fn;

typedef struct { const char *p; size_t len; } text;

static text text_of(JSValueConst value) {
    text t;
    t.p = JS_ToCStringLen(js, &t.len, value);
    if (!t.p) t.len = 0;
    return t;
}
static void let_go(text t) { if (t.p) JS_FreeCString(js, t.p); }
static int32_t int_of(JSValueConst value) { int32_t n = 0; JS_ToInt32(js, &n, value); return n; }
static int64_t int64_of(JSValueConst value) { int64_t n = 0; JS_ToInt64(js, &n, value); return n; }

#define NATIVE(name) static JSValue name(JSContext *c, JSValueConst self, int argc, JSValueConst *argv)
#define TEXTS1(a) text a = text_of(argv[0])
#define TEXTS2(a, b) text a = text_of(argv[0]), b = text_of(argv[1])
#define DONE1(n, a) do { int32_t n_ = (n); let_go(a); return JS_NewInt32(c, n_); } while (0)
#define DONE2(n, a, b) do { int32_t n_ = (n); let_go(a); let_go(b); return JS_NewInt32(c, n_); } while (0)

// Fields of the event.
NATIVE(n_hook) { return JS_NewInt32(c, u16(frame + FRAME_HOOK)); }
NATIVE(n_is_json) { return JS_NewBool(c, u32(frame + FRAME_FLAGS) & 1); }
NATIVE(n_receivers) { return JS_NewInt32(c, u32(frame + FRAME_RECEIVERS)); }
NATIVE(n_connected) { return JS_NewBool(c, blob_at(1) != NULL); }
NATIVE(n_field) {
    size_t len = 0;
    const char *p = field_of(blob_at(int_of(argv[0])), int_of(argv[1]), &len);
    return p ? JS_NewStringLen(c, p, len) : JS_UNDEFINED;
}
NATIVE(n_time) {
    const char *blob = blob_at(int_of(argv[0]));
    uint64_t ms = blob ? u64(blob + int_of(argv[1])) : 0;
    return ms ? JS_NewInt64(c, (int64_t)ms) : JS_UNDEFINED;
}
NATIVE(n_property) {
    int conn = int_of(argv[0]), n;
    text name = text_of(argv[1]);
    BUFFERED(n, moot_property_get(conn, name.p, name.len, buffer, buffer_size));
    let_go(name);
    return n < 0 ? JS_UNDEFINED : JS_NewStringLen(c, buffer, n);
}

// The answer.
NATIVE(n_put) {
    text t = text_of(argv[1]);
    if (t.len) put_text(frame + int_of(argv[0]), t.p, t.len);
    let_go(t);
    return JS_UNDEFINED;
}
NATIVE(n_put_number) { put32(frame + int_of(argv[0]), int_of(argv[1])); return JS_UNDEFINED; }
NATIVE(n_put_ttl) { put64(frame + RESULT_TTL, int64_of(argv[0])); return JS_UNDEFINED; }
NATIVE(n_put_time) { put64(frame + RESULT_SENT_AT, int64_of(argv[0])); return JS_UNDEFINED; }
NATIVE(n_verdict) { frame[u32(frame + FRAME_VERDICTS) + int_of(argv[0])] = int_of(argv[1]); return JS_UNDEFINED; }
NATIVE(n_variant) {
    text message = text_of(argv[1]), extra = text_of(argv[2]);
    DONE2(add_variant(int_of(argv[0]), message.p, message.len, extra.p, extra.len), message, extra);
}

// Host functions.
NATIVE(n_log) { text t = text_of(argv[1]); moot_log(int_of(argv[0]), t.p, t.len); let_go(t); return JS_UNDEFINED; }
NATIVE(n_random) {
    uint64_t n;
    moot_random(&n, sizeof n);
    return JS_NewFloat64(c, (double)(n >> 11) / 9007199254740992.0); // 53 bits: the precision of a number
}
NATIVE(n_set_property) { TEXTS2(k, v); DONE2(moot_property_set(k.p, k.len, v.p, v.len), k, v); }
NATIVE(n_room_size) { return JS_NewInt32(c, moot_room_size()); }
NATIVE(n_room_create) { TEXTS1(r); DONE1(moot_room_create(r.p, r.len), r); }
NATIVE(n_room_destroy) { TEXTS1(r); DONE1(moot_room_destroy(r.p, r.len), r); }
NATIVE(n_room_get) {
    TEXTS1(r);
    int n;
    BUFFERED(n, moot_room_get(r.p, r.len, buffer, buffer_size));
    let_go(r);
    return n < 0 ? JS_NewInt32(c, n) : JS_NewStringLen(c, buffer, n);
}
NATIVE(n_kv_get) {
    TEXTS1(k);
    int n;
    BUFFERED(n, moot_kv_get(k.p, k.len, buffer, buffer_size));
    let_go(k);
    return n < 0 ? JS_NewInt32(c, n) : JS_NewStringLen(c, buffer, n);
}
NATIVE(n_kv_set) { TEXTS2(k, v); DONE2(moot_kv_set(k.p, k.len, v.p, v.len, int64_of(argv[2])), k, v); }
NATIVE(n_kv_del) { TEXTS1(k); DONE1(moot_kv_del(k.p, k.len), k); }
NATIVE(n_kv_add) {
    TEXTS1(k);
    int64_t sum = 0;
    int n = moot_kv_add(k.p, k.len, int64_of(argv[1]), int64_of(argv[2]), &sum);
    let_go(k);
    if (n >= 0) return JS_NewInt64(c, sum);
    JSValue failed = JS_NewInt32(c, n);
    return JS_Call(c, argv[3], JS_UNDEFINED, 1, &failed); // throws
}
NATIVE(n_kv_swap) {
    text k = text_of(argv[0]), old = text_of(argv[1]), v = text_of(argv[2]);
    int n = moot_kv_cas(k.p, k.len, old.p, old.len, v.p, v.len, int64_of(argv[3]));
    let_go(old);
    DONE2(n, k, v);
}
NATIVE(n_take) { TEXTS1(k); DONE1(moot_rate_take(k.p, k.len, int_of(argv[1]), int_of(argv[2]), int_of(argv[3])), k); }
NATIVE(n_emit) { text to = text_of(argv[1]), m = text_of(argv[2]); DONE2(moot_emit(int_of(argv[0]), to.p, to.len, m.p, m.len), to, m); }
NATIVE(n_count) { TEXTS1(m); DONE1(moot_metric_add(m.p, m.len, int64_of(argv[1])), m); }
NATIVE(n_sanction_set) { TEXTS1(s); DONE1(moot_sanction_set(s.p, s.len), s); }
NATIVE(n_sanction_pardon) { TEXTS1(s); DONE1(moot_sanction_pardon(s.p, s.len), s); }
NATIVE(n_member_remove) {
    text to = text_of(argv[0]), room = text_of(argv[1]), reason = text_of(argv[2]);
    int n = moot_member_remove(to.p, to.len, room.p, room.len, reason.p, reason.len);
    let_go(reason);
    DONE2(n, to, room);
}
NATIVE(n_connection_close) { TEXTS2(to, reason); DONE2(moot_connection_close(to.p, to.len, reason.p, reason.len), to, reason); }
NATIVE(n_user_set) { TEXTS1(u); DONE1(moot_user_set(u.p, u.len), u); }
NATIVE(n_message_retract) { TEXTS2(room, id); DONE2(moot_message_retract(room.p, room.len, id.p, id.len), room, id); }
NATIVE(n_message_edit) {
    text room = text_of(argv[1]), id = text_of(argv[2]), m = text_of(argv[3]);
    int n = moot_message_edit(int_of(argv[0]), room.p, room.len, id.p, id.len, m.p, m.len);
    let_go(m);
    DONE2(n, room, id);
}

NATIVE(n_declare) { TEXTS1(m); set_manifest(m.p, m.len); let_go(m); return JS_UNDEFINED; }

static const struct { const char *name; JSCFunction *fn; int args; } natives[] = {
    {"hook", n_hook, 0}, {"isJSON", n_is_json, 0}, {"receivers", n_receivers, 0}, {"connected", n_connected, 0},
    {"field", n_field, 2}, {"time", n_time, 2}, {"property", n_property, 2},
    {"put", n_put, 2}, {"putNumber", n_put_number, 2}, {"putTime", n_put_time, 1}, {"putTTL", n_put_ttl, 1}, {"verdict", n_verdict, 2}, {"variant", n_variant, 3},
    {"log", n_log, 2}, {"random", n_random, 0}, {"setProperty", n_set_property, 2},
    {"roomSize", n_room_size, 0}, {"roomGet", n_room_get, 1}, {"roomCreate", n_room_create, 1}, {"roomDestroy", n_room_destroy, 1},
    {"kvGet", n_kv_get, 1}, {"kvSet", n_kv_set, 3}, {"kvDel", n_kv_del, 1}, {"kvAdd", n_kv_add, 4}, {"kvSwap", n_kv_swap, 4},
    {"take", n_take, 4}, {"emit", n_emit, 3}, {"count", n_count, 2},
    {"declare", n_declare, 1},
    {"sanctionSet", n_sanction_set, 1}, {"sanctionPardon", n_sanction_pardon, 1}, {"memberRemove", n_member_remove, 3},
    {"connectionClose", n_connection_close, 2}, {"userSet", n_user_set, 1},
    {"messageRetract", n_message_retract, 2}, {"messageEdit", n_message_edit, 4},
};

// failed takes the pending exception and formats it with the place where it was thrown.
static void failed(void) {
    JSValue thrown = JS_GetException(js), stack = JS_UNDEFINED;
    if (JS_IsError(js, thrown)) stack = JS_GetPropertyStr(js, thrown, "stack");
    text what = text_of(thrown), where = JS_IsString(stack) ? text_of(stack) : (text){NULL, 0};
    free(reason);
    reason = malloc(what.len + where.len + 32);
    reason_len = 0;
    if (!reason) return;
    reason_len = (size_t)sprintf(reason, "%.*s", what.p ? (int)what.len : 22, what.p ? what.p : "an error without words");
    if (where.len) reason_len += (size_t)sprintf(reason + reason_len, "\n%.*s", (int)where.len, where.p);
    while (reason_len && reason[reason_len - 1] == '\n') reason_len--;
    let_go(what);
    let_go(where);
    JS_FreeValue(js, stack);
    JS_FreeValue(js, thrown);
}

static int line_of_script(void) { return script_line(js, script_name); }

static int refuse(void) { failed(); return 1; }

__attribute__((constructor)) static void boot(void) {
    JSRuntime *runtime = JS_NewRuntime();
    JS_SetMaxStackSize(runtime, 192 * 1024);
    js = JS_NewContext(runtime);
    JSValue make = JS_Eval(js, prelude, sizeof prelude - 1, "moot", JS_EVAL_TYPE_GLOBAL), native = JS_NewObject(js);
    for (size_t i = 0; i < sizeof natives / sizeof *natives; i++)
        JS_SetPropertyStr(js, native, natives[i].name, JS_NewCFunction(js, natives[i].fn, natives[i].name, natives[i].args));
    JSValue api = JS_Call(js, make, JS_UNDEFINED, 1, &native);
    if (JS_IsException(api)) __builtin_trap();
    begin_fn = JS_GetPropertyStr(js, api, "begin");
    manifest_fn = JS_GetPropertyStr(js, api, "manifest");
    ask_fn = JS_GetPropertyStr(js, api, "ask");
    answer_fn = JS_GetPropertyStr(js, api, "answer");
    JS_FreeValue(js, make);
    JS_FreeValue(js, native);
    JS_FreeValue(js, api);
}

// moot_init runs the script.
EXPORT("moot_init") int moot_init(int minor, const char *p, size_t len) {
    (void)minor;
    JSValue config = JS_NewStringLen(js, p, len), ran = JS_Call(js, begin_fn, JS_UNDEFINED, 1, &config);
    JS_FreeValue(js, config);
    if (JS_IsException(ran)) return refuse();
    ran = JS_Eval(js, script, script_len, script_name, JS_EVAL_TYPE_GLOBAL);
    if (JS_IsException(ran)) return refuse();
    JS_FreeValue(js, ran);
    JSValue name = JS_NewString(js, script_name), made = JS_Call(js, manifest_fn, JS_UNDEFINED, 1, &name);
    JS_FreeValue(js, name);
    if (JS_IsException(made)) return refuse();
    text t = text_of(made);
    set_manifest(t.p, t.len);
    let_go(t);
    JS_FreeValue(js, made);
    free(script);
    return 0;
}

static int ask(char *f) {
    begin(f);
    JSValue answer = JS_Call(js, answering ? answer_fn : ask_fn, JS_UNDEFINED, 0, NULL);
    if (JS_IsException(answer)) {
        failed();
        fprintf(stderr, "%.*s\n", (int)reason_len, reason); // the host puts it into its error
        fflush(stderr);
        return GUEST_ERROR;
    }
    int n = int_of(answer);
    JS_FreeValue(js, answer);
    JSContext *c;
    while (JS_ExecutePendingJob(JS_GetRuntime(js), &c) > 0) {} // pending jobs of the script, such as the then of a promise
    return n;
}
