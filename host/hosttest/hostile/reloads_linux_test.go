package hostile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// TestReloadsLeaveNothingBehind reloads a changing module of one tenant again and again, calls it, fails it, and counts
// what the process has afterwards.
func TestReloadsLeaveNothingBehind(t *testing.T) {
	w := open(t)
	defer w.end()
	reload := func(n int) {
		var all host.Rules
		wasm := guestOf([]hook.Hook{hook.OnSayReceive}, func(g *guest) asm.Code {
			g.Data(64, fmt.Append(nil, "module ", n%7, " "))
			g.Data(128, fmt.Append(nil, "number ", n))
			if n%5 == 4 {
				return asm.Unreachable
			}
			return answers(abi.Allow)
		})
		all.Modules = []host.Module{{Name: "m", Wasm: wasm}, {Name: "same", Wasm: goodGuest()}}
		for i := range 3 {
			all.Tenants = append(all.Tenants, host.Tenant{Name: fmt.Sprint("t", i), Chain: []host.Entry{{Module: "m", OnError: host.AllowOnError}, {Module: "same"}}})
		}
		r, err := w.Load(context.Background(), all)
		w.must(err)
		if n%11 == 10 {
			r.Close()
			return
		}
		w.Swap(r)
		for i := range 3 {
			w.ask(fmt.Sprint("t", i), hook.OnSayReceive)
		}
	}
	count := func() (goroutines, descriptors, mappings int, heap uint64) {
		fds, _ := os.ReadDir("/proc/self/fd")
		maps, _ := os.ReadFile("/proc/self/maps")
		return runtime.NumGoroutine(), len(fds), bytes.Count(maps, []byte("\n")), inUse()
	}
	for n := range 50 {
		reload(n)
	}
	g0, f0, m0, h0 := count()
	for n := range reloads {
		reload(50 + n)
	}
	g1, f1, m1, h1 := count()
	t.Logf("goroutines %d to %d, descriptors %d to %d, mappings %d to %d, heap %d to %d", g0, g1, f0, f1, m0, m1, h0, h1)
	if g1 > g0+10 || f1 > f0+5 || m1 > m0+60 || h1 > h0+8<<20 {
		t.Errorf("goroutines %d to %d, descriptors %d to %d, mappings %d to %d, heap %d to %d", g0, g1, f0, f1, m0, m1, h0, h1)
	}
}

const reloads = 1000
