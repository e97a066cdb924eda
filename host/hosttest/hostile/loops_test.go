package hostile

import (
	"fmt"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// short is an entry with a short timeout, for modules that use all their time.
var short = host.Entry{Timeout: 20 * time.Millisecond}

func TestEndlessCallsAreStopped(t *testing.T) { run(t, loops) }

var loops = []attack{
	{
		name: "endless loop", tries: "never to return, at every hook",
		hooks: everyHook, entry: short, build: does(forever("")), kind: "deadline", says: "deadline exceeded",
	},
	{
		name: "endless loop of the most expensive instructions", tries: "to get as much work as it can out of the units that are counted",
		entry: short, kind: "deadline",
		build: does(forever(asm.Repeat(50, asm.Get(0)+asm.I32(7)+asm.DivS+asm.Drop))),
	},
	{
		name: "doubling", tries: "a loop without a loop: 40 functions, each calls the next one twice",
		entry: short, kind: "deadline",
		build: func(g *guest) asm.Code {
			g.Func("", "->", "")
			for range 40 {
				next := asm.Call(g.Next() - 1)
				g.Func("", "->", next+next)
			}
			return asm.Call(g.Next()-1) + answers(abi.Allow)
		},
	},
	{
		name: "endless recursion", tries: "to use up the stack of the process",
		kind: "trap", says: "call stack too deep",
		build: func(g *guest) asm.Code {
			self := g.Next()
			g.Func("", "i32 -> i32", asm.Get(0)+asm.Call(self)+asm.I32(1)+asm.Add)
			return asm.I32(0) + asm.Call(self)
		},
	},
	{
		name: "endless recursion by a table", tries: "the same with calls that cannot be foreseen, and large frames",
		kind: "trap", says: "call stack too deep",
		build: func(g *guest) asm.Code {
			g.Table(1, 1)
			typ := g.Type("->")
			locals := ""
			for range 60 {
				locals += "i64 "
			}
			self := g.FuncWith("", "->", locals, asm.I32(0)+asm.CallIndirect(typ))
			g.Elements(0, self)
			return asm.Call(self) + answers(abi.Allow)
		},
	},
	{
		name: "calls itself as a hook", tries: "re-entry: its own hook from within the hook",
		kind: "trap", says: "call stack too deep",
		build: func(g *guest) asm.Code {
			return asm.Get(0) + asm.Call(g.Next()) // the next function is the hook itself
		},
	},
	{
		name: "loops of bulk operations", tries: "long work that is one instruction each",
		entry: host.Entry{Timeout: 20 * time.Millisecond, Memory: 16 << 20}, kind: "deadline",
		build: func(g *guest) asm.Code {
			const size = 15 << 20
			return asm.I32(232) + asm.MemoryGrow + asm.Drop +
				forever(asm.I32(frame)+asm.I32(1)+asm.I32(size)+asm.MemoryFill+asm.I32(0)+asm.I32(frame)+asm.I32(size)+asm.MemoryCopy)
		},
	},
	{
		name: "burns nearly all its time", tries: "to use 40 ms of every 50, and answer in time",
		build: func(g *guest) asm.Code { return burn(g, 40) + answers(abi.Allow) },
		entry: host.Entry{Timeout: 5 * time.Second},
	},
}

// burn returns code that runs for ms milliseconds.
func burn(g *guest, ms int) asm.Code {
	now := g.host(abi.ImportNow, "-> i64")
	return now + asm.I64(ms) + asm.Add64 + asm.Set(long) +
		asm.Loop(now+asm.Get(long)+asm.Less64S+asm.BrIf(0))
}

// TestFailureAfterGoodCalls calls a module that allows nine calls and then never ends, or traps.
func TestFailureAfterGoodCalls(t *testing.T) {
	for kind, way := range map[string]struct {
		entry host.Entry
		code  asm.Code
		most  int // failures
	}{
		"trap":     {patient, asm.Unreachable, 10},
		"deadline": {short, asm.Loop(asm.Br(0)), 30}, // a busy machine adds some
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			defer w.end()
			a := attack{entry: way.entry, build: func(g *guest) asm.Code {
				left := g.Global("i32", asm.I32(9))
				return asm.GlobalGet(left) + asm.Eqz + asm.If(way.code) +
					asm.GlobalGet(left) + asm.I32(1) + asm.Sub + asm.GlobalSet(left) + answers(abi.Allow)
			}}
			w.must(w.load([]module{a.module()}))
			const asked, each, instances = 100, 10, 2 // each instance fails at its tenth call
			failed := 0
			for range asked {
				if w.ask("hostile", hook.OnSayReceive) == hook.Failed {
					failed++
					w.goodAnswers()
				}
			}
			if n := int(w.failures()[kind]); failed > way.most || n < asked/each-instances {
				t.Errorf("%d of %d calls failed, the failures are %v", failed, asked, w.failures())
			}
		})
	}
}

// TestChainTimeoutBoundsAllModules calls a chain of twenty modules that never end. Each module has a timeout of a
// second, and the chain has a timeout of a quarter of a second.
func TestChainTimeoutBoundsAllModules(t *testing.T) {
	t.Parallel()
	w := open(t)
	defer w.end()
	var chain []module
	for n := range 20 {
		a := attack{build: does(forever("")), entry: host.Entry{Module: fmt.Sprintf("hostile%d", n), Timeout: time.Second, OnError: host.AllowOnError}}
		chain = append(chain, a.module())
	}
	w.must(w.load(chain))
	best := patience
	for range calls {
		begin := time.Now()
		w.ask("hostile", hook.OnSayReceive)
		best = min(best, time.Since(begin))
		w.goodAnswers()
	}
	if best > 500*time.Millisecond {
		t.Errorf("one message took %v at best", best)
	}
}
