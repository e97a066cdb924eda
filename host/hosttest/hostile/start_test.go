package hostile

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// starts has functions that add code to a guest. The code runs while the guest is loaded.
var starts = map[string]func(g *guest, code asm.Code){
	"start function": func(g *guest, code asm.Code) { g.Start(g.Func("", "->", code)) },
	"_initialize":    func(g *guest, code asm.Code) { g.Func(abi.ExportInitialize, "->", code) },
	"moot_alloc":     func(g *guest, code asm.Code) { g.alloc = code + asm.I32(frame) },
	"moot_init":      func(g *guest, code asm.Code) { g.Func(abi.ExportInit, "i32 i32 i32 -> i32", code+asm.I32(0)) },
	"moot_manifest":  func(g *guest, code asm.Code) { g.Func(abi.ExportManifest, "-> i64", code+asm.I64(0)) },
	"moot_reason": func(g *guest, code asm.Code) {
		g.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(1))
		g.Func(abi.ExportReason, "-> i64", code+asm.I64(0))
	},
}

func TestEndlessStartsAreStopped(t *testing.T) {
	var attacks []attack
	for name, add := range starts {
		in := func(what, tries, refused string, code func(g *guest) asm.Code) {
			attacks = append(attacks, attack{name: name + " " + what, tries: tries, refused: refused, build: func(g *guest) asm.Code {
				add(g, code(g))
				return answers(abi.Allow)
			}})
		}
		in("loops", "never to have been loaded", "it does not start: deadline", does(asm.Loop(asm.Br(0))))
		in("traps", "to be loaded in spite of a trap", "it does not start: trap", does(asm.Unreachable))
		in("recurses", "to use up the stack of who loads it", "call stack too deep", func(g *guest) asm.Code {
			self := g.Next()
			g.Func("", "->", asm.Call(self)+asm.Call(self))
			return asm.Call(self)
		})
		in("takes all memory", "to be loaded without a page to spare", "give the entry more memory", does(growToTheEnd))
		in("sleeps", "to hold up loading with a sleep of an hour", "it does not start: deadline", func(g *guest) asm.Code { return sleep(g, time.Hour) })
		in("exits", "to end the process", "it does not start: exit", func(g *guest) asm.Code { return exit(g, 0) })
	}
	for i := range attacks {
		switch a := &attacks[i]; {
		case a.name == "moot_manifest takes all memory":
			a.refused = "" // the host finds this after loading, without an effect on others
		case a.name == "moot_reason takes all memory":
			a.refused = "it does not start: protocol: moot_init refused its config"
		case strings.HasPrefix(a.name, "moot_manifest"):
			a.refused = strings.Replace(a.refused, "it does not start", "its manifest cannot be read", 1)
		}
	}
	run(t, attacks)
}

// TestLaterInstancesThatNeverStart loads a module that loops when a second instance of it is created. The module knows
// this from a key in its storage. The test checks that its calls fail, and that no other tenant is affected.
func TestLaterInstancesThatNeverStart(t *testing.T) {
	t.Parallel()
	w := open(t)
	defer w.end()
	a := attack{entry: host.Entry{Grants: []string{"kv"}, Timeout: patient.Timeout}, build: func(g *guest) asm.Code {
		get := g.host(abi.ImportKVGet, "i32 i32 i32 i32 -> i32")
		set := g.host(abi.ImportKVSet, "i32 i32 i32 i32 i64 -> i32")
		g.Func(abi.ExportInitialize, "->", asm.Loop(
			asm.I32(text)+asm.I32(5)+asm.I32(scratch)+asm.I32(5)+get+asm.I32(5)+asm.Equal+asm.BrIf(0)))
		return asm.I32(text) + asm.I32(5) + asm.I32(text) + asm.I32(5) + asm.I64(0) + set + asm.Drop + asm.Unreachable
	}}
	w.must(w.load([]module{a.module()}))
	for range calls {
		if outcome := w.ask("hostile", hook.OnSayReceive); outcome != hook.Failed {
			t.Errorf("the outcome is %d", outcome)
		}
		w.goodAnswers()
	}
	f := w.failures()
	if f["trap"] != 1 || f["pool"]+f["deadline"] < calls-1 {
		t.Errorf("the failures are %v", f)
	}
}

// TestLoadEndsWithItsContext checks that a load of many modules that never start ends with its context, not after the
// sum of their timeouts.
func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := open(t)
	defer w.end()
	var many []module
	for n := range 100 {
		a := attack{build: func(g *guest) asm.Code {
			starts["_initialize"](g, asm.Loop(asm.Br(0)))
			g.Data(100, []byte{byte(n)})
			return answers(abi.Allow)
		}}
		m := a.module()
		m.entry.Module = "hostile" + string(rune('A'+n))
		many = append(many, m)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := w.Load(ctx, rules(many))
	if err == nil || !strings.Contains(err.Error(), "loading was given up") || time.Since(begin) > patience {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
	w.goodAnswers()
}

// TestSecondExchangeBuffer checks modules whose moot_alloc works once, but not again when a larger message needs a
// larger buffer. That message fails; small messages still succeed.
func TestSecondExchangeBuffer(t *testing.T) {
	for name, a := range map[string]struct {
		code asm.Code // of the second call
		kind string
	}{
		"loops":        {forever(""), "deadline"},
		"traps":        {asm.Unreachable, "trap"},
		"refuses":      {asm.I32(0), "memory"},
		"beyond":       {asm.I32(end), "protocol"},
		"near the end": {asm.I32(end - abi.ExchangeSize), "protocol"},
		"wraps around": {asm.I32(-8), "protocol"},
		"not aligned":  {asm.I32(frame + 4), "protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			defer w.end()
			second := attack{entry: patient, hooks: []hook.Hook{hook.OnSayReceive, hook.Say}, build: func(g *guest) asm.Code {
				g.alloc = asm.I32(abi.ExchangeSize) + asm.Get(0) + asm.LessU + asm.If(a.code+asm.Return) + asm.I32(frame)
				return answers(abi.Allow)
			}}
			w.must(w.load([]module{second.module()}))
			for _, at := range second.hooks {
				for range calls {
					large := event("hostile", at)
					large.Message.Text = strings.Repeat("x", 2*abi.ExchangeSize)
					if outcome := w.askAbout(large); outcome != hook.Failed {
						t.Errorf("%v: the outcome is %d", at, outcome)
					}
					w.allows("hostile", at)
					w.goodAnswers()
				}
			}
			if w.failures()[a.kind] == 0 {
				t.Errorf("the failures are %v, want %s", w.failures(), a.kind)
			}
			for kind := range w.failures() {
				if kind != a.kind && kind != "deadline" && kind != "pool" {
					t.Errorf("the failures are %v, want %s", w.failures(), a.kind)
				}
			}
		})
	}
}
