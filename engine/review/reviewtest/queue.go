package reviewtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/review"
)

// pagesAreInOrder checks that pages have each item once, the oldest first, while other items are added and decided.
func pagesAreInOrder(w *world) {
	var stay []review.Item
	for i := range 4 {
		stay = append(stay, w.hold(w.a, w.item(fmt.Sprint("user", i))))
	}
	page, next, err := w.b.List(w.ctx, "t", review.Query{Limit: 2})
	if err != nil || next == "" {
		w.Fatalf("the first page is %v %q, %v", page, next, err)
	}
	w.want(page, stay[:2]...)
	w.end(w.a, w.begin(w.a, stay[0].ID, by("ann", review.Reject)))
	last := w.hold(w.a, w.item("last"))
	w.want(w.list(review.Query{Limit: 2, Cursor: next}), stay[2], stay[3], last)
}

// queriesSelect checks each field of a query.
func queriesSelect(w *world) {
	in := func(room string) func(*review.Item) { return func(one *review.Item) { one.Room = room } }
	one, two := w.hold(w.a, w.item("bob")), w.hold(w.a, w.item("bobby", in("q")))
	three := w.hold(w.b, w.item("", func(one *review.Item) { one.Connection = "c7" }))
	report := w.report(w.a, "bob", "m1", "ann")
	done := w.end(w.a, w.begin(w.a, w.hold(w.a, w.item("bob", in("q"))).ID, by("ann", review.Reject)))
	for _, c := range []struct {
		q    review.Query
		want []review.Item
	}{
		{review.Query{}, []review.Item{one, two, three, report}},
		{review.Query{Kind: review.Held}, []review.Item{one, two, three}},
		{review.Query{Kind: review.Report}, []review.Item{report}},
		{review.Query{Room: "q"}, []review.Item{two}},
		{review.Query{Subject: review.SubjectOfUser("bob")}, []review.Item{one, report}},
		{review.Query{Subject: review.SubjectOfUser("bob"), Kind: review.Report}, []review.Item{report}},
		{review.Query{Subject: review.SubjectOfConnection("c7")}, []review.Item{three}},
		{review.Query{Subject: review.SubjectOfConnection("c-bob")}, nil},
		{review.Query{Decided: true}, []review.Item{done}},
		{review.Query{Decided: true, Kind: review.Report}, nil},
		{review.Query{Decided: true, Subject: review.SubjectOfUser("bob")}, []review.Item{done}},
	} {
		for _, c.q.Limit = range []int{1, 10} {
			w.want(w.list(c.q), c.want...)
		}
	}
}

// refused checks that an item is refused.
func (w *world) refused(what string, one review.Item, limits review.Limits, want error) {
	w.Helper()
	_, added, err := review.Hold(w.ctx, w.b, one, limits)
	w.wantErr(what, err, want)
	if added {
		w.Errorf("%s: it was added", what)
	}
}

// numbersAreBounded checks that a full queue refuses new items, and accepts decisions.
func numbersAreBounded(w *world) {
	first := w.hold(w.a, w.item("0"))
	for i := 1; i < Limits.Items; i++ {
		w.hold(w.a, w.item(fmt.Sprint(i)))
	}
	w.refused("a full tenant", w.item("one more"), Limits, review.ErrFull)
	deciding := w.begin(w.b, first.ID, by("ann", review.Reject))
	w.refused("while a decision is carried out", w.item("one more"), Limits, review.ErrFull)
	w.end(w.b, deciding)
	second := w.hold(w.b, w.item("one more"))
	w.refused("a full tenant", w.item("too many"), Limits, review.ErrFull)
	if _, err := w.a.Remove(w.ctx, "t", second.ID); err != nil {
		w.Fatal(err)
	}
	w.hold(w.a, w.item("another"))
}

// bytesAreBounded checks that large items fill a tenant.
func bytesAreBounded(w *world) {
	large := func(one *review.Item) { one.Message.Text = strings.Repeat("x", 20<<10) }
	first := w.hold(w.a, w.item("0", large))
	w.hold(w.a, w.item("1", large))
	w.hold(w.a, w.item("2", large))
	w.refused("a full tenant", w.item("3", large), Limits, review.ErrFullBytes)
	w.end(w.b, w.begin(w.b, first.ID, by("ann", review.Release)))
	w.hold(w.a, w.item("3", large))
}

