// Package histogram counts durations in buckets whose bounds double, without locks and
// allocations.
package histogram

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets is the number of buckets. The bound of the first is 1.024 us, and each other
// bound is twice the one before; the last bucket has no bound, and counts what takes
// longer than 17 s.
const Buckets = 26

// Histogram counts durations. The zero Histogram is empty and ready; it must not be
// copied. Its methods may be called concurrently: an observation is two atomic additions.
type Histogram struct {
	counts [Buckets]atomic.Uint64
	sum    atomic.Int64 // ns
}

// Observe counts a duration; a negative one counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.counts[min(bits.Len64(uint64(max(d-1, 0))>>10), Buckets-1)].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot gives the counts so far. Under concurrent observations its counts and its sum
// are not of one instant.
func (h *Histogram) Snapshot() (s Snapshot) {
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}

// Snapshot is a Histogram at one moment. The zero Snapshot is empty.
type Snapshot struct {
	Counts [Buckets]uint64 // by bucket, not cumulative
	Sum    time.Duration
}

// Bound is the longest duration that bucket i counts. The last bucket has none.
func Bound(i int) time.Duration { return time.Duration(1<<10) << i }

// Total is the number of observations.
func (s *Snapshot) Total() (n uint64) {
	for _, count := range s.Counts {
		n += count
	}
	return n
}

// Quantile is the duration within which the share q, 0 to 1, of the observations lies, as
// near as the buckets tell; 0 without observations.
func (s *Snapshot) Quantile(q float64) time.Duration {
	rank, below := q*float64(s.Total()), 0.0
	for i, n := range s.Counts {
		if n > 0 && below+float64(n) >= rank {
			low := time.Duration(0)
			if i > 0 {
				low = Bound(i - 1)
			}
			return low + time.Duration(float64(Bound(i)-low)*(rank-below)/float64(n))
		}
		below += float64(n)
	}
	return 0
}
