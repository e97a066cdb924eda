package host

import (
	"math"
	"sync/atomic"
	"time"
)

// gate limits the modules of one tenant to their share of the processors. Use is charged
// afterwards; a call waits while the account is overdrawn.
type gate struct {
	rate atomic.Uint64 // bits of a float64: number of processors
	due  atomic.Int64  // on the host's clock: the time at which the charged use is earned
	used atomic.Int64  // ns of processor time, in total
}

// overdraft is the time in nanoseconds that a tenant may use before it has earned it, so that a
// burst of short calls does not wait.
const overdraft = int64(50 * time.Millisecond)

func (g *gate) set(processors float64) { g.rate.Store(math.Float64bits(processors)) }

// spend charges d nanoseconds of use that ended at time t.
func (g *gate) spend(t, d int64) {
	g.used.Add(d)
	cost := int64(float64(d) / math.Float64frombits(g.rate.Load()))
	for {
		due := g.due.Load()
		if g.due.CompareAndSwap(due, max(due, t-d)+cost) {
			return
		}
	}
}

// wait returns how long a call that wants to run at time t must wait.
func (g *gate) wait(t int64) time.Duration {
	return time.Duration(max(0, g.due.Load()-t-overdraft))
}
