// QuickJS, with a function that needs its stack frames, which quickjs.h does not declare.
#include "quickjs.c"

// script_line returns the line at which the innermost function of a file is; 0 if none runs. It reads cur_pc, which build.sh has
// QuickJS set at the begin of a function and at each jump, so that it is right when the host has stopped a loop.
int script_line(JSContext *ctx, const char *file) {
    for (JSStackFrame *f = ctx->rt->current_stack_frame; f; f = f->prev_frame) {
        JSObject *function = JS_VALUE_GET_OBJ(f->cur_func);
        if (!js_class_has_bytecode(function->class_id)) continue;
        JSFunctionBytecode *b = function->u.func.function_bytecode;
        char name[ATOM_GET_STR_BUF_SIZE];
        if (!b->has_debug || strcmp(JS_AtomGetStr(ctx, name, sizeof name, b->debug.filename), file)) continue;
        int line = find_line_num(ctx, b, (uint32_t)(f->cur_pc - b->byte_code_buf - 1));
        return line > 0 ? line : b->debug.line_num; // a function of one line has no table of lines
    }
    return 0;
}
