package host

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// memory is the budget of bytes that all instances of a node may use together. Half of
// it is reserved in equal parts, one for each tenant of the revision in use; the rest is
// shared, for whoever comes first.
//
// Of its part a tenant may use half for anything, and all of it for the first instance of
// a module: so a reload finds memory for its new instances while the old ones still have
// theirs, whatever other tenants use and whatever the tenant's own calls do. With more
// tenants the parts are smaller: at 10,000 tenants and 1 GiB a part has 52 KiB, less than an
// instance, and each instance needs some of what is shared, or is refused.
//
// A part that is not used costs nothing. Memory is taken and given back, under one lock, when
// instances are made, grow and end, not at every call.
type memory struct {
	mu     sync.Mutex
	limit  int64
	shared int64 // what is reserved for nobody
	lent   int64 // of shared, to all tenants
	used   int64 // by instances
	code   int64 // compiled code
	coming int64 // more bytes that the rules being loaded bring: for their first instances

	// over says that more is used than there is, since there are more tenants or less memory
	// than before. Instances that come back are then closed.
	over atomic.Bool

	awake awake // the pools that have instances
}

// budget is what the instances of one tenant use of it.
type budget struct {
	memory *memory
	tenant string // in errors

	// Of memory.mu.
	reserved int64
	used     int64
	borrowed int64 // of used, from what is shared
}

// newMemory makes the budget of a node that has no tenants yet.
func newMemory(limit int64) *memory { return &memory{limit: limit, shared: limit} }

// reserve gives each of next a part of limit bytes, and the others of old none.
func (m *memory) reserve(limit int64, next, old map[string]*tenant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range old {
		t.memory.resize(0)
	}
	part := partOf(limit-m.code, len(next))
	for _, t := range next {
		t.memory.resize(part)
	}
	m.limit, m.shared = limit, limit-m.code-part*int64(len(next))
	m.look()
}

// expect has the first instances of modules use what limit has more than there is now, while
// rules are loaded that bring it; 0: none are.
func (m *memory) expect(limit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.coming = max(0, limit-m.limit)
}

// part is the part of each of n tenants, when there are limit bytes.
func (m *memory) part(limit int64, n int) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return partOf(limit-m.code, n)
}

// partOf is the part of each of n tenants.
func partOf(limit int64, n int) int64 { return max(0, limit) / 2 / int64(max(1, n)) }

// look notes whether too much is used. m.mu is held.
func (m *memory) look() { m.over.Store(m.lent > m.shared || m.used+m.code > m.limit) }

// resize makes the tenant's part larger or smaller. memory.mu is held.
func (b *budget) resize(part int64) {
	b.reserved = part
	borrowed := max(0, b.used-part)
	b.memory.lent += borrowed - b.borrowed
	b.borrowed = borrowed
}

// claim takes n bytes as take does. Where there are not as many, idle instances are closed first.
func (b *budget) claim(n int64, first bool) error {
	for {
		err := b.take(n, first)
		if err == nil || !b.memory.reclaim(b, n, first) {
			return err
		}
	}
}

// take takes n bytes: all of the tenant's part may be used where they are for the first
// instance of a module. The error says what there is.
func (b *budget) take(n int64, first bool) error {
	m := b.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	shared := m.shared
	if first {
		shared += m.coming
	}
	borrow := b.borrow(n, first)
	if borrow > 0 && m.lent+borrow > shared {
		return fmt.Errorf("%s has %w for %d bytes more: its modules use %d, its own part is %d, and what all tenants share is in use: "+
			"raise limits.moduleMemory, or lower the memory of its entries", b.who(), errNoMemory, n, b.used, b.reserved)
	}
	b.used += n
	b.borrowed += borrow
	m.used += n
	m.lent += borrow
	m.look()
	return nil
}

// borrow is how many of n bytes are not the tenant's own. memory.mu is held.
func (b *budget) borrow(n int64, first bool) int64 {
	own := b.reserved
	if !first {
		own /= 2
	}
	return n - min(n, max(0, own-(b.used-b.borrowed)))
}

// charge takes n bytes for compiled code, which belongs to no tenant. Code may take three quarters of the memory.
func (m *memory) charge(n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if most := (m.limit + m.coming) / 4 * 3; m.code+n > most {
		return fmt.Errorf("the node has %w for %d bytes of compiled code more: that of all modules takes %d, and may take %d: "+
			"raise limits.moduleMemory, or use fewer modules", errNoMemory, n, m.code, most)
	}
	m.code += n
	m.shared -= n
	m.look()
	return nil
}

// uncharge gives n bytes of compiled code back.
func (m *memory) uncharge(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.code -= n
	m.shared += n
	m.look()
}

func (b *budget) who() string {
	if b.tenant == "" {
		return "the node"
	}
	return "tenant " + b.tenant
}

// give gives n bytes back, first those that were borrowed.
func (b *budget) give(n int64) {
	m := b.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	back := min(n, b.borrowed)
	b.used -= n
	b.borrowed -= back
	m.used -= n
	m.lent -= back
	m.look()
}

// crowded reports whether the tenant has borrowed memory that others are to have.
func (b *budget) crowded() bool {
	m := b.memory
	if !m.over.Load() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over.Load() && b.borrowed > 0
}
