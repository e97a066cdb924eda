//go:build unix

package redis

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/eventstest"
)

// BenchmarkEvents measures an event from Begin to its delivery, without the processor time of Redis.
func BenchmarkEvents(b *testing.B) {
	store, end := benchStore(b, events.Limits{})
	defer end()
	eventstest.Bench(b, store)
}

// BenchmarkDown measures a sink that is down and has more events than the limit.
func BenchmarkDown(b *testing.B) {
	eventstest.BenchDown(b, func(limits events.Limits) events.Store {
		store, end := benchStore(b, limits)
		b.Cleanup(end)
		return store
	})
}

func benchStore(b *testing.B, limits events.Limits) (store *Store, end func()) {
	client := redis.NewClient(&redis.Options{Addr: redistest.Start(b).Address()})
	store = New(client, "moot", nil)
	store.Limits = limits
	return store, func() { _ = client.Close() }
}
