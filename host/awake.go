package host

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// A pool is awake while it has instances. It has none after a load. The first event that needs an instance starts one,
// which takes from some microseconds to some milliseconds. The pool loses its instances when it was not used for a
// while, or earlier when other pools need the memory.

// idleAfter is the time after which an unused instance is closed if its module has no image, because starting a new one takes
// milliseconds. An unused instance with an image is closed after stealAfter.
const idleAfter = time.Minute

// sweepEvery is the interval between two sweeps, while there are instances.
const sweepEvery = stealAfter / 4

// manyInstances is the number of instances from which a sweep that removes them collects their garbage at once.
const manyInstances = 64

// awake is the set of pools that are awake.
type awake struct {
	mu     sync.Mutex
	pools  map[*pool]struct{}
	timer  *time.Timer // nil: it never ran
	armed  bool        // the timer runs: there are pools or spare instances
	closed bool

	release func() // collects garbage and returns the memory to the system; see sweep

	spares spares
}

// note adds p to the set if it has instances, and removes it otherwise. It is called when the first instance is added
// and when the last one is removed.
func (a *awake) note(p *pool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.alive.Load() == 0 {
		delete(a.pools, p)
		return
	}
	if a.pools == nil {
		a.pools = make(map[*pool]struct{})
	}
	a.pools[p] = struct{}{}
	a.start()
}

// arm starts the timer if it does not run.
func (a *awake) arm() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.start()
}

// start is arm for a caller that holds a.mu.
func (a *awake) start() {
	switch {
	case a.closed || a.armed:
		return
	case a.timer == nil:
		a.timer = time.AfterFunc(sweepEvery, func() { a.sweep(now()) })
	default:
		a.timer.Reset(sweepEvery)
	}
	a.armed = true
}

// sweep removes the idle instances of pools that were not used for their idle time at time t, and closes the spare
// instances that were not used for idleAfter. It restarts the timer if pools or spare instances are left.
//
// An instance has up to 200 KB in Go's heap. After a burst of wakes, the garbage of the removed instances would let the heap
// grow to twice its size before the next collection. So a sweep that removes many instances collects the garbage.
func (a *awake) sweep(t int64) {
	removed := 0
	defer func() {
		if removed >= manyInstances {
			a.release()
		}
	}()
	for _, p := range a.list() {
		idle := idleAfter
		if p.imaged.Load() {
			idle = stealAfter
		}
		if t-p.used.Load() >= int64(idle) {
			before := p.ready.Load()
			p.drain()
			removed += int(max(0, before-p.ready.Load()))
		}
	}
	a.spares.dropAll(func(in *instance) bool { return t-in.mark >= int64(idleAfter) })
	spare := a.spares.len() > 0
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.armed = false; len(a.pools) > 0 || spare {
		a.start()
	}
}

func (a *awake) list() []*pool {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*pool, 0, len(a.pools))
	for p := range a.pools {
		list = append(list, p)
	}
	return list
}

// close ends sweeping. note still adds and removes pools.
func (a *awake) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// wakeRatio is the number of times what another tenant has borrowed that a tenant may have with the first instance of a
// module, and still have an idle instance of the other one closed. With a ratio of 1, a tenant with a chain of some
// modules could not wake the last ones while all memory belongs to idle tenants of which some modules are awake.
const wakeRatio = 4

// reclaim closes one idle instance so that b can have n bytes, and reports whether it found one. It closes the least
// recently used instance, except those of the pool maker, among those of b's tenant, those that were not used for
// stealAfter, and those of tenants that have borrowed at least as much as b would have then; for the first instance of a
// module, at least a part of that, see wakeRatio. So no tenant takes memory in use from a tenant that has less.
func (m *memory) reclaim(b *budget, n int64, first bool, maker *pool) bool {
	if m.awake.spares.drop() {
		return true
	}
	pools := m.awake.list()
	m.mu.Lock()
	least, t := b.borrowed+b.borrow(n, first), now()
	if first {
		least /= wakeRatio
	}
	pools = slices.DeleteFunc(pools, func(p *pool) bool {
		return p == maker || !p.hasIdle() || p.memory != b && p.memory.borrowed < least && t-p.used.Load() < int64(stealAfter)
	})
	m.mu.Unlock()
	slices.SortFunc(pools, func(p, q *pool) int { return cmp.Compare(p.used.Load(), q.used.Load()) })
	return slices.ContainsFunc(pools, (*pool).sacrifice)
}
