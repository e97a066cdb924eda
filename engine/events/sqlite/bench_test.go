//go:build unix

package sqlite

import (
	"testing"

	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/eventstest"
)

// BenchmarkEvents measures an event from Begin to its delivery.
func BenchmarkEvents(b *testing.B) {
	file := benchFile(b)
	defer file.Close()
	eventstest.Bench(b, New(file))
}

// BenchmarkDown measures a sink that is down and has more events than the limit.
func BenchmarkDown(b *testing.B) {
	eventstest.BenchDown(b, func(limits events.Limits) events.Store {
		file := benchFile(b)
		b.Cleanup(func() { _ = file.Close() })
		s := New(file)
		s.Limits = limits
		return s
	})
}

func benchFile(b *testing.B) *datafile.File {
	file, err := datafile.Open(b.Context(), b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	return file
}
