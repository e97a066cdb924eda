//go:build unix

package memory

import (
	"testing"

	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/eventstest"
)

// BenchmarkEvents measures an event from Begin to its delivery.
func BenchmarkEvents(b *testing.B) { eventstest.Bench(b, &Store{}) }

// BenchmarkDown measures a sink that is down and has more events than the limit.
func BenchmarkDown(b *testing.B) {
	eventstest.BenchDown(b, func(limits events.Limits) events.Store { return &Store{Limits: limits} })
}
