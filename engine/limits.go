package engine

import (
	"cmp"
	"time"
)

// Limits are the limits of a node or of one tenant. A zero field means the default for a
// node, which the field's comment names, and the node's limit for a tenant.
type Limits struct {
	MessageBytes        int           // maximum length of a frame or line from a client; 64 KiB
	Connections         int           // 100,000; 0 for a tenant: only the node's limit applies
	ConnectionsPerIP    int           // connections from one address to one tenant; 0: no limit
	RoomsPerConnection  int           // 100
	VerbsPerSecond      float64       // for each connection, with a burst of twice that; 50
	SimultaneousActions int           // actions that run at once on one connection; 5
	OutboxBytes         int           // bytes that wait for one connection; 1 MiB
	OutboxMemory        int64         // bytes of memory that wait to be written to clients of the node; 0: no limit; not for a tenant
	HistoryBytes        int64         // of the history of one room, see cluster.Retention; 16 MiB
	Rooms               int           // existing rooms of one tenant; rooms created at the same time may exceed it; 0: no limit
	HeldMessages        int           // of one tenant that wait for a decision; 0: see review.Limits
	HeldBytes           int64         // of these messages; 0: see review.Limits
	VerbTimeout         time.Duration // total time of a verb, an action or the start of a connection; 15 s
	WriteTimeout        time.Duration // a slow reader that accepts too little within this time is closed; 5 s
}

func (l Limits) withDefaults() Limits {
	l.MessageBytes = cmp.Or(l.MessageBytes, 64<<10)
	l.Connections = cmp.Or(l.Connections, 100_000)
	l.RoomsPerConnection = cmp.Or(l.RoomsPerConnection, 100)
	l.VerbsPerSecond = cmp.Or(l.VerbsPerSecond, 50)
	l.SimultaneousActions = cmp.Or(l.SimultaneousActions, 5)
	l.OutboxBytes = cmp.Or(l.OutboxBytes, 1<<20)
	l.HistoryBytes = cmp.Or(l.HistoryBytes, 16<<20)
	l.VerbTimeout = cmp.Or(l.VerbTimeout, 15*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 5*time.Second)
	return l
}

// ofTenant returns the limits of a tenant: l, with the node's limits for zero fields.
func (l Limits) ofTenant(node Limits) Limits {
	l.MessageBytes = cmp.Or(l.MessageBytes, node.MessageBytes)
	l.ConnectionsPerIP = cmp.Or(l.ConnectionsPerIP, node.ConnectionsPerIP)
	l.RoomsPerConnection = cmp.Or(l.RoomsPerConnection, node.RoomsPerConnection)
	l.VerbsPerSecond = cmp.Or(l.VerbsPerSecond, node.VerbsPerSecond)
	l.SimultaneousActions = cmp.Or(l.SimultaneousActions, node.SimultaneousActions)
	l.OutboxBytes = cmp.Or(l.OutboxBytes, node.OutboxBytes)
	l.HistoryBytes = cmp.Or(l.HistoryBytes, node.HistoryBytes)
	l.Rooms = cmp.Or(l.Rooms, node.Rooms)
	l.HeldMessages = cmp.Or(l.HeldMessages, node.HeldMessages)
	l.HeldBytes = cmp.Or(l.HeldBytes, node.HeldBytes)
	l.VerbTimeout = cmp.Or(l.VerbTimeout, node.VerbTimeout)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, node.WriteTimeout)
	return l
}

// LimitError is the error of a request over the rate limit.
type LimitError struct {
	Wait time.Duration // until the client may try again
}

func (e *LimitError) Error() string { return "rate limit exceeded" }

// bucket is a token bucket. It gains perSecond tokens per second and holds at most those of
// two seconds. The zero bucket is full.
type bucket struct {
	spent float64 // tokens missing from a full bucket
	at    time.Time
}

// take takes n tokens. If the bucket has fewer, it takes none and returns the time until it
// has them.
func (b *bucket) take(now time.Time, perSecond, n float64) (wait time.Duration) {
	b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*perSecond)
	b.at = now
	over := b.spent + n - 2*perSecond
	if wait = time.Duration(over / perSecond * float64(time.Second)); wait > 0 {
		return wait
	}
	b.spent += n
	return 0
}

// owe takes n tokens, even if the bucket has fewer: the debt is at most the tokens of two
// seconds.
func (b *bucket) owe(perSecond, n float64) { b.spent = min(b.spent+n, 4*perSecond) }

// charge takes n tokens, even if the bucket has fewer. It returns the time until the bucket
// has replaced the debt, which is at most most.
func (b *bucket) charge(now time.Time, perSecond, n float64, most time.Duration) (wait time.Duration) {
	b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*perSecond)
	b.at = now
	b.spent = min(b.spent+n, (2+most.Seconds())*perSecond)
	return max(0, time.Duration((b.spent/perSecond-2)*float64(time.Second)))
}
