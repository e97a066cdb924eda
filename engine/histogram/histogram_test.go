package histogram

import (
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	var h Histogram
	var sum time.Duration
	for ns, bucket := range map[int64]int{
		-1: 0, 0: 0, 1: 0, 1024: 0, 1025: 1, 2048: 1, 2049: 2, int64(time.Millisecond): 10, int64(17 * time.Second): 24, int64(time.Hour): Buckets - 1,
	} {
		before := h.Snapshot()
		h.Observe(time.Duration(ns))
		after := h.Snapshot()
		sum += time.Duration(max(ns, 0))
		if after.Counts[bucket] != before.Counts[bucket]+1 || after.Total() != before.Total()+1 || after.Sum != sum {
			t.Errorf("%d ns is not in bucket %d: %v", ns, bucket, after)
		}
		if bound := Bound(bucket); bucket < Buckets-1 && (time.Duration(ns) > bound || bucket > 0 && time.Duration(ns) <= Bound(bucket-1)) {
			t.Errorf("%d ns is in a bucket that ends at %v", ns, bound)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var h Histogram
	if s := h.Snapshot(); s.Quantile(0.5) != 0 {
		t.Errorf("the median of nothing is %v", s.Quantile(0.5))
	}
	for range 98 {
		h.Observe(100 * time.Microsecond) // in (65.5 us, 131 us]
	}
	h.Observe(10 * time.Millisecond) // in (8.4 ms, 16.8 ms]
	h.Observe(10 * time.Millisecond)
	s := h.Snapshot()
	for q, within := range map[float64][2]time.Duration{0.5: {65 * time.Microsecond, 132 * time.Microsecond}, 0.99: {8 * time.Millisecond, 17 * time.Millisecond}, 1: {8 * time.Millisecond, 17 * time.Millisecond}} {
		if got := s.Quantile(q); got < within[0] || got > within[1] {
			t.Errorf("quantile %v is %v, want it in %v", q, got, within)
		}
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkObserve measures an observation together with its two calls of time.Now.
func BenchmarkObserve(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			begun := time.Now()
			h.Observe(time.Since(begun))
		}
	})
}
