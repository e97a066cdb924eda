package hostile

import (
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/report"
)

// attack is a hostile module and the expected outcome.
type attack struct {
	name  string
	tries string      // description of its aim
	hooks []hook.Hook // that it is called at; nil: onSayReceive
	entry host.Entry  // its entry in the config
	build func(g *guest) asm.Code
	wasm  func() []byte // instead of build

	// The expected outcome is the first of these fields that is set. If none is set, the module is harmless and allows.
	refused string // Load fails, and the error has this text
	kind    string // each call fails with this kind, in Stats and log
	says    string // text in the log line as well, with kind
}

// calls is the number of calls of each hook. It exceeds the number of instances of a generation.
const calls = 5

func run(t *testing.T, attacks []attack) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			defer w.end()
			m := a.module()
			begin := time.Now()
			switch {
			case a.refused != "":
				a.isRefused(w, m)
			case a.kind != "":
				a.fails(w, m)
			default:
				a.isHarmless(w, m)
			}
			if took := time.Since(begin); took > patience {
				t.Errorf("it took %v (it tries %s)", took, a.tries)
			}
			w.goodAnswers()
			if t.Failed() {
				t.Logf("it tries %s; the log is\n%.3000s", a.tries, w.log)
			}
		})
	}
}

func (a *attack) module() module {
	m := module{entry: a.entry}
	if a.wasm != nil {
		m.wasm = a.wasm()
	} else {
		m.wasm = guestOf(a.at(), a.build)
	}
	return m
}

func (a *attack) at() []hook.Hook {
	if a.hooks == nil {
		return []hook.Hook{hook.OnSayReceive}
	}
	return a.hooks
}

// isRefused checks that the module is not loaded, that the error is useful, and that the rules in use do not change.
func (a *attack) isRefused(w *world, m module) {
	before := w.Revision()
	m.entry.Where = "config.yaml:7: tenants.hostile.chain[0]"
	err := w.load([]module{m})
	if err == nil {
		w.t.Fatal("it was loaded")
	}
	text := err.Error()
	if !strings.Contains(text, a.refused) || !strings.Contains(text, "module hostile: ") || len(text) > 8<<10 {
		w.t.Errorf("the error (%d bytes) is\n%.2000s\nwithout %q, or it does not name the module, or it is too long", len(text), text, a.refused)
	}
	if w.Revision() != before {
		w.t.Error("the rules in use were changed")
	}
}

// fails checks that the call of each hook fails with the documented kind, and that the good module answers between the
// calls. The module has another name for each hook, and therefore separate counters.
func (a *attack) fails(w *world, m module) {
	for _, at := range a.at() {
		m.entry.Module = "hostile-" + at.String()
		w.must(w.load([]module{m}))
		for range calls {
			if outcome := w.ask("hostile", at); outcome != hook.Failed {
				w.t.Errorf("%v: the outcome is %d", at, outcome)
			}
			w.goodAnswers()
		}
		a.counted(w)
		if !w.log.has("module failed", "module="+m.entry.Module+"@", "tenant=hostile", "hook="+at.String(), "kind="+a.kind, a.says) {
			w.t.Errorf("%v: the log has no line with kind %s and %q", at, a.kind, a.says)
		}
	}
}

// counted checks that each call was counted as a failure. On a busy machine, a call may miss its deadline or find no
// instance instead.
func (a *attack) counted(w *world) {
	sum := uint64(0)
	for kind, n := range w.failures() {
		sum += n
		if kind != a.kind && kind != "deadline" && kind != "pool" {
			w.t.Errorf("%s: %d failures of kind %s", w.stats().Name, n, kind)
		}
	}
	if sum < calls {
		w.t.Errorf("%s: %d failures were counted for %d calls", w.stats().Name, sum, calls)
	}
}

// isHarmless checks that each call allows.
func (a *attack) isHarmless(w *world, m module) {
	w.must(w.load([]module{m}))
	for _, hook := range a.at() {
		for range calls {
			w.allows("hostile", hook)
			w.goodAnswers()
		}
	}
	for kind, n := range w.failures() {
		if kind != "deadline" && kind != "pool" {
			w.t.Errorf("%d failures of kind %s", n, kind)
		}
	}
}

// stats returns the counters of the hostile module.
func (w *world) stats() report.Module {
	for _, s := range w.Stats() {
		if s.Tenant == "hostile" {
			return s
		}
	}
	return report.Module{}
}

func (w *world) failures() map[string]uint64 { return w.stats().Errors }
