package engine_test

import (
	"errors"
	"fmt"
	"strings"
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

// reporting is a test whose nodes share stores, and whose room r keeps history.
type reporting struct {
	w         *world
	review    *memory.Store
	sanctions *sanctions.Store
}

func (w *world) reporting() *reporting {
	return &reporting{w, &memory.Store{}, &sanctions.Store{}}
}

func (h *reporting) node(name string) *node {
	return h.w.node(name, keepsR, moderated(h.sanctions), func(c *engine.Config) { c.Review = h.review })
}

// all returns the reports of a state.
func (h *reporting) all(n *node, decided bool) []review.Item {
	h.w.Helper()
	page, _, err := n.Reports(h.w.Context(), "default", review.Query{Decided: decided, Limit: 100})
	h.w.must(err, nil)
	return page
}

// saysID says a text and returns the id of the message.
func (c *client) saysID(room, text string) string {
	c.n.w.Helper()
	c.Run(say(room, text))
	ids := idsOf(c.heardIDs())
	if len(ids) == 0 {
		c.n.w.Fatalf("%q has no id", text)
	}
	return ids[0]
}

func report(fields string) string { return `{"event":"report","messageId":1,` + fields + `}` }

func reportMessage(room, id, more string) string {
	return report(fmt.Sprintf(`"room":%q,"id":%q%s`, room, id, more))
}

// refused checks that a request has one answer: the error with exactly this text.
func (c *client) refused(request, text string) {
	c.n.w.Helper()
	c.Run(request)
	heard := c.heard()
	if len(heard) != 1 || !strings.Contains(heard[0], `"error":"Error: `+text+`"`) {
		c.n.w.Errorf("%s\nreceived %s\nwant the error %s", request, heard, text)
	}
}

func (n *node) resolves(id string, d review.Decision, s moderation.Sanction) (review.Item, error) {
	d.By = "mia"
	one, err := n.ResolveReport(n.w.Context(), "default", id, d, s)
	synctest.Wait()
	return one, err
}

// TestAReportHasEvidence checks that a report has the message as it was published and as the reporter receives it, and its
// author; that reports of two members, on two nodes, are one item; that a member reports a target once; and that other members
// receive nothing.
func TestAReportHasEvidence(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.reporting()
		one, two := h.node("one"), h.node("two")
		two.mw.Say = func(ev *hook.Event, _ []hook.Member) hook.Delivery {
			return hook.Delivery{All: 0, Answers: []wire.Payload{{Message: wire.Message{Text: strings.ReplaceAll(ev.Message.Text, "darn", "****")}, Room: ev.Room, From: ev.From, Context: ev.Context, SentAt: ev.SentAt}}}
		}
		a, b, c := one.as("ann").do(roomAdd("r")), two.as("bob").do(roomAdd("r")), one.client().do(roomAdd("r"))
		id := a.saysID("r", "darn you")
		for i := range 20 {
			a.do(say("r", fmt.Sprint(i)))
		}
		if id2 := a.saysID("r", "darn again"); id2 == id {
			t.Fatal("two messages have one id")
		} else {
			id = id2
		}
		b.heard()
		c.heard()
		b.says(reportMessage("r", id, `,"reason":"rude"`), isTrue)
		b.says(reportMessage("r", id, ""), isTrue)
		c.says(reportMessage("r", id, ""), isTrue)
		a.hears()
		all := h.all(one, false)
		if len(all) != 1 {
			t.Fatalf("there are %d reports", len(all))
		}
		r := all[0]
		if r.Message.Text != "darn again" || r.Shown == nil || r.Shown.Message.Text != "**** again" || r.MessageID != id || r.User != "ann" || r.Connection != a.ID() || r.Address != "192.0.2.1" && r.Address == "" || r.From != a.ID() {
			t.Errorf("the report is %+v, shown %+v", r, r.Shown)
		}
		if r.Reports != 2 || len(r.Reporters) != 2 || r.Reporters[0].User != "bob" || r.Reporters[0].Reason != "rude" || r.Reporters[1].Connection != c.ID() {
			t.Errorf("the reporters are %+v", r.Reporters)
		}
		if got := two.Stats().Reports.Made + one.Stats().Reports.Made; got != 2 {
			t.Errorf("%d reports are counted, want 2", got)
		}
	})
}

