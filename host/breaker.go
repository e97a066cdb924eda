package host

import (
	"sync"
	"sync/atomic"
)

// breaker is the circuit breaker of one entry. While it is closed it counts calls in a rolling
// window. It opens when the window has at least Minimum calls and at least Ratio of them failed,
// and then refuses calls for Cooldown. After that it is half-open: it admits at most Probes calls
// at a time. It closes when Probes of them have succeeded; one failure opens it again.
//
// A closed breaker costs a call two loads and one addition, without a lock or an allocation. A
// breaker has about 400 bytes.
type breaker struct {
	rule Breaker
	hint int64 // ns: the delay until a retry while all probes are taken

	// phase has the state in its lowest two bits; the others count changes of state.
	phase  atomic.Uint32
	calls  atomic.Uint64 // counted while closed
	turn   atomic.Int64  // on the host's clock: when the next bucket of the window begins
	until  atomic.Int64  // on the host's clock: end of the cooldown
	outage atomic.Pointer[outage]

	mu       sync.Mutex
	failures uint64             // counted while closed
	marks    [windowParts]count // when each bucket began; a ring
	at       int                // the current bucket
	probing  int                // probes under way
	passed   int                // successful probes since it became half-open
}

// count is a number of calls, and the number of failures among them.
type count struct{ calls, failures uint64 }

// outage lasts from the moment a breaker opens until it closes, through all failed probes.
type outage struct {
	began   int64 // on the host's clock
	calls   count // of the window that opened it
	refused atomic.Uint64
}

// ticket is the phase in which a call was admitted. The outcome of a call does not count in a
// later phase.
type ticket uint32

// The states of a breaker.
const (
	closed = iota
	opened
	halfOpen
	stateMask = 3
)

// windowParts is the number of buckets of the window. The window is up to one bucket shorter than
// configured.
const windowParts = 10

// newBreaker returns a closed breaker. timeout is the longest time of a probe, in ns.
func newBreaker(rule Breaker, timeout, t int64) *breaker {
	b := &breaker{rule: rule, hint: timeout}
	b.turn.Store(t + b.step())
	return b
}

func (b *breaker) step() int64 { return max(1, int64(b.rule.Window)/windowParts) }

func (b *breaker) state() uint32 { return b.phase.Load() & stateMask }

// admit asks for a call at time t. If wait is 0, the caller must call exactly one of succeeded,
// failed and ignored afterwards. Otherwise the call is refused, and may be repeated after wait ns.
func (b *breaker) admit(t int64) (k ticket, wait int64) {
	p := b.phase.Load()
	switch p & stateMask {
	case closed:
		if t >= b.turn.Load() {
			b.mu.Lock()
			b.roll(t)
			b.mu.Unlock()
		}
		return ticket(p), 0
	case opened:
		if wait = b.until.Load() - t; wait > 0 {
			b.outage.Load().refused.Add(1)
			return 0, wait
		}
	}
	return b.probe(t)
}

// probe admits a probe, if one is left.
func (b *breaker) probe(t int64) (k ticket, wait int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch wait = b.until.Load() - t; {
	case b.state() == closed: // by another goroutine
		return ticket(b.phase.Load()), 0
	case b.state() == opened && wait <= 0:
		b.enter(halfOpen)
		b.probing, b.passed = 0, 0
	case b.state() == opened:
		b.outage.Load().refused.Add(1)
		return 0, wait
	}
	if b.probing+b.passed >= b.rule.Probes {
		b.outage.Load().refused.Add(1)
		return 0, b.hint
	}
	b.probing++
	return ticket(b.phase.Load()), 0
}

// succeeded counts a successful call. It returns the outage that it ended, or nil.
func (b *breaker) succeeded(k ticket) *outage {
	if k&stateMask == closed {
		if ticket(b.phase.Load()) == k {
			b.calls.Add(1)
		}
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket(b.phase.Load()) != k {
		return nil
	}
	b.probing--
	if b.passed++; b.passed < b.rule.Probes {
		return nil
	}
	b.forget(now())
	b.enter(closed)
	return b.outage.Load()
}

// failed counts a failed call at time t. It returns the outage that it began, or nil.
func (b *breaker) failed(k ticket, t int64) *outage {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket(b.phase.Load()) != k {
		return nil
	}
	if k&stateMask == halfOpen {
		b.until.Store(t + int64(b.rule.Cooldown))
		b.enter(opened)
		return nil
	}
	b.roll(t)
	b.calls.Add(1)
	b.failures++
	oldest := b.marks[(b.at+1)%windowParts]
	n := count{b.calls.Load() - oldest.calls, b.failures - oldest.failures}
	if n.calls < uint64(b.rule.Minimum) || float64(n.failures) < b.rule.Ratio*float64(n.calls) {
		return nil
	}
	o := &outage{began: t, calls: n}
	b.outage.Store(o)
	b.until.Store(t + int64(b.rule.Cooldown))
	b.enter(opened)
	return o
}

// ignored ends a call whose failure does not count.
func (b *breaker) ignored(k ticket) {
	if k&stateMask == closed {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if ticket(b.phase.Load()) == k {
		b.probing--
	}
}

// enter changes the state. The caller holds b.mu.
func (b *breaker) enter(state uint32) {
	b.phase.Store(b.phase.Load()&^stateMask + stateMask + 1 | state)
}

// roll begins the buckets that are due at t. The caller holds b.mu.
func (b *breaker) roll(t int64) {
	late := t - b.turn.Load()
	if late < 0 {
		return
	}
	n := late/b.step() + 1
	for range min(n, windowParts) {
		b.at = (b.at + 1) % windowParts
		b.marks[b.at] = count{b.calls.Load(), b.failures}
	}
	b.turn.Add(n * b.step())
}

// forget empties the window. The caller holds b.mu.
func (b *breaker) forget(t int64) {
	for i := range b.marks {
		b.marks[i] = count{b.calls.Load(), b.failures}
	}
	b.turn.Store(t + b.step())
}
