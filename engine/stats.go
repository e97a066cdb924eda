package engine

import "sync/atomic"

type stats struct {
	messages, deliveries, emitsDropped, busy, slowReaders, refused, limited atomic.Uint64
}

// Stats counts what happened since the engine started.
type Stats struct {
	Connections  int    // now
	Messages     uint64 // published by this node
	Deliveries   uint64 // messages given to a member's outbox
	EmitsDropped uint64 // effects: by a full lane, by the rule against effects that cause effects, or for want of a target
	RoomBusy     uint64 // messages refused by a full lane
	SlowReaders  uint64 // connections given up (3008)
	Refused      uint64 // connections not let in
	RateLimited  uint64 // verbs refused
	Cluster      ClusterStats
}

// Stats is a snapshot; its numbers are not of one instant.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	n := len(e.connections)
	e.mu.Unlock()
	s := &e.stats
	var common ClusterStats
	if e.cluster.Status != nil {
		common = e.cluster.Status.Counters()
	}
	return Stats{n, s.messages.Load(), s.deliveries.Load(), s.emitsDropped.Load(), s.busy.Load(),
		s.slowReaders.Load(), s.refused.Load(), s.limited.Load(), common}
}

// ClusterHealth is nil while the node gets on with the cluster, else what is
// wrong, in words for an operator.
func (e *Engine) ClusterHealth() error {
	if e.cluster.Status == nil {
		return nil
	}
	return e.cluster.Status.Health()
}
