// Package fanout brings one frame to many sockets.
//
// A [Room] is the way of a room's messages to its members. [Room.Post] hands a
// [Message] for a [Snapshot] of the members to the [Writers], one goroutine for each
// processor, which write it to the [Outbox] of each member whose [Gate] lets it
// through. A writer never waits for a socket: a reader whose socket is full is behind,
// and gets a goroutine of its own until it has caught up or is given up.
//
// Tenants take turns at a writer, and the rooms of a tenant take turns within its own,
// 64 members at a time: a room of thousands does not delay a room of two, nor a tenant
// of a thousand rooms another tenant.
//
// The lock order is in the documentation of package engine.
package fanout

import (
	"sync"
	"sync/atomic"
	"time"
)

// Writers are the goroutines that write to all sockets of a node. Their methods may be
// called concurrently.
type Writers struct {
	list    []*writer
	opened  atomic.Uint64 // outboxes, to spread them over the writers
	polling polling
}

// NewWriters makes n writers; Run starts them.
func NewWriters(n int) *Writers {
	ws := &Writers{}
	for i := range n {
		w := newWriter(i)
		w.polling = &ws.polling
		ws.list = append(ws.list, w)
	}
	return ws
}

// Run writes until Close is called and all that was handed over is written.
func (ws *Writers) Run() {
	var running sync.WaitGroup
	for _, w := range ws.list {
		running.Go(w.run)
	}
	running.Wait()
}

// Close ends Run once all is written. It does not wait.
func (ws *Writers) Close() {
	for _, w := range ws.list {
		w.close()
	}
}

// Queues is how many queues of tenants the writers have: at most one for each tenant
// and writer, none for a tenant without connections.
func (ws *Writers) Queues() int {
	n := 0
	for _, w := range ws.list {
		w.mu.Lock()
		n += len(w.queues)
		w.mu.Unlock()
	}
	return n
}

// OutboxConfig is what an outbox is made of.
type OutboxConfig struct {
	Sink         Sink
	Tenant       string        // whose turns its frames take
	Bytes        int           // that may wait; with more the reader is given up
	WriteTimeout time.Duration // a reader that is behind and takes nothing for this long is given up
	Slow         func()        // called once, from any goroutine, when the reader is given up
}

// Open makes o, a zero Outbox, ready, at the writer whose turn it is; Release must
// follow.
func (ws *Writers) Open(o *Outbox, cfg OutboxConfig) {
	w := ws.list[ws.opened.Add(1)%uint64(len(ws.list))]
	o.sink, o.slow, o.limit, o.timeout = cfg.Sink, cfg.Slow, cfg.Bytes, cfg.WriteTimeout
	o.queue = w.queueOf(cfg.Tenant)
}
