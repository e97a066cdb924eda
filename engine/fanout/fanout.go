// Package fanout delivers one frame to many sockets.
//
// [Room.Post] passes a [Message] for a [Snapshot] of a room's members to the [Writers], one
// goroutine for each processor. They write it to the [Outbox] of each member whose [Gate]
// admits it. A writer never waits for a socket: if a member's socket is full, another
// goroutine writes to it until the member has caught up or is given up.
//
// A writer serves tenants in turn. Within a tenant's turns it serves the tenant's rooms, 64
// members at a time. Thus a room with thousands of members does not delay a room with two,
// and a tenant with a thousand rooms does not delay another tenant.
//
// The lock order is in the documentation of package engine.
package fanout

import (
	"sync"
	"sync/atomic"
	"time"
)

// Writers are the goroutines that write to all sockets of a node. Their methods are safe
// for concurrent use.
type Writers struct {
	list    []*writer
	opened  atomic.Uint64 // the number of outboxes opened; it spreads them over the writers
	polling polling
	memory  memory
}

// NewWriters returns n writers. Call Run to start them. Each of the first writers uses one of the rings, and closes it when it ends;
// the others write to each socket with a system call of its own.
func NewWriters(n int, rings ...Ring) *Writers {
	ws := &Writers{}
	for i := range n {
		w := newWriter(i)
		w.polling = &ws.polling
		if i < len(rings) {
			w.ring = rings[i]
		}
		ws.list = append(ws.list, w)
	}
	return ws
}

// Run runs the writers until Close is called and everything posted before is written.
func (ws *Writers) Run() {
	var running sync.WaitGroup
	for _, w := range ws.list {
		running.Go(w.run)
	}
	running.Wait()
}

// Close makes Run return after the writers have written everything. It does not wait.
func (ws *Writers) Close() {
	for _, w := range ws.list {
		w.close()
	}
}

// Queues returns the number of tenant queues: at most one for each tenant and writer, and
// none for a tenant without connections.
func (ws *Writers) Queues() int {
	n := 0
	for _, w := range ws.list {
		w.mu.Lock()
		n += len(w.queues)
		w.mu.Unlock()
	}
	return n
}

// OutboxConfig configures an outbox.
type OutboxConfig struct {
	Sink         Sink
	Tenant       string        // frames are sent in the turns of this tenant
	Bytes        int           // limit of waiting bytes; a reader over the limit is given up
	WriteTimeout time.Duration // a slow reader that accepts too little within this time is given up
	Slow         func()        // called once, from any goroutine and without a lock, when the reader is given up
	First        []byte        // sent before the first frame, in the same write; nil: nothing. The outbox then owns it
}

// Open prepares o, which must be a zero Outbox, and assigns it to a writer. The caller must
// call Release when the connection has ended.
func (ws *Writers) Open(o *Outbox, cfg OutboxConfig) {
	w := ws.list[ws.opened.Add(1)%uint64(len(ws.list))]
	o.sink, o.slow, o.limit, o.timeout = cfg.Sink, cfg.Slow, cfg.Bytes, cfg.WriteTimeout
	if w.ring != nil {
		o.socket, _ = cfg.Sink.(Socket)
	}
	o.queue, o.account = w.queueOf(cfg.Tenant), ws.memory.accountOf(cfg.Tenant)
	if len(cfg.First) > 0 {
		o.waiting, o.bytes = append(make([]parcel, 0, 2), parcel{b: cfg.First}), len(cfg.First)
	}
}
