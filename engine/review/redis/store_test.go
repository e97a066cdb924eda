package redis

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	cluster "github.com/mootchat/moot/engine/cluster/redis"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/review/reviewtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	server := redistest.Start(t)
	server.AddUser(t, "moot", "secret", cluster.ACL("moot*", cluster.Standalone, 0)) // with no more permissions than those of a node
	reviewtest.Run(t, func(t *testing.T) (a, b review.Store) {
		prefix := "moot" + t.Name()[len("TestStore/"):]
		open := func() review.Store {
			return start(t, redis.NewClient(&redis.Options{Addr: server.Address(), Username: "moot", Password: "secret"}), prefix)
		}
		return open(), open()
	})
}

// start returns a store that ends with the test.
func start(t *testing.T, client *redis.Client, prefix string) *Store {
	s := New(client, prefix, nil)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = client.Close()
	})
	return s
}
