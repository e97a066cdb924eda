package engine

import (
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/review"
)

// heldStats counts the held messages of this node.
type heldStats struct {
	held, refused, failed                  atomic.Uint64
	released, rejected, withdrawn, expired atomic.Uint64
	wait                                   histogram.Histogram
}

// decided counts a message that was decided, and the time that it waited.
func (s *heldStats) decided(o review.Outcome, waited time.Duration) {
	switch o {
	case review.Released:
		s.released.Add(1)
	case review.Withdrawn:
		s.withdrawn.Add(1)
	case review.Expired:
		s.expired.Add(1)
	default:
		s.rejected.Add(1)
	}
	s.wait.Observe(waited / review.WaitScale)
}

func (s *heldStats) snapshot() review.Stats {
	return review.Stats{Held: s.held.Load(), Refused: s.refused.Load(), Failed: s.failed.Load(), Waited: s.wait.Snapshot(), Decided: map[review.Outcome]uint64{
		review.Released: s.released.Load(), review.Rejected: s.rejected.Load(), review.Withdrawn: s.withdrawn.Load(), review.Expired: s.expired.Load()}}
}