// ownersAreBounded checks the limit of items of one author, which other authors do not use up, and that authors without a user
// share the limit of their address.
func ownersAreBounded(w *world) {
	limits := Limits
	limits.OfOwner = 2
	for _, author := range []string{"bob", ""} {
		in := func(one *review.Item) { one.Connection = one.ID }
		first := w.hold(w.a, w.item(author, in))
		w.hold(w.b, w.item(author, in))
		w.refused("an author over the limit", w.item(author, in), limits, review.ErrOwnerFull)
		w.end(w.b, w.begin(w.b, first.ID, by("ann", review.Reject)))
		w.hold(w.a, w.item(author, in))
	}
	w.hold(w.a, w.item("bo"))
}

// kindsAreSeparate checks that reports do not count in the limits of held messages, and that a reporter has a limit of targets.
func kindsAreSeparate(w *world) {
	for i := range Limits.Items {
		w.hold(w.a, w.item(fmt.Sprint(i)))
	}
	for i := range Limits.OfOwner {
		w.report(w.a, "bob", fmt.Sprint("m", i), "ann")
	}
	_, _, err := review.AddReport(w.ctx, w.b, w.reported("bob", "one more", "ann"), Limits)
	w.wantErr("a reporter over the limit", err, review.ErrOwnerFull)
	w.report(w.b, "ann", "m", "bob")
}

// decidedItemsEnd checks that decided items are removed after their time.
func decidedItemsEnd(w *world) {
	limits := Limits
	limits.Retention = time.Hour
	one := w.hold(w.a, w.item("bob"))
	if _, err := review.End(w.ctx, w.a, w.begin(w.a, one.ID, by("ann", review.Reject)), limits); err != nil {
		w.Fatal(err)
	}
	w.want(w.due(59 * time.Minute))
	w.get(one.ID)
	w.want(w.due(2 * time.Hour))
	_, err := w.b.Get(w.ctx, "t", one.ID)
	w.wantErr("an item after its time", err, review.ErrNone)
	w.want(w.list(review.Query{Decided: true, Limit: 1}))
}

// decidedItemsAreBounded checks that decided items do not fill a tenant: the oldest are removed, and counted.
func decidedItemsAreBounded(w *world) {
	var done []review.Item
	for range 3 * Limits.Items {
		done = append(done, w.end(w.a, w.begin(w.a, w.hold(w.a, w.item("bob")).ID, by("ann", review.Reject))))
	}
	w.want(w.list(review.Query{Decided: true, Limit: 5}), done[2*Limits.Items:]...)
	if s := w.summary(); s.Decided != Limits.Items || s.Dropped != int64(2*Limits.Items) {
		w.Errorf("the summary is %+v", s)
	}
}

// reported returns a report of a message.
func (w *world) reported(user, message, reporter string) review.Item {
	return w.item(user, func(one *review.Item) {
		one.MessageID, one.Unique = message, review.UniqueOf(review.Report, "r", message)
		one.Reporters = []review.Reporter{{User: reporter, Connection: "c-" + reporter, Reason: "rude", At: one.At}}
	})
}

func (w *world) report(in review.Store, user, message, reporter string) review.Item {
	w.Helper()
	stored, fresh, err := review.AddReport(w.ctx, in, w.reported(user, message, reporter), Limits)
	if err != nil || !fresh {
		w.Fatalf("report: %t, %v", fresh, err)
	}
	return stored
}

// reportsCollapse checks that the reports of one target are one item with each reporter once, even after a decision.
func reportsCollapse(w *world) {
	first := w.report(w.a, "bob", "m1", "ann")
	second := w.report(w.b, "bob", "m1", "eve")
	other := w.report(w.b, "bob", "m2", "ann")
	if second.ID != first.ID || second.Reports != 2 || len(second.Reporters) != 2 || other.ID == first.ID {
		w.Errorf("the items are\n%+v\n%+v\n%+v", first, second, other)
	}
	again := func(want review.State) {
		w.Helper()
		if got, fresh, err := review.AddReport(w.ctx, w.a, w.reported("bob", "m1", "ann"), Limits); err != nil || fresh || got.Reports != 2 || got.State != want {
			w.Errorf("the same reporter: %+v, %t, %v", got, fresh, err)
		}
	}
	again(review.Open)
	w.end(w.a, w.begin(w.a, first.ID, by("mod", review.Dismiss)))
	again(review.Decided)
	if third := w.report(w.b, "bob", "m1", "zoe"); third.State != review.Open || third.ID != first.ID || third.Reports != 3 || third.Decision.By != "mod" {
		w.Errorf("a report of a dismissed message is %+v", third)
	}
	w.end(w.a, w.begin(w.a, first.ID, by("mod", review.Retract)))
	if fourth := w.report(w.b, "bob", "m1", "joe"); fourth.State != review.Decided || fourth.Reports != 4 {
		w.Errorf("a report of a retracted message is %+v", fourth)
	}
}

