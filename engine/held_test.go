package engine_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	sanctions "github.com/mootchat/moot/engine/moderation/memory"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/review/memory"
	"github.com/mootchat/moot/engine/wire"
)

// holding is a test whose nodes share stores and have rules that hold messages.
type holding struct {
	w         *world
	review    *memory.Store
	sanctions *sanctions.Store
	again     func(ev *hook.Event) hook.Verdict // the verdict of the entries behind the one that holds; nil: they allow
	first     func(ev *hook.Event)              // rewrites the event before it is held; nil: nothing does
	release   bool                              // the value release of onExpire
}

func (w *world) holding() *holding {
	return &holding{w: w, review: &memory.Store{}, sanctions: &sanctions.Store{}}
}

// node starts a node whose rules hold texts that begin with "hold".
func (h *holding) node(name string, change ...func(*engine.Config)) *node {
	n := h.w.node(name, append([]func(*engine.Config){moderated(h.sanctions), func(c *engine.Config) { c.Review = h.review }}, change...)...)
	n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
		switch {
		case ev.After != nil && h.again != nil:
			return h.again(ev)
		case ev.After != nil || !strings.HasPrefix(ev.Message.Text, "hold"):
			return hook.Verdict{}
		}
		if h.first != nil {
			h.first(ev)
		}
		return holdAt(100, h.release)
	})
	return n
}

func holdAt(priority int, release bool) hook.Verdict {
	return hook.Verdict{Outcome: hook.Held, Reason: "new here", Module: "newcomers@1#1", Hold: &hook.Hold{Release: release, At: hook.Place{Priority: priority, Module: "newcomers"}}}
}

// holds runs a say and returns the id under which it is held.
func (c *client) holds(request string) string {
	c.n.w.Helper()
	<-c.Begin(request)
	var answer struct{ Status, Held, ID string }
	heard := c.heardIDs()
	if len(heard) != 1 || json.Unmarshal([]byte(heard[0]), &answer) != nil || answer.Status != "OK" || answer.Held == "" || answer.ID != "" {
		c.n.w.Fatalf("received %s, want a held message", heard)
	}
	return answer.Held
}

// decides decides about a held message.
func (n *node) decides(id string, action review.Action) (review.Item, error) {
	one, err := n.DecideHeld(n.w.Context(), "default", id, review.Decision{Action: action, By: "mia", Reason: "so be it"})
	synctest.Wait()
	return one, err
}

// releases releases a held message without an error.
func (n *node) releases(id string) review.Item {
	n.w.Helper()
	one, err := n.decides(id, review.Release)
	n.w.must(err, nil)
	return one
}

// released returns a released message as members receive it.
func released(room, from, text, held string) string {
	return strings.TrimSuffix(chat(room, from, text), "}") + fmt.Sprintf(`,"held":%q}`, held)
}

// TestAHeldMessageReachesMembersAfterItsRelease checks a held message from the say to its delivery, on two nodes: its place in the
// room is that of the release, its time is that of the say, and the author receives the outcome on all connections.
func TestAHeldMessageReachesMembersAfterItsRelease(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		one, two := h.node("one"), h.node("two")
		a, phone := one.as("ann"), two.as("ann")
		b := two.client().do(roomAdd("r"))
		a.do(`{"event":"roomAdd","room":"r","moderation":true,"messageId":1}`)
		id := a.holds(say("r", "hold this"))
		b.hears()
		a.says(say("r", "between"), ok, chat("r", a.ID(), "between"))
		b.hears(chat("r", a.ID(), "between"))

		item := two.releases(id)
		want := released("r", a.ID(), "hold this", id)
		b.hears(want)
		heard := a.heardIDs()
		notice := fmt.Sprintf(`{"context":"moderation","room":"r","held":%q,"outcome":"released","reason":"so be it","id":%q}`, id, item.MessageID)
		slices.Sort(heard)
		if len(heard) != 2 || heard[0] != notice || messageID.ReplaceAllString(heard[1], "") != want || !strings.Contains(heard[1], item.MessageID) {
			w.Errorf("the author received %s", heard)
		}
		phone.hears(messageID.ReplaceAllString(notice, ""))
		if item.State != review.Decided || item.Decision.By != "mia" || item.Outcome() != review.Released {
			w.Errorf("the item is %+v", item)
		}
		if got := one.Stats().Held; got.Held != 1 || two.Stats().Held.Decided[review.Released] != 1 {
			w.Errorf("counted %+v", got)
		}
	})
}

