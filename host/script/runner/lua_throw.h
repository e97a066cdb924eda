// Lua without setjmp: an error ends the instance. See lua.c.
#ifndef LUA_THROW_H
#define LUA_THROW_H

struct lua_State;
_Noreturn void moot_lua_throw(struct lua_State *);

#define LUAI_THROW(l, c) moot_lua_throw(l)
#define LUAI_TRY(l, c, a) { a }
#define luai_jmpbuf int

#endif