// reportsAtOnceCollapse checks that no report is lost if many members report at once, and that only the first are named.
func reportsAtOnceCollapse(w *world) {
	const members = review.MaxReporters + 5
	var all sync.WaitGroup
	for i := range members {
		one := w.reported("bob", "m1", fmt.Sprint("user", i))
		all.Go(func() {
			if _, fresh, err := review.AddReport(w.ctx, []review.Store{w.a, w.b}[i%2], one, Limits); err != nil || !fresh {
				w.Errorf("%t, %v", fresh, err)
			}
		})
	}
	all.Wait()
	got := w.list(review.Query{Limit: 10})
	if len(got) != 1 || got[0].Reports != members || len(got[0].Reporters) != review.MaxReporters {
		w.Errorf("there are %d items; the first has %d reports and names %d reporters", len(got), got[0].Reports, len(got[0].Reporters))
	}
}

// reportsWhileDeciding checks that a report that arrives while a decision is carried out is kept, and does not stop the decision.
func reportsWhileDeciding(w *world) {
	deciding := w.begin(w.a, w.report(w.a, "bob", "m1", "ann").ID, by("mod", review.Sanction))
	w.report(w.b, "bob", "m1", "eve")
	if done := w.end(w.a, deciding); done.Reports != 2 || done.State != review.Decided || done.Decision.By != "mod" {
		w.Errorf("the item is %+v", done)
	}
}

// aUserIsErased checks that Erase removes all data of a user, and none of other users.
func aUserIsErased(w *world) {
	stays := w.hold(w.a, w.item("bobby"))
	w.hold(w.a, w.item("bob", expires(time.Now().Add(time.Hour)), func(one *review.Item) { one.Unique = review.UniqueOf(review.Held, "k") }))
	w.begin(w.a, w.hold(w.a, w.item("bob")).ID, by("ann", review.Release))
	w.end(w.a, w.begin(w.a, w.hold(w.a, w.item("bob")).ID, by("ann", review.Reject)))
	w.report(w.a, "bob", "m1", "ann")
	made := w.report(w.a, "eve", "m2", "bob")
	w.report(w.a, "eve", "m2", "joe")
	if n, err := review.Erase(w.ctx, w.b, "t", "bob", Limits); n != 5 || err != nil {
		w.Errorf("it erased %d items, %v", n, err)
	}
	all := append(w.list(review.Query{Limit: 2}), w.list(review.Query{Limit: 2, Decided: true})...)
	if len(all) != 2 || all[0].ID != stays.ID || all[1].ID != made.ID || strings.Contains(fmt.Sprintf("%+v", all), "bob ") {
		w.Errorf("the items are %+v", all)
	}
	if named := all[len(all)-1].Reporters; len(named) != 2 || named[0].User != "" || named[0].Reason != "" || named[1].User != "joe" {
		w.Errorf("the reporters are %+v", named)
	}
	w.want(w.due(2 * time.Hour))
	w.hold(w.a, w.item("bob", func(one *review.Item) { one.Unique = review.UniqueOf(review.Held, "k") }))
}

