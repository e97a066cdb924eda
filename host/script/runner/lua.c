// The runner of Lua 5.4 with the guest ABI. prelude.lua defines the API of scripts; this file defines what needs C, the
// table that prelude.lua calls native. A guest has no exceptions: any error, caught or not, ends the instance, and there
// are no coroutines.
#include "guest.h"
#include "lauxlib.h"
#include "lualib.h"

#include <time.h>

static const char prelude[] =
#include "prelude_lua.h"
    ;

static lua_State *state;
static int begin_fn, manifest_fn, ask_fn, answer_fn, traceback_fn;

#define NATIVE(name) static int name(lua_State *l)
#define TEXT(a, i) size_t a##_len; const char *a = luaL_checklstring(l, i, &a##_len)
#define INT(i) luaL_checkinteger(l, i)
#define GIVE(n) do { lua_pushinteger(l, n); return 1; } while (0)

static int give_text(lua_State *l, const char *p, size_t len) { lua_pushlstring(l, p, len); return 1; }

// Fields of the event.
NATIVE(n_hook) { GIVE(u16(frame + FRAME_HOOK)); }
NATIVE(n_is_json) { lua_pushboolean(l, u32(frame + FRAME_FLAGS) & 1); return 1; }
NATIVE(n_receivers) { GIVE(u32(frame + FRAME_RECEIVERS)); }
NATIVE(n_connected) { lua_pushboolean(l, blob_at(1) != NULL); return 1; }
NATIVE(n_field) {
    size_t len = 0;
    const char *p = field_of(blob_at(INT(1)), INT(2), &len);
    return p ? give_text(l, p, len) : 0;
}
NATIVE(n_time) {
    const char *blob = blob_at(INT(1));
    uint64_t ms = blob ? u64(blob + INT(2)) : 0;
    if (!ms) return 0;
    GIVE((lua_Integer)ms);
}
NATIVE(n_property) {
    TEXT(name, 2);
    int n;
    BUFFERED(n, moot_property_get(INT(1), name, name_len, buffer, buffer_size));
    return n < 0 ? 0 : give_text(l, buffer, n);
}

// The answer.
NATIVE(n_put) { TEXT(t, 2); if (t_len) put_text(frame + INT(1), t, t_len); return 0; }
NATIVE(n_put_number) { put32(frame + INT(1), INT(2)); return 0; }
NATIVE(n_put_ttl) { put64(frame + RESULT_TTL, INT(1)); return 0; }
NATIVE(n_put_time) { put64(frame + RESULT_SENT_AT, INT(1)); return 0; }
NATIVE(n_verdict) { frame[u32(frame + FRAME_VERDICTS) + INT(1)] = INT(2); return 0; }
NATIVE(n_variant) { TEXT(m, 2); TEXT(e, 3); GIVE(add_variant(INT(1), m, m_len, e, e_len)); }