// TestARejectedMessageReachesNobody checks the outcomes for the author: rejected with the reason, and withdrawn.
func TestARejectedMessageReachesNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		n := h.node("n")
		a, b := n.as("ann").do(`{"event":"roomAdd","room":"r","moderation":true,"messageId":1}`), n.as("bob").do(roomAdd("r"))
		first, second := a.holds(say("r", "hold 1")), a.holds(say("r", "hold 2"))
		view := func(ids ...string) string {
			all := []string{}
			for i, id := range ids {
				all = append(all, fmt.Sprintf(`{"held":%q,"room":"r","message":"hold %d","sentAt":%s,"heldAt":%[3]s,"until":946771200000,"outcome":"waiting"}`, id, 2-len(ids)+i+1, now))
			}
			return fmt.Sprintf(`{"status":"OK","context":"response","data":{"held":[%s]},"messageId":1}`, strings.Join(all, ","))
		}
		ids := []string{first, second}
		slices.Sort(ids)
		if slices.Equal(ids, []string{first, second}) {
			a.says(event("heldView"), view(first, second))
		}
		b.says(event("heldView"), view())
		b.says(event("heldWithdraw", fmt.Sprintf(`"held":%q`, first)), strings.Replace(failed("no such held message"), `"data":{}`, fmt.Sprintf(`"data":{"held":%q}`, first), 1))

		_, err := n.decides(first, review.Reject)
		w.must(err, nil)
		a.hears(fmt.Sprintf(`{"context":"moderation","room":"r","held":%q,"outcome":"rejected","reason":"so be it"}`, first))
		a.says(event("heldView"), view(second))
		a.says(event("heldWithdraw", fmt.Sprintf(`"held":%q`, second)), fmt.Sprintf(`{"context":"moderation","room":"r","held":%q,"outcome":"withdrawn"}`, second), isTrue)
		a.says(event("heldWithdraw", fmt.Sprintf(`"held":%q`, second)), strings.Replace(failed("no such held message"), `"data":{}`, fmt.Sprintf(`"data":{"held":%q}`, second), 1))
		a.says(event("heldView"), view())
		b.hears()
		if _, err := n.decides(second, review.Release); !errors.Is(err, review.ErrNone) {
			w.Errorf("the release of a withdrawn message returned %v", err)
		}
		if page, _, err := n.HeldMessages(w.Context(), "default", review.Query{Decided: true, Limit: 10}); err != nil || len(page) != 1 || page[0].ID != first {
			w.Errorf("the decided messages are %+v, %v: a withdrawn message takes the place of a decision", page, err)
		}
	})
}

// TestAKeyAnswersTheSameHeldMessage checks that a say that is repeated with its key holds no second message, even after a resume
// on another node, and that it receives the outcome after the decision.
func TestAKeyAnswersTheSameHeldMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		one, two := h.node("one", resumes), h.node("two", resumes)
		a := one.client().do(roomAdd("r"))
		secret := a.secret()
		id := a.holds(sayUnder("k", "hold"))
		if again := a.holds(sayUnder("k", "hold")); again != id {
			w.Errorf("the key answers %s, want %s", again, id)
		}
		time.Sleep(3 * time.Minute) // the connection has forgotten the key
		if again := a.holds(sayUnder("k", "hold")); again != id {
			w.Errorf("after three minutes the key answers %s, want %s", again, id)
		}
		a.HangUp()
		b := two.client().do(fmt.Sprintf(`{"event":"resume","session":%q,"messageId":1}`, secret))
		if again := b.holds(sayUnder("k", "hold")); again != id {
			w.Errorf("after a resume the key answers %s, want %s", again, id)
		}
		item := one.releases(id)
		b.heard()
		<-b.Begin(sayUnder("k", "hold"))
		if heard := b.heardIDs(); len(heard) != 1 || !strings.Contains(heard[0], fmt.Sprintf(`"id":%q`, item.MessageID)) {
			w.Errorf("after the release the key answers %s", heard)
		}
		other := b.holds(sayUnder("x", "hold it"))
		_, err := one.decides(other, review.Reject)
		w.must(err, nil)
		b.says(sayUnder("x", "hold it"), failedWith("rejected: so be it", "x", "hold it"))
	})
}

