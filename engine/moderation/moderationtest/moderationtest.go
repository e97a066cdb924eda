// Package moderationtest tests implementations of [moderation.Store].
package moderationtest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/moderation"
)

// Limits are the limits of the stores that Run tests.
var Limits = moderation.Limits{All: 8, OfSubject: 3, OfModules: 2}

// Run runs each test on the empty stores that start returns: two that share their sanctions, such as two nodes
// of a cluster, or one store twice.
func Run(t *testing.T, start func(t *testing.T) (a, b moderation.Store)) {
	for name, test := range map[string]func(w *world){
		"SetIsListed":            setIsListed,
		"SourcesAreSeparate":     sourcesAreSeparate,
		"RemoveIsOnce":           removeIsOnce,
		"PagesAreInOrder":        pagesAreInOrder,
		"SubjectsAreSelected":    subjectsAreSelected,
		"EndedAreGone":           endedSanctionsAreRemoved,
		"NumbersAreBounded":      numbersAreBounded,
		"ModulesLeaveRoom":       modulesLeaveRoom,
		"SubjectsAreBounded":     subjectsAreBounded,
		"FollowersHaveAll":       followersHaveAll,
		"FollowersHearInOrder":   followersHearInOrder,
		"HoldsWhenSetReturns":    holdsWhenSetReturns,
		"NothingAfterStop":       nothingAfterStop,
		"TenantsAreSeparate":     tenantsAreSeparate,
		"ChangesWhileFollowing":  changesWhileFollowing,
		"EndOfContextIsReturned": endOfContextIsReturned,
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
	a, b moderation.Store
}

// mute returns a sanction of a user, after change.
func (w *world) mute(user string, change ...func(*moderation.Sanction)) moderation.Sanction {
	w.Helper()
	s := moderation.Sanction{Tenant: "t", User: user, Kind: moderation.Mute, Rooms: moderation.AllRooms, Reason: "loud", Note: "twice", By: "ann"}
	for _, f := range change {
		f(&s)
	}
	if err := s.Identify(); err != nil {
		w.Fatal(err)
	}
	return s
}

func byModule(name string) func(*moderation.Sanction) {
	return func(s *moderation.Sanction) { s.Module, s.By = name, "" }
}

func until(at time.Time) func(*moderation.Sanction) {
	return func(s *moderation.Sanction) { s.Until = at.UnixMilli() }
}

func (w *world) set(in moderation.Store, s moderation.Sanction) moderation.Sanction {
	w.Helper()
	stored, err := in.Set(w.ctx, s)
	if err != nil {
		w.Fatalf("set %+v: %v", s, err)
	}
	if stored.At <= 0 {
		w.Errorf("%+v has no time", stored)
	}
	return stored
}

// list returns all sanctions of a query, page by page.
func (w *world) list(q moderation.Query) (all []moderation.Sanction) {
	w.Helper()
	for {
		page, next, err := w.b.List(w.ctx, "t", q)
		if err != nil {
			w.Fatal(err)
		}
		if len(page) > q.Limit {
			w.Fatalf("a page has %d sanctions, the limit is %d", len(page), q.Limit)
		}
		if all = append(all, page...); next == "" {
			return all
		}
		q.Cursor = next
	}
}

func (w *world) want(got []moderation.Sanction, want ...moderation.Sanction) {
	w.Helper()
	order := func(a, b moderation.Sanction) int { return cmpText(a.Place(), b.Place()) }
	slices.SortFunc(want, order)
	if !slices.Equal(got, want) {
		w.Errorf("the sanctions are\n%+v\nwant\n%+v", got, want)
	}
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// setIsListed checks that a sanction has all its fields, on the other node as well.
func setIsListed(w *world) {
	user := w.set(w.a, w.mute("bo b\n", until(time.Now().Add(time.Hour))))
	network := w.set(w.b, w.mute("", func(s *moderation.Sanction) {
		s.Network, s.Kind, s.Rooms = netip.MustParsePrefix("2001:db8::/48"), moderation.Ban, "hall-*"
	}))
	w.want(w.list(moderation.Query{Limit: 10}), user, network)
}

// sourcesAreSeparate checks that a sanction replaces only the one of its source, and that changes have rising
// times.
func sourcesAreSeparate(w *world) {
	first := w.set(w.a, w.mute("bob"))
	module := w.set(w.a, w.mute("bob", byModule("strikes")))
	second := w.set(w.b, w.mute("bob", until(time.Now().Add(time.Hour))))
	if second.At <= first.At {
		w.Errorf("the later change has the time %d, the earlier one %d", second.At, first.At)
	}
	w.want(w.list(moderation.Query{Limit: 10}), module, second)
}

// removeIsOnce checks that Remove reports a sanction once, even if several callers remove it at once.
func removeIsOnce(w *world) {
	s := w.set(w.a, w.mute("bob"))
	var all sync.WaitGroup
	var mu sync.Mutex
	removed := 0
	for i := range 8 {
		all.Go(func() {
			had, err := []moderation.Store{w.a, w.b}[i%2].Remove(w.ctx, "t", s.ID)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				w.Error(err)
			}
			if had {
				removed++
			}
		})
	}
	all.Wait()
	if removed != 1 {
		w.Errorf("%d callers removed the sanction, want 1", removed)
	}
	w.want(w.list(moderation.Query{Limit: 10}))
	if had, err := w.a.Remove(w.ctx, "nobody", "unknown"); had || err != nil {
		w.Errorf("removing an unknown sanction: %v, %v", had, err)
	}
}

// pagesAreInOrder checks that pages have each sanction once, in order, although others are set and removed in
// between.
func pagesAreInOrder(w *world) {
	var stay []moderation.Sanction
	for _, user := range []string{"b", "d", "f", "h"} {
		stay = append(stay, w.set(w.a, w.mute(user)))
	}
	gone := w.set(w.a, w.mute("a"))
	page, next, err := w.b.List(w.ctx, "t", moderation.Query{Limit: 2})
	if err != nil || len(page) != 2 || next == "" {
		w.Fatalf("the first page is %v %q, %v", page, next, err)
	}
	if _, err := w.a.Remove(w.ctx, "t", gone.ID); err != nil {
		w.Fatal(err)
	}
	w.set(w.a, w.mute("aa"))
	rest := w.list(moderation.Query{Limit: 2, Cursor: next})
	w.want(append(page[1:], rest...), stay...)
}

// subjectsAreSelected checks that a query for a subject has its sanctions alone.
func subjectsAreSelected(w *world) {
	w.set(w.a, w.mute("bo"))
	w.set(w.a, w.mute("bobby"))
	one := w.set(w.a, w.mute("bob"))
	two := w.set(w.a, w.mute("bob", func(s *moderation.Sanction) { s.Kind = moderation.Ban }))
	three := w.set(w.a, w.mute("bob", func(s *moderation.Sanction) { s.Rooms = "r" }))
	w.want(w.list(moderation.Query{Subject: moderation.SubjectOfUser("bob"), Limit: 2}), one, two, three)
}

// endedSanctionsAreRemoved checks that a sanction that has ended is not listed, counts for nobody, and is not removed.
func endedSanctionsAreRemoved(w *world) {
	for i := range Limits.All {
		s := w.set(w.a, w.mute(fmt.Sprint(i), until(time.UnixMilli(1))))
		if had, err := w.a.Remove(w.ctx, "t", s.ID); i%2 == 0 && (had || err != nil) {
			w.Errorf("removing one that has ended: %v, %v", had, err)
		}
	}
	w.want(w.list(moderation.Query{Limit: 3}))
	w.want(w.list(moderation.Query{Limit: 3}), []moderation.Sanction{}...)
	s := w.set(w.a, w.mute("new"))
	w.want(w.list(moderation.Query{Limit: 3}), s)
}

// numbersAreBounded checks that a full tenant can replace and remove sanctions, but not add any.
func numbersAreBounded(w *world) {
	for i := range Limits.All {
		w.set(w.a, w.mute(fmt.Sprint(i)))
	}
	if _, err := w.a.Set(w.ctx, w.mute("one more")); !errors.Is(err, moderation.ErrFull) {
		w.Errorf("a full tenant answers %v", err)
	}
	w.set(w.a, w.mute("0"))
	if had, err := w.a.Remove(w.ctx, "t", w.mute("1").ID); !had || err != nil {
		w.Errorf("remove: %v, %v", had, err)
	}
	w.set(w.a, w.mute("one more"))
}

// modulesLeaveRoom checks that modules have a limit of their own.
func modulesLeaveRoom(w *world) {
	first := w.mute("0", byModule("strikes"))
	w.set(w.a, first)
	w.set(w.a, w.mute("1", byModule("flood")))
	if _, err := w.b.Set(w.ctx, w.mute("2", byModule("flood"))); !errors.Is(err, moderation.ErrModulesFull) {
		w.Errorf("modules over their limit receive %v", err)
	}
	w.set(w.a, first) // replaces
	w.set(w.a, w.mute("3"))
	if _, err := w.a.Remove(w.ctx, "t", first.ID); err != nil {
		w.Fatal(err)
	}
	w.set(w.b, w.mute("2", byModule("flood")))
}

// subjectsAreBounded checks that one user has a limited number of sanctions, which others do not use.
func subjectsAreBounded(w *world) {
	in := func(user string, room int) moderation.Sanction {
		return w.mute(user, func(s *moderation.Sanction) { s.Rooms = fmt.Sprint("r", room) })
	}
	for i := range Limits.OfSubject {
		w.set(w.a, in("bob", i))
	}
	if _, err := w.b.Set(w.ctx, in("bob", 7)); !errors.Is(err, moderation.ErrSubjectFull) {
		w.Errorf("a user over the limit: %v", err)
	}
	w.set(w.a, in("bob", 0)) // replaces
	w.set(w.a, in("bo", 7))
	w.set(w.a, in("bob2", 7))
	if _, err := w.a.Remove(w.ctx, "t", in("bob", 1).ID); err != nil {
		w.Fatal(err)
	}
	w.set(w.b, in("bob", 7))
}

// received collects what a follower receives.
type received struct {
	mu      sync.Mutex
	list    moderation.List
	changes []moderation.Change
	changed chan struct{}
}

func (w *world) follow(in moderation.Store) (*received, func()) {
	w.Helper()
	h := &received{changed: make(chan struct{}, 1)}
	stop, err := in.Follow(w.ctx, "t", func(c moderation.Change) {
		h.mu.Lock()
		defer h.mu.Unlock()
		c.Apply(&h.list)
		h.changes = append(h.changes, c)
		select {
		case h.changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(stop)
	return h, stop
}

// until waits until the follower is in a state.
func (h *received) until(w *world, state func() bool) {
	w.Helper()
	for {
		h.mu.Lock()
		done := state()
		h.mu.Unlock()
		if done {
			return
		}
		select {
		case <-h.changed:
		case <-w.ctx.Done():
			w.Fatalf("the follower has received %+v", h.changes)
		}
	}
}

func (h *received) mutes(user string) bool {
	return h.list.Find(moderation.Client{User: user}, moderation.Mute, "r") != nil
}

// followersHaveAll checks that Follow returns when the follower has all sanctions.
func followersHaveAll(w *world) {
	for i := range Limits.All {
		w.set(w.a, w.mute(fmt.Sprint(i)))
	}
	h, _ := w.follow(w.b)
	for i := range Limits.All {
		if !h.mutes(fmt.Sprint(i)) {
			w.Errorf("%d is not muted", i)
		}
	}
}

// followersHearInOrder checks that followers on both nodes receive each change, and end in the same state.
func followersHearInOrder(w *world) {
	here, _ := w.follow(w.a)
	there, _ := w.follow(w.b)
	for i := range 50 {
		s := w.mute("bob", func(s *moderation.Sanction) { s.Reason = fmt.Sprint(i) })
		w.set([]moderation.Store{w.a, w.b}[i%2], s)
		if i%3 == 0 {
			if _, err := w.b.Remove(w.ctx, "t", s.ID); err != nil {
				w.Fatal(err)
			}
		}
	}
	w.set(w.a, w.mute("last"))
	for _, h := range []*received{here, there} {
		h.until(w, func() bool { return h.mutes("last") })
		bob := h.list.Find(moderation.Client{User: "bob"}, moderation.Mute, "r")
		if bob == nil || bob.Reason != "49" {
			w.Errorf("the follower has %+v", bob)
		}
	}
}

// holdsWhenSetReturns checks that a follower has each change when the call of its store has returned.
func holdsWhenSetReturns(w *world) {
	h, _ := w.follow(w.a)
	holds := func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.mutes("bob")
	}
	for range 20 {
		s := w.set(w.a, w.mute("bob"))
		w.set(w.b, w.mute("ann"))
		if !holds() {
			w.Fatal("bob is not muted")
		}
		if _, err := w.a.Remove(w.ctx, "t", s.ID); err != nil || holds() {
			w.Fatalf("removing it: %v; bob is muted: %v", err, holds())
		}
	}
}

// nothingAfterStop checks that a follower receives nothing after stop.
func nothingAfterStop(w *world) {
	h, stop := w.follow(w.a)
	other, _ := w.follow(w.a)
	stop()
	n := len(h.changes)
	w.set(w.b, w.mute("bob"))
	other.until(w, func() bool { return other.mutes("bob") })
	if len(h.changes) != n {
		w.Errorf("it received %+v", h.changes[n:])
	}
	stop() // does nothing
}

// tenantsAreSeparate checks that sanctions of another tenant are neither listed, removed nor followed.
func tenantsAreSeparate(w *world) {
	h, _ := w.follow(w.a)
	other := w.set(w.a, w.mute("bob", func(s *moderation.Sanction) { s.Tenant = "other" }))
	if had, err := w.a.Remove(w.ctx, "t", other.ID); had || err != nil {
		w.Errorf("remove: %v, %v", had, err)
	}
	w.want(w.list(moderation.Query{Limit: 10}))
	mine := w.set(w.a, w.mute("ann"))
	h.until(w, func() bool { return h.mutes("ann") })
	if h.mutes("bob") || h.list.Len() != 1 {
		w.Error("the follower has a sanction of another tenant")
	}
	w.want(w.list(moderation.Query{Limit: 10}), mine)
}

// changesWhileFollowing checks that a follower that begins amid changes ends in the state of the store.
func changesWhileFollowing(w *world) {
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 300 {
			s := w.mute(fmt.Sprint(i % 5))
			if i%2 == 0 {
				_, _ = w.a.Set(w.ctx, s)
			} else {
				_, _ = w.a.Remove(w.ctx, "t", s.ID)
			}
		}
	})
	followers := []*received{}
	for i := range 6 {
		h, _ := w.follow([]moderation.Store{w.a, w.b}[i%2])
		followers = append(followers, h)
	}
	all.Wait()
	w.set(w.a, w.mute("last"))
	stored := w.list(moderation.Query{Limit: 3})
	for _, h := range followers {
		h.until(w, func() bool { return h.mutes("last") })
		if h.list.Len() != len(stored) {
			w.Errorf("the follower has %d sanctions, the store %d", h.list.Len(), len(stored))
		}
		for _, s := range stored {
			if !h.mutes(s.User) {
				w.Errorf("the follower lacks the sanction of %s", s.User)
			}
		}
	}
}

// endOfContextIsReturned checks that calls return the error of a ctx that has ended.
func endOfContextIsReturned(w *world) {
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	_, set := w.a.Set(ctx, w.mute("bob"))
	_, remove := w.a.Remove(ctx, "t", "x")
	_, _, list := w.a.List(ctx, "t", moderation.Query{Limit: 1})
	_, follow := w.a.Follow(ctx, "t", func(moderation.Change) {})
	for name, err := range map[string]error{"Set": set, "Remove": remove, "List": list, "Follow": follow} {
		if !errors.Is(err, context.Canceled) {
			w.Errorf("%s: %v", name, err)
		}
	}
}
