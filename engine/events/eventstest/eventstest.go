// Package eventstest tests implementations of [events.Store].
package eventstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/events"
)

// Limits are the limits of the stores that Run tests.
var Limits = events.Limits{TenantBytes: 4000, TotalBytes: 64000, Age: time.Hour, ClaimBytes: 3400}

// Run runs each test on the empty stores that start returns: two that share their events, such as two nodes of a cluster, or
// one store twice.
func Run(t *testing.T, start func(t *testing.T) (a, b events.Store)) {
	for name, test := range map[string]func(w *world){
		"EventsKeepTheirOrder":            eventsKeepTheirOrder,
		"SequencesCountPerRoom":           sequencesCountPerRoom,
		"OneClaimAtATime":                 oneClaimAtATime,
		"AnExpiredClaimIsTakenOver":       anExpiredClaimIsTakenOver,
		"AFailureWaits":                   aFailureWaits,
		"MoreEventsAreTold":               moreEventsAreTold,
		"RejectedEventsAreDeadLetters":    rejectedEventsAreDeadLetters,
		"DeadLettersAreRetried":           deadLettersAreRetried,
		"DeadLettersAreDropped":           deadLettersAreDropped,
		"EventsOfATenantAreBounded":       eventsOfATenantAreBounded,
		"AFullSinkLeavesRoomForOthers":    aFullSinkLeavesRoomForOthers,
		"DroppedEventsAreCounted":         droppedEventsAreCounted,
		"LostEventsAreTold":               lostEventsAreTold,
		"AClaimIsBounded":                 aClaimIsBounded,
		"UsageIsThatOfAllSinks":           usageIsThatOfAllSinks,
		"DueSinksAreListed":               dueSinksAreListed,
		"AUserIsErased":                   aUserIsErased,
		"SinksAndTenantsAreSeparate":      sinksAndTenantsAreSeparate,
		"EndOfContextIsReturned":          endOfContextIsReturned,
		"EachEventIsDeliveredAtLeastOnce": eachEventIsDelivered,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			a, b := start(t)
			test(&world{t, ctx, a, b})
		})
	}
}

type world struct {
	*testing.T
	ctx  context.Context
	a, b events.Store
}

var hooks = events.Sink{Tenant: "t", Name: "hooks"}

const lease = time.Minute

// event returns an event of a room for a sink.
func event(sink events.Sink, id, room string) events.Record {
	return events.Record{Sink: sink, Event: events.Event{ID: id, Kind: "room.created", Room: room, At: 1_700_000_000_000, Data: []byte(`{"room":"` + room + `"}`)}}
}

func (w *world) append(in events.Store, records ...events.Record) {
	w.Helper()
	if err := in.Append(w.ctx, records); err != nil {
		w.Fatal(err)
	}
}

