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

// BenchmarkWants measures the cost of an event of a tenant without sinks.
func BenchmarkWants(b *testing.B) {
	for _, sinks := range []int{0, 10_000} {
		b.Run(fmt.Sprint("sinks=", sinks), func(b *testing.B) {
			d := events.New(events.Config{Store: &memory.Store{}})
			var all []*events.Target
			for i := range sinks {
				all = append(all, &events.Target{Sink: events.Sink{Tenant: fmt.Sprint("t", i), Name: "hooks"}, Kinds: events.Default})
			}
			d.Configure(all)
			b.ReportAllocs()
			for b.Loop() {
				if d.Wants("other") != 0 {
					b.Fatal("a tenant without sinks wants events")
				}
			}
		})
	}
}

// TestLostEventsAreToldInTheNext checks that events of one tenant that exceed its share do not displace those of another, that decisions are
// lost first, and that the next event that is delivered says how many the sink has lost.
func TestLostEventsAreToldInTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{fails: true}
		var told []uint64
		d := dispatcher(t, store, func(_ context.Context, to *events.Target, records []events.Record, dropped uint64) events.Delivery {
			if to.Sink.Tenant == "t" {
				told = append(told, dropped)
			}
			return events.Delivery{}
		}, "t", "u")
		begin := func(tenant string, kind events.Kind, bytes int) *events.Write {
			return d.Begin(tenant, kind, events.NewEvent(events.NewID(), kind, "x", "", strings.Repeat("a", bytes)))
		}
		for range 8 {
			begin("t", events.RoomCreated, 1<<20)
		}
		other := begin("u", events.RoomCreated, 1<<20)
		begin("u", events.RuleDecided, 10)
		if got := d.Counters(); got.Lost != 5 || got.LostVolatile != 1 {
			t.Errorf("the counters are %+v, want 5 lost events and 1 lost decision", got)
		}
		store.set(false)
		if err := other.Wait(t.Context()); err != nil {
			t.Errorf("the event of the other tenant: %v", err)
		}
		if err := begin("t", events.RoomCreated, 10).Wait(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Equal(told, []uint64{0, 0, 0, 5}) && !slices.Equal(told, []uint64{5, 0, 0, 0}) {
			t.Errorf("the deliveries say that %v events were lost, want 5 once", told)
		}
	})
}

// TestDecisionsOfATenantDoNotDisplaceThoseOfOthers floods the events that wait with decisions of one tenant, while the store does not answer.
func TestDecisionsOfATenantDoNotDisplaceThoseOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{fails: true}
		d := dispatcher(t, store, func(context.Context, *events.Target, []events.Record, uint64) events.Delivery {
			return events.Delivery{}
		}, "t", "u")
		begin := func(tenant string) *events.Write {
			return d.Begin(tenant, events.RuleDecided, events.NewEvent(events.NewID(), events.RuleDecided, "x", "", strings.Repeat("a", 100<<10)))
		}
		for range 50 {
			begin("t")
		}
		other := begin("u")
		if got := d.Counters(); got.LostVolatile != 45 {
			t.Errorf("the counters are %+v, want 45 lost decisions of 50 and 1", got)
		}
		store.set(false)
		if err := other.Wait(t.Context()); err != nil {
			t.Errorf("the decision of the other tenant: %v", err)
		}
	})
}

