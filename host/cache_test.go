package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/hook"
)

// counting is a cache in memory that counts calls.
type counting struct {
	entries   map[string][]byte
	gets, put int
}

func (c *counting) Get(name string) []byte { c.gets++; return bytes.Clone(c.entries[name]) }

func (c *counting) Put(name string, content []byte) { c.put++; c.entries[name] = content }

// TestMachineCodeIsKept checks that a second host takes machine code from the cache and compiles
// nothing.
func TestMachineCodeIsKept(t *testing.T) {
	kept := &counting{entries: map[string][]byte{}}
	for range 2 {
		h, _ := start(t, Config{Cache: kept, Fresh: true}, Entry{Module: "code-5"}) // Fresh: accepted configs are not kept
		if v, _ := decide(h, "hello"); v.Outcome != hook.Dropped {
			t.Errorf("%+v", v)
		}
	}
	if kept.put != 1 || kept.gets != 2 {
		t.Errorf("asked %d times, given %d entries", kept.gets, kept.put)
	}
	for name := range kept.entries {
		if !strings.HasPrefix(name, "wazero "+compilerVersion+" ") {
			t.Errorf("an entry is %q", name)
		}
	}
}

// TestTheCompilerIsTheOneOfGoMod checks compilerVersion, which is part of the name of each entry,
// because code of another compiler must not run.
func TestTheCompilerIsTheOneOfGoMod(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-json", "github.com/tetratelabs/wazero").Output()
	var module struct{ Version string }
	if err := json.Unmarshal(out, &module); err != nil || module.Version != compilerVersion {
		t.Errorf("go.mod has %q, compilerVersion is %q: %v", module.Version, compilerVersion, err)
	}
	if err != nil {
		t.Error(err)
	}
}

// regions returns damaged copies of a file of the cache, by description.
func regions(good []byte) map[string][]byte {
	damaged := map[string][]byte{"empty": {}, "zeros": make([]byte, len(good)), "a byte more": append(bytes.Clone(good), 0)}
	for _, at := range []int{0, 8, 31, 32, 38, 46, 50, 58, 66, 100, len(good) / 3, len(good) / 2, len(good) - 20, len(good) - 9, len(good) - 5, len(good) - 1} {
		flipped := bytes.Clone(good)
		flipped[at] ^= 0x10
		damaged[fmt.Sprint("one bit at ", at)] = flipped
		zeroed := bytes.Clone(good)
		clear(zeroed[at:])
		damaged[fmt.Sprint("zeros from ", at)] = zeroed
		damaged[fmt.Sprint("cut at ", at)] = good[:at]
	}
	return damaged
}

// TestDamagedMachineCodeDoesNotRun checks that after any damage the module is compiled again, with
// one warning.
func TestDamagedMachineCodeDoesNotRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	var log logged
	load := func() {
		t.Helper()
		cache := diskcache.Open(diskcache.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
		h, _ := start(t, Config{Cache: cache, Fresh: true}, Entry{Module: "code-5"}) // Fresh: accepted configs are not kept
		if v, _ := decide(h, "hello"); v.Outcome != hook.Dropped {
			t.Errorf("%+v", v)
		}
	}
	load()
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for what, damaged := range regions(good) {
		log.Reset()
		if err := os.WriteFile(files[0], damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		load()
		if n := strings.Count(log.String(), "level=WARN"); n > 1 || n == 0 && !bytes.Equal(damaged, good) {
			t.Errorf("%s: %d warnings:\n%s", what, n, log.String())
		}
		if again, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(again, good) {
			t.Errorf("%s: the cached code differs in %d of %d bytes, %v", what, len(again), len(good), err)
		}
	}
}

// TestWazeroDoesNotVerifyItsFiles checks why the host does not use wazero's own file cache: wazero
// reports a damaged file as an error of the module, or runs it.
func TestWazeroDoesNotVerifyItsFiles(t *testing.T) {
	dir := t.TempDir()
	compile := func() error {
		cache, err := wazero.NewCompilationCacheWithDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close(context.Background())
		r := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfig().WithCompilationCache(cache))
		defer r.Close(context.Background())
		_, err = r.CompileModule(context.Background(), goGuest)
		return err
	}
	if err := compile(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(dir + "/*/*")
	if err := os.Truncate(files[0], 0); err != nil {
		t.Fatal(err)
	}
	if compile() == nil {
		t.Error("it is better now: host/cache.go may use it")
	}
}
