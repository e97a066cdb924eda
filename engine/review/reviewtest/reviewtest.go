// Package reviewtest tests implementations of [review.Store].
package reviewtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
)

// Limits are the limits of most tests.
var Limits = review.Limits{Items: 8, Bytes: 64 << 10, OfOwner: 4}

// Run runs each test with the stores that start returns. They are empty and share their items, like two nodes of a cluster; a
// and b may be the same store.
func Run(t *testing.T, start func(t *testing.T) (a, b review.Store)) {
	for name, test := range map[string]func(w *world){
		"AllFieldsAreKept":        allFieldsAreKept,
		"ChangesNeedTheRevision":  changesNeedTheRevision,
		"AKeyHasOneItem":          aKeyHasOneItem,
		"OneDecisionWins":         oneDecisionWins,
		"ADeadNodeIsReplacedOnce": aDeadNodeIsReplacedOnce,
		"AnItemExpiresOnce":       anItemExpiresOnce,
		"AFailureOpensAgain":      aFailureOpensAgain,
		"PagesAreInOrder":         pagesAreInOrder,
		"QueriesSelect":           queriesSelect,
		"NumbersAreBounded":       numbersAreBounded,
		"BytesAreBounded":         bytesAreBounded,
		"OwnersAreBounded":        ownersAreBounded,
		"KindsAreSeparate":        kindsAreSeparate,
		"DecidedItemsEnd":         decidedItemsEnd,
		"DecidedItemsAreBounded":  decidedItemsAreBounded,
		"ReportsCollapse":         reportsCollapse,
		"ReportsAtOnceCollapse":   reportsAtOnceCollapse,
		"ReportsWhileDeciding":    reportsWhileDeciding,
		"AUserIsErased":           aUserIsErased,
		"TenantsAreSeparate":      tenantsAreSeparate,
		"SummariesAreExact":       summariesAreExact,
		"EndOfContextIsReturned":  endOfContextIsReturned,
		"InvalidItemsAreRefused":  invalidItemsAreRefused,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			a, b := start(t)
			test(&world{t, ctx, a, b, time.Now()})
		})
	}
}

type world struct {
	*testing.T
	ctx   context.Context
	a, b  review.Store
	clock time.Time
}

// item returns a held message, after change. IDs are in the order of the calls.
func (w *world) item(user string, change ...func(*review.Item)) review.Item {
	w.clock = w.clock.Add(time.Millisecond)
	one := review.Item{ID: review.NewID(w.clock), Tenant: "t", At: w.clock.UnixMilli(), User: user, Connection: "c-" + user, Address: "192.0.2.7",
		Room: "r", MessageID: "m" + user, Message: wire.Message{Text: "hi"}, From: "c-" + user, Context: "user", SentAt: w.clock.UnixMilli()}
	for _, f := range change {
		f(&one)
	}
	return one
}

func expires(at time.Time) func(*review.Item) {
	return func(one *review.Item) { one.Until = at.UnixMilli() }
}

func (w *world) hold(in review.Store, one review.Item) review.Item {
	w.Helper()
	stored, added, err := review.Hold(w.ctx, in, one, Limits)
	if err != nil || !added {
		w.Fatalf("hold %+v: %t, %v", one, added, err)
	}
	return stored
}

func by(name string, action review.Action) review.Decision {
	return review.Decision{Action: action, By: name, Node: "node-" + name, Reason: "why"}
}

func (w *world) begin(in review.Store, id string, d review.Decision) review.Item {
	w.Helper()
	one, err := review.Begin(w.ctx, in, "t", id, d, Limits)
	if err != nil {
		w.Fatalf("begin: %v", err)
	}
	return one
}

func (w *world) end(in review.Store, one review.Item) review.Item {
	w.Helper()
	one, err := review.End(w.ctx, in, one, Limits)
	if err != nil {
		w.Fatalf("end: %v", err)
	}
	return one
}

func (w *world) get(id string) review.Item {
	w.Helper()
	one, err := w.b.Get(w.ctx, "t", id)
	if err != nil {
		w.Fatal(err)
	}
	return one
}

