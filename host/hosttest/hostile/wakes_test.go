package hostile

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// counter is a module that allows its first message and drops all others, as long as it is called in one instance. With a
// config of more than 2 bytes it runs misbehave instead.
func counter(change func(g *guest), misbehave asm.Code) []byte {
	return guestOf([]hook.Hook{hook.OnSayReceive}, func(g *guest) asm.Code {
		const length, count = scratch, scratch + 8
		g.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(length)+asm.Get(2)+asm.Store32(0)+asm.I32(0))
		change(g)
		return asm.I32(length) + asm.Load32(0) + asm.I32(3) + asm.DivS + asm.If(misbehave) +
			asm.I32(count) + asm.I32(count) + asm.Load32(0) + asm.I32(1) + asm.Add + asm.Store32(0) +
			asm.I32(count) + asm.Load32(0) + asm.I32(1) + asm.Sub + asm.If(asm.I32(abi.Drop)+asm.Return) + answers(abi.Allow)
	})
}

// storms are the modules whose instances a hostile tenant wakes again and again. The good tenant has entries of the same
// modules.
var storms = []struct {
	name      string
	change    func(g *guest)
	misbehave asm.Code
	memory    int64 // of the hostile entries
}{
	{name: "each call ends its instance", change: func(*guest) {}, misbehave: asm.Unreachable},
	{name: "each call takes all memory", change: func(*guest) {}, misbehave: growToTheEnd + asm.I32(abi.Allow) + asm.Return, memory: 16 << 20},
	{name: "images that take most of the memory for all images", change: func(g *guest) { g.Section(asm.Memories, append([]byte{1, 0}, asm.Uint(96)...)) }, misbehave: asm.Unreachable},
	{name: "a module that has no image", change: func(g *guest) {
		g.Table(1, asm.NoMax)
		g.Func("widen", "->", asm.NullFunc+asm.I32(1)+asm.TableGrow+asm.Drop)
	}, misbehave: asm.Unreachable},
}

// hostileEntries is the number of entries with configs of their own of the hostile tenant.
const hostileEntries = 16

// TestWakesOfOneTenantTakeNoInstanceOfAnother calls a module of the good tenant while the hostile tenant wakes instances of
// the same module in 16 entries, again and again, and while the hostile tenant is reloaded. The good tenant keeps its
// instance: it is woken once, and no call of it fails. In the end all memory is free.
func TestWakesOfOneTenantTakeNoInstanceOfAnother(t *testing.T) {
	for _, s := range storms {
		t.Run(s.name, func(t *testing.T) {
			w := open(t)
			defer w.end()
			module := host.Module{Name: "m", Wasm: counter(s.change, s.misbehave)}
			load := func(version int) {
				rules := host.Rules{Partial: true, Modules: []host.Module{module}, Tenants: []host.Tenant{
					{Name: "good", Chain: []host.Entry{{Module: "m", Timeout: patience}}}, {Name: "hostile"}}}
				for i := range hostileEntries {
					rules.Tenants[1].Chain = append(rules.Tenants[1].Chain, host.Entry{Module: "m", OnError: host.AllowOnError, Memory: s.memory,
						Config: fmt.Appendf(nil, `{"n":%d}`, version*hostileEntries+i), Breaker: host.Breaker{Minimum: 1 << 30}})
				}
				r, err := w.Load(context.Background(), rules)
				w.must(err)
				for _, f := range r.Faults() {
					if f.Tenant != "hostile" { // it may find no memory for its own new entries
						t.Errorf("%s is refused: %v", f.Tenant, f.Problems)
					}
				}
				w.Swap(r)
			}
			load(0)
			if outcome := w.ask("good", hook.OnSayReceive); outcome != hook.Allowed {
				t.Fatalf("the first message: %d", outcome)
			}
			var ended atomic.Bool
			var storming sync.WaitGroup
			for range 2 {
				storming.Go(func() {
					for !ended.Load() {
						w.ask("hostile", hook.OnSayReceive)
					}
				})
			}
			for version := range 20 {
				for range 50 {
					if outcome := w.ask("good", hook.OnSayReceive); outcome != hook.Dropped {
						t.Errorf("the good tenant has another instance, or none: %d, %v", outcome, w.failures())
					}
				}
				load(1 + version)
			}
			ended.Store(true)
			storming.Wait()
		})
	}
}
