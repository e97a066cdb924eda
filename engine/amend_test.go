package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/memory"
	reviewmemory "github.com/mootchat/moot/engine/review/memory"
	"github.com/mootchat/moot/engine/wire"
)

// roomAddAmending joins a room and asks for amendments.
func roomAddAmending(room string) string {
	return `{"event":"roomAdd","room":"` + room + `","amendments":true,"messageId":1}`
}

func retract(room, id string) string {
	return fmt.Sprintf(`{"event":"retract","room":%q,"id":%q,"messageId":1}`, room, id)
}

func edit(room, id, text string) string {
	return fmt.Sprintf(`{"event":"edit","room":%q,"id":%q,"message":%q,"messageId":1}`, room, id, text)
}

// tells makes the client say a text, and returns the id of the message.
func (c *client) tells(room, text string) string {
	c.n.w.Helper()
	c.heardIDs()
	c.Run(say(room, text))
	ids := idsOf(c.heardIDs())
	if len(ids) == 0 {
		c.n.w.Fatalf("%q was not said", text)
	}
	return ids[0]
}

// refuses checks that a request fails with an error that begins with want.
func (c *client) refuses(request, want string) {
	c.n.w.Helper()
	c.Run(request)
	if heard := strings.Join(c.heardIDs(), "\n"); !strings.Contains(heard, `"error":"Error: `+want) {
		c.n.w.Errorf("%s: received %s, want the error %q", request, heard, want)
	}
}

// takes checks that a request succeeds.
func (c *client) takes(requests ...string) {
	c.n.w.Helper()
	for _, request := range requests {
		c.Run(request)
		if heard := c.heardIDs(); !slices.Contains(heard, ok) {
			c.n.w.Errorf("%s: received %s", request, heard)
		}
	}
}

// past returns the texts of roomHistory.
func (c *client) past(room string) (texts []string) {
	c.n.w.Helper()
	c.heardIDs()
	c.Run(`{"event":"roomHistory","room":"` + room + `","messageId":1}`)
	heard := c.heardIDs()
	var answer struct {
		Data struct{ Messages []struct{ Message string } }
	}
	if len(heard) == 0 || json.Unmarshal([]byte(heard[len(heard)-1]), &answer) != nil {
		c.n.w.Fatalf("no history in %s", heard)
	}
	for _, m := range answer.Data.Messages {
		texts = append(texts, m.Message)
	}
	return texts
}

// TestRetractionsReachMembersInOrder checks rooms with and without history: members on all nodes that asked for amendments
// receive a retraction, other members receive a notice or nothing, and neither history nor late members have the message.
func TestRetractionsReachMembersInOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		notices := func(c *engine.Config) {
			c.Tenants[0].Rooms = []engine.RoomSettings{
				{Match: func(room string) bool { return room == "r" }, Retention: cluster.Retention{Messages: 10, For: time.Hour}},
				{Match: func(room string) bool { return room == "q" }, AmendmentNotices: true},
			}
		}
		one, two := w.node("one", notices), w.node("two", notices)
		a, b, plain := one.client(), two.client(), two.client()
		hero, err := two.tryOpen(wire.WebSocket, engine.ReservationRequest{}, actionHero)
		w.must(err, nil)
		for _, room := range []string{"r", "q"} {
			a.do(roomAddAmending(room))
			b.do(roomAddAmending(room))
			plain.do(roomAdd(room))
			hero.do(fmt.Sprintf(`{"event":"roomAdd","room":%q,"amendments":true,"messageId":1}`, room))
		}
		id := a.tells("r", "secret")
		epoch := epochOf(t, b)
		b.heardIDs()
		plain.heardIDs()
		hero.heardIDs()
		frame := `{"retracts":"` + id + `","room":"r","context":"user","sentAt":` + now + `,"offset":2,"epoch":"` + epoch + `"}`
		a.says(retract("r", id), ok, frame)
		b.hears(frame)
		plain.hears()
		hero.hears()
		a.says(retract("r", id), ok) // again
		b.hears()
		if past := b.past("r"); len(past) != 0 {
			t.Errorf("history has %q", past)
		}
		late := one.client()
		late.says(`{"event":"roomAdd","room":"r","amendments":true,"since":{"epoch":"`+epoch+`","offset":0},"messageId":1}`,
			`{"status":"OK","context":"response","data":true,"epoch":"`+epoch+`","offset":2,"recovered":true,"messageId":1}`, frame)

		id = a.tells("q", "another secret")
		for _, c := range []*client{b, plain, hero} {
			c.heardIDs()
		}
		frame = `{"retracts":"` + id + `","room":"q","context":"user","sentAt":` + now + `}`
		a.says(retract("q", id), ok, frame)
		b.hears(frame)
		plain.hears(chat("q", "0", "a message was retracted"))
		hero.hears(chat("q", "0", "a message was retracted"))
	})
}

