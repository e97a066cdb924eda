package redis

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	cluster "github.com/mootchat/moot/engine/cluster/redis"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/eventstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	server := redistest.Start(t)
	server.AddUser(t, "moot", "secret", cluster.ACL("moot*", cluster.Standalone, 0)) // with no more permissions than those of a node
	eventstest.Run(t, func(t *testing.T) (a, b events.Store) {
		prefix := "moot" + t.Name()[len("TestStore/"):]
		open := func() events.Store {
			client := redis.NewClient(&redis.Options{Addr: server.Address(), Username: "moot", Password: "secret"})
			t.Cleanup(func() { _ = client.Close() })
			s := New(client, prefix, nil)
			s.Limits = eventstest.Limits
			return s
		}
		return open(), open()
	})
}