func (w *world) claim(in events.Store, limit int) *events.Claim {
	w.Helper()
	c, err := in.Claim(w.ctx, hooks, limit, lease)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// must returns a claim that has the events.
func (w *world) must(in events.Store, limit int, ids ...string) *events.Claim {
	w.Helper()
	c := w.claim(in, limit)
	if c == nil {
		w.Fatalf("no claim, want one of %q", ids)
	}
	if got := idsOf(c.Records); !slices.Equal(got, ids) {
		w.Fatalf("the claim has %q, want %q", got, ids)
	}
	return c
}

func idsOf(records []events.Record) (ids []string) {
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

func (w *world) settle(in events.Store, c *events.Claim, r events.Result) bool {
	w.Helper()
	more, err := in.Settle(w.ctx, c, r)
	if err != nil {
		w.Fatal(err)
	}
	return more
}

func (w *world) state() events.State {
	w.Helper()
	all, err := w.b.States(w.ctx, "t")
	if err != nil {
		w.Fatal(err)
	}
	for _, s := range all {
		if s.Sink == hooks.Name {
			return s
		}
	}
	return events.State{}
}

func (w *world) dead() (all []events.Letter) {
	w.Helper()
	for cursor := ""; ; {
		page, next, err := w.b.Dead(w.ctx, hooks, cursor, 2)
		if err != nil {
			w.Fatal(err)
		}
		if len(page) > 2 {
			w.Fatalf("a page has %d dead letters, the limit is 2", len(page))
		}
		if all = append(all, page...); next == "" {
			return all
		}
		cursor = next
	}
}

// eventsKeepTheirOrder checks that claims have the events in the order of Append, whole, on the other node as well.
func eventsKeepTheirOrder(w *world) {
	full := event(hooks, "1", "hall \x00é")
	full.User, full.Data = "bob\n", []byte(`{"a":"\"x\"","n":1.50}`)
	w.append(w.a, full, event(hooks, "2", "x"))
	w.append(w.b, event(hooks, "3", ""))
	c := w.must(w.b, 2, "1", "2")
	full.Sequence = 1
	if got := c.Records[0]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", full) {
		w.Errorf("the event is %+v, want %+v", got, full)
	}
	w.settle(w.b, c, events.Result{Delivered: 2})
	w.settle(w.a, w.must(w.a, 9, "3"), events.Result{Delivered: 1})
	if c := w.claim(w.a, 9); c != nil {
		w.Errorf("there are more events: %q", idsOf(c.Records))
	}
	if s := w.state(); s != (events.State{}) {
		w.Errorf("the state is %+v after all events were delivered", s)
	}
}

// sequencesCountPerRoom checks that the events of a room have the numbers 1, 2, 3 for a sink.
func sequencesCountPerRoom(w *world) {
	other := events.Sink{Tenant: "t", Name: "other"}
	w.append(w.a, event(hooks, "1", "x"), event(hooks, "2", "y"), event(other, "3", "x"))
	w.append(w.b, event(hooks, "4", "x"), event(hooks, "5", ""))
	var got []uint64
	for _, r := range w.must(w.a, 9, "1", "2", "4", "5").Records {
		got = append(got, r.Sequence)
	}
	if want := []uint64{1, 1, 2, 1}; !slices.Equal(got, want) {
		w.Errorf("the sequences are %v, want %v", got, want)
	}
}

// oneClaimAtATime checks that only one of several callers gets the events.
func oneClaimAtATime(w *world) {
	w.append(w.a, event(hooks, "1", "x"))
	var all sync.WaitGroup
	var mu sync.Mutex
	claims := 0
	for i := range 8 {
		all.Go(func() {
			c, err := []events.Store{w.a, w.b}[i%2].Claim(w.ctx, hooks, 1, lease)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				w.Error(err)
			}
			if c != nil {
				claims++
			}
		})
	}
	all.Wait()
	if claims != 1 {
		w.Errorf("%d callers have the events, want 1", claims)
	}
}

// anExpiredClaimIsTakenOver checks that another node gets the events of a claim that has expired, and that the first one can
// then settle nothing.
func anExpiredClaimIsTakenOver(w *world) {
	w.append(w.a, event(hooks, "1", "x"))
	first, err := w.a.Claim(w.ctx, hooks, 1, time.Millisecond)
	if err != nil || first == nil {
		w.Fatal(first, err)
	}
	var second *events.Claim
	for second == nil && w.ctx.Err() == nil {
		second = w.claim(w.b, 1)
	}
	if second == nil {
		w.Fatal("the claim was not taken over")
	}
	if w.settle(w.a, first, events.Result{Delivered: 1}) {
		w.Error("a claim that has expired says that more is due")
	}
	if n := w.state().Events; n != 1 {
		w.Errorf("%d events wait, want 1", n)
	}
	w.settle(w.b, second, events.Result{Delivered: 1})
	if n := w.state().Events; n != 0 {
		w.Errorf("%d events wait, want 0", n)
	}
}

