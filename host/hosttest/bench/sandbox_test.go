package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mootchat/moot/engine/hook"
)

// TestMain prints the table of the measurements.
func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Print(&table)
	os.Exit(code)
}

var table Table

// Manifests of the filter.
const (
	undeclared = `{"reads": ["message", "id", "locale"]}`
	byLocale   = `{"reads": ["message", "id", "locale"], "vary": ["locale"]}`
	once       = `{"reads": ["message", "id", "locale"], "vary": []}`
)

// goFilter builds the filter in Go.
func goFilter(t testing.TB) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "filter.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./testdata/filter")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func BenchmarkSandboxCall(b *testing.B) {
	ev := SayEvent(Message)
	table.Compare(b,
		Case{"a call that does nothing, metered", metered(b, Nothing(), ev), 1.5},
		Case{"not metered", unlimited(b, Nothing(), ev), 0})
}

func BenchmarkSandboxFilter(b *testing.B) {
	ev := SayEvent(Message)
	const alone = "the guest's function alone, no limits"
	b.Run("by hand", func(b *testing.B) {
		wasm := Filter(undeclared)
		table.Compare(b,
			Case{"onSayReceive of 200 bytes, by hand", OnSayReceive(Start(b, wasm), ev), 2.5},
			Case{"the guest's function alone, metered", metered(b, wasm, ev), 0},
			Case{alone, unlimited(b, wasm, ev), 0})
	})
	b.Run("in Go", func(b *testing.B) {
		wasm := goFilter(b)
		table.Compare(b,
			Case{"onSayReceive of 200 bytes, in Go", OnSayReceive(Start(b, wasm), ev), 2},
			Case{"the guest's function alone, metered", metered(b, wasm, ev), 0},
			Case{alone, unlimited(b, wasm, ev), 0})
	})
}

func BenchmarkSandboxSay(b *testing.B) {
	five := Members(1000, "en", "de", "fr", "es", "it")
	fifth := Members(1000, "en", "de", "fr", "es", "xx")
	compare := func(name string, wasm []byte, members []hook.Member, bound Bound) {
		b.Run(name, func(b *testing.B) {
			h := Start(b, wasm)
			table.Compare(b,
				Case{"say to 1000, " + name, Say(h, members), bound},
				Case{"one onSayReceive", OnSayReceive(h, SayEvent(Message)), 0})
		})
	}
	compare("each, all get it", Filter(undeclared), five, 20)
	compare("each, a fifth gets nothing", Filter(undeclared), fifth, 20)
	compare("vary: [locale], 5 classes", Filter(byLocale), five, 0)
	compare("vary: []", Filter(once), five, 3)
	compare("each, in Go", goFilter(b), five, 0)
}

func TestCallsDoNotAllocate(t *testing.T) {
	for name, run := range map[string]func(int){
		"onSayReceive":   OnSayReceive(Start(t, Filter(undeclared)), SayEvent(Message)),
		"say each":       Say(Start(t, Filter(undeclared)), Members(1000, "en", "de", "xx")),
		"say by classes": Say(Start(t, Filter(byLocale)), Members(1000, "en", "de", "xx")),
		"say once":       Say(Start(t, Filter(once)), Members(1000, "en")),
	} {
		if n := testing.AllocsPerRun(1000, func() { run(1) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestFilters checks that the measured filters deny messages with the word, and drop messages for receivers whose
// locale begins with x.
func TestFilters(t *testing.T) {
	for name, wasm := range map[string][]byte{"by hand": Filter(undeclared), "in Go": goFilter(t)} {
		h := Start(t, wasm)
		for text, want := range map[string]hook.Outcome{
			Message: hook.Allowed, "": hook.Allowed, "spa": hook.Allowed, "spam": hook.Denied, Message + "spam": hook.Denied, "no spam please": hook.Denied,
		} {
			if v := h.Decide(context.Background(), SayEvent(text)); v.Outcome != want {
				t.Errorf("%s: %q: outcome %d, want %d", name, text, v.Outcome, want)
			}
		}
		ev := SayEvent(Message)
		ev.Hook, ev.Conn = hook.Say, nil
		d := h.Deliver(context.Background(), ev, Members(600, "en", "de", "xx"))
		for i, heard := range d.For {
			if got := heard != hook.Nothing; got != (i%3 != 2) {
				t.Fatalf("%s: receiver %d received %v", name, i, got)
			}
		}
		if len(d.For) != 600 {
			t.Errorf("%s: %d receivers", name, len(d.For))
		}
	}
}
