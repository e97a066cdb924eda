package engine

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
)

type stats struct {
	messages, deliveries, emitsDropped, removals, busy, slowReaders, refused, limited, rejected, roomLimit, slowHandshakes atomic.Uint64
	verbs                                                                                                                  verbStats
	chains                                                                                                                 chainStats

	mu                    sync.Mutex
	closed                map[int]uint64
	mutes, bans, shadowed atomic.Uint64 // refused by sanctions
	setByPeople           atomic.Uint64 // sanctions
	setByModules          atomic.Uint64
	held                  heldStats
	reports               reportStats
	retractions, edits    amendStats
}

func (s *stats) countSanction(kind moderation.Kind) {
	if kind == moderation.Ban {
		s.bans.Add(1)
	} else {
		s.mutes.Add(1)
	}
}

func (s *stats) countClosed(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed == nil {
		s.closed = map[int]uint64{}
	}
	s.closed[code]++
}

func (s *stats) allClosed() map[int]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.closed)
}

// Stats counts what happened since the engine started.
type Stats struct {
	Connections    int    // open now
	Messages       uint64 // published by this node
	Deliveries     uint64 // messages that were added to a member's outbox
	Rings          int    // writers that write with io_uring; 0: each write is a system call
	EmitsDropped   uint64 // effects that were dropped: a queue was full, an effect caused them, or the target does not exist
	RoomBusy       uint64 // messages that were refused because a queue was full
	SlowReaders    uint64 // connections closed as slow readers (3008)
	IncomingMemory int64  // bytes of memory of messages of which only a part has arrived
	OutboxMemory   int64  // bytes of memory that wait to be written now; a frame that waits for several readers counts once
	OutboxClosed   uint64 // slow readers that were closed because their tenant used too much of it
	Refused        uint64 // connections that were not accepted
	RateLimited    uint64 // verbs that were refused
	Rejected       uint64 // invalid input, such as a line that is not JSON or too long
	SlowHandshakes uint64 // clients that exceeded the time limit of the handshake
	RoomLimit      uint64 // joins that were refused because the connection was in too many rooms
	Muted          uint64 // messages that a mute refused
	Banned         uint64 // joins and connections that a ban refused
	Shadowed       uint64 // messages that only their authors received
	Removals       uint64 // clients that modules removed from rooms or disconnected
	SetByPeople    uint64 // sanctions that people set on this node
	SetByModules   uint64 // sanctions that modules set on this node
	Held           review.Stats
	Reports        review.ReportStats
	Retractions    cluster.AmendmentStats
	Edits          cluster.AmendmentStats

	// Closed are the numbers of connections that have ended, by the code of the [Close].
	// The code is 0 if the client closed the connection or it was lost, 1009 if a message
	// was too large, and 3009 if the client did not answer heartbeats or did not finish a
	// message.
	Closed map[int]uint64

	Cluster cluster.Stats
	Verbs   []VerbStats // of clients only
	Chains  []ChainStats
}

// CountSlowHandshake counts a client that took too long to request a connection. Transports
// call it.
func (e *Engine) CountSlowHandshake() { e.stats.slowHandshakes.Add(1) }

// Stats returns the current numbers. They are not read at the same instant.
func (e *Engine) Stats() Stats {
	s := &e.stats
	waiting, closed := e.writers.Memory()
	var common cluster.Stats
	if e.cluster.Status != nil {
		common = e.cluster.Status.Counters()
	}
	return Stats{
		Connections: e.Open(), Messages: s.messages.Load(), Deliveries: s.deliveries.Load(), Rings: e.rings, EmitsDropped: s.emitsDropped.Load(),
		RoomBusy: s.busy.Load(), SlowReaders: s.slowReaders.Load(), OutboxMemory: waiting, IncomingMemory: e.writers.Incoming(), OutboxClosed: closed, Refused: s.refused.Load(), RateLimited: s.limited.Load(),
		Rejected: s.rejected.Load(), RoomLimit: s.roomLimit.Load(), Muted: s.mutes.Load(), Banned: s.bans.Load(), Shadowed: s.shadowed.Load(), Removals: s.removals.Load(), SetByPeople: s.setByPeople.Load(), SetByModules: s.setByModules.Load(), Held: s.held.snapshot(), Reports: s.reports.snapshot(),
		Retractions: s.retractions.snapshot(), Edits: s.edits.snapshot(), SlowHandshakes: s.slowHandshakes.Load(), Closed: s.allClosed(), Cluster: common, Verbs: s.verbs.snapshot(), Chains: s.chains.snapshot(),
	}
}

// Open returns the number of connections that are open now.
func (e *Engine) Open() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.connections)
}

// ClusterHealth returns nil, or an error that describes the problem of the cluster for an
// operator.
func (e *Engine) ClusterHealth() error {
	if e.cluster.Status == nil {
		return nil
	}
	return e.cluster.Status.Health()
}