// TestEditsReplaceTheMessage checks the frames of an edit. History and late members have the new version at the position
// of the message.
func TestEditsReplaceTheMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", keepsR), w.node("two", keepsR)
		a, b, plain := one.client().do(roomAddAmending("r")), two.client().do(roomAddAmending("r")), two.client().do(roomAdd("r"))
		id := a.tells("r", "frist")
		epoch := epochOf(t, b)
		plain.heardIDs()
		time.Sleep(time.Second)
		version := `"message":"first","room":"r","from":"` + a.ID() + `","context":"user","sentAt":` + now + `,"id":"` + id + `","editedAt":946684801000`
		at := func(n int) string { return fmt.Sprintf(`,"offset":%d,"epoch":%q}`, n, epoch) }
		a.takes(edit("r", id, "first"))
		b.compare(b.heardIDs(), []string{`{"edits":"` + id + `",` + version + at(2)})
		plain.hears()
		if past := plain.past("r"); !slices.Equal(past, []string{"first"}) {
			t.Errorf("history has %q", past)
		}
		late := one.client()
		late.Run(`{"event":"roomAdd","room":"r","amendments":true,"since":{"epoch":"` + epoch + `","offset":0},"messageId":1}`)
		late.compare(late.heardIDs()[1:], []string{`{` + version + at(1), `{"edits":"` + id + `",` + version + at(2)})
		old := one.client()
		old.Run(`{"event":"roomAdd","room":"r","since":{"epoch":"` + epoch + `","offset":0},"messageId":1}`)
		old.compare(old.heardIDs()[1:], []string{`{` + version + at(1)})
	})
}