// TestReportsAreRefused checks the reports that are refused, and their errors.
func TestReportsAreRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.reporting()
		n := h.node("n")
		n.mw.Say = func(ev *hook.Event, _ []hook.Member) hook.Delivery {
			if ev.Message.Text != "secret" {
				return hook.Delivery{All: hook.AsIs}
			}
			return hook.Delivery{All: hook.Nothing}
		}
		a, b := n.as("ann").do(roomAdd("r"), roomAdd("q")), n.as("bob")
		a.Run(say("r", "secret"))
		secret := idsOf(a.heardIDs())[0]
		id := a.saysID("r", "hi")
		const unknown = "no such message in the history of the room: report its user"
		b.refused(reportMessage("r", id, ""), `connection not in this room (r)`)
		b.refused(report(`"user":"ann"`), `connection not in this room (undefined)`)
		b.do(roomAdd("r"), roomAdd("q"))
		for request, want := range map[string]string{
			reportMessage("r", "none", ""):          unknown,
			reportMessage("r", secret, ""):          unknown,
			reportMessage("q", id, ""):              unknown, // the room keeps no history
			report(`"room":"r"`):                    "report takes room and id, or user",
			report(`"id":"x"`):                      "report takes room and id, or user",
			reportMessage("r", id, `,"user":"ann"`): "report takes room and id, or user",
			report(`"user":"bob"`):                  "you cannot report yourself",
			report(`"user":7`):                      "user must be a string",
			report(`"user":"ann","reason":"` + strings.Repeat("x", 257) + `"`): "reason of a report: at most 256 bytes of UTF-8, without NUL",
			report(`"user":"` + strings.Repeat("x", 257) + `"`):                "user: at most 256 bytes of UTF-8, without NUL",
		} {
			b.refused(request, want)
			time.Sleep(time.Second) // the rate limit
		}
		a.refused(reportMessage("r", id, ""), "you cannot report yourself")
		n.sanctions(sanction(moderation.Mute, "bob", "r", 0))
		b.refused(reportMessage("r", id, ""), "muted: be kind")
		b.says(report(`"user":"ann","room":"q"`), isTrue)
		n.sanctions(sanction(moderation.Mute, "bob", "*", 0))
		b.refused(report(`"user":"ann"`), "muted: be kind")
		if all := h.all(n, false); len(all) != 1 || all[0].User != "ann" || all[0].MessageID != "" || all[0].Room != "q" {
			t.Errorf("the reports are %+v", all)
		}
	})
}

// TestAReportIsResolved checks the decisions, the notices to the reporters who asked for them, on another node, and that a
// decided report that is reported again can be decided again.
func TestAReportIsResolved(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.reporting()
		one, two := h.node("one"), h.node("two")
		a, b, c := one.as("ann").do(roomAdd("r")), two.as("bob").do(roomAdd("r")), two.client().do(roomAdd("r"))
		id := a.saysID("r", "hi")
		b.heard()
		c.heard()
		b.says(reportMessage("r", id, `,"notify":true`), isTrue)
		r := h.all(one, false)[0]
		done, err := one.resolves(r.ID, review.Decision{Action: review.Dismiss, Reason: "fine"}, moderation.Sanction{})
		w.must(err, nil)
		if done.State != review.Decided || done.Outcome() != review.Dismissed || len(h.all(one, false)) != 0 || len(h.all(one, true)) != 1 {
			t.Errorf("the report is %+v", done)
		}
		b.compare(b.heardIDs(), []string{fmt.Sprintf(`{"context":"moderation","room":"r","id":%q,"outcome":"dismissed","reason":"fine"}`, id)})
		c.says(reportMessage("r", id, ""), isTrue)
		_, err = one.resolves(r.ID, review.Decision{Action: review.Sanction}, moderation.Sanction{Kind: "loud", Rooms: "*"})
		w.must(err, errors.New(`kind "loud": use mute, shadow or ban`))
		done, err = two.resolves(r.ID, review.Decision{Action: review.Sanction}, moderation.Sanction{Kind: moderation.Mute, Rooms: "*", Reason: "calm down", By: "mia"})
		w.must(err, nil)
		if done.Outcome() != review.Sanctioned || done.Reports != 2 {
			t.Errorf("the report is %+v", done)
		}
		a.refused(say("r", "hello"), "muted: calm down")
		b.compare(b.heardIDs(), []string{fmt.Sprintf(`{"context":"moderation","room":"r","id":%q,"outcome":"sanctioned"}`, id)})
		c.hears()
		if got := two.Stats().Reports.Decided[review.Sanctioned]; got != 1 {
			t.Errorf("%d sanctioned reports are counted", got)
		}
		id = two.client().do(roomAdd("r")).saysID("r", "to be retracted")
		b.heard()
		b.says(reportMessage("r", id, ""), isTrue)
		done, err = one.resolves(h.all(one, false)[0].ID, review.Decision{Action: review.Retract}, moderation.Sanction{})
		if w.must(err, nil); done.Outcome() != review.Retracted || done.Message.Text != "to be retracted" {
			t.Errorf("the report is %+v", done)
		}
		b.heard()
		if b.Run(`{"event":"roomHistory","room":"r","messageId":1}`); strings.Contains(strings.Join(b.heard(), ""), "to be retracted") {
			t.Error("the message is still in history")
		}
		if _, err := one.Report(w.Context(), "default", "none"); !errors.Is(err, review.ErrNone) {
			t.Errorf("an unknown report: %v", err)
		}
	})
}

