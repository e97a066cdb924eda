// {{.Name}} is a Moot module.
#include "moot.h"

MOOT_MANIFEST(R"({"name":"{{.Name}}","reads":["message"],
"config":{"type":"object","additionalProperties":false,"properties":{"mark":{"type":"string","default":"!"}}}})")

static moot_str mark = "!";

MOOT_INIT(config) {
    (void)config;
    moot_str json;
    if (moot_config("mark", &json) != 0) return {};
    mark = moot_json_text(json);
    return mark ? moot_str() : "mark: must be a text";
}

static bool blank(moot_str s) {
    for (char c : s)
        if (c != ' ') return false;
    return true;
}

MOOT_ON_SAY_RECEIVE(e) {
    if (blank(e->message())) return moot_deny("say something");
    moot_str parts[] = {e->message(), mark};
    return moot_rewrite_text(moot_join(parts, 2));
}