// aFailureWaits checks that a sink is not due while it waits after a failure, and that its state shows the failure.
func aFailureWaits(w *world) {
	w.append(w.a, event(hooks, "1", "x"))
	w.settle(w.a, w.must(w.a, 1, "1"), events.Result{Wait: time.Hour, Error: "503"})
	if c := w.claim(w.b, 1); c != nil {
		w.Error("the sink is due at once")
	}
	if s := w.state(); s.Failures != 1 || s.Error != "503" || s.Next < time.Now().Add(50*time.Minute).UnixMilli() || s.Events != 1 || s.Bytes == 0 || s.Oldest == 0 {
		w.Errorf("the state is %+v", s)
	}
}

// moreEventsAreTold checks that Settle reports that events have arrived meanwhile.
func moreEventsAreTold(w *world) {
	w.append(w.a, event(hooks, "1", "x"))
	c := w.must(w.a, 9, "1")
	w.append(w.b, event(hooks, "2", "x"))
	if !w.settle(w.a, c, events.Result{Delivered: 1}) {
		w.Error("more events are due, and Settle does not say so")
	}
	if w.settle(w.a, w.must(w.a, 9, "2"), events.Result{Delivered: 1}) {
		w.Error("Settle says that more events are due")
	}
}

// rejectedEventsAreDeadLetters checks that the events behind the delivered ones become dead letters with the reason.
func rejectedEventsAreDeadLetters(w *world) {
	w.append(w.a, event(hooks, "1", "x"), event(hooks, "2", "x"), event(hooks, "3", "x"))
	if !w.settle(w.a, w.must(w.a, 9, "1", "2", "3"), events.Result{Delivered: 1, Dead: 1, Error: "400"}) {
		w.Error("an event is due, and Settle does not say so")
	}
	dead := w.dead()
	if len(dead) != 1 || dead[0].ID != "2" || dead[0].Error != "400" || dead[0].Sequence != 2 {
		w.Fatalf("the dead letters are %+v", dead)
	}
	w.must(w.b, 9, "3")
}

// kill makes events dead letters.
func (w *world) kill(records ...events.Record) {
	w.Helper()
	w.append(w.a, records...)
	w.settle(w.a, w.must(w.a, len(records), idsOf(records)...), events.Result{Dead: len(records), Error: "no"})
}

// deadLettersAreRetried checks that Retry moves the chosen dead letters, or all, in their order.
func deadLettersAreRetried(w *world) {
	w.kill(event(hooks, "1", "x"), event(hooks, "2", "x"), event(hooks, "3", "x"), event(hooks, "4", "x"), event(hooks, "5", "x"))
	dead := w.dead()
	if len(dead) != 5 {
		w.Fatalf("%d dead letters, want 5", len(dead))
	}
	if n, err := w.b.Retry(w.ctx, hooks, []string{dead[3].Place, dead[1].Place, "0"}); n != 2 || err != nil {
		w.Fatal(n, err)
	}
	w.settle(w.b, w.must(w.b, 9, "2", "4"), events.Result{Delivered: 2})
	if n, err := w.a.Retry(w.ctx, hooks, nil); n != 3 || err != nil {
		w.Fatal(n, err)
	}
	c := w.must(w.b, 9, "1", "3", "5")
	if c.Records[0].Error != "" || c.Records[0].Sequence != 1 {
		w.Errorf("the event is %+v", c.Records[0])
	}
	if left := w.dead(); len(left) != 0 {
		w.Errorf("dead letters are left: %+v", left)
	}
}

// deadLettersAreDropped checks that Drop removes the chosen dead letters, or all.
func deadLettersAreDropped(w *world) {
	w.kill(event(hooks, "1", "x"), event(hooks, "2", "x"), event(hooks, "3", "x"))
	if n, err := w.b.Drop(w.ctx, hooks, []string{w.dead()[1].Place}); n != 1 || err != nil {
		w.Fatal(n, err)
	}
	left := w.dead()
	if len(left) != 2 || left[0].ID != "1" || left[1].ID != "3" {
		w.Fatalf("the dead letters are %+v", left)
	}
	if n, err := w.b.Drop(w.ctx, hooks, nil); n != 2 || err != nil {
		w.Fatal(n, err)
	}
	if s := w.state(); s != (events.State{}) {
		w.Errorf("the state is %+v", s)
	}
}