// TestTwoModeratorsMakeOneDecision checks decisions at the same time on two nodes.
func TestTwoModeratorsMakeOneDecision(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		nodes := []*node{h.node("one"), h.node("two")}
		a, b := nodes[0].client().do(roomAdd("r")), nodes[1].client().do(roomAdd("r"))
		for range 20 {
			id := a.holds(say("r", "hold"))
			var mu sync.Mutex
			won, firsts := 0, map[string]bool{}
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					one, err := nodes[i%2].DecideHeld(w.Context(), "default", id, review.Decision{Action: review.Release, By: fmt.Sprint("m", i)})
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						won++
					case !errors.Is(err, review.ErrDecided):
						w.Errorf("a decision returned %v", err)
					}
					if one.Decision != nil {
						firsts[one.Decision.By] = true
					}
				})
			}
			all.Wait()
			if won != 1 || len(firsts) != 1 {
				w.Errorf("%d decisions succeeded, and the first was of %v", won, firsts)
			}
			b.hears(released("r", a.ID(), "hold", id))
			a.heard()
			time.Sleep(0)
		}
	})
}

// lossy is a broker whose PublishOnce fails before or after it publishes the message.
type lossy struct {
	cluster.Broker
	before, after error
	mended        atomic.Bool // it fails no more
}

// PublishOnce implements cluster.Broker.
func (l *lossy) PublishOnce(ctx context.Context, room cluster.RoomID, id string, payload []byte, keep cluster.Retention) (cluster.Position, error) {
	if l.mended.Load() {
		return l.Broker.PublishOnce(ctx, room, id, payload, keep)
	}
	if l.before != nil {
		return cluster.Position{}, l.before
	}
	at, err := l.Broker.PublishOnce(ctx, room, id, payload, keep)
	return at, cmp.Or(err, l.after)
}

// TestAReleaseIsRepeatedByAnotherNode checks that another node carries out a release that its node could not carry out, and that
// members receive the message once, even if the rules have changed in between.
func TestAReleaseIsRepeatedByAnotherNode(t *testing.T) {
	for name, l := range map[string]*lossy{"before": {before: cluster.ErrUnavailable}, "after": {after: cluster.ErrUnknown}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				h := w.holding()
				one := h.node("one", func(c *engine.Config) { l.Broker, c.Cluster.Broker = c.Cluster.Broker, l })
				two := h.node("two")
				a, b := one.client().do(roomAdd("r")), two.client().do(roomAdd("r"))
				id := a.holds(say("r", "hold"))
				if _, err := one.decides(id, review.Release); !errors.Is(err, cmp.Or(l.before, l.after)) {
					w.Errorf("the release returned %v", err)
				}
				if _, err := two.decides(id, review.Reject); !errors.Is(err, review.ErrDecided) {
					w.Errorf("another decision returned %v", err)
				}
				h.again = func(*hook.Event) hook.Verdict { return deny("the rules have changed") }
				l.mended.Store(true)
				time.Sleep(2 * time.Minute)
				b.hears(released("r", a.ID(), "hold", id))
				item, err := two.HeldMessage(w.Context(), "default", id)
				if w.must(err, nil); item.Outcome() != review.Released {
					w.Errorf("the message is %+v", item)
				}
			})
		})
	}
}

