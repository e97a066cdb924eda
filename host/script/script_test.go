package script

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestRunnersAreThoseOfSHA256SUMS checks the embedded runners; `make test` builds them anew and compares them.
func TestRunnersAreThoseOfSHA256SUMS(t *testing.T) {
	sums, err := os.ReadFile("built/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	have := ""
	for _, name := range []string{"js.wasm", "lua.wasm"} {
		wasm, err := built.ReadFile("built/" + name)
		if err != nil {
			t.Fatal(err)
		}
		have += fmt.Sprintf("%x  %s\n", sha256.Sum256(wasm), name)
	}
	if have != string(sums) {
		t.Errorf("the runners are\n%snot\n%s", have, sums)
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