// Host functions.
NATIVE(n_log) { TEXT(t, 2); moot_log(INT(1), t, t_len); return 0; }
NATIVE(n_now) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    GIVE((lua_Integer)t.tv_sec * 1000 + t.tv_nsec / 1000000);
}
NATIVE(n_random) {
    lua_Integer n = 0;
    moot_random(&n, sizeof n);
    GIVE(n);
}
NATIVE(n_set_property) { TEXT(k, 1); TEXT(v, 2); GIVE(moot_property_set(k, k_len, v, v_len)); }
NATIVE(n_room_size) { GIVE(moot_room_size()); }
NATIVE(n_room_create) { TEXT(r, 1); GIVE(moot_room_create(r, r_len)); }
NATIVE(n_room_destroy) { TEXT(r, 1); GIVE(moot_room_destroy(r, r_len)); }
NATIVE(n_room_get) {
    TEXT(r, 1);
    int n;
    BUFFERED(n, moot_room_get(r, r_len, buffer, buffer_size));
    if (n < 0) GIVE(n);
    return give_text(l, buffer, n);
}
NATIVE(n_kv_get) {
    TEXT(k, 1);
    int n;
    BUFFERED(n, moot_kv_get(k, k_len, buffer, buffer_size));
    if (n < 0) GIVE(n);
    return give_text(l, buffer, n);
}
NATIVE(n_kv_set) { TEXT(k, 1); TEXT(v, 2); GIVE(moot_kv_set(k, k_len, v, v_len, INT(3))); }
NATIVE(n_kv_del) { TEXT(k, 1); GIVE(moot_kv_del(k, k_len)); }
NATIVE(n_kv_add) {
    TEXT(k, 1);
    int64_t sum = 0;
    lua_pushinteger(l, moot_kv_add(k, k_len, INT(2), INT(3), &sum));
    lua_pushinteger(l, sum);
    return 2;
}
NATIVE(n_kv_swap) { TEXT(k, 1); TEXT(o, 2); TEXT(v, 3); GIVE(moot_kv_cas(k, k_len, o, o_len, v, v_len, INT(4))); }
NATIVE(n_take) { TEXT(k, 1); GIVE(moot_rate_take(k, k_len, INT(2), INT(3), INT(4))); }
NATIVE(n_emit) { TEXT(to, 2); TEXT(m, 3); GIVE(moot_emit(INT(1), to, to_len, m, m_len)); }
NATIVE(n_count) { TEXT(m, 1); GIVE(moot_metric_add(m, m_len, INT(2))); }
NATIVE(n_sanction_set) { TEXT(s, 1); GIVE(moot_sanction_set(s, s_len)); }
NATIVE(n_sanction_pardon) { TEXT(s, 1); GIVE(moot_sanction_pardon(s, s_len)); }
NATIVE(n_member_remove) { TEXT(to, 1); TEXT(room, 2); TEXT(reason, 3); GIVE(moot_member_remove(to, to_len, room, room_len, reason, reason_len)); }
NATIVE(n_connection_close) { TEXT(to, 1); TEXT(reason, 2); GIVE(moot_connection_close(to, to_len, reason, reason_len)); }
NATIVE(n_user_set) { TEXT(u, 1); GIVE(moot_user_set(u, u_len)); }
NATIVE(n_message_retract) { TEXT(room, 1); TEXT(id, 2); GIVE(moot_message_retract(room, room_len, id, id_len)); }
NATIVE(n_message_edit) { TEXT(room, 2); TEXT(id, 3); TEXT(m, 4); GIVE(moot_message_edit(INT(1), room, room_len, id, id_len, m, m_len)); }

NATIVE(n_declare) { TEXT(m, 1); set_manifest(m, m_len); return 0; }

static const luaL_Reg natives[] = {
    {"hook", n_hook}, {"isJSON", n_is_json}, {"receivers", n_receivers}, {"connected", n_connected}, {"field", n_field},
    {"time", n_time}, {"property", n_property},
    {"put", n_put}, {"putNumber", n_put_number}, {"putTime", n_put_time}, {"putTTL", n_put_ttl}, {"verdict", n_verdict}, {"variant", n_variant},
    {"log", n_log}, {"now", n_now}, {"random", n_random}, {"setProperty", n_set_property},
    {"roomSize", n_room_size}, {"roomGet", n_room_get}, {"roomCreate", n_room_create}, {"roomDestroy", n_room_destroy},
    {"kvGet", n_kv_get}, {"kvSet", n_kv_set}, {"kvDel", n_kv_del}, {"kvAdd", n_kv_add}, {"kvSwap", n_kv_swap},
    {"take", n_take}, {"emit", n_emit}, {"count", n_count},
    {"declare", n_declare},
    {"sanctionSet", n_sanction_set}, {"sanctionPardon", n_sanction_pardon}, {"memberRemove", n_member_remove},
    {"connectionClose", n_connection_close}, {"userSet", n_user_set},
    {"messageRetract", n_message_retract}, {"messageEdit", n_message_edit}, {NULL, NULL},
};

