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
	"github.com/mootchat/moot/host/store"
)

// spam has host calls that a guest repeats without end, with the largest valid arguments. Their cost must count against
// the deadline.
var spam = map[string]func(g *guest) asm.Code{
	"log": func(g *guest) asm.Code { return call(g, abi.ImportLog, "i32 i32 i32 ->", 3, everything, 4<<10) },
	"random": func(g *guest) asm.Code {
		return call(g, abi.ImportRandom, "i32 i32 -> i32", everything, 64<<10) + asm.Drop
	},
	"metric": func(g *guest) asm.Code {
		return call(g, abi.ImportMetricAdd, "i32 i32 i64 -> i32", text, 5, 1) + asm.Drop
	},
	"kv_get": func(g *guest) asm.Code {
		return call(g, abi.ImportKVGet, "i32 i32 i32 i32 -> i32", text, 5, everything, 64<<10) + asm.Drop
	},
	"kv_set": func(g *guest) asm.Code {
		return call(g, abi.ImportKVSet, "i32 i32 i32 i32 i64 -> i32", text, 5, everything, store.MaxValueBytes, 0) + asm.Drop
	},
	"kv_cas": func(g *guest) asm.Code {
		return call(g, abi.ImportKVCAS, "i32 i32 i32 i32 i32 i32 i64 -> i32", text, 5, everything, store.MaxValueBytes, everything, store.MaxValueBytes, 0) + asm.Drop
	},
	"kv_add": func(g *guest) asm.Code {
		return call(g, abi.ImportKVAdd, "i32 i32 i64 i64 i32 -> i32", text, 4, 1, 0, scratch) + asm.Drop
	},
	"rate": func(g *guest) asm.Code {
		return call(g, abi.ImportRateTake, "i32 i32 i32 i32 i32 -> i32", text, 5, 1, 1, 1) + asm.Drop
	},
	"emit": func(g *guest) asm.Code {
		return call(g, abi.ImportEmit, "i32 i32 i32 i32 i32 -> i32", abi.EmitJSON, text, 5, everything, 60_000) + asm.Drop
	},
	"property": func(g *guest) asm.Code {
		return call(g, abi.ImportPropertySet, "i32 i32 i32 i32 -> i32", text, 5, everything, 16<<10) + asm.Drop
	},
	"room": func(g *guest) asm.Code {
		return call(g, abi.ImportRoomCreate, "i32 i32 -> i32", everything, 250) + asm.Drop
	},
	"room_get": func(g *guest) asm.Code {
		return call(g, abi.ImportRoomGet, "i32 i32 i32 i32 -> i32", text, 5, everything, 100) + asm.Drop
	},
	"fd_write": iovecs,
}

// call returns a call of a host function with constants.
func call(g *guest, name, signature string, args ...int) asm.Code {
	f := g.host(name, signature)
	var code asm.Code
	for k, arg := range args {
		code += constant(signature, k, arg)
	}
	return code + f
}

// iovecs returns a call of fd_write with a million pieces of a megabyte each.
func iovecs(g *guest) asm.Code {
	write := asm.Call(g.Import(wasi, "fd_write", "i32 i32 i32 i32 -> i32"))
	g.Func(abi.ExportInitialize, "->", asm.I32(150)+asm.MemoryGrow+asm.Drop+
		asm.I32(1<<17)+asm.I32(0)+asm.I32(8<<20)+asm.MemoryFill)
	return asm.I32(1) + asm.I32(1<<17) + asm.I32(1<<20) + asm.I32(scratch) + write + asm.Drop
}

func (g *guest) json() {
	g.Data(everything, []byte("["+strings.Repeat("[],", 21_000)+"0]"))
}

// TestSpamEndsWithItsDeadline checks that modules that call the host without end are stopped at their deadline.
func TestSpamEndsWithItsDeadline(t *testing.T) {
	for name, code := range spam {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			defer w.end()
			a := attack{entry: host.Entry{Timeout: short.Timeout, Grants: allGrants}, build: func(g *guest) asm.Code {
				g.manifest = `{"reads": ["message"]}`
				g.json()
				return forever(code(g))
			}}
			w.must(w.load([]module{a.module()}))
			best := patience
			for range calls {
				begin := time.Now()
				if outcome := w.ask("hostile", hook.OnSayReceive); outcome != hook.Failed {
					t.Errorf("the outcome is %d", outcome)
				}
				best = min(best, time.Since(begin))
				w.goodAnswers()
			}
			if over := best - short.Timeout; over > 50*time.Millisecond {
				t.Errorf("it went on for %v after its deadline", over)
			}
		})
	}
}