// dispatcher returns a running dispatcher of a sink of each tenant, which receives all kinds, until the test ends.
func dispatcher(t *testing.T, store events.Store, send func(context.Context, *events.Target, []events.Record, uint64) events.Delivery, tenants ...string) *events.Dispatcher {
	d := events.New(events.Config{Store: store, Send: send, Log: slog.New(slog.DiscardHandler)})
	var all []*events.Target
	for _, tenant := range tenants {
		all = append(all, &events.Target{Sink: events.Sink{Tenant: tenant, Name: "hooks"}, Kinds: events.Default.With(events.RuleDecided)})
	}
	d.Configure(all)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { d.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		run.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return d
}

// halved is a store of two partitions: one of the tenant a, which does not answer, and one of all other tenants.
type halved struct{ memory.Store }

func (*halved) Partition(tenant string) int {
	if tenant == "a" {
		return 0
	}
	return 1
}

func (h *halved) Append(ctx context.Context, records []events.Record) error {
	if slices.ContainsFunc(records, func(r events.Record) bool { return r.Sink.Tenant == "a" }) {
		<-ctx.Done()
		return ctx.Err()
	}
	return h.Store.Append(ctx, records)
}

// TestAPartitionThatFailsDelaysNoOther checks that the events of a tenant are written and delivered at once, and once, while the store does not
// answer for another one.
func TestAPartitionThatFailsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		d := events.New(events.Config{Store: &halved{}, Log: slog.New(slog.DiscardHandler), Send: func(context.Context, *events.Target, []events.Record, uint64) events.Delivery {
			sent++
			return events.Delivery{}
		}})
		d.Configure([]*events.Target{{Sink: events.Sink{Tenant: "a", Name: "hooks"}, Kinds: events.Default}, {Sink: events.Sink{Tenant: "b", Name: "hooks"}, Kinds: events.Default}})
		d.Begin("a", events.RoomCreated, events.NewEvent(events.NewID(), events.RoomCreated, "x", "", 1))
		synctest.Wait()
		began := time.Now()
		for i := range 3 {
			if err := d.Begin("b", events.RoomCreated, events.NewEvent(events.NewID(), events.RoomCreated, "x", "", i)).Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if took := time.Since(began); sent != 3 || took > 0 {
			t.Errorf("%d events were delivered, after %v", sent, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Close(ctx); err == nil || d.Counters().Lost != 1 {
			t.Errorf("Close returned %v, and the counters are %+v", err, d.Counters())
		}
	})
}

// TestErasureReachesUnwrittenEvents checks that Erase removes the events of a user that the store has not taken, also those of a try that
// runs, and no others.
func TestErasureReachesUnwrittenEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{fails: true}
		var users []string
		d := dispatcher(t, store, func(_ context.Context, _ *events.Target, records []events.Record, _ uint64) events.Delivery {
			users = append(users, records[0].User)
			return events.Delivery{}
		}, "t", "u")
		begin := func(tenant, user string) {
			d.Begin(tenant, events.MemberJoined, events.NewEvent(events.NewID(), events.MemberJoined, "x", user, events.Member{User: user}))
		}
		begin("t", "bob")
		synctest.Wait() // the first is tried now, and the others are the next batch
		begin("t", "ann")
		begin("t", "bob")
		begin("u", "bob")
		if n, err := d.Erase(t.Context(), "t", "bob"); n != 2 || err != nil {
			t.Errorf("%d events were erased, %v", n, err)
		}
		store.set(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		slices.Sort(users)
		if !slices.Equal(users, []string{"ann", "bob"}) { // that bob is of tenant u
			t.Errorf("delivered are the events of %q", users)
		}
	})
}

// blocking is a store whose Append waits until a test permits it.
type blocking struct {
	memory.Store
	permit chan struct{}
}

func (b *blocking) Append(ctx context.Context, records []events.Record) error {
	<-b.permit
	return b.Store.Append(ctx, records)
}

// TestErasureReachesTheNextBatch erases the events of a user that wait for the end of a try, which ends at that moment.
func TestErasureReachesTheNextBatch(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			store := &blocking{permit: make(chan struct{})}
			var users []string
			d := dispatcher(t, store, func(_ context.Context, _ *events.Target, records []events.Record, _ uint64) events.Delivery {
				users = append(users, records[0].User)
				return events.Delivery{}
			}, "t")
			for _, user := range []string{"ann", "bob"} {
				d.Begin("t", events.MemberJoined, events.NewEvent(events.NewID(), events.MemberJoined, "x", user, events.Member{User: user}))
				synctest.Wait()
			}
			erased := make(chan struct{})
			go func() {
				defer close(erased)
				if n, err := d.Erase(t.Context(), "t", "bob"); n != 1 || err != nil {
					t.Errorf("%d events were erased, %v", n, err)
				}
			}()
			synctest.Wait()
			close(store.permit)
			<-erased
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if !slices.Equal(users, []string{"ann"}) {
				t.Errorf("delivered are the events of %q", users)
			}
		})
	}
}

