package fanout

import (
	"sync"
	"sync/atomic"

	"github.com/mootchat/moot/engine/wire"
)

// memory counts and limits the bytes that wait for the writers and the slow readers of a node. Frames
// that wait for several readers count once. Beyond the limit senders wait for the writers, and
// slow readers are given up.
//
// A tenant may use as much as is left for all others. A single tenant can use half of the limit;
// if n tenants use as much as they can, each has 1/(n+1) of it. So there is always memory left for
// a tenant that uses little, and no memory is reserved and idle.
type memory struct {
	limit  atomic.Int64 // bytes; 0: no limit
	used   atomic.Int64
	closed atomic.Uint64 // readers that were given up because their tenant used too much

	incoming atomic.Int64 // bytes of messages of which only a part has arrived; they have a limit of their own, which is as large

	mu      sync.Mutex
	tenants map[string]*account
}

// account counts what waits for the writers and the slow readers of a tenant.
type account struct {
	of    *memory
	used  atomic.Int64
	users int // outboxes; guarded by of.mu

	incoming atomic.Int64
}

// accountOf returns the account of a tenant. The caller must call leave later.
func (m *memory) accountOf(tenant string) *account {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.tenants[tenant]
	if a == nil {
		if m.tenants == nil {
			m.tenants = map[string]*account{}
		}
		a = &account{of: m}
		m.tenants[tenant] = a
	}
	a.users++
	return a
}

// leave undoes accountOf. Waiting bytes stay counted until they are sent.
func (m *memory) leave(tenant string, a *account) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.users--; a.users == 0 && m.tenants[tenant] == a {
		delete(m.tenants, tenant)
	}
}

func (a *account) add(bytes int) {
	a.used.Add(int64(bytes))
	a.of.used.Add(int64(bytes))
}

// over reports whether the tenant uses more than is left for the others.
func (a *account) over() bool {
	limit := a.of.limit.Load()
	return limit > 0 && a.used.Load() > limit-a.of.used.Load()
}

// receive adds change to the bytes of the messages of the tenant of which only a part has arrived. It reports
// whether the tenant uses at most as much for them as it leaves to the other tenants.
func (a *account) receive(change int) bool {
	tenant, all := a.incoming.Add(int64(change)), a.of.incoming.Add(int64(change))
	limit := a.of.limit.Load()
	return change <= 0 || limit == 0 || tenant <= limit-all
}

// parcel is what waits for one reader: a frame or a part of it, or bytes that no other reader
// shares.
type parcel struct {
	b     []byte
	frame *wire.Frame // nil: b belongs to the outbox
}

// hold counts a parcel of a slow reader.
func (a *account) hold(p parcel) {
	n := perFrame
	if p.frame == nil {
		n += len(p.b)
	} else if p.frame.Hold() {
		n += p.frame.Len()
	}
	a.add(n)
}

// release undoes hold.
func (a *account) release(p parcel) {
	n := perFrame
	if p.frame == nil {
		n += len(p.b)
	} else if p.frame.Release() {
		n += p.frame.Len()
	}
	a.add(-n)
}

// Incoming returns the bytes of memory of messages that clients have begun to send.
func (ws *Writers) Incoming() int64 { return ws.memory.incoming.Load() }

// SetMemory sets the limit of what waits for the writers and for slow readers, in bytes; 0 is
// no limit. If a tenant uses more than is left for the others, its slow readers are given up and
// its senders wait for the writers. The same limit applies to messages that clients have begun to
// send, apart from what waits; see [Outbox.Receive].
func (ws *Writers) SetMemory(bytes int64) { ws.memory.limit.Store(bytes) }

// Memory returns the bytes that wait for the writers and for slow readers, with the memory of their goroutines,
// and the number of readers that were given up because of the limit.
func (ws *Writers) Memory() (used int64, closed uint64) {
	return ws.memory.used.Load(), ws.memory.closed.Load()
}