// TestOnlyTheAuthorAmends checks ids of other connections, guessed ids, messages of the system, other rooms, and
// that another connection of the user is the author too.
func TestOnlyTheAuthorAmends(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR, takes(people, false))
		ann, err := n.bring("ann")
		w.must(err, nil)
		phone, err := n.bring("ann")
		w.must(err, nil)
		bob, guest := n.client(), n.client()
		for _, c := range []*client{ann, phone, bob, guest} {
			c.do(roomAdd("r"))
		}
		id := ann.tells("r", "hi")
		for _, c := range []*client{bob, guest} {
			c.refuses(retract("r", id), "not your message")
			c.refuses(edit("r", id, "x"), "not your message")
		}
		bob.refuses(retract("r", "0123456789abcdefghijklmn"), "not your message")
		bob.refuses(retract("r", id[:12]+bob.tells("r", "mine")[12:]), "not your message")
		ann.refuses(retract("q", id), "messages of this room cannot be changed")
		ann.refuses(retract("r", "no id"), "both room and id are required")
		ann.refuses(retract("r", ""), "both room and id are required")
		ann.refuses(edit("r", id, ""), "room, id and message are required")
		ann.refuses(edit("q", id, "x"), "connection not in this room")
		system, err := n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"hear ye"`))
		w.must(err, nil)
		ann.refuses(edit("r", system, "x"), "not your message")

		phone.takes(edit("r", id, "hello"))
		own := guest.tells("r", "no user")
		guest.takes(edit("r", own, "still no user"))
		if past := bob.past("r"); !slices.Equal(past, []string{"hello", "mine", "hear ye", "still no user"}) {
			t.Errorf("history has %q", past)
		}
		ann.do(roomLeave("r"))
		ann.takes(retract("r", id)) // the author has left the room
		if past := bob.past("r"); slices.Contains(past, "hello") {
			t.Errorf("history has %q", past)
		}
	})
}

// TestModeratorsAmendAnyMessage checks amendments by the server API: the message keeps its author, members see the name of
// the moderator, and a message that is not in history cannot be edited.
func TestModeratorsAmendAnyMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR)
		a := n.client().do(roomAddAmending("r"))
		id := a.tells("r", "darn")
		a.heardIDs()
		w.must(n.EditMessage(w.Context(), in("r"), id, "mod", json.RawMessage(`"d***"`)), nil)
		if heard := strings.Join(a.heardIDs(), ""); !strings.Contains(heard, `"message":"d***","room":"r","from":"`+a.ID()+`"`) || !strings.Contains(heard, `"editedBy":"mod"`) {
			t.Errorf("received %s", heard)
		}
		w.must(n.RetractMessage(w.Context(), in("r"), id, "mod"), nil)
		if heard := strings.Join(a.heardIDs(), ""); !strings.Contains(heard, `"retracts":"`+id+`"`) || !strings.Contains(heard, `"retractedBy":"mod"`) {
			t.Errorf("received %s", heard)
		}
		gone := &engine.VerbError{Text: "message is not in history"}
		w.must(n.EditMessage(w.Context(), in("r"), id, "", json.RawMessage(`"x"`)), gone)
		w.must(n.EditMessage(w.Context(), in("r"), "unknown", "", json.RawMessage(`"x"`)), gone)
		w.must(n.RetractMessage(w.Context(), in("r"), "unknown", ""), nil)
		w.must(n.RetractMessage(w.Context(), in("nowhere"), id, ""), cluster.ErrNoRoom)
		w.must(n.RetractMessage(w.Context(), in("q"), id, ""), &engine.VerbError{Text: "messages of this room cannot be changed (rooms.settings: ephemeral)"})
		a.heardIDs()
		a.refuses(edit("r", id, "again"), "message is not in history")
	})
}

// TestRulesSeeEdits checks that onSayReceive receives the whole new text and the id of the edited message, that it may change
// or deny the text but not change the author or the room, and that say decides for each receiver.
func TestRulesSeeEdits(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR)
		a, b := n.client().do(roomAddAmending("r")), n.client().do(roomAddAmending("r"))
		id := a.tells("r", "one")
		b.heardIDs()
		var seen hook.Event
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			seen = *ev
			switch ev.Message.Text {
			case "bad":
				return deny("no")
			case "drop":
				return hook.Verdict{Outcome: hook.Dropped}
			case "move":
				ev.Room = "q"
			}
			ev.Message.Text = strings.ToUpper(ev.Message.Text)
			ev.From, ev.SentAt, ev.Extra = "somebody", 5, json.RawMessage(`{"x":1}`)
			return hook.Verdict{}
		})
		n.mw.Say = func(ev *hook.Event, members []hook.Member) hook.Delivery {
			d := hook.Delivery{Answers: []wire.Payload{{Message: wire.Message{Text: ev.Message.Text + " of " + ev.Edits}, Room: "r", From: ev.From, Context: "user", SentAt: ev.SentAt}}}
			for _, m := range members {
				d.For = append(d.For, map[bool]int32{true: 0, false: hook.Nothing}[m.Profile().ID == b.ID()])
			}
			return d
		}
		a.refuses(edit("r", id, "bad"), "no")
		a.takes(edit("r", id, "drop"))
		b.hears()
		a.refuses(edit("r", id, "move"), "an edit cannot move a message to another room")
		a.says(edit("r", id, "two"), ok)
		if seen.Edits != id || seen.From != a.ID() || seen.Conn == nil || seen.Conn.ID != a.ID() {
			t.Errorf("the rule saw %+v", seen)
		}
		if heard := strings.Join(b.heardIDs(), ""); !strings.HasPrefix(heard, `{"edits":"`+id+`","message":"TWO of `+id+`","room":"r","from":"`+a.ID()+`","context":"user","sentAt":`+now+`,"id":"`+id+`"`) {
			t.Errorf("received %s", heard)
		}
		n.mw.Say = nil
		b.Run(`{"event":"roomHistory","room":"r","messageId":1}`)
		if heard := strings.Join(b.heardIDs(), ""); !strings.Contains(heard, `"message":"TWO","room":"r","from":"`+a.ID()+`"`) || !strings.Contains(heard, `"x":1`) {
			t.Errorf("history is %s", heard)
		}
	})
}

// TestSanctionsHoldForEdits checks that a muted client cannot edit and can retract, also if the mute comes while the rules decide, and that
// only a shadowed author receives the edit, and the retraction of a message that no other member has received.
func TestSanctionsHoldForEdits(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR, takes(people, false), moderated(&memory.Store{}))
		ann, err := n.bring("ann")
		w.must(err, nil)
		ann.do(roomAddAmending("r"))
		b := n.client().do(roomAddAmending("r"))
		first := ann.tells("r", "first")
		ann.tells("r", "second")
		b.heardIDs()
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			if ev.Message.Text == "slow" {
				n.sanctions(sanction(moderation.Mute, "ann", "r", time.Hour))
			}
			return hook.Verdict{}
		})
		ann.refuses(edit("r", first, "slow"), "muted until")
		ann.refuses(edit("r", first, "x"), "muted until")
		b.hears()
		ann.takes(retract("r", first))
		b.heardIDs()
		if past := b.past("r"); !slices.Equal(past, []string{"second"}) {
			t.Errorf("history has %q", past)
		}
		time.Sleep(2 * time.Hour)
		third := ann.tells("r", "third")
		b.heardIDs()
		n.sanctions(sanction(moderation.Shadow, "ann", "r", time.Hour))
		hidden := ann.tells("r", "hidden")
		for _, id := range []string{third, hidden} {
			ann.Run(edit("r", id, "for me"))
			if heard := strings.Join(ann.heardIDs(), ""); !strings.Contains(heard, `{"edits":"`+id+`","message":"for me"`) || !strings.Contains(heard, ok) {
				t.Errorf("the author received %s", heard)
			}
		}
		b.hears()
		ann.Run(retract("r", hidden))
		if heard := strings.Join(ann.heardIDs(), ""); !strings.Contains(heard, `"retracts":"`+hidden+`"`) || !strings.Contains(heard, ok) {
			t.Errorf("the author received %s", heard)
		}
		b.hears()
		if past := b.past("r"); len(past) > 0 && past[len(past)-1] == "for me" {
			t.Errorf("history has %q", past)
		}
	})
}

// TestPagesOfHistorySkipAmendments checks that pages of roomHistory are full, and that the last one has the first message,
// although most offsets have no message.
func TestPagesOfHistorySkipAmendments(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) {
			c.Limits.VerbsPerSecond = 100_000
			c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(string) bool { return true }, Retention: cluster.Retention{Messages: 1000, For: time.Hour}}}
		})
		a := n.client().do(roomAdd("r"))
		var ids, want []string
		for i := range 20 {
			ids = append(ids, a.tells("r", fmt.Sprint("m", i)))
		}
		for i, id := range ids {
			if i%4 == 0 {
				a.takes(retract("r", id))
				continue
			}
			for k := range 20 {
				a.takes(edit("r", id, fmt.Sprint("e", i, ".", k)))
			}
			want = append(want, fmt.Sprint("e", i, ".", 19))
		}
		for _, limit := range []int{1, 4, 15, 16, 50} {
			var got []string
			for before := uint64(0); ; {
				a.Run(fmt.Sprintf(`{"event":"roomHistory","room":"r","limit":%d,"before":%d,"messageId":1}`, limit, before))
				heard := a.heardIDs()
				var answer struct {
					Data struct {
						Messages []struct{ Message string }
						Before   uint64
					}
				}
				if err := json.Unmarshal([]byte(heard[len(heard)-1]), &answer); err != nil {
					t.Fatal(err)
				}
				var page []string
				for _, m := range answer.Data.Messages {
					page = append(page, m.Message)
				}
				if len(page) > limit {
					t.Fatalf("a page of %d messages, limit %d", len(page), limit)
				}
				got = append(page, got...)
				if before = answer.Data.Before; before == 0 {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %q, want %q", limit, got, want)
			}
		}
	})
}

// TestAResumedSessionKeepsItsAmendments checks that a session that asked for amendments still receives them after it is
// resumed on its node or on another one, with the last versions of missed messages and without retracted ones.
func TestAResumedSessionKeepsItsAmendments(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", keepsR, resumes), w.node("two", keepsR, resumes)
		for i, n := range []*node{one, two} {
			a, b := one.client().do(roomAddAmending("r")), one.client().do(roomAddAmending("r"))
			secret := b.secret()
			seen := a.tells("r", "seen")
			b.heardIDs()
			b.HangUp()
			synctest.Wait()
			missed, gone := a.tells("r", "missed"), a.tells("r", "gone")
			a.takes(edit("r", seen, "seen, new"), edit("r", missed, "missed, old"), edit("r", missed, "missed, new"), retract("r", gone))
			back := n.client()
			back.Run(fmt.Sprintf(`{"event":"resume","session":%q,"messageId":1}`, secret))
			heard := back.heardIDs()
			for _, m := range heard[1:] {
				if strings.Contains(m, `, old"`) || strings.Contains(m, `"gone"`) {
					t.Errorf("received %s", m)
				}
			}
			all := strings.Join(heard, "\n")
			for _, want := range []string{`{"edits":"` + seen + `","message":"seen, new"`, `{"message":"missed, new"`, `{"edits":"` + missed + `","message":"missed, new"`, `{"retracts":"` + gone + `"`} {
				if !strings.Contains(all, want) {
					t.Errorf("%d: %s is not in\n%s", i, want, all)
				}
			}
			a.takes(edit("r", missed, "live"))
			if heard := strings.Join(back.heardIDs(), ""); !strings.Contains(heard, `{"edits":"`+missed+`","message":"live"`) {
				t.Errorf("%d: received %s", i, heard)
			}
		}
	})
}

