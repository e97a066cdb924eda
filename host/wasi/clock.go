package wasi

import (
	"crypto/rand"
	"time"
)

// MaxRandom is how many random bytes a guest gets at a time.
const MaxRandom = 64 << 10

// The clocks there are.
const (
	realtime = iota
	monotonic
)

// epoch is where the monotonic clock begins: no guest learns from it when the machine started.
var epoch = time.Now()

// clock is the time of one clock, in nanoseconds, and false for a clock that there is not.
func clock(id uint32) (ns uint64, ok bool) {
	switch id {
	case realtime:
		return uint64(time.Now().UnixNano()), true
	case monotonic:
		return uint64(time.Since(epoch)) + 1, true // zero is no time, to some
	}
	return 0, false
}

// clockResGet(id, resolution)
func clockResGet(c *call) errno {
	if _, ok := clock(c.u32(0)); !ok {
		return inval
	}
	return c.memory.putU64(c.u32(1), 1)
}

// clockTimeGet(id, precision, time)
func clockTimeGet(c *call) errno {
	ns, ok := clock(c.u32(0))
	if !ok {
		return inval
	}
	return c.memory.putU64(c.u32(2), ns)
}

// randomCost is how many moved bytes one random byte costs as much as.
const randomCost = 16

// randomGet(p, n)
func randomGet(c *call) errno {
	n := c.u32(1)
	if n > MaxRandom {
		return inval
	}
	b, ok := c.memory.bytes(c.u32(0), n)
	if !ok {
		return fault
	}
	c.guest.Charge(n * randomCost)
	_, _ = rand.Read(b) // it never fails: see its documentation
	return success
}