// list returns all items of a query, page by page.
func (w *world) list(q review.Query) (all []review.Item) {
	w.Helper()
	for {
		page, next, err := w.b.List(w.ctx, "t", q)
		if err != nil {
			w.Fatal(err)
		}
		if len(page) > q.Limit {
			w.Fatalf("a page has %d items, the limit is %d", len(page), q.Limit)
		}
		if all = append(all, page...); next == "" {
			return all
		}
		q.Cursor = next
	}
}

func (w *world) want(got []review.Item, want ...review.Item) {
	w.Helper()
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		w.Errorf("the items are\n%+v\nwant\n%+v", got, want)
	}
}

func (w *world) wantErr(what string, got, want error) {
	w.Helper()
	if !errors.Is(got, want) {
		w.Errorf("%s: %v, want %v", what, got, want)
	}
}

// allFieldsAreKept checks that an item has all its fields, on the other node as well.
func allFieldsAreKept(w *world) {
	held := w.hold(w.a, w.item("bo b\n", expires(time.Now().Add(time.Hour)), func(one *review.Item) {
		one.Unique, one.Message, one.Extra = review.UniqueOf(review.Held, "k"), wire.Message{Text: `{"a":"\u0000<é>"}`, JSON: true}, []byte(`{"x":1}`)
		one.Reason, one.Rule, one.Release, one.Notify, one.JoinedAt = "why", "m@1#2", true, true, 7
		one.Said, one.JSON, one.Profile = "said", true, json.RawMessage(`{"user":"ann"}`)
		one.Place = review.Place{Priority: -3, Module: "m", Index: 1, Moved: true, Room: "r"}
	}))
	if held.Revision <= 0 || held.State != review.Open || held.Due != held.Until {
		w.Errorf("the stored item is %+v", held)
	}
	w.want([]review.Item{w.get(held.ID)}, held)
	report := w.item("ann", func(one *review.Item) {
		one.Shown = &review.Shown{Message: wire.Message{Text: "h*"}, From: "x", Extra: []byte(`{"y":"\ud83d\ude00"}`)}
		one.Reporters = []review.Reporter{{User: "u", Connection: "c", Address: "::1", Reason: "rude", At: 5, Notify: true}}
		one.Unique = review.UniqueOf(review.Report, "x")
	})
	stored, fresh, err := review.AddReport(w.ctx, w.b, report, Limits)
	if err != nil || !fresh || stored.Reports != 1 {
		w.Fatalf("report: %+v, %t, %v", stored, fresh, err)
	}
	prepared, err := review.Prepare(w.ctx, w.a, w.begin(w.a, held.ID, by("ann", review.Release)), "other", []byte("\xff\x00{}"), Limits)
	if err != nil {
		w.Fatal(err)
	}
	w.want(w.list(review.Query{Limit: 1}), prepared, stored)
}

// changesNeedTheRevision checks that a change is refused if it has an older revision, or if the item was removed.
func changesNeedTheRevision(w *world) {
	first := w.hold(w.a, w.item("bob"))
	first.Reason = "second"
	second, err := w.b.Put(w.ctx, first, Limits)
	if err != nil || second.Revision <= first.Revision {
		w.Fatalf("the second revision is %+v, %v", second, err)
	}
	_, err = w.a.Put(w.ctx, first, Limits)
	w.wantErr("an older revision", err, review.ErrConflict)
	revision := second.Revision
	second.Revision = 0
	old, err := w.a.Put(w.ctx, second, Limits)
	w.wantErr("an id that exists", err, review.ErrExists)
	if old.Revision != revision || old.Reason != "second" {
		w.Errorf("it returned %+v", old)
	}
	for i, want := range []bool{true, false} {
		if had, err := w.a.Remove(w.ctx, "t", first.ID); had != want || err != nil {
			w.Errorf("remove %d: %t, %v", i, had, err)
		}
	}
	second.Revision = revision
	_, err = w.a.Put(w.ctx, second, Limits)
	w.wantErr("a removed item", err, review.ErrNone)
	_, err = w.a.Get(w.ctx, "t", first.ID)
	w.wantErr("a removed item", err, review.ErrNone)
	w.want(w.list(review.Query{Limit: 3}))
}