// TestADestroyedRoomTakesNoAmendments checks that an edit and a retraction fail after their room was destroyed.
func TestADestroyedRoomTakesNoAmendments(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR)
		a := n.client().do(roomAddAmending("r"))
		id := a.tells("r", "one")
		w.must(n.DestroyRoom(w.Context(), in("r")), nil)
		a.heardIDs()
		a.refuses(edit("r", id, "two"), "connection not in this room")
		a.refuses(retract("r", id), "room does not exist")
	})
}

// TestARoomDestroyedWhileRulesDecideTakesNoEdit checks that an edit is refused if its room is destroyed while the rules decide about
// it: neither members nor the history of a room of the same name have it. A retraction holds in any case.
func TestARoomDestroyedWhileRulesDecideTakesNoEdit(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", keepsR)
		a, b := n.client().do(roomAddAmending("r")), n.client().do(roomAddAmending("r"))
		id := a.tells("r", "one")
		b.heardIDs()
		var destroying sync.WaitGroup
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			if ev.Edits != "" {
				destroying.Go(func() { w.must(n.DestroyRoom(w.Context(), in("r")), nil) })
				time.Sleep(time.Second) // the room is gone; its members leave after the edit
			}
			return hook.Verdict{}
		})
		a.refuses(edit("r", id, "two"), "room does not exist")
		destroying.Wait()
		if heard := strings.Join(b.heardIDs(), ""); strings.Contains(heard, "edits") || !strings.Contains(heard, "this room has been deleted") {
			t.Errorf("received %s", heard)
		}
		if got := n.Stats().Edits; got != (cluster.AmendmentStats{Refused: 1}) {
			t.Errorf("counted %+v", got)
		}
		w.must(n.CreateRoom(w.Context(), in("r")), nil)
		b.do(roomAdd("r"))
		if past := b.past("r"); len(past) == 0 || past[0] != "one" || slices.Contains(past, "two") {
			t.Errorf("history has %q", past)
		}
		a.takes(retract("r", id))
		if past := b.past("r"); slices.Contains(past, "one") {
			t.Errorf("history has %q", past)
		}
		if got := n.Stats().Retractions; got != (cluster.AmendmentStats{Published: 1}) {
			t.Errorf("counted %+v", got)
		}
	})
}