// TestADecisionAboutAReportIsRepeated checks that another node sets the sanction if the node of the decision dies before it has
// done so, that a report is open again if the sanction was not stored, and that a report expires.
func TestADecisionAboutAReportIsRepeated(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.reporting()
		n := h.node("n")
		a, b := n.as("ann").do(roomAdd("r")), n.as("bob").do(roomAdd("r"))
		begin := func(target string) review.Item {
			b.says(report(`"user":"`+target+`"`), isTrue)
			all := h.all(n, false)
			one, err := review.Begin(w.Context(), h.review, "default", all[len(all)-1].ID, review.Decision{Action: review.Sanction, By: "mia", Node: "dead"}, review.Limits{})
			w.must(err, nil)
			return one
		}
		prepared := begin("ann")
		_, err := review.Prepare(w.Context(), h.review, prepared, "", []byte(`{"Tenant":"default","User":"ann","Kind":"mute","Rooms":"*","Reason":"calm down","By":"mia"}`), review.Limits{})
		w.must(err, nil)
		a.saysID("r", "still")
		b.heard()
		time.Sleep(2 * time.Minute)
		a.refused(say("r", "hello"), "muted: calm down")
		lost := begin("eve")
		time.Sleep(2 * time.Minute)
		again, err := n.Report(w.Context(), "default", lost.ID)
		w.must(err, nil)
		if again.State != review.Open || again.Failure != "the sanction was not stored: decide again" {
			t.Errorf("the report is %+v", again)
		}
		brief := review.Item{ID: review.NewID(time.Now()), Tenant: "default", At: time.Now().UnixMilli(), Until: time.Now().Add(time.Minute).UnixMilli(), User: "zoe",
			Reporters: []review.Reporter{{User: "bob", Notify: true}}}
		brief, _, err = review.AddReport(w.Context(), h.review, brief, review.Limits{})
		w.must(err, nil)
		time.Sleep(2 * time.Minute)
		ended, err := n.Report(w.Context(), "default", brief.ID)
		if w.must(err, nil); ended.Outcome() != review.Expired {
			t.Errorf("the report is %+v", ended)
		}
		b.hears(`{"context":"moderation","user":"zoe","outcome":"expired"}`)
	})
}

// TestReportersAreBounded checks that one member cannot fill the queue.
func TestReportersAreBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.reporting()
		n := h.node("n")
		b := n.as("bob").do(roomAdd("r"))
		for i := range 20 {
			b.says(report(fmt.Sprintf(`"user":"user%d"`, i)), isTrue)
			time.Sleep(time.Second)
		}
		b.refused(report(`"user":"one more"`), "too many of your items wait for a decision")
		if got := n.Stats().Reports; got.Made != 20 || got.Refused != 1 {
			t.Errorf("counted %+v", got)
		}
		c := n.client().do(roomAdd("r"))
		c.says(report(`"user":"one more"`), isTrue)
		limited := 0
		for i := range 50 {
			c.Run(report(fmt.Sprintf(`"user":"u%d"`, i)))
			limited += strings.Count(strings.Join(c.heard(), ""), "rate limit exceeded")
		}
		if limited == 0 {
			t.Error("50 reports at once are not limited")
		}
	})
}

// TestAReportOfADestroyedRoomWaitsAgain checks that a retraction in a room that was destroyed is refused once, with the reason, and that
// the report can then be decided in another way.
func TestAReportOfADestroyedRoomWaitsAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.reporting()
		n := h.node("n")
		a, b := n.as("ann").do(roomAdd("r")), n.as("bob").do(roomAdd("r"))
		id := a.saysID("r", "hi")
		b.heard()
		b.says(reportMessage("r", id, ""), isTrue)
		w.must(n.DestroyRoom(w.Context(), in("r")), nil)
		r := h.all(n, false)[0]
		one, err := n.resolves(r.ID, review.Decision{Action: review.Retract}, moderation.Sanction{})
		w.must(err, cluster.ErrNoRoom)
		if one.State != review.Open || one.Failure != "room does not exist" || one.Message.Text != "hi" {
			t.Errorf("the report is %+v", one)
		}
		one, err = n.resolves(r.ID, review.Decision{Action: review.Sanction}, moderation.Sanction{Kind: moderation.Mute, Rooms: "*", Reason: "calm down"})
		if w.must(err, nil); one.Outcome() != review.Sanctioned {
			t.Errorf("the report is %+v", one)
		}
	})
}
