package host

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// slowStart returns a module whose moot_init draws a random number, so that every instance runs it, and then
// counts.
func slowStart(count int) []byte {
	m := blank()
	random := m.Import("wasi_snapshot_preview1", "random_get", "i32 i32 -> i32")
	draw := asm.I32(exchange) + asm.I32(4) + asm.Call(random) + asm.Set(0)
	down := asm.Get(0) + asm.I32(-1) + asm.Add + asm.Tee(0) + asm.BrIf(0)
	m.Func(abi.ExportInit, "i32 i32 i32 -> i32", draw+asm.I32(count)+asm.Set(0)+asm.Loop(down)+asm.I32(0))
	m.Func(abi.OnSayReceive.Export(), "i32 -> i32", asm.I32(abi.Allow))
	speak(m)
	return m.Wasm()
}

// TestManyInstancesStartAtOnce checks that the instances of many tenants all start when they start at the same time, although
// together they take longer than the limit of one start, and that the tenants are charged for no more than the time of the
// processors.
func TestManyInstancesStartAtOnce(t *testing.T) {
	h, log := start(t, Config{})
	tenants := 100 * runtime.GOMAXPROCS(0)
	rules := Rules{Modules: []Module{{Name: "slow", Wasm: slowStart(4_000_000), Shared: true}}}
	for i := range tenants {
		rules.Tenants = append(rules.Tenants, Tenant{Name: fmt.Sprint(i), CPU: 1, Chain: []Entry{{Module: "slow", Timeout: patience}}})
	}
	begin := time.Now()
	swap(t, h, rules)
	one := time.Since(begin) / time.Duration(tenants)
	h.cfg.StartTimeout = 20 * one
	paid := h.paid()
	begin = time.Now()
	var calls sync.WaitGroup
	var failed atomic.Int32
	for i := range tenants {
		calls.Go(func() {
			if v := h.Decide(context.Background(), saidIn(fmt.Sprint(i))); v.Outcome != hook.Allowed {
				failed.Add(1)
			}
		})
	}
	calls.Wait()
	took := time.Since(begin) * time.Duration(runtime.GOMAXPROCS(0))
	if n := int(failed.Load()); n > tenants/20 { // the machine may be busy
		t.Errorf("%d of %d instances did not start, each of which takes about %v: %.2000s", n, tenants, one, log)
	}
	if paid = h.paid() - paid; paid > 10*took {
		t.Errorf("the tenants paid for %v, and the processors ran for %v at most", paid, took)
	}
}

// paid returns the time that all tenants have used of the processors, as their gates have counted it.
func (h *Host) paid() (all time.Duration) {
	for _, t := range h.current.Load().tenants {
		all += time.Duration(t.gate.used.Load())
	}
	return all
}
