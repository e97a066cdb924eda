package host

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// memory is the budget of bytes that all instances of a node may use together. Half of it is reserved in equal
// parts, one for each tenant of the revision in use; the rest is shared by all tenants.
//
// A tenant may use half of its part for any instance, and all of it for the first instance of a module. So a
// reload finds memory for its new instances while the old instances still have theirs, whatever other tenants
// use. With more tenants the parts are smaller: with 10,000 tenants and 1 GiB a part has 52 KiB, less than an
// instance. Then each instance needs shared memory too, and is refused if none is left.
//
// An unused part costs nothing. Memory is taken and given back, under one lock, when instances are made, grow and
// end, but not at every call.
type memory struct {
	mu     sync.Mutex
	limit  int64
	shared int64 // bytes that are not reserved
	lent   int64 // bytes of shared that tenants have borrowed
	used   int64 // by instances
	code   int64 // compiled code
	coming int64 // bytes that the rules being loaded add, for the first instances of modules

	// over is set while more memory is used than the limit allows, because tenants were added or the limit was
	// lowered. Instances are then closed when they are returned.
	over atomic.Bool

	awake  awake // the pools that have instances
	starts startQueue
}

// budget is the part of the memory that the instances of one tenant use.
type budget struct {
	memory *memory
	tenant string // in errors

	// Guarded by memory.mu.
	reserved int64
	used     int64
	borrowed int64 // bytes of used that are shared memory
}

// newMemory returns the budget of a node without tenants.
func newMemory(limit int64) *memory {
	m := &memory{limit: limit, shared: limit}
	m.awake.spares.budget.memory, m.awake.release = m, debug.FreeOSMemory
	return m
}

// reserve gives each tenant of next an equal part of limit bytes, and releases the parts of the other tenants of
// old.
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

// expect lets the first instances of modules use the difference between limit and the current limit, while rules
// that raise the limit are loaded. 0 ends that.
func (m *memory) expect(limit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.coming = max(0, limit-m.limit)
}

// part returns the part of each of n tenants if the limit is limit bytes.
func (m *memory) part(limit int64, n int) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return partOf(limit-m.code, n)
}

// partOf returns the part of each of n tenants.
func partOf(limit int64, n int) int64 { return max(0, limit) / 2 / int64(max(1, n)) }

// look updates over. The caller holds m.mu.
func (m *memory) look() { m.over.Store(m.lent > m.shared || m.used+m.code > m.limit) }

// resize changes the size of the tenant's part. The caller holds memory.mu.
func (b *budget) resize(part int64) {
	b.reserved = part
	borrowed := max(0, b.used-part)
	b.memory.lent += borrowed - b.borrowed
	b.borrowed = borrowed
}

// claim is take, but closes idle instances while there is too little memory. maker is the pool that makes an instance
// with the bytes; nil: none. Its own idle instances are not closed, because one of them is as good as the new one.
func (b *budget) claim(n int64, first bool, maker *pool) error {
	for {
		err := b.take(n, first)
		if err == nil || !b.memory.reclaim(b, n, first, maker) {
			return err
		}
	}
}

// take takes n bytes. With first set, the bytes are for the first instance of a module and all of the tenant's
// part may be used. The error has the amounts in use.
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
		return fmt.Errorf("%s has %w for %d more bytes: its modules use %d, its own part is %d, and the shared memory is in use: "+
			"raise limits.moduleMemory, or lower the memory of its entries", b.who(), errNoMemory, n, b.used, b.reserved)
	}
	b.used += n
	b.borrowed += borrow
	m.used += n
	m.lent += borrow
	m.look()
	return nil
}

// borrow returns how many of n bytes would be shared memory. The caller holds memory.mu.
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
		return fmt.Errorf("the node has %w for %d more bytes of compiled code: all modules use %d of at most %d: "+
			"raise limits.moduleMemory, or use fewer modules", errNoMemory, n, m.code, most)
	}
	m.code += n
	m.shared -= n
	m.look()
	return nil
}

// all returns the limit for instances and code together.
func (m *memory) all() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit
}

// uncharge gives back n bytes of compiled code.
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

// give gives back n bytes, borrowed bytes first.
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

// crowded reports whether the tenant has borrowed memory that it must give back.
func (b *budget) crowded() bool {
	m := b.memory
	if !m.over.Load() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over.Load() && b.borrowed > 0
}