// large returns an event of about a quarter of the limit of a tenant.
func large(id string) events.Record {
	r := event(hooks, id, "x")
	r.Data = []byte(`"` + strings.Repeat("a", 1000) + `"`)
	return r
}

// eventsOfATenantAreBounded checks that the oldest events become dead letters if too many wait, also those of a claim.
func eventsOfATenantAreBounded(w *world) {
	w.append(w.a, large("1"))
	c := w.must(w.a, 1, "1")
	w.append(w.b, large("2"), large("3"), large("4"), large("5"))
	dead := w.dead()
	if len(dead) == 0 || dead[0].ID != "1" || dead[0].Error == "" {
		w.Fatalf("the dead letters are %+v", idsOfLetters(dead))
	}
	w.settle(w.a, c, events.Result{Delivered: 1})
	s := w.state()
	if s.Events+s.Dead != 5 || s.Bytes > Limits.TenantBytes || s.Dropped != 0 {
		w.Errorf("the state is %+v", s)
	}
	if rest := w.claim(w.b, 9); rest == nil || rest.Records[len(rest.Records)-1].ID != "5" {
		w.Errorf("the newest event is not there")
	}
}

func idsOfLetters(all []events.Letter) (ids []string) {
	for _, l := range all {
		ids = append(ids, l.ID)
	}
	return ids
}

// aFullSinkLeavesRoomForOthers checks that a sink with more events than fit gives up its own, and not those of another sink, or of
// another tenant.
func aFullSinkLeavesRoomForOthers(w *world) {
	for i := range 6 {
		w.append(w.a, large(fmt.Sprint(i)))
	}
	other := events.Sink{Tenant: "t", Name: "other"}
	for i := range 3 {
		w.append(w.b, event(other, fmt.Sprint("other", i), "x"))
	}
	w.append(w.a, large("last"))
	c, err := w.a.Claim(w.ctx, other, 9, lease)
	if err != nil || c == nil || !slices.Equal(idsOf(c.Records), []string{"other0", "other1", "other2"}) {
		w.Fatalf("the other sink has %+v, %v", c, err)
	}
	if letters, _, err := w.b.Dead(w.ctx, other, "", 9); err != nil || len(letters) > 0 {
		w.Errorf("the other sink has the dead letters %+v, %v", letters, err)
	}
	if s := w.state(); s.Events == 0 || s.Bytes > Limits.TenantBytes {
		w.Errorf("the state of the full sink is %+v", s)
	}
}

// droppedEventsAreCounted checks that the oldest dead letters are dropped if they are too many, and that the next claims say how
// many, until a delivery succeeds.
func droppedEventsAreCounted(w *world) {
	for i := range 12 {
		w.append(w.a, large(fmt.Sprint(i)))
	}
	s := w.state()
	if s.Dropped == 0 || s.Events+s.Dead+int(s.Dropped) != 12 {
		w.Fatalf("the state is %+v", s)
	}
	c := w.claim(w.a, 1)
	if c.Dropped != s.Dropped {
		w.Errorf("the claim says that %d events were dropped, the state %d", c.Dropped, s.Dropped)
	}
	w.settle(w.a, c, events.Result{Error: "503"})
	c = w.claim(w.b, 1)
	if c.Dropped != s.Dropped {
		w.Errorf("after a failure the claim says that %d events were dropped, want %d", c.Dropped, s.Dropped)
	}
	w.settle(w.b, c, events.Result{Delivered: 1})
	if c = w.claim(w.a, 1); c.Dropped != 0 {
		w.Errorf("after a delivery the claim says that %d events were dropped", c.Dropped)
	}
}

