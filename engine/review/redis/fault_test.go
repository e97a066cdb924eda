package redis

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/durable"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
)

func item(user string) review.Item {
	return review.Item{ID: review.NewID(time.Now()), Tenant: "t", Kind: review.Held, State: review.Open, User: user, Room: "r", Message: wire.Message{Text: "hi"}}
}

func (s *Store) hold(t *testing.T, user string) review.Item {
	t.Helper()
	one, added, err := review.Hold(t.Context(), s, item(user), review.Limits{})
	if err != nil || !added {
		t.Fatalf("hold: %t, %v", added, err)
	}
	return one
}

func (s *Store) begin(t *testing.T, id, by string) review.Item {
	t.Helper()
	one, err := review.Begin(t.Context(), s, "t", id, review.Decision{Action: review.Release, By: by, Node: by}, review.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// snapshot copies the data of a server. It returns a function that restores the copy, like a failover to a replica that lags.
func snapshot(t *testing.T, client *redis.Client) (failover func()) {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	pipe := client.TxPipeline()
	pipe.FlushAll(t.Context())
	for _, key := range keys {
		data, err := client.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		pipe.Restore(t.Context(), key, 0, data)
	}
	return func() {
		t.Helper()
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until state returns true.
func eventually(t *testing.T, what string, state func() bool) {
	t.Helper()
	if err := redistest.Await(what, state); err != nil {
		t.Fatal(err)
	}
}

// TestChangesLostInAFailoverAreMadeAgain checks that nodes make their latest additions, decisions and removals again after Redis has
// lost them, even if they have made other changes since. The list of tenants has the tenant again.
func TestChangesLostInAFailoverAreMadeAgain(t *testing.T) {
	server := redistest.Start(t)
	a, b := start(t, server.Client(), "moot"), start(t, server.Client(), "moot")
	client := server.Client()
	defer client.Close()
	begun, removed := a.hold(t, "begun"), b.hold(t, "removed")
	ended := a.begin(t, b.hold(t, "ended").ID, "a")
	failover := snapshot(t, client)
	added := a.hold(t, "added")
	a.begin(t, begun.ID, "a")
	if _, err := review.End(t.Context(), b, ended, review.Limits{}); err != nil {
		t.Fatal(err)
	}
	if had, err := b.Remove(t.Context(), "t", removed.ID); !had || err != nil {
		t.Fatalf("remove: %t, %v", had, err)
	}
	failover()
	if err := client.Del(t.Context(), a.index()).Err(); err != nil {
		t.Fatal(err)
	}
	after := a.hold(t, "after") // takes the number of a lost change
	state := func(id string) review.State {
		one, err := b.Get(t.Context(), "t", id)
		if errors.Is(err, review.ErrNone) {
			return "none"
		}
		if err != nil {
			t.Error(err)
		}
		return one.State
	}
	eventually(t, "all changes are there", func() bool {
		return state(added.ID) == review.Open && state(begun.ID) == review.Deciding && state(ended.ID) == review.Decided && state(removed.ID) == "none" && state(after.ID) == review.Open
	})
	names, err := b.Tenants(t.Context())
	sum, err2 := b.Summary(t.Context(), "t")
	if err != nil || err2 != nil || !slices.Equal(names, []string{"t"}) || sum.Held.Items != 3 || sum.Decided != 1 {
		t.Errorf("the tenants are %q, %v, the summary is %+v, %v", names, err, sum, err2)
	}
}

// TestALaterDecisionHolds checks that the second of two decisions about an item holds if a failover has lost the first one before.
// The node of the first decision cannot end it.
func TestALaterDecisionHolds(t *testing.T) {
	server := redistest.Start(t)
	var log bytes.Buffer
	a, b := start(t, server.Client(), "moot"), start(t, server.Client(), "moot")
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	client := server.Client()
	defer client.Close()
	one := a.hold(t, "bob")
	failover := snapshot(t, client)
	first := a.begin(t, one.ID, "a")
	begun := time.Now()
	failover()
	second := b.begin(t, one.ID, "b")
	eventually(t, "a has compared", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.recent["t"].noted[2].noted.After(begun) && len(a.recent["t"].lost) == 0
	})
	if _, err := review.End(t.Context(), a, first, review.Limits{}); !errors.Is(err, review.ErrConflict) {
		t.Errorf("the first decision: %v", err)
	}
	done, err := review.End(t.Context(), b, second, review.Limits{})
	if err != nil || done.Decision.By != "b" {
		t.Errorf("the second decision: %+v, %v", done.Decision, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "the later change holds") {
		t.Errorf("the node logs\n%s", &log)
	}
}

// TestChangesAreForgotten checks that a node forgets a change when Redis can no longer lose it, and then stops comparing.
func TestChangesAreForgotten(t *testing.T) {
	server := redistest.Start(t)
	s := start(t, server.Client(), "moot")
	s.hold(t, "bob")
	s.mu.Lock()
	for number, c := range s.recent["t"].noted {
		c.noted = c.noted.Add(-restoreFor)
		s.recent["t"].noted[number] = c
	}
	s.mu.Unlock()
	eventually(t, "it is forgotten", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.recent) == 0 && !s.checking
	})
}

// TestATenantWithoutItemsHasNoKeys checks that a tenant without items has no keys in Redis after a while, and is no longer in the
// list of tenants.
func TestATenantWithoutItemsHasNoKeys(t *testing.T) {
	server := redistest.Start(t)
	s := start(t, server.Client(), "moot")
	client := server.Client()
	defer client.Close()
	one := s.hold(t, "bob")
	if _, err := review.End(t.Context(), s, s.begin(t, one.ID, "a"), review.Limits{Retention: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Minute).UnixMilli()
	if due, err := s.Due(t.Context(), "t", now, 10); err != nil || len(due) > 0 {
		t.Fatalf("due: %+v, %v", due, err)
	}
	for _, key := range client.Keys(t.Context(), "*").Val() {
		if ttl := client.PTTL(t.Context(), key).Val(); ttl <= 0 && key != s.index() {
			t.Errorf("the key %q stays", key)
		}
	}
	if err := client.ZAdd(t.Context(), s.index(), redis.Z{Score: float64(time.Now().Add(-registeredFor).UnixMilli() - 1), Member: "t"}).Err(); err != nil {
		t.Fatal(err)
	}
	_, due := s.Due(t.Context(), "t", now, 10)
	if names, err := s.Tenants(t.Context()); due != nil || err != nil || len(names) > 0 {
		t.Errorf("the tenants are %q, %v, %v", names, due, err)
	}
}

// TestChangesWaitForReplicas checks that a change fails with ErrUnknown if no replica has it.
func TestChangesWaitForReplicas(t *testing.T) {
	server := redistest.Start(t)
	s := start(t, server.Client(), "moot")
	s.Wait = durable.Wait{Replicas: 1, For: time.Millisecond}
	one, added, err := review.Hold(t.Context(), s, item("bob"), review.Limits{})
	if !errors.Is(err, review.ErrUnknown) || !errors.Is(err, durable.ErrNotReplicated) || added {
		t.Errorf("hold: %t, %v", added, err)
	}
	if _, err := s.Remove(t.Context(), "t", one.ID); !errors.Is(err, review.ErrUnknown) {
		t.Errorf("remove: %v", err)
	}
}

// firstRecord is a record of the first version with a review queue. The form must not change: nodes of that version may
// share Redis with nodes of this version.
const firstRecord = "1048576 h o 1029 1764460860000\x00user:bob\x00user:bob\x00\x00r\x00" +
	`{"id":"01je0000000000000000","kind":"held","state":"open","revision":1048576,"at":1764460800000,"until":1764460860000,"due":1764460860000,"user":"bob","room":"r","message":{"Text":"hi","JSON":false}}`

// TestARecordOfTheFirstVersion checks that this version reads a record of the first version, writes the same form, and ignores
// unknown fields.
func TestARecordOfTheFirstVersion(t *testing.T) {
	want := review.Item{ID: "01je0000000000000000", Tenant: "t", Kind: review.Held, State: review.Open, Revision: revisionStep, At: 1764460800000, Until: 1764460860000,
		Due: 1764460860000, User: "bob", Room: "r", Message: wire.Message{Text: "hi"}}
	for _, text := range []string{firstRecord, strings.Replace(firstRecord, `{"id"`, `{"later":{"x":1},"id"`, 1)} {
		if got, err := parseRecord("t", text); err != nil || got.ID != want.ID || record(&got) != record(&want) {
			t.Errorf("it is read as %+v, %v", got, err)
		}
	}
	if got := record(&want); got != firstRecord {
		t.Errorf("it is written as %q", got)
	}
}

// TestRedisThatDoesNotAnswerIsUnavailable checks that calls that change nothing fail with ErrUnavailable, and a change whose command may
// have arrived with ErrUnknown.
func TestRedisThatDoesNotAnswerIsUnavailable(t *testing.T) {
	server := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Address(), MaxRetries: -1, DialerRetries: 1})
	s := New(client, "moot", slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = s.Close(); _ = client.Close() })
	now := time.Now()
	one := review.Item{ID: review.NewID(now), Tenant: "t", At: now.UnixMilli(), User: "ann"}
	held, _, err := review.Hold(t.Context(), s, one, review.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	calls := map[string]func() error{
		"Get":     func() error { _, err := s.Get(t.Context(), "t", held.ID); return err },
		"List":    func() error { _, _, err := s.List(t.Context(), "t", review.Query{Limit: 1}); return err },
		"Due":     func() error { _, err := s.Due(t.Context(), "t", 0, 1); return err },
		"Summary": func() error { _, err := s.Summary(t.Context(), "t"); return err },
		"Tenants": func() error { _, err := s.Tenants(t.Context()); return err },
		"an item of a new tenant": func() error {
			_, _, err := review.Hold(t.Context(), s, review.Item{ID: review.NewID(now), Tenant: "other", At: now.UnixMilli(), User: "ann"}, review.Limits{})
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, review.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Put(t.Context(), held, review.Limits{}); !errors.Is(err, review.ErrUnknown) {
		t.Errorf("Put: %v", err)
	}
}
