package redis

import (
	"context"
	"errors"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/durable"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/host/store"
)

// TestWritesWaitForReplicas checks that a write with a Wait fails if no replica has it.
func TestWritesWaitForReplicas(t *testing.T) {
	ctx := context.Background()
	master := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.Port))
	if err := redistest.Await("the replica follows", func() bool { return replica.Info("master_link_status") == "up" }); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: master.Address(), DisableIdentity: true, MaxRetries: -1})
	defer client.Close()
	s := open(t, client, "test")
	s.Wait = durable.Wait{Replicas: 1, For: 10 * time.Second}
	writesWait(ctx, t, s, replica)
}

func TestWritesWaitForReplicasOfACluster(t *testing.T) {
	all := redistest.StartCluster(t, 3, 3)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: redistest.Addresses(all)})
	defer client.Close()
	s := open(t, client, "test")
	s.Wait = durable.Wait{Replicas: 1, For: 10 * time.Second}
	writesWait(context.Background(), t, s, all[3:]...)
}

func writesWait(ctx context.Context, t *testing.T, s *Store, replicas ...*redistest.Server) {
	t.Helper()
	k := store.Key{Tenant: "t", Module: "m", Name: "k"}
	if _, err := s.Set(ctx, k, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	for _, r := range replicas {
		if err := r.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	s.Wait.For = 50 * time.Millisecond
	if _, err := s.Set(ctx, k, []byte("2"), 0); !errors.Is(err, durable.ErrNotReplicated) {
		t.Errorf("set: %v", err)
	}
	if _, err := s.Add(ctx, k, 1, 0); !errors.Is(err, durable.ErrNotReplicated) {
		t.Errorf("add: %v", err)
	}
	if v, err := s.Get(ctx, k); err != nil || string(v) != "3" {
		t.Errorf("the master has %q, %v", v, err)
	}
	for _, r := range replicas {
		_ = r.Signal(syscall.SIGCONT)
	}
	s.Wait.For = 10 * time.Second
	if n, err := s.Add(ctx, k, 1, 0); err != nil || n != 4 {
		t.Errorf("add: %d, %v", n, err)
	}
}