// TestEffectsOfOneCallAreBounded checks the limits of the effects of one call. Modules request 300 effects in one call,
// and count the refused ones as a metric.
func TestEffectsOfOneCallAreBounded(t *testing.T) {
	for name, effect := range map[string]struct {
		most int
		ask  func(g *guest) asm.Code
	}{
		"emits": {abi.MaxEmits, func(g *guest) asm.Code {
			return call(g, abi.ImportEmit, "i32 i32 i32 i32 i32 -> i32", abi.EmitText, text, 5, text, 5)
		}},
		"properties": {16, func(g *guest) asm.Code {
			return call(g, abi.ImportPropertySet, "i32 i32 i32 i32 -> i32", text, 5, 64, 2)
		}},
		"rooms": {16, func(g *guest) asm.Code { return call(g, abi.ImportRoomCreate, "i32 i32 -> i32", text, 5) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			defer w.end()
			a := attack{entry: host.Entry{Timeout: patient.Timeout, Grants: allGrants}, build: func(g *guest) asm.Code {
				g.Data(64, []byte("{}"))
				refused := asm.I32(abi.OverBudget) + asm.Equal + asm.If(call(g, abi.ImportMetricAdd, "i32 i32 i64 -> i32", text, 5, 1)+asm.Drop)
				return times(300, effect.ask(g)+refused) + answers(abi.Allow)
			}}
			w.must(w.load([]module{a.module()}))
			v := w.Decide(context.Background(), event("hostile", hook.OnSayReceive))
			if refused := w.stats().Metrics[hello]; len(v.Effects) != effect.most || int(refused) != 300-effect.most {
				t.Errorf("there are %d effects, %d were refused, want %d", len(v.Effects), refused, effect.most)
			}
		})
	}
}

// TestStorageOfOneModuleIsBounded checks the limits of keys, values and metrics, which are kept between calls. Modules
// add them, a hundred steps per call, until a limit is reached.
func TestStorageOfOneModuleIsBounded(t *testing.T) {
	const name = scratch // eight bytes, a counter
	for what, fill := range map[string]struct {
		most int // most steps that succeed
		ask  func(g *guest) asm.Code
	}{
		"keys": {10_000, func(g *guest) asm.Code {
			return call(g, abi.ImportKVSet, "i32 i32 i32 i32 i64 -> i32", name, 8, text, 1, 0)
		}},
		"values": {16 << 20 / store.MaxValueBytes, func(g *guest) asm.Code {
			return call(g, abi.ImportKVSet, "i32 i32 i32 i32 i64 -> i32", name, 8, everything, store.MaxValueBytes, 0)
		}},
		"buckets": {10_000, func(g *guest) asm.Code {
			return call(g, abi.ImportRateTake, "i32 i32 i32 i32 i32 -> i32", name, 8, 1, 1_000_000, 1)
		}},
		"metrics": {64, func(g *guest) asm.Code { return call(g, abi.ImportMetricAdd, "i32 i32 i64 -> i32", name, 8, 1) }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			defer w.end()
			a := attack{entry: host.Entry{Timeout: patient.Timeout, Grants: allGrants}, build: func(g *guest) asm.Code {
				step := g.Global("i32", asm.I32(0))
				letter := func(shift int) asm.Code { // some bits of the number, as a letter
					return asm.I32(name+shift/4) + asm.GlobalGet(step) + asm.I32(shift) + shiftRight + asm.I32(15) + asm.And + asm.I32('a') + asm.Add + asm.Store8(0)
				}
				next := asm.GlobalGet(step) + asm.I32(1) + asm.Add + asm.GlobalSet(step)
				for shift := range 8 {
					next += letter(4 * shift)
				}
				full := fill.ask(g) + asm.I32(abi.OverBudget) + asm.Equal + asm.If(answers(abi.AllowEnd)+asm.Return)
				return times(100, next+full) + answers(abi.Deny)
			}}
			w.must(w.load([]module{a.module()}))
			begin, full := time.Now(), hook.Denied
			asked := 0
			for ; full != hook.Allowed && time.Since(begin) < patience; asked++ {
				full = w.ask("hostile", hook.OnSayReceive)
			}
			if steps := 100 * asked; full != hook.Allowed || steps > 2*fill.most+2*100 {
				t.Errorf("it was full after %d steps: %v", steps, full == hook.Allowed)
			}
			w.goodAnswers()
		})
	}
}

const shiftRight asm.Code = "\x76"

// TestLogsOfModuleAreBounded checks the limits of a module that writes log lines without end, in each of the possible
// ways.
func TestLogsOfModuleAreBounded(t *testing.T) {
	for _, way := range []string{"log", "fd_write"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			defer w.end()
			a := attack{entry: short, build: func(g *guest) asm.Code {
				g.json()
				return forever(spam[way](g))
			}}
			w.must(w.load([]module{a.module()}))
			begin := time.Now()
			for time.Since(begin) < 300*time.Millisecond {
				w.ask("hostile", hook.OnSayReceive)
			}
			const line = 4<<10 + 500 // bytes
			seconds := int(time.Since(begin)/time.Second) + 2
			if n := len(w.log.String()); n > 2*20*seconds*line {
				t.Errorf("%d bytes were logged in %d s", n, seconds)
			}
			if way == "log" && w.stats().LogsDropped == 0 {
				t.Error("no line was dropped")
			}
		})
	}
}
