package script

import (
	"fmt"
	"strings"
	"testing"
)

// uses returns the uses of a script as text.
func uses(t *testing.T, file, source string) string {
	t.Helper()
	p, err := compiler(Self()).Compile(t.Context(), file, []byte(source))
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	var list []string
	for _, u := range p.Uses {
		list = append(list, fmt.Sprintf("%s %d:%d", u.Capability, u.Line, u.Column))
	}
	if strings.Contains(string(p.Text), "moot$") || strings.Contains(string(p.Text), setProperty+"$") {
		t.Errorf("%s is translated to %s", source, p.Text)
	}
	return strings.Join(list, ", ")
}

func TestUsesOfCapabilitiesInJavaScript(t *testing.T) {
	for source, want := range map[string]string{
		"moot.on('join', () => {\n  const n = moot.kv.add('n');\n  moot.kv.get('n');\n});":                                        "kv 2:13",
		"const { kv, rate: { take }, deny = 1, \"emit\": say } = moot;":                                                           "emit 1:55, rate 1:55, kv 1:55",
		"const { deny, reply } = moot;":                                                                                           "",
		"moot?.rooms?.get('r'); moot['kv'].get('k'); globalThis.moot.rate.take('k', {});":                                         "rooms 1:1, kv 1:24, rate 1:45",
		"/* moot.kv */ // moot.rate\n\"moot.emit\"; `moot.rooms ${moot.emit}`; /moot.kv/;":                                        "emit 2:28",
		"const x = { moot: { kv: 1 } }; x.moot.kv; x.kv; let rate = moot.config.rate;":                                            "",
		"function f(moot) { return moot.kv; }":                                                                                    "",
		"const m = moot; m.kv.get('k'); moot[m].get('k'); const v = 'v'; moot['k' + v];":                                          "", // computed: fails when it is used
		"let s = 'é🙂'; moot.kv.get(s);":                                                                                           "kv 1:16",
		"moot.on('join', (e, c) => {\n  c.setProperty('role', 1);\n  c.setProperty(e.room, 2);\n  c?.setProperty(\"mood\");\n});": "properties:role 2:5, properties 3:5, properties:mood 4:6",
		"c.setProperty('a,b', 1); c.setProperty('a' + x, 1); c.setProperty(`a`, 2);":                                              "properties 1:3",
		"class Card { setProperty() {} } new Card().setProperty('role', 1);":                                                      "",
		"const set = c.setProperty; c.setProperty('role', 1);":                                                                    "",
	} {
		if got := uses(t, "rule.js", source); got != want {
			t.Errorf("%s\nuses %q, want %q", source, got, want)
		}
	}
	if got := uses(t, "rule.ts", "interface A { kv: number }\nconst a: A = { kv: 1 };\n\nmoot.on('join', (): void => void moot.kv.get(`${a.kv}`));"); got != "kv 4:34" {
		t.Errorf("in TypeScript: %q", got)
	}
}

func TestUsesOfCapabilitiesInLua(t *testing.T) {
	for source, want := range map[string]string{
		"moot.on('join', function(e)\n  return moot.kv.get('n')\nend)":    "kv 2:10",
		"local kv = moot.kv\nlocal t = moot [ \"rate\" ]\n_G.moot.emit{}": "kv 1:12, rate 2:11, emit 3:4",
		"moot\n.rooms.get('x')": "rooms 1:1",
		"-- moot.kv\n--[[ moot.kv\n]] --[==[ moot.rate ]] ]==] local s = 'moot.kv' .. \"\\\"moot.kv\" .. [[\nmoot.kv]] .. [=[]] moot.kv]=]\nmoot.emit{}": "emit 5:1",
		"local x = { moot = { kv = 1 } }; local y = x.moot.kv, x:moot().kv, moot.config.kv":                                                              "",
		"local name = 'kv'; moot[name].get('k')": "",
		"moot.on('join', function(e, c) c:setProperty('role', 1); c:setProperty(e.room, 2); c:setProperty[[mood]] end)": "properties:role 1:34, properties 1:60, properties:mood 1:86",
		"c:setProperty('a' .. x, 1)": "properties 1:3",
		"local card = {}; function card:setProperty() end; card:setProperty('role')":                             "",
		"local set = c.setProperty; c:setProperty('role')":                                                       "",
		"local function f(a, moot) return moot.kv end; moot.rate.take('x')":                                      "rate 1:47",
		"moot.on('join', function(moot) if moot.kv then return function() return moot.emit end end end) moot.kv": "kv 1:96",
		"do local x, moot <const> = 1, {}; moot.kv = 1 end moot.kv.get('x')":                                     "kv 1:51",
		"local a <const>, moot = 1; moot.kv.get('x'); _G.moot.rate.take('x')":                                    "rate 1:49",
		"local moot = moot\nmoot.kv.get('x')":                                                                    "kv 2:1",
		"local moot = moot.config; return moot.kv":                                                               "",
		"for moot, v in pairs(t) do v = moot.kv end for i, moot = 1, 2 do i = moot.kv end moot.emit{}":           "emit 1:82",
		"while x do if y then local moot = 1 elseif moot.kv then x = 1 else moot.emit{} end end moot.rate.x()":   "kv 1:44, emit 1:68, rate 1:88",
		"repeat local moot = {} until moot.kv; local x = moot.emit":                                              "emit 1:49",
		"local function moot() end moot.kv = 1":                                                                  "",
		"local x = { ['end'] = 1 }; function x.f(moot) end; x.function_(moot.kv)":                                "kv 1:64",
		"moot.kv": "kv 1:1", "moot": "", "moot.": "", "c:setProperty": "properties 1:3", "[==": "", "'moot.kv": "", "--[[ moot.kv": "",
	} {
		if got := uses(t, "rule.lua", source); got != want {
			t.Errorf("%s\nuses %q, want %q", source, got, want)
		}
	}
}

// FuzzLuaTokens checks that each token of a script of any bytes is in the script at the token's line and column.
func FuzzLuaTokens(f *testing.F) {
	for _, seed := range []string{"moot.kv['x'] --[[", "[==[ ]] ]==]", "\"\\", "[=", "c:setProperty(", "a\n\n--\nb", "'\n'"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		lines := strings.Split(string(source), "\n")
		for _, token := range luaTokens(source) {
			rest := lines[token.line-1][token.column-1:]
			if token.kind != luaString && !strings.HasPrefix(rest, token.text) {
				t.Errorf("%q has the token %q at %d:%d", source, token.text, token.line, token.column)
			}
		}
		luaUses(source)
	})
}
