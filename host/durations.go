package host

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// buckets is how many kinds of durations are told apart: each takes at most twice as
// long as the one before, the first at most 1.024 us, the last all that is longer.
const buckets = 24

// durations counts calls by how long they took, at the cost of one atomic addition.
type durations [buckets]atomic.Uint64

func (d *durations) add(ns int64) {
	d[min(bits.Len64(uint64(max(ns-1, 0))>>10), buckets-1)].Add(1)
}

// Durations are calls by how long they took.
type Durations [buckets]uint64

func (d *durations) snapshot() (s Durations) {
	for i := range d {
		s[i] = d[i].Load()
	}
	return s
}

// Bound is the longest duration that counts in bucket i; the last bucket has none.
func (d *Durations) Bound(i int) time.Duration { return time.Duration(1<<10) << i }

// Quantile is the duration within which the share q of the calls was done, as near as
// the buckets tell; 0 if there were none.
func (d *Durations) Quantile(q float64) time.Duration {
	total := uint64(0)
	for _, n := range d {
		total += n
	}
	rank, below := q*float64(total), 0.0
	for i, n := range d {
		if n > 0 && below+float64(n) >= rank {
			low := time.Duration(0)
			if i > 0 {
				low = d.Bound(i - 1)
			}
			return low + time.Duration(float64(d.Bound(i)-low)*(rank-below)/float64(n))
		}
		below += float64(n)
	}
	return 0
}
