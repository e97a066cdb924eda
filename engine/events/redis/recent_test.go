package redis

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

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

// TestLostEventsAreOwedUntilTheyAreWritten checks that events that Redis has lost are written again by a later call, if the first that tries it fails; and that
// Redis takes no call of a node that has not noticed a loss.
func TestLostEventsAreOwedUntilTheyAreWritten(t *testing.T) {
	server := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Address()})
	defer client.Close()
	ctx, sink := t.Context(), events.Sink{Tenant: "t", Name: "hooks"}
	s, p := New(client, "moot", nil), partitionOf("t")
	for i := range 3 {
		if err := s.Append(ctx, []events.Record{{Sink: sink, Event: events.Event{ID: fmt.Sprint(i), Kind: "test", At: 1, Data: []byte("{}")}}}); err != nil {
			t.Fatal(err)
		}
	}
	client.FlushAll(ctx)
	for range 2 { // calls whose answers are lost
		if n, err := s.call(ctx, appendScript, p, append([]any{s.node, 4, 3}, s.limits()...)...).Int64(); n != 0 || err != nil {
			t.Fatalf("the script returns %d, %v", n, err)
		}
	}
	s.lost(p, 0)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.repay(ended, p); err == nil {
		t.Fatal("a call without time succeeds")
	}
	if _, err := s.Due(ctx, 1); err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(ctx, sink, 100, 1)
	if err != nil || c == nil || len(c.Records) != 3 {
		t.Errorf("the claim is %+v, %v", c, err)
	}
	if calls, may := s.toCheck(p); calls < 4 || !may || len(s.recent[p].owed) > 0 {
		t.Errorf("the node has made %d calls, and owes %d events", calls, len(s.recent[p].owed))
	}
}

// TestCallsAreKeptUntilAContact checks that a node keeps its last calls during an outage of any length, and forgets them 15 s before a contact; and
// that it keeps the newest ones within the limit of bytes.
func TestCallsAreKeptUntilAContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recent
		one := []events.Record{{Event: events.Event{Data: make([]byte, 1<<20)}}}
		r.note(1, one)
		time.Sleep(10 * time.Second)
		r.note(2, one)
		time.Sleep(time.Hour)
		if len(r.last) != 2 {
			t.Errorf("%d calls are kept in an outage", len(r.last))
		}
		for i := range 10 {
			r.note(int64(3+i), one)
		}
		if len(r.last) != 3 || r.last[2].call != 12 || r.bytes > maxRecent {
			t.Errorf("%d calls of %d bytes are kept", len(r.last), r.bytes)
		}
		time.Sleep(16 * time.Second)
		if r.confirm(); len(r.last) != 0 || r.bytes != 0 {
			t.Errorf("%d calls of %d bytes are kept 16 s later", len(r.last), r.bytes)
		}
	})
}

// TestCallsThatAnEmptyMasterTookAreRepeated checks that a node writes events again that a master took after a restart without its data, before it
// became a replica of the one that has the data.
func TestCallsThatAnEmptyMasterTookAreRepeated(t *testing.T) {
	ctx, sink := t.Context(), events.Sink{Tenant: "t", Name: "hooks"}
	master, empty := redistest.Start(t).Client(), redistest.Start(t).Client()
	defer master.Close()
	defer empty.Close()
	s := New(master, "moot", nil)
	appendAt := func(at *redis.Client, id string) {
		t.Helper()
		s.client = at
		if err := s.Append(ctx, []events.Record{{Sink: sink, Event: events.Event{ID: id, Kind: "test", At: 1, Data: []byte("{}")}}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		appendAt(master, fmt.Sprint("before", i))
	}
	appendAt(empty, "between")
	appendAt(master, "after")
	c, err := s.Claim(ctx, sink, 100, 1)
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	if !slices.ContainsFunc(c.Records, func(r events.Record) bool { return r.ID == "between" }) {
		t.Errorf("the event that the empty master took is lost; there are %+v", c.Records)
	}
}
