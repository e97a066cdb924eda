/* {{.Name}} is a Moot module. */
#include "moot.h"

MOOT_MANIFEST("{\"name\":\"{{.Name}}\",\"reads\":[\"message\"],"
              "\"config\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"mark\":{\"type\":\"string\",\"default\":\"!\"}}}}")

static moot_str mark;

MOOT_INIT(config) {
    (void)config;
    moot_str json, none = MOOT_ZERO;
    mark = MOOT_S("!");
    if (moot_config(MOOT_S("mark"), &json) != 0) return none;
    mark = moot_json_text(json);
    return mark.ptr ? none : MOOT_S("mark: must be a text");
}

static bool blank(moot_str s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != ' ') return false;
    return true;
}

MOOT_ON_SAY_RECEIVE(e) {
    if (blank(moot_message(e))) return moot_deny(MOOT_S("say something"));
    moot_str parts[] = {moot_message(e), mark};
    return moot_rewrite_text(moot_join(parts, 2));
}