// lostEventsAreTold checks that the claim after an event says how many were lost before it, and that the usage counts them.
func lostEventsAreTold(w *world) {
	before := w.usage()
	after := event(hooks, "1", "x")
	after.Lost = 7
	w.append(w.a, after, event(hooks, "2", "x"))
	c := w.must(w.b, 1, "1")
	if c.Dropped != 7 || w.state().Dropped != 7 {
		w.Errorf("the claim says that %d events were dropped and the state %d, want 7", c.Dropped, w.state().Dropped)
	}
	w.settle(w.b, c, events.Result{Delivered: 1})
	if c = w.must(w.a, 1, "2"); c.Dropped != 0 {
		w.Errorf("the next claim says that %d events were dropped", c.Dropped)
	}
	if n := w.usage().Dropped - before.Dropped; n != 7 {
		w.Errorf("the usage says that %d events were dropped", n)
	}
}

// aClaimIsBounded checks that a claim of several events has at most about Limits.ClaimBytes of data, and that a larger event is a claim of its
// own.
func aClaimIsBounded(w *world) {
	sized := func(id string, bytes int64) events.Record {
		r := event(hooks, id, "x")
		r.Data = []byte(`"` + strings.Repeat("a", int(bytes)) + `"`)
		return r
	}
	w.append(w.a, sized("0", Limits.ClaimBytes+100))
	w.settle(w.b, w.must(w.b, 9, "0"), events.Result{Delivered: 1})
	w.append(w.a, sized("1", Limits.ClaimBytes/2+10), sized("2", Limits.ClaimBytes/2+10))
	if !w.settle(w.b, w.must(w.b, 9, "1"), events.Result{Delivered: 1}) {
		w.Error("one more event is due, and Settle does not say so")
	}
	w.must(w.b, 9, "2")
}

