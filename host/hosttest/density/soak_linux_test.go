//go:build soak

package density

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	soakTenants  = 1000
	soakVisitors = 20
	soakSamples  = 30
	soakReload   = 2 * time.Second // between two reloads
	soakMemory   = "512MiB"        // less than all tenants would use, so that idle modules are also closed for others
	soakLeast    = 5 * time.Minute
)

// TestMemoryStaysFlatWhileTenantsWakeAndSleep checks that the memory of a server with 1,000 tenants does not grow while
// clients of random tenants come, talk and go, so that modules wake and fall asleep, and tenants are reloaded. make soak
// runs it; the environment variable SOAK is the duration.
func TestMemoryStaysFlatWhileTenantsWakeAndSleep(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil || length < soakLeast {
		t.Fatalf("SOAK is the duration, %v or more: idle modules fall asleep after ten seconds: %v", soakLeast, err)
	}
	p := build(t)
	s := p.start(t, p.write(t, soakTenants), "--set", "limits.moduleMemory="+soakMemory)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var visits, reloads atomic.Int64
	var visitors sync.WaitGroup
	for range soakVisitors {
		visitors.Go(func() {
			for ctx.Err() == nil {
				if err := s.visit(ctx, rand.IntN(soakTenants), time.Duration(rand.IntN(500))*time.Millisecond); err != nil && ctx.Err() == nil {
					t.Errorf("a visit: %v", err)
					return
				}
				visits.Add(1)
			}
		})
	}
	var memory []int
	sample, reload := time.NewTicker(length/soakSamples), time.NewTicker(soakReload)
	defer sample.Stop()
	defer reload.Stop()
	for len(memory) < soakSamples-1 {
		select {
		case <-sample.C:
			memory = append(memory, s.memory(t))
			t.Logf("%d MB, %d visits, %.0f wakes, %d reloads", memory[len(memory)-1]>>20, visits.Load(), s.metric(t, "moot_module_wake_duration_seconds_count"), reloads.Load())
		case <-reload.C:
			p.writeTenants(t, soakTenants, rand.IntN(soakTenants/tenantsPerFile)*tenantsPerFile, int(reloads.Add(1)))
			s.reload(t)
		case <-ctx.Done():
			t.Fatalf("only %d samples", len(memory))
		}
	}
	wakes := s.metric(t, "moot_module_wake_duration_seconds_count")
	cancel()
	visitors.Wait()
	s.stop(t)
	if visits.Load() == 0 || reloads.Load() == 0 || wakes == 0 {
		t.Fatalf("%d visits, %d reloads, %v wakes: nothing happened", visits.Load(), reloads.Load(), wakes)
	}
	third := len(memory) / 3
	if early, late := mean(memory[third:2*third]), mean(memory[2*third:]); late > early*11/10 {
		t.Errorf("memory grows: %d bytes in the middle third, %d in the last: %v", early, late, memory)
	}
}

func mean(n []int) int {
	sum := 0
	for _, v := range n {
		sum += v
	}
	return sum / max(1, len(n))
}