// TestStoredMessagesSkipAmendments checks that the last messages of a room are found behind many edits and retractions.
func TestStoredMessagesSkipAmendments(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) {
			c.Limits.VerbsPerSecond = 100_000
			c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(string) bool { return true }, Retention: cluster.Retention{Messages: 100, For: time.Hour}}}
		})
		a := n.client().do(roomAdd("r"))
		first, second := a.tells("r", "one"), a.tells("r", "two")
		for i := range 60 {
			a.do(edit("r", first, fmt.Sprint("one ", i)))
		}
		for range 3 {
			a.do(retract("r", a.tells("r", "gone")))
		}
		for _, c := range []struct {
			before uint64
			limit  int
			want   string
		}{{0, 10, "one 59, two"}, {0, 1, "two"}, {2, 10, "one 59"}} {
			stored, kept, err := n.StoredMessages(w.Context(), in("r"), c.before, c.limit)
			w.must(err, nil)
			var texts []string
			for _, raw := range stored {
				var m struct{ Message, ID string }
				if err := json.Unmarshal(raw, &m); err != nil || m.ID != first && m.ID != second {
					t.Errorf("%s: %v", raw, err)
				}
				texts = append(texts, m.Message)
			}
			if got := strings.Join(texts, ", "); !kept || got != c.want {
				t.Errorf("before %d, at most %d: %q, want %q", c.before, c.limit, got, c.want)
			}
		}
	})
}

