package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a node with a dispatcher, in virtual time.
type node struct {
	*testing.T
	*events.Dispatcher
	log strings.Builder

	mu   sync.Mutex
	sent []string // the data of delivered events; batches in brackets
	fail func(records []events.Record) events.Delivery
}

// start starts a node whose tenant t has a sink. fail answers deliveries; nil: all succeed.
func start(t *testing.T, store events.Store, target *events.Target, fail func([]events.Record) events.Delivery) *node {
	n := &node{T: t, fail: fail}
	n.Dispatcher = events.New(events.Config{Store: store, Send: n.send, Log: slog.New(slog.NewTextHandler(&n.log, nil))})
	target.Sink = events.Sink{Tenant: "t", Name: "hooks"}
	n.Configure([]*events.Target{target})
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { n.Dispatcher.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		run.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *node) send(_ context.Context, to *events.Target, records []events.Record, dropped uint64) events.Delivery {
	if n.fail != nil {
		if got := n.fail(records); got.Err != nil {
			return got
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, r := range records {
		all = append(all, string(r.Data))
	}
	n.sent = append(n.sent, strings.Join(all, " "))
	return events.Delivery{}
}

// emit emits an event of the tenant, and waits for the store.
func emit(d interface {
	Begin(string, events.Kind, events.Event) *events.Write
}, ctx context.Context, kind events.Kind, e events.Event) error {
	return d.Begin("t", kind, e).Wait(ctx)
}

func (n *node) emit(room string, data ...int) {
	n.Helper()
	for _, d := range data {
		if err := emit(n, n.Context(), events.RoomCreated, events.NewEvent(events.NewID(), events.RoomCreated, room, "", d)); err != nil {
			n.Error(err)
		}
	}
}

func (n *node) want(sent ...string) {
	n.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.sent, sent) {
		n.Errorf("delivered are %q, want %q", n.sent, sent)
	}
}

var errDown = errors.New("503")

// TestEventsAreDelivered checks that an event of a kind and a room that the sink wants arrives at once, and others do not.
func TestEventsAreDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, &memory.Store{}, &events.Target{Kinds: events.Kinds(0).With(events.RoomCreated), Rooms: func(room string) bool { return room == "x" }}, nil)
		n.emit("x", 1)
		n.emit("y", 2)
		n.emit("", 3)
		if err := emit(n, t.Context(), events.RoomDestroyed, events.NewEvent(events.NewID(), events.RoomDestroyed, "x", "", 4)); err != nil {
			t.Error(err)
		}
		if err := n.Begin("other", events.RoomCreated, events.NewEvent(events.NewID(), events.RoomCreated, "x", "", 5)).Wait(t.Context()); err != nil {
			t.Error(err)
		}
		n.want("1", "3")
		if got := n.Counters(); got != (events.Counters{Written: 2, Delivered: 2}) {
			t.Errorf("the counters are %+v", got)
		}
	})
}

// TestADownSinkGetsAllEventsLater checks that the events of a sink that is down wait, are tried less and less often, and arrive in
// order and in batches; and that the log says when the sink began to fail and when it worked again.
func TestADownSinkGetsAllEventsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		var up atomic.Bool
		n := start(t, &memory.Store{}, &events.Target{Kinds: events.Default, Batch: 2}, func([]events.Record) events.Delivery {
			tries.Add(1)
			if !up.Load() {
				return events.Delivery{Err: errDown}
			}
			return events.Delivery{}
		})
		n.emit("x", 1, 2, 3)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := tries.Load(); n < 15 || n > 40 { // 9 in the first five minutes, then one in about five minutes
			t.Errorf("%d tries in an hour", n)
		}
		n.want()
		up.Store(true)
		time.Sleep(7 * time.Minute)
		n.want("1 2", "3")
		if log := n.log.String(); strings.Count(log, "does not accept events") != 1 || strings.Count(log, "accepts events again") != 1 {
			t.Errorf("the log is %s", log)
		}
	})
}

// TestASinkCanAskToWait checks that no delivery comes before the time that the sink asks to wait has passed.
func TestASinkCanAskToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		n := start(t, &memory.Store{}, &events.Target{Kinds: events.Default}, func([]events.Record) events.Delivery {
			if tries++; tries == 1 {
				return events.Delivery{Err: errDown, Wait: 10 * time.Minute}
			}
			return events.Delivery{}
		})
		n.emit("x", 1)
		time.Sleep(9 * time.Minute)
		n.want()
		time.Sleep(2 * time.Minute)
		n.want("1")
	})
}

// TestARejectedEventHoldsUpNoOthers checks that one event that a sink rejects becomes a dead letter after three tries, and that
// the others of its batch arrive.
func TestARejectedEventHoldsUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		n := start(t, store, &events.Target{Kinds: events.Default, Batch: 10}, func(all []events.Record) events.Delivery {
			if slices.ContainsFunc(all, func(r events.Record) bool { return string(r.Data) == "2" }) {
				return events.Delivery{Err: errors.New("400 Bad Request"), Rejected: true}
			}
			return events.Delivery{}
		})
		if err := store.Append(t.Context(), []events.Record{record(1), record(2), record(3)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		n.want("1", "3")
		dead, _, err := store.Dead(t.Context(), events.Sink{Tenant: "t", Name: "hooks"}, "", 10)
		if err != nil || len(dead) != 1 || string(dead[0].Data) != "2" || dead[0].Error != "400 Bad Request" {
			t.Errorf("the dead letters are %+v, %v", dead, err)
		}
		if got := n.Counters().Rejected; got != 1 {
			t.Errorf("%d rejected events are counted", got)
		}
	})
}

