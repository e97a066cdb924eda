package clustertest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

func amendments() []promise {
	return []promise{
		{"AmendmentsAreInTheOrder", amendmentsAreInTheOrder},
		{"HistoryHasTheLastVersion", historyHasTheLastVersion},
		{"RetractedMessagesAreGone", retractedMessagesAreGone},
		{"EditsNeedTheMessage", editsNeedTheMessage},
		{"AMessageIsRetractedOnce", aMessageIsRetractedOnce},
		{"RetractionsNeedNoHistory", retractionsNeedNoHistory},
		{"HistoryCountsMessages", historyCountsMessages},
		{"AmendmentsHaveABound", amendmentsHaveABound},
		{"AmendmentsOfManyNodesAgree", amendmentsOfManyNodesAgree},
	}
}

// amended is the record of an amendment in the order of a room.
func amended(a cluster.Amendment) string {
	if a.Retract {
		return "retract " + a.Message
	}
	return "edit " + a.Message + " " + string(a.Payload)
}

// textOf returns the payload of a message with an id.
func textOf(id, text string) string {
	return string(wire.AppendPayload(nil, wire.Payload{ID: id, Message: wire.Message{Text: text}, Room: "hall", From: "a", Context: "user", SentAt: 1}))
}

// tellIDs publishes messages with the ids and texts "PREFIX1" to "PREFIXn".
func (w *world) tellIDs(p *peer, room cluster.RoomID, prefix string, n int, keep cluster.Retention) {
	w.Helper()
	for i := range n {
		id := fmt.Sprint(prefix, i+1)
		w.must(p.Broker.Publish(w.ctx, room, []byte(textOf(id, id)), keep))
	}
}

// edit edits the message at an offset.
func (w *world) edit(p *peer, room cluster.RoomID, id string, at uint64, text string, keep cluster.Retention) string {
	w.Helper()
	a := cluster.Amendment{Message: id, At: at, Payload: []byte(textOf(id, text))}
	w.must(p.Broker.Amend(w.ctx, room, a, keep))
	return amended(a)
}

// retract retracts the message at an offset.
func (w *world) retract(p *peer, room cluster.RoomID, id string, at uint64, keep cluster.Retention) string {
	w.Helper()
	a := cluster.Amendment{Message: id, At: at, Retract: true, Payload: []byte(`{"by":"` + id + `"}`)}
	w.must(p.Broker.Amend(w.ctx, room, a, keep))
	return amended(a)
}

func amendmentsAreInTheOrder(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers...)
	w.tellIDs(peers[0], hall, "m", 2, long)
	want := []string{textOf("m1", "m1"), textOf("m2", "m2")}
	want = append(want, w.edit(peers[1], hall, "m1", 1, "new", long))
	w.must(peers[0].Broker.Publish(w.ctx, hall, []byte(textOf("m3", "m3")), long))
	want = append(want, textOf("m3", "m3"), w.retract(peers[1], hall, "m1", 1, long), w.retract(peers[0], hall, "m2", 2, long))
	for _, p := range peers {
		w.hears(p, hall, want...)
		w.consecutive(p.placesIn(hall))
	}
}

// historyHasTheLastVersion checks that history has the last version of an edited message at the offset of the message,
// and only the last one of its edits.
func historyHasTheLastVersion(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	start := w.start(peers[0], hall)
	w.tellIDs(peers[0], hall, "m", 3, long)
	w.edit(peers[0], hall, "m2", 2, "second", long)
	w.edit(peers[1], hall, "m2", 2, "third and longer", long)
	last := w.edit(peers[0], hall, "m2", 2, "4", long)
	all := []string{textOf("m1", "m1"), textOf("m2", "4"), textOf("m3", "m3"), last}
	for _, p := range peers {
		page := w.read(p, hall, start, 100, long)
		w.shows(page, false, all...)
		var offsets []uint64
		for _, m := range page.Messages {
			offsets = append(offsets, m.Offset)
		}
		if !slices.Equal(offsets, []uint64{1, 2, 3, 6}) || page.Top.Offset != 6 {
			w.Errorf("history has the offsets %d, and ends at %d", offsets, page.Top.Offset)
		}
		for after, want := range map[uint64][]string{1: all[1:], 2: all[2:], 3: all[3:], 4: all[3:], 5: all[3:], 6: nil} {
			w.shows(w.read(p, hall, cluster.Position{Epoch: start.Epoch, Offset: after}, 100, long), false, want...)
		}
		w.shows(w.read(p, hall, start, 2, long), false, all[:2]...)
	}
}