// TestAmendmentsArePaidByWhatTheyRead checks that a client that amends or reports messages which the history does not have any more is
// limited by the bytes of history that the server reads for these requests.
func TestAmendmentsArePaidByWhatTheyRead(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) {
			c.Review, c.Moderation = &reviewmemory.Store{}, &memory.Store{}
			c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(string) bool { return true }, Retention: cluster.Retention{Messages: 100, For: time.Hour}}}
		})
		a := n.client().do(roomAdd("r"))
		id := a.tells("r", "old")
		for range 100 {
			_, err := n.Broadcast(w.Context(), in("r"), "", json.RawMessage(fmt.Sprintf("%q", strings.Repeat("x", 60<<10))))
			w.must(err, nil)
		}
		a.heardIDs()
		for request, answer := range map[string]string{edit("r", id, "new"): "message is not in history", reportMessage("r", id, ""): "no such message in the history"} {
			time.Sleep(time.Minute)
			a.refuses(request, answer)
			a.refuses(request, "rate limit exceeded") // a fresh client may send 100 verbs at once
		}
	})
}

// TestAThousandMembersResumeWithoutRetractedText checks that none of 1000 members who lost their connections, before or after a message,
// receives the message by resuming on the other node, or the first version of another one, after its retraction was answered.
func TestAThousandMembersResumeWithoutRetractedText(t *testing.T) {
	inWorld(t, func(w *world) {
		nodes := []*node{w.node("one", keepsR, resumes), w.node("two", keepsR, resumes)}
		a := nodes[0].client().do(roomAddAmending("r"))
		const members = 1000
		var secrets []string
		var present []*client
		for i := range members {
			c := nodes[i%2].client().do(roomAdd("r"))
			secrets, present = append(secrets, c.secret()), append(present, c)
		}
		a.tells("r", "hello")
		for _, c := range present[:members/2] {
			c.HangUp()
		}
		synctest.Wait()
		gone, edited := a.tells("r", "secret"), a.tells("r", "blunder")
		for _, c := range present[members/2:] {
			c.HangUp()
		}
		synctest.Wait()
		a.takes(edit("r", edited, "better"), retract("r", gone))
		wrong, right := 0, 0
		for i, secret := range secrets {
			back := nodes[(i+1)%2].client()
			back.Run(fmt.Sprintf(`{"event":"resume","session":%q,"messageId":1}`, secret))
			heard := strings.Join(back.heardIDs(), "")
			if strings.Contains(heard, "secret") || strings.Contains(heard, "blunder") || strings.Contains(strings.Join(back.past("r"), ""), "secret") {
				wrong++
			}
			if strings.Contains(heard, `"rooms":{"r":`) && (i >= members/2 || strings.Contains(heard, "better")) {
				right++
			}
		}
		if wrong != 0 || right != members {
			t.Errorf("%d of %d members received a text that was retracted or replaced, %d resumed as they should", wrong, members, right)
		}
	})
}
