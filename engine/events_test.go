package engine_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/eventstest"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/memory"
	"github.com/mootchat/moot/engine/review"
)

// eventLog is an [events.Taker] that keeps the events of the tenant "default".
type eventLog struct {
	kinds events.Kinds

	mu  sync.Mutex
	ids map[string]int // number of events by ID
	all []string       // kind and data of the events; one for each ID
	bad []error        // of events that do not match the schema
}

// schema returns the schema of events.
var schema = sync.OnceValue(func() *eventstest.Schema {
	s, err := eventstest.ReadSchema()
	if err != nil {
		panic(err)
	}
	return s
})

func (l *eventLog) Wants(tenant string) events.Kinds {
	if tenant != "default" {
		return 0
	}
	return l.kinds
}

func (l *eventLog) Begin(tenant string, kind events.Kind, e events.Event) *events.Write {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := events.Record{Sink: events.Sink{Tenant: tenant, Name: "log"}, Event: e, Sequence: 1}
	text, err := r.AppendJSON(nil, 0)
	if err == nil {
		err = schema().Check(text)
	}
	if err != nil {
		l.bad = append(l.bad, err)
	}
	if l.ids[e.ID]++; l.ids[e.ID] == 1 {
		var data map[string]any
		if err := json.Unmarshal(e.Data, &data); err != nil {
			panic(err)
		}
		for _, changing := range []string{"connection", "from", "messageId", "id"} {
			if _, is := data[changing]; is {
				data[changing] = "*"
			}
		}
		shown, _ := json.Marshal(data)
		l.all = append(l.all, fmt.Sprintf("%s %s", e.Kind, shown))
	}
	return nil
}

// take returns the events since the last call.
func (l *eventLog) take() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

