package ws_test

import (
	"io"
	"runtime"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/ws"
)

// withReadings runs a benchmark once for each way to wait for clients.
func withReadings(b *testing.B, bench func(b *testing.B, s *site), options ...option) {
	for name, reading := range map[string]stream.Reading{"polled": stream.Polled, "goroutines": stream.Goroutines} {
		b.Run(name, func(b *testing.B) {
			bench(b, newSite(b, append(options, func(_ *engine.Config, c *ws.Config) { c.Reading = reading })...))
		})
	}
}

// BenchmarkIdleConnection measures the memory of a silent connection. This includes
// about 1.5 KB for its client in this process.
func BenchmarkIdleConnection(b *testing.B) {
	withReadings(b, func(b *testing.B, s *site) {
		before := inUse()
		for b.Loop() {
			s.dial("/ws")
		}
		b.ReportMetric(float64(inUse()-before)/float64(b.N), "B/conn")
	})
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // stacks shrink at a collection
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// BenchmarkRequest measures a request and its answer over a socket.
func BenchmarkRequest(b *testing.B) {
	withReadings(b, func(b *testing.B, s *site) {
		c := s.dial("/ws")
		request, answer := []byte(frame(text, nope("x"))), make([]byte, len(notThere("x"))+4)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Write(request); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c.r, answer); err != nil {
				b.Fatal(err)
			}
		}
	}, func(e *engine.Config, _ *ws.Config) { e.Limits.VerbsPerSecond = 1e9 })
}