// TestARefusedReleaseWaitsAgain checks the reasons for which a release is refused, that the moderator receives them, and that
// the message can be released when the reason is gone.
func TestARefusedReleaseWaitsAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		n := h.node("n")
		a, b := n.as("ann").do(roomAdd("r")), n.client().do(roomAdd("r"))
		id := a.holds(say("r", "hold"))
		mute := sanction(moderation.Mute, "ann", "*", time.Hour)
		var set moderation.Sanction
		for _, c := range []struct {
			do   func()
			undo func()
			want string
		}{
			{func() { h.again = func(*hook.Event) hook.Verdict { return deny("no links") } }, func() { h.again = nil }, "denied by : no links"},
			{func() { h.again = func(*hook.Event) hook.Verdict { return holdAt(200, false) } }, func() { h.again = nil }, "held again by newcomers@1#1: new here"},
			{func() { h.again = func(*hook.Event) hook.Verdict { return hook.Verdict{Outcome: hook.Failed} } }, func() { h.again = nil }, "middleware error"},
			{func() { h.again = func(ev *hook.Event) hook.Verdict { ev.Room = "nowhere"; return hook.Verdict{} } }, func() { h.again = nil }, `rewritten to room "nowhere": room does not exist`},
			{func() { set = n.sanctions(mute) }, func() { n.RemoveSanction(w.Context(), "default", set.ID, "mia") }, "the author is muted until 2000-01-01T01:00:00Z: be kind"},
			{func() { w.must(n.DestroyRoom(w.Context(), in("r")), nil) }, func() { w.must(n.CreateRoom(w.Context(), in("r")), nil) }, "room does not exist"},
		} {
			c.do()
			synctest.Wait()
			b.heard()
			_, err := n.decides(id, review.Release)
			w.must(err, errors.New(c.want))
			item, err := n.HeldMessage(w.Context(), "default", id)
			if w.must(err, nil); item.State != review.Open || !strings.Contains(c.want, strings.TrimPrefix(item.Failure, "rewritten")) {
				w.Errorf("after %q the message is %s with the failure %q", c.want, item.State, item.Failure)
			}
			if strings.Contains(c.want, "again") && item.Place.Priority != 200 {
				w.Errorf("the message is held at %+v", item.Place)
			}
			b.hears()
			c.undo()
			synctest.Wait()
		}
		b.do(roomAdd("r"))
		n.releases(id) // the author is not a member any more
		b.hears(released("r", a.ID(), "hold", id))
	})
}

// TestAReleaseContinuesTheEvent checks the event that the later entries receive, and that a message stays in the room to which an
// earlier entry has moved it.
func TestAReleaseContinuesTheEvent(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		n := h.node("n", func(c *engine.Config) { c.Tenants[0].Rooms = []engine.RoomSettings{{Users: true}} })
		a := n.as("ann").do(roomAdd("r"))
		b, c := n.client().do(roomAdd("r")), n.client().do(roomAdd("q"))
		h.first = func(ev *hook.Event) {
			ev.Room, ev.Message, ev.Extra = "q", wire.Message{Text: "masked"}, json.RawMessage(`{"color":"red"}`)
		}
		var seen hook.Event
		h.again = func(ev *hook.Event) hook.Verdict {
			seen = *ev
			return allow(property("seen", "1"), emit("r", "told"))
		}
		id := a.holds(say("r", "hold"))
		a.HangUp()
		time.Sleep(time.Hour)
		n.releases(id)
		c.hears(fmt.Sprintf(`{"message":"masked","room":"q","from":%q,"context":"user","sentAt":%s,"user":"ann","held":%q,"color":"red"}`, a.ID(), now, id))
		b.hears(strings.Replace(chat("r", "0", "told"), now, fmt.Sprint(time.Now().UnixMilli()), 1))
		if seen.Room != "q" || seen.Conn.User != "ann" || seen.Conn.ID != a.ID() || seen.JoinedAt == 0 || *seen.After != (hook.Place{Priority: 100, Module: "newcomers"}) {
			w.Errorf("the later entries saw %+v of %+v", seen, seen.Conn)
		}
	})
}

// TestTheMessageOfAShadowedAuthorReachesOnlyTheAuthor checks the answer to a say that is held, and the delivery after the release.
func TestTheMessageOfAShadowedAuthorReachesOnlyTheAuthor(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		n := h.node("n")
		a, b := n.as("ann").do(roomAdd("r")), n.client().do(roomAdd("r"))
		n.sanctions(sanction(moderation.Shadow, "ann", "*", 0))
		id := a.holds(say("r", "hold"))
		item := n.releases(id)
		a.hears(released("r", a.ID(), "hold", id))
		b.hears()
		if item.Outcome() != review.Released {
			w.Errorf("the message is %+v", item)
		}
	})
}

