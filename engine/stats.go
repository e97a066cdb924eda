package engine

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/mootchat/moot/engine/cluster"
)

type stats struct {
	messages, deliveries, emitsDropped, busy, slowReaders, refused, limited, rejected, roomLimit, slowHandshakes atomic.Uint64
	verbs                                                                                                        verbStats
	chains                                                                                                       chainStats

	mu     sync.Mutex
	closed map[int]uint64
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
	Connections    int    // now
	Messages       uint64 // published by this node
	Deliveries     uint64 // messages given to a member's outbox
	EmitsDropped   uint64 // effects: by a full queue, because an effect caused them, or because the target does not exist
	RoomBusy       uint64 // messages refused by a full queue
	SlowReaders    uint64 // connections closed as slow readers (3008)
	Refused        uint64 // connections not let in
	RateLimited    uint64 // verbs refused
	Rejected       uint64 // invalid input: not JSON, a line that is too long, ...
	SlowHandshakes uint64 // clients that exceeded the time limit of the handshake
	RoomLimit      uint64 // joins refused because the connection was in too many rooms

	// Closed are the connections that have ended, by the code of the [Close]; 0:
	// the client closed, or was lost. 1009 had sent too big a message, 3009 had
	// not answered its heartbeats or had begun a message and not ended it.
	Closed map[int]uint64

	Cluster cluster.Stats
	Verbs   []VerbStats // of clients
	Chains  []ChainStats
}

// CountSlowHandshake is for transports: a client has taken too long to ask for a
// connection.
func (e *Engine) CountSlowHandshake() { e.stats.slowHandshakes.Add(1) }

// Stats is a snapshot; its numbers are not of one instant.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	n := len(e.connections)
	e.mu.Unlock()
	s := &e.stats
	var common cluster.Stats
	if e.cluster.Status != nil {
		common = e.cluster.Status.Counters()
	}
	return Stats{
		Connections: n, Messages: s.messages.Load(), Deliveries: s.deliveries.Load(), EmitsDropped: s.emitsDropped.Load(),
		RoomBusy: s.busy.Load(), SlowReaders: s.slowReaders.Load(), Refused: s.refused.Load(), RateLimited: s.limited.Load(),
		Rejected: s.rejected.Load(), RoomLimit: s.roomLimit.Load(), SlowHandshakes: s.slowHandshakes.Load(), Closed: s.allClosed(), Cluster: common, Verbs: s.verbs.snapshot(), Chains: s.chains.snapshot(),
	}
}

// ClusterHealth returns nil, or what is wrong with the cluster, in words for an operator.
func (e *Engine) ClusterHealth() error {
	if e.cluster.Status == nil {
		return nil
	}
	return e.cluster.Status.Health()
}