func (w *world) usage() events.Usage {
	w.Helper()
	u, err := w.b.Usage(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	return u
}

// usageIsThatOfAllSinks checks the bytes, the age and the counts of the usage.
func usageIsThatOfAllSinks(w *world) {
	before := w.usage()
	if before.Bytes != 0 || before.DeadBytes != 0 || before.Oldest != 0 {
		w.Fatalf("the usage of an empty store is %+v", before)
	}
	other := events.Sink{Tenant: "u", Name: "hooks"}
	began := time.Now().Add(-time.Second).UnixMilli()
	w.append(w.a, event(hooks, "1", "x"), event(other, "2", "x"))
	if u := w.usage(); u.Bytes == 0 || u.DeadBytes != 0 || u.Oldest < began || u.Crowded != before.Crowded {
		w.Errorf("the usage of two events is %+v", u)
	}
	for i := range 12 {
		w.append(w.a, large(fmt.Sprint("large", i)))
	}
	s := w.state()
	u := w.usage()
	if want := uint64(13 - s.Events); u.Crowded-before.Crowded != want || u.Dropped-before.Dropped != s.Dropped || s.Dropped == 0 || u.DeadBytes == 0 || u.Aged != before.Aged {
		w.Errorf("the usage is %+v, and the state %+v", u, s)
	}
}

// dueSinksAreListed checks that Due has the sinks that a caller can claim.
func dueSinksAreListed(w *world) {
	due := func(want ...events.Sink) {
		w.Helper()
		got, err := w.b.Due(w.ctx, 10)
		if err != nil {
			w.Fatal(err)
		}
		slices.SortFunc(got, func(a, b events.Sink) int { return strings.Compare(a.Tenant+a.Name, b.Tenant+b.Name) })
		if !slices.Equal(got, want) {
			w.Errorf("due are %v, want %v", got, want)
		}
	}
	other := events.Sink{Tenant: "u", Name: "hooks"}
	due()
	w.append(w.a, event(hooks, "1", "x"), event(other, "2", "x"))
	due(hooks, other)
	c := w.must(w.a, 1, "1")
	due(other)
	w.settle(w.a, c, events.Result{})
	due(hooks, other)
	w.settle(w.a, w.must(w.a, 1, "1"), events.Result{Wait: time.Hour, Error: "503"})
	due(other)
	if got, err := w.a.Due(w.ctx, 0); len(got) != 0 || err != nil {
		w.Errorf("Due with the limit 0 is %v, %v", got, err)
	}
}

// aUserIsErased checks that Erase removes the events and dead letters of the user, and no others.
func aUserIsErased(w *world) {
	of := func(id, user string) events.Record {
		r := event(hooks, id, "x")
		r.User = user
		return r
	}
	w.kill(of("1", "bob"), of("2", "ann"))
	w.append(w.a, of("3", "bob"), of("4", "ann"), of("5", ""), of("6", "bob"))
	if n, err := w.b.Erase(w.ctx, "t", "bob"); n != 3 || err != nil {
		w.Fatal(n, err)
	}
	w.must(w.a, 9, "4", "5")
	if got := idsOfLetters(w.dead()); !slices.Equal(got, []string{"2"}) {
		w.Errorf("the dead letters are %q", got)
	}
	if s := w.state(); s.Events != 2 || s.Dead != 1 {
		w.Errorf("the state is %+v", s)
	}
}

// sinksAndTenantsAreSeparate checks that a sink has only its own events.
func sinksAndTenantsAreSeparate(w *world) {
	w.append(w.a, event(events.Sink{Tenant: "t", Name: "other"}, "1", "x"), event(hooks, "2", "x"), event(events.Sink{Tenant: "u", Name: "hooks"}, "3", "x"))
	w.must(w.b, 9, "2")
	all, err := w.a.States(w.ctx, "t")
	if err != nil || len(all) != 2 || all[0].Sink != "hooks" || all[1].Sink != "other" {
		w.Errorf("the states are %+v, %v", all, err)
	}
}

func endOfContextIsReturned(w *world) {
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	if err := w.a.Append(ctx, []events.Record{event(hooks, "1", "x")}); !errors.Is(err, context.Canceled) {
		w.Errorf("Append returned %v", err)
	}
	if _, err := w.a.Claim(ctx, hooks, 1, lease); !errors.Is(err, context.Canceled) {
		w.Errorf("Claim returned %v", err)
	}
}

// eachEventIsDelivered checks that concurrent writers and readers, some of which do not settle, lose no event.
func eachEventIsDelivered(w *world) {
	const n = 200
	var writers, readers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for k := range n / 4 {
				r := event(hooks, fmt.Sprintf("%d-%d", i, k), "x")
				r.Data = []byte("1")
				if err := []events.Store{w.a, w.b}[i%2].Append(w.ctx, []events.Record{r}); err != nil {
					w.Error(err)
				}
				for w.state().Events > 6 && w.ctx.Err() == nil { // so that fewer than the limit wait
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	var mu sync.Mutex
	got := map[string]bool{}
	written := make(chan struct{})
	for i := range 3 {
		readers.Go(func() {
			in := []events.Store{w.a, w.b}[i%2]
			for round := 0; w.ctx.Err() == nil; round++ {
				c, err := in.Claim(w.ctx, hooks, 7, 20*time.Millisecond)
				if err != nil {
					w.Error(err)
					return
				}
				if c == nil {
					select {
					case <-written:
						if w.state().Events == 0 {
							return
						}
					case <-time.After(time.Millisecond):
					}
					continue
				}
				if round%5 == 4 { // the claim expires
					continue
				}
				if _, err := in.Settle(w.ctx, c, events.Result{Delivered: len(c.Records)}); err != nil {
					w.Error(err)
				}
				mu.Lock()
				for _, r := range c.Records {
					got[r.ID] = true
				}
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	close(written)
	readers.Wait()
	for _, l := range w.dead() { // an event can be delivered and dead: its claim has expired, or too many waited meanwhile
		got[l.ID] = true
	}
	if len(got) != n {
		w.Errorf("%d events were delivered or are dead letters, want %d", len(got), n)
	}
}
