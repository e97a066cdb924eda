package host

import (
	"testing"
	"time"
)

// charged all the same.
func TestSleepIsNoWayAroundTheGate(t *testing.T) {
	g := new(gate)
	g.set(1)
	t0 := now()
	in := &instance{generation: &generation{gate: g}, deadline: t0 + int64(time.Hour), mark: t0 - int64(time.Second)}
	in.Sleep(1)
	if due := g.due.Load(); due < t0 {
		t.Errorf("after a second of work the account is at %v", time.Duration(due-t0))
	}
}
