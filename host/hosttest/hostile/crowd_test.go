package hostile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/trial"
)

// TestManyTenantsWithLittleMemory calls hundreds of tenants at once, most of which share modules, with memory for a
// few dozen instances. Meanwhile rules are reloaded, some tenants and modules come and go, and tenants try their modules.
// Each event must be about its own tenant, no instance has marks of another tenant, a call fails only for lack of memory or time, and the memory is free afterwards.
func TestManyTenantsWithLittleMemory(t *testing.T) {
	w := openWith(t, host.Config{VerifyResets: true})
	defer w.end()
	counted := func(n int) []byte { // denies an event that is not of the tenant in the instance's config
		return guestOf([]hook.Hook{hook.OnSayReceive}, func(g *guest) asm.Code {
			g.Data(64, fmt.Append(nil, "module ", n))
			g.Data(96, []byte("tenant"))
			get := g.host(abi.ImportConfigGet, "i32 i32 i32 i32 -> i32")
			// The config has "tenant": N. The event's room is N as text. The first 4 bytes of both are compared.
			room := asm.Get(0) + asm.Load32(abi.FrameEvent) + asm.Get(0) + asm.Add + asm.Tee(i) + asm.Get(i) + asm.Load32(abi.BlobTable) + asm.Add + asm.Load32(0)
			code := asm.I32(96) + asm.I32(6) + asm.I32(scratch) + asm.I32(8) + get + asm.Drop +
				room + asm.I32(scratch) + asm.Load32(0) + asm.Unequal + asm.If(asm.I32(abi.Deny)+asm.Return)
			// Marks of the tenant: in the memory, at its end, where it grows, and in a global. Marks of others are denied.
			mark := g.Global("i32", asm.I32(0))
			last := asm.MemorySize + asm.I32(1<<16) + asm.Mul + asm.I32(4) + asm.Sub
			check := func(value asm.Code) {
				code += value + asm.Tee(j) + asm.I32(0) + asm.Unequal + asm.Get(j) + asm.I32(scratch) + asm.Load32(0) + asm.Unequal + asm.And +
					asm.If(asm.I32(abi.Deny)+asm.Return)
			}
			check(asm.GlobalGet(mark))
			check(asm.I32(everything) + asm.Load32(0))
			check(last + asm.Load32(0))
			code += asm.I32(scratch) + asm.Load32(0) + asm.GlobalSet(mark) + asm.I32(everything) + asm.I32(scratch) + asm.Load32(0) + asm.Store32(0) +
				last + asm.I32(scratch) + asm.Load32(0) + asm.Store32(0)
			switch n % 4 {
			case 1: // grows
				code += asm.I32(8) + asm.MemoryGrow + asm.Drop
				check(last + asm.Load32(0))
				code += last + asm.I32(scratch) + asm.Load32(0) + asm.Store32(0)
			case 2: // fails at every other call
				c := g.Global("i32", asm.I32(0))
				code += asm.GlobalGet(c) + asm.I32(1) + asm.Add + asm.GlobalSet(c) + asm.GlobalGet(c) + asm.I32(1) + asm.And + asm.Eqz + asm.If(asm.Unreachable)
			}
			return code + answers(abi.Allow)
		})
	}
	binaries := make([][]byte, 8)
	for n := range binaries {
		binaries[n] = counted(n)
	}
	rulesOf := func(r *rand.Rand) (all host.Rules) {
		for n, wasm := range binaries {
			all.Modules = append(all.Modules, host.Module{Name: fmt.Sprint("m", n), Wasm: wasm})
		}
		for i := range crowd {
			if r.IntN(20) == 0 {
				continue
			}
			tenant := host.Tenant{Name: fmt.Sprint(1000 + i), CPU: 2}
			for n := range 1 + r.IntN(2) {
				tenant.Chain = append(tenant.Chain, host.Entry{Module: fmt.Sprint("m", (i+n*r.IntN(8))%8), Timeout: time.Second, Memory: int64(4+i%3*2) << 20,
					OnError: host.AllowOnError, Config: fmt.Appendf(nil, `{"tenant":%d}`, 1000+i), Breaker: host.Breaker{Minimum: 1 << 30}})
			}
			all.Tenants = append(all.Tenants, tenant)
		}
		return all
	}
	r := rand.New(rand.NewPCG(1, 2))
	swap := func() {
		next, err := w.Load(context.Background(), rulesOf(r))
		if err != nil {
			if !strings.Contains(err.Error(), "memory") {
				t.Error(err)
			}
			return
		}
		if r.IntN(5) == 0 {
			next.Close()
			return
		}
		w.Swap(next)
	}
	swap()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				tenant := fmt.Sprint(1000 + rand.IntN(crowd))
				ev := event(tenant, hook.OnSayReceive)
				ev.Room = tenant
				if v := w.Decide(ctx, ev); v.Outcome == hook.Denied && v.Module != "" {
					t.Errorf("tenant %s: %+v", tenant, v)
				}
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				tenant := fmt.Sprint(1000 + rand.IntN(crowd))
				account := w.Account(tenant)
				if account == nil {
					continue
				}
				m, err := trial.Load(ctx, trial.Config{Wasm: binaries[rand.IntN(8)], Tenant: tenant, Account: account, Settings: fmt.Appendf(nil, `{"tenant":%s}`, tenant), Memory: 4 << 20, Abort: ctx.Done()})
				if err == nil {
					text := "hello"
					_, _, err = m.Ask(ctx, &trial.Event{Hook: "onSayReceive", Room: tenant, Message: &text})
					err = errors.Join(err, m.Close())
				}
				account.Release()
				if err != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "memory") {
					t.Error(err)
				}
			}
		})
	}
	for range crowdReloads {
		swap()
	}
	stop()
	all.Wait()
	for _, bug := range []string{"runtime error", "nil pointer", "goroutine ", "differs from its image"} {
		if w.log.has(bug) {
			t.Errorf("%.3000s", w.log)
		}
	}
}

const (
	crowd        = 120
	crowdReloads = 12
)
