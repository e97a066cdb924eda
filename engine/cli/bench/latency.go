package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are counted in microseconds with three digits. A latency above longestLatency counts as longestLatency.
const (
	longestLatency = 10 * time.Minute
	latencyDigits  = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, longestLatency.Microseconds(), latencyDigits)
}

// shard counts the deliveries of a group of members until take.
type shard struct {
	mu       sync.Mutex
	warming  *hdrhistogram.Histogram // messages sent during the warm-up
	measured *hdrhistogram.Histogram
}

func newShard() *shard { return &shard{warming: newHistogram(), measured: newHistogram()} }

// add counts one delivery. The caller holds s.mu.
func (s *shard) add(latency time.Duration, measured bool) {
	h := s.warming
	if measured {
		h = s.measured
	}
	_ = h.RecordValue(min(max(0, latency), longestLatency).Microseconds()) // the value is in range
}

// take moves the counts of s to the two histograms.
func (s *shard) take(all, measured *hdrhistogram.Histogram) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all.Merge(s.warming)
	all.Merge(s.measured)
	measured.Merge(s.measured)
	s.warming.Reset()
	s.measured.Reset()
}
