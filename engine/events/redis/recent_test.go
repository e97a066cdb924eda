package redis

import (
	"fmt"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/events"
)

// TestLostWritesAreRepeated takes the last writes back, as a failover does, and checks that the next call of Append or Due
// makes those of this node again, and no others.
func TestLostWritesAreRepeated(t *testing.T) {
	server := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Address()})
	defer client.Close()
	ctx, sink := t.Context(), events.Sink{Tenant: "t", Name: "hooks"}
	record := func(id string) []events.Record {
		return []events.Record{{Sink: sink, Event: events.Event{ID: id, Kind: "test", At: 1, Data: []byte("{}")}}}
	}
	for name, next := range map[string]func(s *Store) error{
		"Append": func(s *Store) error { return s.Append(ctx, record("last")) },
		"Due":    func(s *Store) error { _, err := s.Due(ctx, 1); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s := New(client, "moot"+name, nil)
			base := s.base(partitionOf("t"))
			for i := range 3 {
				if err := s.Append(ctx, record(fmt.Sprint("kept", i))); err != nil {
					t.Fatal(err)
				}
			}
			before := map[string]string{}
			for _, key := range client.Keys(ctx, base+":*").Val() {
				before[key] = client.Dump(ctx, key).Val()
			}
			for i := range 3 {
				if err := s.Append(ctx, record(fmt.Sprint("lost", i))); err != nil {
					t.Fatal(err)
				}
			}
			for _, key := range client.Keys(ctx, base+":*").Val() {
				client.Del(ctx, key)
			}
			for key, value := range before {
				client.Restore(ctx, key, 0, value)
			}
			if err := next(s); err != nil {
				t.Fatal(err)
			}
			c, err := s.Claim(ctx, sink, 100, 1)
			if err != nil || c == nil {
				t.Fatal(c, err)
			}
			var ids []string
			for _, r := range c.Records {
				ids = append(ids, r.ID)
			}
			slices.Sort(ids)
			want := []string{"kept0", "kept1", "kept2", "last", "lost0", "lost1", "lost2"}
			if name == "Due" {
				want = slices.Delete(want, 3, 4)
			}
			if !slices.Equal(ids, want) {
				t.Errorf("the events are %q, want %q", ids, want)
			}
		})
	}
}