// Libraries without files, without the loading of compiled code, and without coroutines.
static const luaL_Reg libraries[] = {
    {LUA_GNAME, luaopen_base}, {LUA_TABLIBNAME, luaopen_table}, {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},
    {LUA_UTF8LIBNAME, luaopen_utf8}, {NULL, NULL},
};
static const char *const unsafe[] = {"dofile", "loadfile", "load", "collectgarbage"};

// moot_lua_throw is Lua's throw. The value on top of the stack is the error; it is the last output of the instance.
_Noreturn void moot_lua_throw(lua_State *l) {
    size_t len = 0;
    const char *why = lua_type(l, -1) == LUA_TSTRING ? lua_tolstring(l, -1, &len) : NULL;
    fprintf(stderr, "%.*s\n", why ? (int)len : 22, why ? why : "an error without words");
    fflush(stderr);
    __builtin_trap();
}

static int panic(lua_State *l) { moot_lua_throw(l); }

__attribute__((constructor)) static void boot(void) {
    state = luaL_newstate();
    lua_atpanic(state, panic);
    for (const luaL_Reg *lib = libraries; lib->func; lib++) {
        luaL_requiref(state, lib->name, lib->func, 1);
        lua_pop(state, 1);
    }
    for (size_t i = 0; i < sizeof unsafe / sizeof *unsafe; i++) {
        lua_pushnil(state);
        lua_setglobal(state, unsafe[i]);
    }
    luaL_loadbufferx(state, prelude, sizeof prelude - 1, "=moot", "t");
    luaL_newlib(state, natives);
    lua_call(state, 1, 1);
    lua_getfield(state, 1, "begin");
    begin_fn = luaL_ref(state, LUA_REGISTRYINDEX);
    lua_getfield(state, 1, "manifest");
    manifest_fn = luaL_ref(state, LUA_REGISTRYINDEX);
    lua_getfield(state, 1, "ask");
    ask_fn = luaL_ref(state, LUA_REGISTRYINDEX);
    lua_getfield(state, 1, "answer");
    answer_fn = luaL_ref(state, LUA_REGISTRYINDEX);
    lua_settop(state, 0);
}

// line_of_script reads the positions of the calls, which build.sh has Lua save at each jump.
static int line_of_script(void) {
    lua_Debug call;
    for (int level = 0; lua_getstack(state, level, &call); level++)
        if (lua_getinfo(state, "Sl", &call) && !strcmp(call.source + 1, script_name)) return call.currentline;
    return 0;
}

static int refuse(void) {
    reason = (char *)lua_tolstring(state, -1, &reason_len); // stays on the stack
    return 1;
}

// moot_init runs the script.
EXPORT("moot_init") int moot_init(int minor, const char *p, size_t len) {
    (void)minor;
    lua_rawgeti(state, LUA_REGISTRYINDEX, begin_fn);
    lua_pushlstring(state, p, len);
    lua_call(state, 1, 0);
    char name[256];
    snprintf(name, sizeof name, "=%s", script_name);
    if (luaL_loadbufferx(state, script, script_len, name, "t")) return refuse();
    free(script);
    lua_call(state, 0, 0);
    lua_rawgeti(state, LUA_REGISTRYINDEX, manifest_fn);
    lua_pushstring(state, script_name);
    lua_call(state, 1, 1);
    size_t made_len;
    const char *made = lua_tolstring(state, -1, &made_len);
    set_manifest(made, made_len);
    lua_settop(state, 0);
    return 0;
}

static int ask(char *f) {
    begin(f);
    lua_rawgeti(state, LUA_REGISTRYINDEX, answering ? answer_fn : ask_fn);
    lua_call(state, 0, 1);
    int n = (int)lua_tointeger(state, -1);
    lua_settop(state, 0);
    return n;
}