// retractedMessagesAreGone checks that history has no version of a retracted message, and reports no missing
// messages.
func retractedMessagesAreGone(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	start := w.start(peers[0], hall)
	w.tellIDs(peers[0], hall, "m", 4, long)
	w.edit(peers[0], hall, "m2", 2, "secret", long)
	gone := []string{w.retract(peers[1], hall, "m2", 2, long), w.retract(peers[1], hall, "m1", 1, long)}
	want := append([]string{textOf("m3", "m3"), textOf("m4", "m4")}, gone...)
	for _, p := range peers {
		w.shows(w.read(p, hall, start, 100, long), false, want...)
		w.shows(w.read(p, hall, cluster.Position{Epoch: start.Epoch, Offset: 1}, 1, long), false, want[0])
		w.shows(w.read(p, hall, cluster.Position{Epoch: start.Epoch, Offset: 4}, 9, long), false, gone...)
	}
	w.retract(peers[0], hall, "m4", 4, long)
	w.retract(peers[0], hall, "m3", 3, long)
	page := w.read(peers[1], hall, start, 100, long)
	w.shows(page, false, gone[0], gone[1], "retract m4", "retract m3")
}

func editsNeedTheMessage(w *world) {
	p, hall := w.node("a"), room("hall")
	w.subscribe(hall, p)
	w.tellIDs(p, hall, "m", 3, long)
	edit := func(id string, at uint64, keep cluster.Retention) error {
		return p.Broker.Amend(w.ctx, hall, cluster.Amendment{Message: id, At: at, Payload: []byte(textOf(id, "x"))}, keep)
	}
	w.mustBe("an edit of an unknown message", edit("m9", 2, long), cluster.ErrNoMessage)
	w.mustBe("an edit without an offset", edit("m2", 0, long), cluster.ErrNoMessage)
	w.mustBe("an edit of a later message", edit("m9", 9, long), cluster.ErrNoMessage)
	w.mustBe("an edit in a room without history", p.Broker.Amend(w.ctx, room("other"), cluster.Amendment{Message: "m1", At: 1, Payload: []byte("{}")}, cluster.Retention{}), cluster.ErrNoMessage)
	w.retract(p, hall, "m2", 2, long)
	w.mustBe("an edit of a retracted message", edit("m2", 2, long), cluster.ErrNoMessage)
	w.tellIDs(p, hall, "n", 1, long)
	w.hears(p, hall, textOf("m1", "m1"), textOf("m2", "m2"), textOf("m3", "m3"), "retract m2", textOf("n1", "n1"))
	w.consecutive(p.placesIn(hall))
}

func aMessageIsRetractedOnce(w *world) {
	peers, hall, bare := w.nodes("a", "b"), room("hall"), room("bare")
	for r, keep := range map[cluster.RoomID]cluster.Retention{hall: long, bare: {}} {
		w.subscribe(r, peers...)
		w.tellIDs(peers[0], r, "m", 1, keep)
		w.retract(peers[0], r, "m1", 1, keep)
		w.retract(peers[1], r, "m1", 1, keep)
		w.retract(peers[0], r, "m1", 0, keep)
		w.tellIDs(peers[1], r, "end", 1, keep)
		for _, p := range peers {
			w.hears(p, r, textOf("m1", "m1"), "retract m1", textOf("end1", "end1"))
		}
	}
}

func retractionsNeedNoHistory(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers[1])
	want := w.retract(peers[0], hall, "m1", 0, cluster.Retention{})
	w.hears(peers[1], hall, want)
	want = w.retract(peers[0], hall, "unknown", 0, long)
	w.hears(peers[1], hall, "retract m1", want)
	w.retract(peers[0], room("nobody is here"), "m1", 0, cluster.Retention{})
}