// aKeyHasOneItem checks that messages with the same Unique are one item until it is decided, even if they are held at once.
func aKeyHasOneItem(w *world) {
	key := func(one *review.Item) { one.Unique = review.UniqueOf(review.Held, "user:bob", "k") }
	var all sync.WaitGroup
	var mu sync.Mutex
	ids, added := map[string]bool{}, 0
	for i := range 8 {
		one := w.item("bob", key)
		all.Go(func() {
			stored, fresh, err := review.Hold(w.ctx, []review.Store{w.a, w.b}[i%2], one, Limits)
			mu.Lock()
			defer mu.Unlock()
			if ids[stored.ID] = true; err != nil {
				w.Error(err)
			}
			if fresh {
				added++
			}
		})
	}
	all.Wait()
	if len(ids) != 1 || added != 1 {
		w.Fatalf("one key has %d items, of which %d were added", len(ids), added)
	}
	first := w.list(review.Query{Limit: 9})[0]
	deciding := w.begin(w.a, first.ID, by("ann", review.Reject))
	if again, added, err := review.Hold(w.ctx, w.b, w.item("bob", key), Limits); err != nil || added || again.ID != first.ID {
		w.Errorf("while it is being decided: %+v, %t, %v", again, added, err)
	}
	w.end(w.a, deciding)
	if next := w.hold(w.b, w.item("bob", key)); next.ID == first.ID {
		w.Error("a key of a decided message has the same item")
	}
}

// oneDecisionWins checks that one of several decisions at once succeeds, and that the other callers receive that one.
func oneDecisionWins(w *world) {
	one := w.hold(w.a, w.item("bob"))
	var all sync.WaitGroup
	var mu sync.Mutex
	winners := map[string]bool{}
	for i := range 8 {
		all.Go(func() {
			name := fmt.Sprint("moderator", i)
			got, err := review.Begin(w.ctx, []review.Store{w.a, w.b}[i%2], "t", one.ID, by(name, review.Release), Limits)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !errors.Is(err, review.ErrDecided) {
				w.Error(err)
			}
			if (err == nil) != (got.Decision.By == name) {
				w.Errorf("%s receives the decision of %s, %v", name, got.Decision.By, err)
			}
			winners[got.Decision.By] = true
		})
	}
	all.Wait()
	if len(winners) != 1 {
		w.Errorf("the decisions of %v won", winners)
	}
	decided := w.end(w.a, w.get(one.ID))
	if got, err := review.Begin(w.ctx, w.b, "t", one.ID, by("late", review.Reject), Limits); !errors.Is(err, review.ErrDecided) || got.Decision.By != decided.Decision.By {
		w.Errorf("a late decision: %+v, %v", got.Decision, err)
	}
	_, err := review.Begin(w.ctx, w.b, "t", one.ID, by("late", review.Dismiss), Limits)
	if err == nil || errors.Is(err, review.ErrDecided) {
		w.Errorf("an action of reports: %v", err)
	}
	_, err = review.Begin(w.ctx, w.b, "t", "unknown", by("late", review.Reject), Limits)
	w.wantErr("an unknown item", err, review.ErrNone)
}