// TestAHeldMessageExpires checks both values of onExpire, and a message whose release is refused when it expires.
func TestAHeldMessageExpires(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		n := h.node("n", func(c *engine.Config) { c.Tenants[0].Held.HeldFor = time.Minute })
		a, b := n.as("ann").do(`{"event":"roomAdd","room":"r","moderation":true,"messageId":1}`), n.client().do(roomAdd("r"))
		id := a.holds(say("r", "hold"))
		time.Sleep(59 * time.Second)
		a.hears()
		time.Sleep(10 * time.Second)
		a.hears(fmt.Sprintf(`{"context":"moderation","room":"r","held":%q,"outcome":"expired"}`, id))

		h.release = true
		sent := fmt.Sprint(time.Now().UnixMilli())
		id = a.holds(say("r", "hold"))
		time.Sleep(70 * time.Second)
		want := strings.Replace(released("r", a.ID(), "hold", id), now, sent, 1)
		b.hears(want)
		heard := a.heard()
		slices.Sort(heard) // the notice may be before or behind the message
		a.compare(heard, []string{fmt.Sprintf(`{"context":"moderation","room":"r","held":%q,"outcome":"released"}`, id), want})

		h.again = func(*hook.Event) hook.Verdict { return deny("no links") }
		id = a.holds(say("r", "hold"))
		time.Sleep(70 * time.Second)
		a.hears(fmt.Sprintf(`{"context":"moderation","room":"r","held":%q,"outcome":"expired"}`, id))
		b.hears()
		item, err := n.HeldMessage(w.Context(), "default", id)
		if w.must(err, nil); item.Failure != "denied by : no links" {
			w.Errorf("the failure is %q", item.Failure)
		}
	})
}