func (l *eventLog) want(w *world, want ...string) {
	w.Helper()
	for _, err := range l.bad {
		w.Errorf("an event does not match the schema: %v", err)
	}
	l.bad = nil
	if got := l.take(); !slices.Equal(got, want) {
		w.Errorf("the events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestEventsOfATenant checks the events of each kind, their data and their order.
func TestEventsOfATenant(t *testing.T) {
	inWorld(t, func(w *world) {
		log := &eventLog{kinds: events.Default.With(events.MessagePublished), ids: map[string]int{}}
		n := w.node("one", moderated(&memory.Store{}), func(c *engine.Config) { c.Events = log })
		w.must(n.CreateRoom(w.Context(), in("x")), nil)
		log.want(w, `room.created {"room":"x"}`)
		ann := n.as("ann")
		ann.do(`{"event":"roomAdd","room":"x"}`)
		log.want(w, `member.joined {"connection":"*","room":"x","user":"ann"}`)
		ann.do(`{"event":"say","room":"x","message":"hi \"all\""}`)
		log.want(w, `message.published {"from":"*","message":"hi \"all\"","messageId":"*","room":"x","sentAt":`+now+`,"user":"ann"}`)
		_, err := n.Broadcast(w.Context(), in("x"), "", json.RawMessage(`{"a":1}`))
		w.must(err, nil)
		log.want(w, `message.published {"from":"*","message":{"a":1},"messageId":"*","room":"x","sentAt":`+now+`}`)
		s := n.sanctions(sanction(moderation.Mute, "bob", "x", 0))
		log.want(w, `sanction.set {"by":"mia","id":"*","kind":"mute","reason":"be kind","rooms":"x","user":"bob"}`)
		_, err = n.RemoveSanction(w.Context(), "default", s.ID, "mia")
		w.must(err, nil)
		log.want(w, `sanction.removed {"by":"mia","id":"*"}`)
		ann.do(`{"event":"roomLeave","room":"x"}`)
		log.want(w, `member.left {"cause":"roomLeave","connection":"*","room":"x","user":"ann"}`)
		ann.do(`{"event":"roomAdd","room":"x"}`)
		log.take()
		w.must(n.DestroyRoom(w.Context(), in("x")), nil)
		got := log.take()
		slices.Sort(got)
		if want := []string{`member.left {"cause":"destroyed","connection":"*","room":"x","user":"ann"}`,
			`message.published {"from":"*","message":"this room has been deleted","messageId":"*","room":"x","sentAt":` + now + `}`, `room.destroyed {"room":"x"}`}; !slices.Equal(got, want) {
			t.Errorf("the events are %q, want %q", got, want)
		}
		ann.do(`{"event":"roomAdd","room":"r"}`)
		log.take()
		ann.HangUp()
		log.want(w, `member.left {"cause":"disconnect","connection":"*","room":"r","user":"ann"}`)
	})
}

// TestEventsOfHeldAndAmendedMessages checks the events of messages that a rule holds, of decisions, and of messages that change.
func TestEventsOfHeldAndAmendedMessages(t *testing.T) {
	inWorld(t, func(w *world) {
		log := &eventLog{kinds: events.Default.With(events.MessagePublished), ids: map[string]int{}}
		n := w.holding().node("one", keepsR, func(c *engine.Config) { c.Events = log })
		ann := n.as("ann").do(roomAdd("r"))
		log.take()
		first, second := ann.holds(say("r", "hold 1")), ann.holds(say("r", "hold 2"))
		held := `message.held {"connection":"*","held":"%s","reason":"new here","room":"r","rule":"newcomers@1#1","until":` + fmt.Sprint(time.Now().Add(24*time.Hour).UnixMilli()) + `,"user":"ann"}`
		log.want(w, fmt.Sprintf(held, first), fmt.Sprintf(held, second))
		for id, action := range map[string]review.Action{first: review.Release, second: review.Reject} {
			_, err := n.decides(id, action)
			w.must(err, nil)
			want := `message.decided {"by":"mia","connection":"*","held":"` + id + `","outcome":"rejected","reason":"so be it","room":"r","rule":"newcomers@1#1","user":"ann"}`
			if action == review.Release {
				want = `message.decided {"by":"mia","connection":"*","held":"` + id + `","messageId":"*","outcome":"released","reason":"so be it","room":"r","rule":"newcomers@1#1","user":"ann"}`
			}
			if action == review.Release {
				log.want(w, `message.published {"from":"*","message":"hold 1","messageId":"*","room":"r","sentAt":`+now+`,"user":"ann"}`, want)
			} else {
				log.want(w, want)
			}
		}
		id := ann.tells("r", "hi")
		log.take()
		ann.do(edit("r", id, "hello"))
		log.want(w, `message.edited {"messageId":"*","room":"r","user":"ann"}`)
		w.must(n.RetractMessage(w.Context(), in("r"), id, "mia"), nil)
		log.want(w, `message.retracted {"by":"mia","messageId":"*","room":"r"}`)
	})
}

// TestEventsOfReports checks the events of reports and of decisions about them; that a reporter who repeats a report makes an event with the same ID;
// and that they name no reporter.
func TestEventsOfReports(t *testing.T) {
	inWorld(t, func(w *world) {
		log := &eventLog{kinds: events.Kinds(0).With(events.ReportFiled).With(events.ReportResolved), ids: map[string]int{}}
		h := w.reporting()
		n := w.node("one", keepsR, moderated(h.sanctions), func(c *engine.Config) { c.Review, c.Events = h.review, log })
		ann, bob, eve := n.as("ann").do(roomAdd("r")), n.as("bob").do(roomAdd("r")), n.client().do(roomAdd("r"))
		id := ann.saysID("r", "darn")
		bob.heard()
		eve.heard()
		bob.says(reportMessage("r", id, `,"reason":"rude"`), isTrue)
		report := h.all(n, false)[0].ID
		log.want(w, `report.filed {"connection":"*","messageId":"*","reason":"rude","report":"`+report+`","reports":1,"room":"r","user":"ann"}`)
		bob.says(reportMessage("r", id, `,"reason":"again"`), isTrue)
		log.want(w)
		eve.says(reportMessage("r", id, ""), isTrue)
		log.want(w, `report.filed {"connection":"*","messageId":"*","report":"`+report+`","reports":2,"room":"r","user":"ann"}`)
		_, err := n.resolves(report, review.Decision{Action: review.Retract, Reason: "so be it"}, moderation.Sanction{})
		w.must(err, nil)
		log.want(w, `report.resolved {"by":"mia","connection":"*","messageId":"*","outcome":"retracted","reason":"so be it","report":"`+report+`","reports":2,"room":"r","user":"ann"}`)
		if len(log.ids) != 3 || slices.Max(slices.Collect(maps.Values(log.ids))) != 2 {
			t.Errorf("the events by ID are %v", log.ids)
		}
		bob.heard() // the retraction
		bob.says(reportUser("ann"), isTrue)
		time.Sleep(31 * 24 * time.Hour)
		got := log.take()
		if len(got) != 2 || !strings.HasPrefix(got[0], `report.filed {"report":`) || !strings.Contains(got[1], `"outcome":"expired"`) || strings.Contains(got[1], `"by"`) {
			t.Errorf("the events of a report that expires are %q", got)
		}
	})
}

// reportUser reports a user.
func reportUser(user string) string { return report(fmt.Sprintf(`"user":%q`, user)) }

// TestEventsOfARefusal checks that a join, a message or a sanction that is refused makes no event.
func TestEventsOfARefusal(t *testing.T) {
	inWorld(t, func(w *world) {
		log := &eventLog{kinds: events.Default.With(events.MessagePublished), ids: map[string]int{}}
		n := w.node("one", moderated(&memory.Store{}), func(c *engine.Config) { c.Events = log })
		n.sanctions(sanction(moderation.Ban, "bob", "q", 0))
		n.sanctions(sanction(moderation.Shadow, "ann", "r", 0))
		log.take()
		bob, ann := n.as("bob"), n.as("ann")
		bob.do(`{"event":"roomAdd","room":"q"}`, `{"event":"say","room":"q","message":"hi"}`)
		ann.do(`{"event":"roomAdd","room":"r"}`, `{"event":"say","room":"r","message":"nobody sees this"}`)
		log.want(w, `member.joined {"connection":"*","room":"r","user":"ann"}`)
	})
}

// TestADeadNodesMembersLeaveInEvents checks that a survivor makes the events of the members of a dead node.
func TestADeadNodesMembersLeaveInEvents(t *testing.T) {
	inWorld(t, func(w *world) {
		log := &eventLog{kinds: events.Default, ids: map[string]int{}}
		w.node("one", func(c *engine.Config) { c.Events = log })
		two := w.node("two", func(c *engine.Config) { c.Tenants[0].Tokens = people })
		two.as("ann").do(`{"event":"roomAdd","room":"r"}`)
		two.as("bob").do(`{"event":"roomAdd","room":"r"}`)
		log.take()
		w.must(w.hub.Kill("two"), nil)
		time.Sleep(time.Minute)
		got := log.take()
		slices.Sort(got)
		if len(got) != 2 || !strings.HasPrefix(got[0], `member.left {"cause":"node_lost"`) || !strings.Contains(got[0], `"ann"`) || !strings.Contains(got[1], `"bob"`) {
			t.Errorf("the events are %q", got)
		}
	})
}

// TestATenantWithoutSinksMakesNoEvents checks that the engine makes no events for a tenant without sinks, and none of kinds that no
// sink wants.
func TestATenantWithoutSinksMakesNoEvents(t *testing.T) {
	inWorld(t, func(w *world) {
		log := &eventLog{kinds: events.Kinds(0).With(events.RoomDestroyed), ids: map[string]int{}}
		n := w.node("one", func(c *engine.Config) { c.Events = log; c.Tenants[0].Tokens = people })
		n.as("ann").do(`{"event":"roomAdd","room":"r"}`, `{"event":"say","room":"r","message":"hi"}`)
		log.want(w)
	})
}
