package wasi

import (
	"crypto/rand"
	"time"
)

// MaxRandom is the maximum number of random bytes of one call.
const MaxRandom = 64 << 10

// The ids of the clocks.
const (
	realtime = iota
	monotonic
)

// epoch is the zero of the monotonic clock, so that the clock does not reveal when the machine started.
var epoch = time.Now()

// clock returns the time of a clock in nanoseconds. ok is false if there is no such clock.
func clock(id uint32) (ns uint64, ok bool) {
	switch id {
	case realtime:
		return uint64(time.Now().UnixNano()), true
	case monotonic:
		return uint64(time.Since(epoch)) + 1, true // some programs take zero for no time
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

// randomCost is the charge for one random byte, in moved bytes.
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
	_, _ = rand.Read(b) // it never returns an error
	return success
}