// TestHeldMessagesHaveBounds checks the limit of one author. Messages of the server, and all messages on a node without a store,
// are denied if a rule holds them.
func TestHeldMessagesHaveBounds(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		n := h.node("n", func(c *engine.Config) { c.Tenants[0].Held.OfOwner = 2 })
		a := n.as("ann").do(roomAdd("r"))
		first := a.holds(say("r", "hold"))
		a.holds(say("r", "hold"))
		a.says(say("r", "hold"), refused("too many of your items wait for a decision", unsaid("hold"), 0))
		n.releases(first)
		a.heard()
		a.holds(say("r", "hold"))
		if _, err := n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"hold"`)); err == nil || err.Error() != "denied" {
			w.Errorf("a message of the server returned %v", err)
		}
		if _, err := n.Broadcast(w.Context(), in("r"), a.ID(), json.RawMessage(`"hold"`)); err == nil || err.Error() != "denied" {
			w.Errorf("a message on behalf of the connection returned %v", err)
		}
		bare := w.node("bare")
		bare.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { return holdAt(1, false) })
		bare.client().do(roomAdd("r")).says(say("r", "hold"), refused("denied", unsaid("hold"), 0))
		if _, err := bare.DecideHeld(w.Context(), "default", first, review.Decision{}); !errors.Is(err, review.ErrNoStore) {
			w.Errorf("a node without a store returned %v", err)
		}
	})
}

// TestAnAuthorAmendsAReleasedMessage checks that the author edits and retracts a message that a rule has moved to another room when
// it was released, also from a room without ids, and that all answers have the id that the message has there.
func TestAnAuthorAmendsAReleasedMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		n := h.node("n", func(c *engine.Config) {
			c.Tenants[0].StartingRooms = []string{"r", "q", "cursors"}
			c.Tenants[0].Rooms = []engine.RoomSettings{
				{Match: func(room string) bool { return room == "cursors" }, Retention: cluster.Retention{Ephemeral: true}},
				{Match: func(string) bool { return true }, Retention: cluster.Retention{Messages: 10, For: time.Hour}},
			}
		})
		a, b := n.as("ann").do(roomAdd("r"), roomAdd("cursors"), roomAddAmending("q")), n.as("bob").do(roomAdd("q"))
		h.again = func(ev *hook.Event) hook.Verdict { ev.Room = "q"; return hook.Verdict{} }
		for _, from := range []string{"r", "cursors"} {
			id := a.holds(strings.Replace(say(from, "hold"), `"messageId"`, `"key":"`+from+`","messageId"`, 1))
			before, err := n.HeldMessage(w.Context(), "default", id)
			w.must(err, nil)
			item := n.releases(id)
			if ids := idsOf(a.heardIDs()); len(ids) != 1 || ids[0] != item.MessageID || before.MessageID != "" && before.MessageID[:12] != item.MessageID[:12] {
				w.Errorf("from %s: the message has the id %v, was held with %q, and released with %q", from, ids, before.MessageID, item.MessageID)
			}
			<-a.Begin(strings.Replace(say(from, "hold"), `"messageId"`, `"key":"`+from+`","messageId"`, 1))
			if heard := a.heardIDs(); len(heard) != 1 || !strings.Contains(heard[0], fmt.Sprintf(`"id":%q`, item.MessageID)) {
				w.Errorf("from %s: the key answers %s", from, heard)
			}
			b.refuses(edit("q", item.MessageID, "mine"), "not your message")
			a.takes(edit("q", item.MessageID, "new from "+from))
			if past := b.past("q"); !slices.Contains(past, "new from "+from) {
				w.Errorf("history has %q", past)
			}
			a.takes(retract("q", item.MessageID))
			if past := b.past("q"); len(past) != 0 {
				w.Errorf("history has %q", past)
			}
		}
		h.again = func(ev *hook.Event) hook.Verdict { ev.Room = "cursors"; return hook.Verdict{} }
		if item := n.releases(a.holds(say("r", "hold"))); item.MessageID != "" {
			w.Errorf("a message that is moved to an ephemeral room has the id %q", item.MessageID)
		}
	})
}

// forgetful is a review queue whose node dies before it records the end of a release.
type forgetful struct{ *memory.Store }

func (f forgetful) Put(ctx context.Context, one review.Item, limits review.Limits) (review.Item, error) {
	if one.State == review.Decided {
		return one, review.ErrUnknown
	}
	return f.Store.Put(ctx, one, limits)
}

// TestAShadowedReleaseIsRepeatedOnce checks that each connection of a shadowed author receives a released message once, although the
// node that delivered it dies and another one repeats the release, and that nobody else receives it, even if the author is
// pardoned before. A connection may resume its session on another node in between.
func TestAShadowedReleaseIsRepeatedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		one, two := h.node("one", resumes, func(c *engine.Config) { c.Review = forgetful{h.review} }), h.node("two", resumes)
		a, phone, tablet, b := one.as("ann").do(roomAdd("r")), two.as("ann").do(roomAdd("r")), two.as("ann").do(roomAdd("r")), two.client().do(roomAdd("r"))
		secret := tablet.secret()
		shadow := one.sanctions(sanction(moderation.Shadow, "ann", "*", 0))
		id := a.holds(say("r", "hold"))
		if _, err := one.decides(id, review.Release); !errors.Is(err, cluster.ErrUnknown) {
			w.Errorf("the release returned %v", err)
		}
		want := released("r", a.ID(), "hold", id)
		for _, c := range []*client{a, phone, tablet} {
			c.hears(want)
		}
		_, err := two.RemoveSanction(w.Context(), "default", shadow.ID, "mia")
		w.must(err, nil)
		tablet.HangUp()
		synctest.Wait()
		back := one.as("ann")
		back.do(fmt.Sprintf(`{"event":"resume","session":%q,"messageId":1}`, secret))
		for range 6 { // the share of the tenant changes every minute: the other node has it in one of two
			time.Sleep(time.Minute)
		}
		item, err := two.HeldMessage(w.Context(), "default", id)
		if w.must(err, nil); item.Outcome() != review.Released || item.Decision.Node != "two" {
			w.Errorf("the message is %+v with the decision %+v", item, item.Decision)
		}
		for _, c := range []*client{a, phone, back, b} {
			c.hears()
		}
	})
}

// TestSlowRulesDelayOnlyTheirTenant checks that the expired messages of tenants whose rules are slow do not delay the expired messages
// of another one for longer than their turns last.
func TestSlowRulesDelayOnlyTheirTenant(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		const slow, items = 2 * 8, 30 // 8 tenants have a turn at once
		h.again = func(ev *hook.Event) hook.Verdict {
			if ev.Tenant != "z" {
				time.Sleep(time.Second)
			}
			return hook.Verdict{}
		}
		n := h.node("n", func(c *engine.Config) {
			for i := range slow {
				c.Tenants = append(c.Tenants, engine.TenantConfig{Name: fmt.Sprintf("slow-%02d", i), StartingRooms: []string{"r"}})
			}
			c.Tenants = append(c.Tenants, engine.TenantConfig{Name: "z", StartingRooms: []string{"r"}})
		})
		expired := func(tenant string) string {
			now := time.Now()
			one, _, err := review.Hold(w.Context(), h.review, review.Item{ID: review.NewID(now), Tenant: tenant, At: now.UnixMilli(), Until: now.UnixMilli(), User: "ann", Connection: "n-1",
				From: "n-1", Room: "r", Said: "r", Message: wire.Message{Text: "hi"}, Release: true}, review.Limits{})
			w.must(err, nil)
			return one.ID
		}
		for i := range slow {
			for range items {
				expired(fmt.Sprintf("slow-%02d", i))
			}
		}
		id := expired("z")
		time.Sleep(15 * time.Second)
		item, err := n.HeldMessage(w.Context(), "z", id)
		if w.must(err, nil); item.Outcome() != review.Released {
			w.Errorf("after 15 s the message is %+v", item)
		}
		left := func() (items int) {
			for _, t := range n.Tenants() {
				items += t.Held
			}
			return items
		}
		if left() == 0 {
			w.Error("the slow tenants are done: the test shows nothing")
		}
		time.Sleep(10 * time.Minute)
		if left() != 0 {
			w.Errorf("%d messages of slow tenants still wait", left())
		}
	})
}

// TestAWithdrawalComesSecond checks the answer to an author who withdraws a message while a decision about it is carried out.
func TestAWithdrawalComesSecond(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		l := &lossy{before: cluster.ErrUnavailable}
		n := h.node("n", func(c *engine.Config) { l.Broker, c.Cluster.Broker = c.Cluster.Broker, l })
		a := n.as("ann").do(roomAdd("r"))
		id := a.holds(say("r", "hold"))
		_, err := n.decides(id, review.Release)
		w.must(err, cluster.ErrUnavailable)
		a.refuses(event("heldWithdraw", fmt.Sprintf(`"held":%q`, id)), "a moderator has decided about the message: the outcome follows")
		l.mended.Store(true)
		time.Sleep(2 * time.Minute)
		a.hears(released("r", a.ID(), "hold", id))
		a.refuses(event("heldWithdraw", fmt.Sprintf(`"held":%q`, id)), "the message is released already")
	})
}

// TestARoomDestroyedWhileRulesDecideTakesNoReleasedMessage checks that a release is refused if the room is destroyed while the
// later rules decide, and that the message waits again.
func TestARoomDestroyedWhileRulesDecideTakesNoReleasedMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		n := h.node("n")
		a := n.as("ann").do(roomAdd("r"))
		id := a.holds(say("r", "hold"))
		var destroying sync.WaitGroup
		h.again = func(*hook.Event) hook.Verdict {
			destroying.Go(func() { w.must(n.DestroyRoom(w.Context(), in("r")), nil) })
			time.Sleep(time.Second)
			return hook.Verdict{}
		}
		_, err := n.decides(id, review.Release)
		w.must(err, cluster.ErrNoRoom)
		destroying.Wait()
		item, err := n.HeldMessage(w.Context(), "default", id)
		if w.must(err, nil); item.State != review.Open || item.Failure != "room does not exist" {
			w.Errorf("the message is %+v", item)
		}
	})
}