// TestASinkThatIsDownForDays checks what a sink that is down for two and a half days costs: its events and dead letters stay within the limits,
// tries become rare, the events of another tenant arrive at once, and the event after the outage tells the number of dropped ones.
func TestASinkThatIsDownForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := events.Limits{TenantBytes: 40_000, TotalBytes: 1 << 20, Age: 24 * time.Hour}
		store := &memory.Store{Limits: limits}
		var up atomic.Bool
		var tries, delivered, dropped, other int
		d := dispatcher(t, store, func(_ context.Context, to *events.Target, records []events.Record, told uint64) events.Delivery {
			switch {
			case to.Sink.Tenant == "u":
				other += len(records)
				return events.Delivery{}
			case !up.Load():
				tries++
				return events.Delivery{Err: errDown}
			}
			delivered += len(records)
			dropped += int(told)
			return events.Delivery{}
		}, "t", "u")
		emit := func(tenant string) {
			began := time.Now()
			e := events.NewEvent(events.NewID(), events.RoomCreated, "x", "", strings.Repeat("a", 100))
			if err := d.Begin(tenant, events.RoomCreated, e).Wait(t.Context()); err != nil || time.Since(began) > 0 {
				t.Fatalf("an event took %v, %v", time.Since(began), err)
			}
		}
		const minutes = 60 * 60
		for i := range minutes {
			emit("t")
			emit("u")
			synctest.Wait()
			if other != i+1 {
				t.Fatalf("minute %d: the other tenant has received %d events", i, other)
			}
			if u, err := store.Usage(t.Context()); err != nil || u.Bytes > limits.TenantBytes || u.DeadBytes > limits.TenantBytes || time.Since(time.UnixMilli(u.Oldest)) > limits.Age+time.Minute {
				t.Fatalf("minute %d: the usage is %+v, %v", i, u, err)
			}
			time.Sleep(time.Minute)
		}
		u, err := store.Usage(t.Context())
		if err != nil || u.Crowded == 0 || u.Dropped == 0 {
			t.Errorf("the usage is %+v, %v", u, err)
		}
		if tries < 600 || tries > 1000 { // one in about five minutes
			t.Errorf("%d tries", tries)
		}
		up.Store(true)
		time.Sleep(10 * time.Minute)
		dead := 0
		if n, err := store.Retry(t.Context(), events.Sink{Tenant: "t", Name: "hooks"}, nil); err != nil {
			t.Error(err)
		} else {
			dead = n
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if delivered+dropped != minutes || dead == 0 || dropped == 0 {
			t.Errorf("%d events were delivered, %d of them dead letters, and %d told as dropped; want %d together", delivered, dead, dropped, minutes)
		}
	})
}

// TestEventsThatAreTooOldAreDeadLetters checks the limit of age without that of bytes.
func TestEventsThatAreTooOldAreDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		n := start(t, store, &events.Target{Kinds: events.Default}, func([]events.Record) events.Delivery { return events.Delivery{Err: errDown} })
		n.emit("x", 1)
		time.Sleep(23 * time.Hour)
		n.emit("x", 2)
		time.Sleep(90 * time.Minute)
		if u := n.Usage(); u.Aged != 1 || u.Dropped != 0 {
			t.Errorf("the usage is %+v", u)
		}
		dead, _, err := store.Dead(t.Context(), events.Sink{Tenant: "t", Name: "hooks"}, "", 10)
		if err != nil || len(dead) != 1 || string(dead[0].Data) != "1" || !strings.Contains(dead[0].Error, "in time") {
			t.Errorf("the dead letters are %+v, %v", dead, err)
		}
		time.Sleep(24 * time.Hour)
		if u := n.Usage(); u.Aged != 2 || u.Dropped != 1 {
			t.Errorf("a day later the usage is %+v", u)
		}
		if log := n.log.String(); strings.Count(log, "have become dead letters") != 2 || strings.Count(log, "events were dropped: dead letters") != 1 {
			t.Errorf("the log is %s", log)
		}
	})
}

// TestEventsThatNobodyWantsAreFree checks that Wants allocates nothing, without sinks and with sinks of other tenants.
func TestEventsThatNobodyWantsAreFree(t *testing.T) {
	d := events.New(events.Config{Store: &memory.Store{}})
	for _, sinks := range [][]*events.Target{nil, {{Sink: events.Sink{Tenant: "t", Name: "hooks"}, Kinds: events.Default}}} {
		d.Configure(sinks)
		if n := testing.AllocsPerRun(1000, func() {
			if d.Wants("other").Has(events.RuleDecided) {
				t.Error("a tenant without sinks wants events")
			}
		}); n > 0 {
			t.Errorf("with %d sinks a question allocates %v times", len(sinks), n)
		}
	}
}