// due returns the items that are due after some time.
func (w *world) due(after time.Duration) []review.Item {
	w.Helper()
	all, err := w.b.Due(w.ctx, "t", time.Now().Add(after).UnixMilli(), 100)
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// overdue makes an item due now, as if time had passed.
func (w *world) overdue(one review.Item) review.Item {
	w.Helper()
	one.Due = time.Now().UnixMilli() - 1
	stored, err := w.a.Put(w.ctx, one, Limits)
	if err != nil {
		w.Fatal(err)
	}
	return stored
}

// claimOnce claims an item for two nodes, one after the other. It checks that one succeeds, and returns its result.
func (w *world) claimOnce(one review.Item) review.Item {
	w.Helper()
	var got []review.Item
	for i, in := range []review.Store{w.a, w.b} {
		mine, err := review.Claim(w.ctx, in, one, fmt.Sprint("survivor", i), Limits)
		if err != nil {
			w.wantErr("the second claim", err, review.ErrConflict)
			continue
		}
		got = append(got, mine)
	}
	if len(got) != 1 {
		w.Fatalf("%d nodes have claimed the item", len(got))
	}
	return got[0]
}

// aDeadNodeIsReplacedOnce checks that one other node takes over a decision that was not ended in time, with what Prepare has
// recorded, and that the first node can no longer end it.
func aDeadNodeIsReplacedOnce(w *world) {
	one := w.hold(w.a, w.item("bob"))
	if n := len(w.due(24 * time.Hour)); n != 0 {
		w.Errorf("%d items without an end are due", n)
	}
	one = w.begin(w.a, one.ID, by("ann", review.Release))
	d := *one.Decision
	d.Shadow, one.Decision, one.MessageID = review.ShadowOf("bob"), &d, "moved"
	begun, err := review.Prepare(w.ctx, w.a, one, "r2", []byte("payload"), Limits)
	if err != nil {
		w.Fatal(err)
	}
	if n := len(w.due(0)); n != 0 {
		w.Errorf("%d items are due at once", n)
	}
	_, err = review.Claim(w.ctx, w.b, begun, "early", Limits)
	w.wantErr("a claim of a living node's item", err, review.ErrConflict)
	w.want(w.due(time.Minute), begun)
	mine := w.claimOnce(w.overdue(begun))
	d = *mine.Decision
	if d.By != "ann" || d.Action != review.Release || d.To != "r2" || string(d.Payload) != "payload" || d.Shadow != review.ShadowOfUser || mine.MessageID != "moved" ||
		!strings.HasPrefix(d.Node, "survivor") {
		w.Errorf("the survivor has %+v with the message id %s", d, mine.MessageID)
	}
	_, err = review.End(w.ctx, w.a, begun, Limits)
	w.wantErr("the first node", err, review.ErrConflict)
	if w.end(w.b, mine); len(w.due(time.Minute)) != 0 {
		w.Error("an item is due that was decided")
	}
}

// anItemExpiresOnce checks that an open item is due when it expires, and that one node can claim it.
func anItemExpiresOnce(w *world) {
	later := w.hold(w.a, w.item("bob", expires(time.Now().Add(time.Hour))))
	sooner := w.hold(w.a, w.item("bob", expires(time.Now().Add(time.Minute))))
	w.want(w.due(30 * time.Second))
	w.want(w.due(2*time.Hour), sooner, later)
	mine := w.claimOnce(w.overdue(sooner))
	if mine.Decision.Action != review.Expire || mine.State != review.Deciding {
		w.Errorf("the claimed item is %+v", mine)
	}
	_, err := review.Begin(w.ctx, w.a, "t", sooner.ID, by("late", review.Reject), Limits)
	w.wantErr("a person after the end", err, review.ErrDecided)
	w.end(w.b, mine)
	w.want(w.due(2*time.Hour), later)
}

// aFailureOpensAgain checks that others can decide about an item after a decision could not be carried out.
func aFailureOpensAgain(w *world) {
	one := w.hold(w.a, w.item("bob", expires(time.Now().Add(time.Hour))))
	again, err := review.Reopen(w.ctx, w.a, w.begin(w.a, one.ID, by("ann", review.Release)), "the room is gone", Limits)
	if err != nil || again.State != review.Open || again.Failure != "the room is gone" || again.Due != one.Until {
		w.Fatalf("it is %+v, %v", again, err)
	}
	if decided := w.end(w.b, w.begin(w.b, one.ID, by("eve", review.Reject))); decided.Failure != "" || decided.Decision.By != "eve" {
		w.Errorf("it was decided as %+v", decided)
	}
}