// historyCountsMessages checks that amendments do not push messages out of history.
func historyCountsMessages(w *world) {
	p, hall := w.node("a"), room("hall")
	five := cluster.Retention{Messages: 5, For: time.Hour}
	w.tellIDs(p, hall, "m", 5, five)
	start := cluster.Position{Epoch: w.start(p, hall).Epoch}
	var edits []string
	for i := range 3 {
		edits = append(edits, w.edit(p, hall, fmt.Sprint("m", i+1), uint64(i+1), "new", five))
	}
	all := []string{textOf("m1", "new"), textOf("m2", "new"), textOf("m3", "new"), textOf("m4", "m4"), textOf("m5", "m5")}
	w.shows(w.read(p, hall, start, 100, five), false, slices.Concat(all, edits)...)
	w.tellIDs(p, hall, "n", 2, five)
	page := w.read(p, hall, start, 100, five)
	w.shows(page, true, slices.Concat(all[2:], edits, []string{textOf("n1", "n1"), textOf("n2", "n2")})...)
	w.retract(p, hall, "m4", 4, five)
	page = w.read(p, hall, start, 100, five)
	var messages int
	for _, m := range page.Messages {
		if m.Amends == "" {
			messages++
		}
	}
	if messages < 4 || messages > 5 || !page.Missing { // the message before the last five may be back after the retraction
		w.Errorf("history has %d messages, missing: %v; want 4 or 5, true", messages, page.Missing)
	}
}

// amendmentsHaveABound checks that a room in which one message is edited again and again keeps a bounded
// number of positions, and the last version of the message.
func amendmentsHaveABound(w *world) {
	p, hall := w.node("a"), room("hall")
	ten := cluster.Retention{Messages: 10, For: time.Hour}
	start := w.start(p, hall)
	w.tellIDs(p, hall, "m", 10, ten)
	text := ""
	for i := range 200 {
		text = fmt.Sprint(i, strings.Repeat("x", i))
		a := cluster.Amendment{Message: "m10", At: 10, Payload: []byte(textOf("m10", text))}
		if err := p.Broker.Amend(w.ctx, hall, a, ten); err != nil {
			w.mustBe("an edit of a message that left history", err, cluster.ErrNoMessage)
			break
		}
	}
	page := w.read(p, hall, start, 1000, ten)
	if len(page.Messages) > 40 {
		w.Errorf("history has %d messages and amendments", len(page.Messages))
	}
	for _, m := range page.Messages {
		if id := wire.PayloadID(m.Payload); id == "m10" && string(m.Payload) != textOf("m10", text) {
			w.Errorf("history has %s", m.Payload)
		}
	}
}

// amendmentsOfManyNodesAgree checks that nodes that edit and retract the same messages at once receive
// the amendments in the same order, and that history agrees with that order.
func amendmentsOfManyNodesAgree(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	w.subscribe(hall, peers...)
	start := w.start(peers[0], hall)
	const n = 20
	w.tellIDs(peers[0], hall, "m", n, long)
	w.together(6, func(i int) error {
		for k := range n {
			id := fmt.Sprint("m", k+1)
			a := cluster.Amendment{Message: id, At: uint64(k + 1), Retract: i == 5 && k%2 == 0, Payload: []byte(textOf(id, fmt.Sprint(id, " by ", i)))}
			if err := peers[i%3].Broker.Amend(w.ctx, hall, a, long); err != nil && (k%2 == 1 || a.Retract) {
				return err
			}
		}
		return nil
	})
	w.must(peers[0].Broker.Publish(w.ctx, hall, []byte("end"), long))
	for _, p := range peers {
		w.eventually(p.name+" hears the end", func() bool { return p.hasHeard(hall, "end") })
		if !slices.Equal(p.heardIn(hall), peers[0].heardIn(hall)) {
			w.Errorf("%s and %s received different orders", peers[0].name, p.name)
		}
		w.consecutive(p.placesIn(hall))
	}
	w.shows(w.read(peers[1], hall, start, 1000, long), false, replayed(peers[0].heardIn(hall))...)
}

// replayed returns the contents of history after these messages and amendments.
func replayed(heard []string) (left []string) {
	for _, one := range heard {
		if gone, ok := strings.CutPrefix(one, "retract "); ok {
			left = slices.DeleteFunc(left, func(m string) bool {
				return wire.PayloadID([]byte(m)) == gone || strings.HasPrefix(m, "edit "+gone+" ")
			})
		} else if rest, ok := strings.CutPrefix(one, "edit "); ok {
			edited, text, _ := strings.Cut(rest, " ")
			left = slices.DeleteFunc(left, func(m string) bool { return strings.HasPrefix(m, "edit "+edited+" ") })
			for i, m := range left {
				if wire.PayloadID([]byte(m)) == edited {
					left[i] = text
				}
			}
		}
		left = append(left, one)
	}
	return left
}
