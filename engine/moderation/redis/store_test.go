package redis

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	cluster "github.com/mootchat/moot/engine/cluster/redis"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/moderationtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	server := redistest.Start(t)
	server.AddUser(t, "moot", "secret", cluster.ACL("moot*", cluster.Standalone, 0)) // with no more permissions than those of a node
	runStore(t, func() redis.UniversalClient {
		return redis.NewClient(&redis.Options{Addr: server.Address(), Username: "moot", Password: "secret"})
	})
}

func TestStoreOnACluster(t *testing.T) {
	all := redistest.StartCluster(t, 3, 0)
	runStore(t, func() redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: redistest.Addresses(all)})
	})
}

func TestStoreWithSentinels(t *testing.T) {
	_, _, sentinel := redistest.StartSentinels(t, 1)
	runStore(t, func() redis.UniversalClient {
		return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: redistest.Master, SentinelAddrs: []string{sentinel.Address()}})
	})
}

// runStore runs the tests of a store. Each test has its own prefix.
func runStore(t *testing.T, connect func() redis.UniversalClient) {
	moderationtest.Run(t, func(t *testing.T) (a, b moderation.Store) {
		_, name, _ := strings.Cut(t.Name(), "/")
		open := func() moderation.Store {
			client := connect()
			s := New(client, "moot"+name, nil)
			s.Limits = moderationtest.Limits
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				_ = client.Close()
			})
			return s
		}
		return open(), open()
	})
}
