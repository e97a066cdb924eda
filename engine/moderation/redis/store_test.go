package redis

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/moderationtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	server := redistest.Start(t)
	moderationtest.Run(t, func(t *testing.T) (a, b moderation.Store) {
		prefix := "moot" + t.Name()[len("TestStore/"):]
		open := func() moderation.Store {
			client := server.Client()
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