// tenantsAreSeparate checks that items of another tenant are neither found, counted nor due.
func tenantsAreSeparate(w *world) {
	other := func(one *review.Item) { one.Tenant, one.Unique = "other", review.UniqueOf(review.Held, "k") }
	theirs := w.hold(w.a, w.item("bob", other, expires(time.Now().Add(time.Hour))))
	_, err := w.b.Get(w.ctx, "t", theirs.ID)
	w.wantErr("get", err, review.ErrNone)
	if had, err := w.b.Remove(w.ctx, "t", theirs.ID); had || err != nil {
		w.Errorf("remove: %t, %v", had, err)
	}
	w.want(w.list(review.Query{Limit: 5}))
	w.want(w.due(2 * time.Hour))
	mine := w.hold(w.b, w.item("bob", func(one *review.Item) { one.Unique = theirs.Unique }))
	w.want(w.list(review.Query{Limit: 5}), mine)
	names, err := w.a.Tenants(w.ctx)
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"other", "t"}) {
		w.Errorf("the tenants are %q, %v", names, err)
	}
}

func (w *world) summary() review.Summary {
	w.Helper()
	s, err := w.b.Summary(w.ctx, "t")
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// summariesAreExact checks the numbers of a summary, and that its version grows with each change.
func summariesAreExact(w *world) {
	last := w.summary()
	if last != (review.Summary{}) {
		w.Errorf("a tenant without items has %+v", last)
	}
	check := func(held, reports, decided int, oldest string, bytes int64) {
		w.Helper()
		s := w.summary()
		if s.Held.Items != held || s.Reports.Items != reports || s.Decided != decided || s.Held.Oldest != oldest || s.Held.Bytes != bytes || s.Version <= last.Version {
			w.Errorf("the summary is %+v, after version %d", s, last.Version)
		}
		last = s
	}
	one := w.hold(w.a, w.item("bob"))
	check(1, 0, 0, one.ID, one.Size())
	two := w.hold(w.b, w.item("ann", func(one *review.Item) { one.Message.Text = "longer" }))
	check(2, 0, 0, one.ID, one.Size()+two.Size())
	report := w.report(w.b, "bob", "m1", "ann")
	check(2, 1, 0, one.ID, one.Size()+two.Size())
	if s := w.summary(); s.Reports.Oldest != report.ID || s.Reports.Bytes != report.Size() {
		w.Errorf("the summary is %+v", s)
	}
	deciding := w.begin(w.a, one.ID, by("mod", review.Reject))
	check(2, 1, 0, one.ID, deciding.Size()+two.Size())
	w.end(w.b, deciding)
	check(1, 1, 1, two.ID, two.Size())
	if _, err := w.a.Remove(w.ctx, "t", one.ID); err != nil {
		w.Fatal(err)
	}
	check(1, 1, 0, two.ID, two.Size())
}

// endOfContextIsReturned checks that calls return the error of a ctx that has ended.
func endOfContextIsReturned(w *world) {
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	_, _, put := review.Hold(ctx, w.a, w.item("bob"), Limits)
	_, get := w.a.Get(ctx, "t", "x")
	_, _, list := w.a.List(ctx, "t", review.Query{Limit: 1})
	_, due := w.a.Due(ctx, "t", 1, 1)
	_, remove := w.a.Remove(ctx, "t", "x")
	_, tenants := w.a.Tenants(ctx)
	_, summary := w.a.Summary(ctx, "t")
	for name, err := range map[string]error{"Put": put, "Get": get, "List": list, "Due": due, "Remove": remove, "Tenants": tenants, "Summary": summary} {
		if !errors.Is(err, context.Canceled) {
			w.Errorf("%s: %v", name, err)
		}
	}
}

// invalidItemsAreRefused checks that a store refuses items that it could not return unchanged.
func invalidItemsAreRefused(w *world) {
	for what, change := range map[string]func(*review.Item){
		"id": func(one *review.Item) { one.ID = "x" }, "room": func(one *review.Item) { one.Room = "a\x00" }, "user": func(one *review.Item) { one.User = "\xff" },
		"reason": func(one *review.Item) { one.Reason = strings.Repeat("x", review.MaxReason+1) }, "author": func(one *review.Item) { one.User, one.Connection = "", "" },
		"extra": func(one *review.Item) { one.Extra = json.RawMessage(`["x"]`) }, "profile": func(one *review.Item) { one.Profile = json.RawMessage(`"ann"`) },
		"shown form": func(one *review.Item) { one.Shown = &review.Shown{Extra: json.RawMessage(`{`)} },
	} {
		if _, _, err := review.Hold(w.ctx, w.a, w.item("bob", change), Limits); err == nil {
			w.Errorf("an item with an invalid %s was accepted", what)
		}
	}
	w.want(w.list(review.Query{Limit: 5}))
}
