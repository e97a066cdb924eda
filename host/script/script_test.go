package script

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func TestErrorWithoutRunners(t *testing.T) {
	for file, language := range map[string]string{"a.js": "JavaScript", "a.ts": "TypeScript", "a.lua": "Lua"} {
		c := compiler(nil)
		c.runners = fstest.MapFS{}
		_, err := c.Compile(t.Context(), file, nil)
		if !errors.Is(err, ErrNoRunner) || !strings.Contains(err.Error(), language) || !strings.Contains(err.Error(), "make runners") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestLuaSkipsByteOrderMarkAndShebang(t *testing.T) {
	for text, want := range map[string]string{
		"\ufeffx = 1": "x = 1", "#!/usr/bin/lua\nx = 1": "--#!/usr/bin/lua\nx = 1", "\ufeff#!lua\nx = 1": "--#!lua\nx = 1", "x = #y": "x = #y",
	} {
		p, err := compiler(nil).Compile(t.Context(), "rule.lua", []byte(text))
		if err != nil || string(p.Text) != want {
			t.Errorf("%q gives %v, %v", text, p, err)
		}
	}
}

func TestInvalidScriptIsRefused(t *testing.T) {
	for _, test := range []struct{ file, text, want string }{
		{"rule.py", "", "must end in .js, .ts or .lua"},
		{"rule.js", strings.Repeat("/", MaxText+1), "a script may have 131072"},
		{"rule.lua", "x = '\xff'", "not UTF-8"},
		{"rule.lua", "x = '\x00'", "not UTF-8"},
	} {
		if _, err := compiler(nil).Compile(t.Context(), test.file, []byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.file, err, test.want)
		}
	}
}
