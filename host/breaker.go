package host

import (
	"sync"
	"sync/atomic"
)

// breaker opens when the last Failures failures lie within Window, for Cooldown.
// What fails first after that opens it again, as long as the others are still within
// the window.
type breaker struct {
	rule  Breaker
	until atomic.Int64 // on the host's clock: open before it

	mu   sync.Mutex
	last []int64 // times of failures, a ring
	next int
}

func newBreaker(rule Breaker) *breaker {
	return &breaker{rule: rule, last: make([]int64, 0, rule.Failures)}
}

func (b *breaker) open(t int64) bool { return t < b.until.Load() }

// failed counts a failure and reports whether it opened the breaker.
func (b *breaker) failed(t int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.last) < cap(b.last) {
		b.last = append(b.last, t)
	} else {
		b.last[b.next] = t
		b.next = (b.next + 1) % len(b.last)
	}
	if len(b.last) < cap(b.last) || t-b.last[b.next] > int64(b.rule.Window) || b.open(t) {
		return false
	}
	b.until.Store(t + int64(b.rule.Cooldown))
	return true
}
