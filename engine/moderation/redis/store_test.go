package redis

import (
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
	moderationtest.Run(t, func(t *testing.T) (a, b moderation.Store) {
		prefix := "moot" + t.Name()[len("TestStore/"):]
		open := func() moderation.Store {
			client := redis.NewClient(&redis.Options{Addr: server.Address(), Username: "moot", Password: "secret"})
			s := New(client, prefix, nil)
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
