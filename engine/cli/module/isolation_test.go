package module

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/host/trial"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "moot-module")
	if err != nil {
		panic(err)
	}
	cache = diskcache.Open(diskcache.Config{Dir: dir})
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// cache has the compiled modules of all tests.
var cache *diskcache.Cache

// counter is a rule that keeps a number in its memory, and refuses the second message of an instance.
const counter = `
local n = 0
moot.on("onSayReceive", function(e)
  n = n + 1
  if e.message == "once" and n > 1 then error("it was called before") end
  return moot.rewrite(tostring(n))
end)
`

// written writes the files into a new folder.
func written(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const steps = `
    steps:
      - { event: { hook: onSayReceive, room: lobby, message: hello }, expect: { verdict: rewrite, message: "1" } }
      - { event: { hook: onSayReceive, room: lobby, message: hello }, expect: { verdict: rewrite, message: "SECOND" } }
`

// TestIsolationOfTests checks that with isolation: call no state passes from step to step, by the key of the file, the
// key of a test and the option, and that state passes without it.
func TestIsolationOfTests(t *testing.T) {
	for name, c := range map[string]struct{ option, file, test, second string }{
		"default":                  {"", "", "", "2"},
		"instance":                 {"instance", "isolation: instance", "", "2"},
		"option":                   {"call", "", "", "1"},
		"file":                     {"", "isolation: call", "", "1"},
		"test":                     {"", "", "isolation: call", "1"},
		"the file's, not option's": {"instance", "isolation: call", "", "1"},
		"the test's, not file's":   {"", "isolation: call", "isolation: instance", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			tests := c.file + "\ntests:\n  - name: counts\n    " + c.test + strings.ReplaceAll(steps, "SECOND", c.second)
			dir := written(t, map[string]string{"rule.lua": counter, "tests.yaml": tests})
			var out, log bytes.Buffer
			err := Test(t.Context(), &out, &log, filepath.Join(dir, "rule.lua"), "", Options{Isolation: c.option, Timeout: time.Minute, Cache: cache})
			if err != nil {
				t.Errorf("%v\n%s%s", err, &out, &log)
			}
		})
	}
}

// TestUnknownIsolations checks that another value is refused, with its line.
func TestUnknownIsolations(t *testing.T) {
	for name, tests := range map[string]string{
		":2: isolation":  "\nisolation: always\ntests:\n  - name: a" + steps,
		":4: isolation ": "tests:\n  - name: a\n\n    isolation: Call" + steps,
	} {
		dir := written(t, map[string]string{"rule.lua": counter, "tests.yaml": tests})
		err := Test(t.Context(), &bytes.Buffer{}, &bytes.Buffer{}, filepath.Join(dir, "rule.lua"), "", Options{Cache: cache})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "use instance or call") {
			t.Errorf("%v, want %s", err, name)
		}
	}
}

// TestIsolationOfBenchmarks measures a rule that fails if it is called twice.
func TestIsolationOfBenchmarks(t *testing.T) {
	dir := written(t, map[string]string{"rule.lua": counter})
	for isolation, fails := range map[string]bool{"instance": true, "call": false} {
		var out bytes.Buffer
		o := Options{Isolation: isolation, Timeout: time.Minute, JSON: true, Cache: cache}
		err := Bench(t.Context(), &out, &bytes.Buffer{}, filepath.Join(dir, "rule.lua"), "once", 20*time.Millisecond, o)
		if (err != nil) != fails || fails && !strings.Contains(err.Error(), "it was called before") {
			t.Errorf("%s: %v\n%s", isolation, err, &out)
		}
	}
}

// TestIsolationOfReplays checks that each event of a replay finds the state of a new instance, and that a trial with the
// entry's isolation does.
func TestIsolationOfReplays(t *testing.T) {
	call, err := isolation("call")
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]trial.Config{"replay": {Fresh: true}, "isolated": {Isolation: call}} {
		cfg.Script, cfg.Wasm, cfg.Timeout = "rule.lua", []byte(counter), time.Minute
		cfg.Cache = cache
		m, err := trial.Load(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for range 3 {
			hello := "hello"
			e := &trial.Event{Hook: "onSayReceive", Room: "lobby", Message: &hello}
			a, _, err := m.Ask(t.Context(), e)
			if err != nil || a.Message == nil || *a.Message != "1" {
				t.Errorf("%s: %v %+v", name, err, a)
			}
			if a, _, err = m.Replay(t.Context(), e, nil, nil); err != nil || a.Message == nil || *a.Message != "1" {
				t.Errorf("%s: replayed: %v %+v", name, err, a)
			}
		}
	}
}
