// Package histogram counts durations in buckets with exponential bounds, without locks or
// allocations.
package histogram

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets is the number of buckets. The first bucket counts durations up to 1.024 us, and
// each bound is twice the one before. The last bucket counts durations over 17 s.
const Buckets = 26

// Histogram counts durations. The zero Histogram is empty and ready to use; it must not be
// copied. It is safe for concurrent use: an observation is two atomic additions.
type Histogram struct {
	counts [Buckets]atomic.Uint64
	sum    atomic.Int64 // ns
}

// Observe counts a duration. A negative duration counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.counts[min(bits.Len64(uint64(max(d-1, 0))>>10), Buckets-1)].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot returns the counts and the sum. A concurrent observation may be in the count and
// not yet in the sum, or the other way round.
func (h *Histogram) Snapshot() (s Snapshot) {
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}

// Snapshot is a copy of a Histogram's counts. The zero Snapshot is empty.
type Snapshot struct {
	Counts [Buckets]uint64 // by bucket, not cumulative
	Sum    time.Duration
}

// Bound returns the longest duration that bucket i counts, for 0 <= i < Buckets-1.
func Bound(i int) time.Duration { return time.Duration(1<<10) << i }

// Total returns the number of observations.
func (s *Snapshot) Total() (n uint64) {
	for _, count := range s.Counts {
		n += count
	}
	return n
}

// Quantile returns the estimated q-quantile, for q from 0 to 1. It interpolates within a
// bucket. It returns 0 if there are no observations.
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