func record(data int) events.Record {
	return events.Record{Sink: events.Sink{Tenant: "t", Name: "hooks"}, Event: events.NewEvent(events.NewID(), events.RoomCreated, "x", "", data)}
}

// TestEventsOfARemovedSinkWait checks that the events of a sink that was removed arrive when it is configured again.
func TestEventsOfARemovedSinkWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := &events.Target{Kinds: events.Default}
		n := start(t, &memory.Store{}, target, func([]events.Record) events.Delivery { return events.Delivery{} })
		n.Configure([]*events.Target{{Sink: events.Sink{Tenant: "t", Name: "other"}, Kinds: 0}})
		if err := n.Store().Append(t.Context(), []events.Record{record(1)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		n.want()
		n.Configure([]*events.Target{target})
		time.Sleep(6 * time.Minute)
		n.want("1")
	})
}

// failing is a store whose Append fails.
type failing struct {
	memory.Store
	mu    sync.Mutex
	fails bool
}

func (f *failing) Append(ctx context.Context, records []events.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails {
		return errDown
	}
	return f.Store.Append(ctx, records)
}

func (f *failing) set(fails bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

// TestEventsWaitForTheStore checks that Wait waits for a store that does not answer, that an event arrives although its Wait was
// canceled, and that events are lost, counted and logged once when too many wait.
func TestEventsWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{fails: true}
		n := start(t, store, &events.Target{Kinds: events.Default, Batch: 100}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := emit(n, ctx, events.RoomCreated, events.NewEvent(events.NewID(), events.RoomCreated, "x", "", 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait returned %v", err)
		}
		large := strings.Repeat("a", 1<<20)
		lost := 0
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := emit(n, ctx, events.RoomCreated, events.NewEvent(events.NewID(), events.RoomCreated, "x", "", large)); errors.Is(err, events.ErrFull) {
				lost++
			}
			cancel()
		}
		if got := n.Counters().Lost; lost < 4 || got != uint64(lost) {
			t.Errorf("%d events are lost, and %d are counted", lost, got)
		}
		store.set(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := n.Counters(); got.Written != uint64(21-lost) || got.Delivered != uint64(21-lost) {
			t.Errorf("the counters are %+v, %d are lost", got, lost)
		}
		if c := strings.Count(n.log.String(), "events are lost"); c != 1 {
			t.Errorf("the log has the loss %d times", c)
		}
	})
}

// TestCloseWritesWhatWaits checks that Close writes events that wait for the store, and that the store keeps those that were not
// delivered.
func TestCloseWritesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{fails: true}
		d := events.New(events.Config{Store: store, Send: func(context.Context, *events.Target, []events.Record, uint64) events.Delivery {
			return events.Delivery{Err: errDown}
		}, Log: slog.New(slog.DiscardHandler)})
		d.Configure([]*events.Target{{Sink: events.Sink{Tenant: "t", Name: "hooks"}, Kinds: events.Default}})
		var emits sync.WaitGroup
		for i := range 3 {
			emits.Go(func() {
				if err := emit(d, t.Context(), events.RoomCreated, events.NewEvent(events.NewID(), events.RoomCreated, fmt.Sprint(i), "", i)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		time.AfterFunc(time.Second, func() { store.set(false) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
		emits.Wait()
		states, err := store.States(t.Context(), "t")
		if err != nil || len(states) != 1 || states[0].Events != 3 {
			t.Errorf("the states are %+v, %v", states, err)
		}
		if err := emit(d, t.Context(), events.RoomCreated, events.NewEvent(events.NewID(), events.RoomCreated, "x", "", 4)); !errors.Is(err, events.ErrClosed) {
			t.Errorf("after Close Wait returned %v", err)
		}
	})
}

// TestManyWritersShareAWrite checks that events that arrive at the same time are written by few calls of Append.
func TestManyWritersShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{}
		n := start(t, store, &events.Target{Kinds: events.Default, Batch: 1000}, nil)
		var emits sync.WaitGroup
		for i := range 500 {
			emits.Go(func() { n.emit("x", i) })
		}
		emits.Wait()
		synctest.Wait()
		if store.calls > 4 {
			t.Errorf("%d calls of Append for 500 concurrent events", store.calls)
		}
		if got := n.Counters().Delivered; got != 500 {
			t.Errorf("%d events were delivered", got)
		}
	})
}

// counting is a store that counts calls of Append, each of which takes a millisecond.
type counting struct {
	memory.Store
	calls int
}

func (c *counting) Append(ctx context.Context, records []events.Record) error {
	c.calls++
	time.Sleep(time.Millisecond)
	return c.Store.Append(ctx, records)
}

func BenchmarkEmit(b *testing.B) {
	d := events.New(events.Config{Store: &memory.Store{}, Send: func(context.Context, *events.Target, []events.Record, uint64) events.Delivery {
		return events.Delivery{}
	}})
	d.Configure([]*events.Target{{Sink: events.Sink{Tenant: "t", Name: "hooks"}, Kinds: events.Default, Batch: 100}})
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			e := events.NewEvent(events.NewID(), events.MemberJoined, "lobby", "ann", events.Member{Room: "lobby", Connection: "c", User: "ann"})
			if err := emit(d, context.Background(), events.MemberJoined, e); err != nil {
				b.Error(err)
			}
		}
	})
	if err := d.Close(context.Background()); err != nil {
		b.Error(err)
	}
}
