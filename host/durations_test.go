package host

import (
	"testing"
	"time"
)

func TestDurationsAreCountedWhereTheyBelong(t *testing.T) {
	var d durations
	for ns, bucket := range map[int64]int{
		-1: 0, 0: 0, 1: 0, 1024: 0, 1025: 1, 2048: 1, 2049: 2, int64(time.Millisecond): 10, int64(time.Hour): buckets - 1,
	} {
		before := d.snapshot()
		d.add(ns)
		after := d.snapshot()
		if after[bucket] != before[bucket]+1 {
			t.Errorf("%d ns is not in bucket %d: %v", ns, bucket, after)
		}
		if bound := after.Bound(bucket); bucket < buckets-1 && (time.Duration(ns) > bound || bucket > 0 && time.Duration(ns) <= after.Bound(bucket-1)) {
			t.Errorf("%d ns is in a bucket that ends at %v", ns, bound)
		}
	}
}

func TestQuantilesOfDurations(t *testing.T) {
	var d durations
	if s := d.snapshot(); s.Quantile(0.5) != 0 {
		t.Errorf("the median of nothing is %v", s.Quantile(0.5))
	}
	for range 98 {
		d.add(int64(100 * time.Microsecond)) // in (65.5 us, 131 us]
	}
	d.add(int64(10 * time.Millisecond)) // in (8.4 ms, 16.8 ms]
	d.add(int64(10 * time.Millisecond))
	s := d.snapshot()
	for q, within := range map[float64][2]time.Duration{0.5: {65 * time.Microsecond, 132 * time.Microsecond}, 0.99: {8 * time.Millisecond, 17 * time.Millisecond}, 1: {8 * time.Millisecond, 17 * time.Millisecond}} {
		if got := s.Quantile(q); got < within[0] || got > within[1] {
			t.Errorf("quantile %v is %v, want it in %v", q, got, within)
		}
	}
}
