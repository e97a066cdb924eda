package wasi

import (
	"encoding/binary"
	"math"
	"time"
)

// maxSubscriptions is the maximum number of events that a guest can wait for at once.
const maxSubscriptions = 64

// The kinds of events.
const (
	eventClock = iota
	eventRead
	eventWrite
)

const (
	subscriptionSize = 48
	eventSize        = 32
)

// subscription is one event that the guest waits for.
type subscription struct {
	userdata uint64
	kind     byte
	wait     time.Duration // until the event
	err      errno
}

// pollOneoff(subscriptions, events, count, happened) sleeps until the first of the events. An event always happens:
// streams are ready at once, and there are no other descriptors.
func pollOneoff(c *call) errno {
	in, out, n := c.u32(0), c.u32(1), c.u32(2)
	if n == 0 || n > maxSubscriptions {
		return inval
	}
	list, ok := c.memory.bytes(in, n*subscriptionSize)
	if !ok {
		return fault
	}
	if _, ok := c.memory.bytes(out, n*eventSize); !ok {
		return fault
	}
	var subscriptions [maxSubscriptions]subscription
	first := time.Duration(math.MaxInt64)
	for i := range n {
		s, e := parseSubscription(list[i*subscriptionSize:])
		if e != success {
			return e
		}
		subscriptions[i] = s
		first = min(first, s.wait)
	}
	if e := c.memory.putU32(c.u32(3), 0); e != success {
		return e
	}
	c.guest.Charge(n * (subscriptionSize + eventSize))
	if first > 0 {
		c.guest.Sleep(first)
	}
	happened := uint32(0)
	for _, s := range subscriptions[:n] {
		if s.wait <= first {
			c.memory.put(out+happened*eventSize, s.event())
			happened++
		}
	}
	return c.memory.putU32(c.u32(3), happened)
}

// parseSubscription reads userdata u64, kind u8 at 8, and at 16 either the clock (id u32, time u64 at 24, precision,
// flags u16 at 40) or the descriptor u32.
func parseSubscription(b []byte) (s subscription, e errno) {
	s = subscription{userdata: binary.LittleEndian.Uint64(b), kind: b[8]}
	id := binary.LittleEndian.Uint32(b[16:])
	switch s.kind {
	case eventClock:
		const absolute = 1
		now, ok := clock(id)
		if !ok {
			return s, inval
		}
		at := binary.LittleEndian.Uint64(b[24:])
		if binary.LittleEndian.Uint16(b[40:])&absolute != 0 {
			at -= min(at, now)
		}
		s.wait = time.Duration(min(at, math.MaxInt64))
	case eventRead, eventWrite:
		if stdin := Stream(id) == Stdin; Stream(id) > Stderr || stdin != (s.kind == eventRead) {
			s.err = badf
		}
	default:
		return s, inval
	}
	return s, success
}

// event encodes the event of a subscription: userdata u64, errno u16 at 8, and kind u8 at 10. For a descriptor it has
// the number of bytes that are ready, u64 at 16. This is 1 for output, because the number is unknown, and 0 for input,
// which is at its end (flags u16 at 24).
func (s *subscription) event() []byte {
	b := make([]byte, eventSize)
	binary.LittleEndian.PutUint64(b, s.userdata)
	binary.LittleEndian.PutUint16(b[8:], uint16(s.err))
	b[10] = s.kind
	switch {
	case s.err != success:
	case s.kind == eventWrite:
		b[16] = 1
	case s.kind == eventRead:
		b[24] = 1 // hung up
	}
	return b
}
