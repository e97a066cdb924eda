package clustertest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

func history() []promise {
	return []promise{
		{"HistoryIsWhatWasDelivered", historyIsWhatWasDelivered},
		{"HistoryOfAnEmptyRoomHasAPosition", historyOfAnEmptyRoom},
		{"RoomsWithoutHistoryHaveAPosition", roomsWithoutHistoryHaveAPosition},
		{"HistoryKeepsTheLast", historyKeepsTheLast},
		{"HistoryHasABoundOfBytes", historyHasABoundOfBytes},
		{"HistoryIsKeptWithoutMembers", historyIsKeptWithoutMembers},
		{"HistoryComesInPages", historyComesInPages},
		{"HistoryKnowsWhatIsMissing", historyKnowsWhatIsMissing},
		{"HistoryGoesAfterItsTime", historyGoesAfterItsTime},
		{"HistoryIsKeptWhereAskedFor", historyIsKeptWhereAskedFor},
		{"HistoryAndLiveMessagesMeet", historyAndLiveMessagesMeet},
		{"HistoryOfRoomsOfAnyNameIsApart", historyOfRoomsOfAnyName},
	}
}

// long keeps all messages of a test.
var long = cluster.Retention{Messages: 1000, For: time.Hour}

// tell publishes the messages "1" to "n" with a retention.
func (w *world) tell(p *peer, room cluster.RoomID, n int, keep cluster.Retention) {
	w.Helper()
	for i := range n {
		w.must(p.Broker.Publish(w.ctx, room, fmt.Append(nil, i+1), keep))
	}
}

func (w *world) read(p *peer, room cluster.RoomID, after cluster.Position, limit int, keep cluster.Retention) cluster.Page {
	w.Helper()
	page, err := p.History.Read(w.ctx, room, after, limit, keep)
	w.must(err)
	if page.Top.Epoch == "" || len(page.Messages) > limit {
		w.Fatalf("a page of %d messages, limit %d, at %+v", len(page.Messages), limit, page.Top)
	}
	return page
}

// readAll reads all messages after a position, and fails the test if one is missing.
func (w *world) readAll(p *peer, room cluster.RoomID, after cluster.Position, keep cluster.Retention) (all []cluster.StoredMessage) {
	w.Helper()
	for {
		page := w.read(p, room, after, 1000, keep)
		if page.Missing {
			w.Fatalf("something after %+v is missing", after)
		}
		all = append(all, page.Messages...)
		if len(page.Messages) < 1000 {
			return all
		}
		after.Offset = page.Messages[999].Offset
	}
}

// start returns the position before the first message of the room's epoch.
func (w *world) start(p *peer, room cluster.RoomID) cluster.Position {
	w.Helper()
	return cluster.Position{Epoch: w.read(p, room, cluster.Position{}, 0, long).Top.Epoch}
}

// shows fails the test unless the page has these messages and this value of Missing.
func (w *world) shows(page cluster.Page, missing bool, want ...string) {
	w.Helper()
	var got []string
	for i, m := range page.Messages {
		if got = append(got, string(m.Payload)); m.Amends != "" {
			got[i] = amended(cluster.Amendment{Message: m.Amends, Retract: m.Retract, Payload: m.Payload})
		}
		if i > 0 && m.Offset <= page.Messages[i-1].Offset {
			w.Errorf("offset %d follows %d", m.Offset, page.Messages[i-1].Offset)
		}
	}
	if !slices.Equal(got, want) || page.Missing != missing {
		w.Fatalf("history gave %.200q, missing: %v; want %.200q, missing: %v", got, page.Missing, want, missing)
	}
}

func historyIsWhatWasDelivered(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers[1])
	before := w.read(peers[1], hall, cluster.Position{}, 0, long).Top
	var want []string
	buf := make([]byte, 8)
	for i, odd := range []string{"", "\x00\xff\r\n", "1:2:3 4", strings.Repeat("x", 64<<10), "end"} {
		want = append(want, odd)
		buf = append(buf[:0], odd...)
		w.must(peers[i%2].Broker.Publish(w.ctx, hall, buf, long))
		copy(buf, "XXXXXXXX")
	}
	w.hears(peers[1], hall, want...)
	places := peers[1].placesIn(hall)
	w.consecutive(places)
	for _, p := range peers {
		page := w.read(p, hall, before, 100, long)
		w.shows(page, false, want...)
		for i, m := range page.Messages {
			if at := (cluster.Position{Epoch: page.Top.Epoch, Offset: m.Offset}); at != places[i] {
				w.Errorf("history has %.20q at %+v, it was received at %+v", m.Payload, at, places[i])
			}
		}
		if top := places[len(places)-1]; page.Top != top {
			w.Errorf("the room is at %+v, want %+v", page.Top, top)
		}
		w.shows(w.read(p, hall, places[2], 100, long), false, want[3:]...)
		w.shows(w.read(p, hall, page.Top, 100, long), false)
	}
}

func historyOfAnEmptyRoom(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	page := w.read(peers[0], hall, cluster.Position{}, 10, long)
	w.shows(page, true) // the messages before are not known
	if page.Top.Offset != 0 {
		w.Errorf("a room in which nothing was said is at %+v", page.Top)
	}
	w.shows(w.read(peers[1], hall, page.Top, 10, long), false)
	w.tell(peers[1], hall, 3, long)
	w.shows(w.read(peers[0], hall, page.Top, 10, long), false, "1", "2", "3")
}

// roomsWithoutHistoryHaveAPosition checks that every node reads the position of the last message.
func roomsWithoutHistoryHaveAPosition(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers...)
	before := w.read(peers[0], hall, cluster.Position{}, 0, cluster.Retention{}).Top
	w.publish(peers[1], hall, "1")
	w.publish(peers[1], hall, "2")
	for _, p := range peers {
		w.hears(p, hall, "1", "2")
		page := w.read(p, hall, cluster.Position{}, 0, cluster.Retention{})
		if places := p.placesIn(hall); page.Top != places[1] || page.Top.Epoch != before.Epoch {
			w.Errorf("the room is at %+v, was at %+v, and its messages are at %+v", page.Top, before, places)
		}
	}
}

func historyKeepsTheLast(w *world) {
	p, hall := w.node("a"), room("hall")
	five := cluster.Retention{Messages: 5, For: time.Hour}
	start := w.start(p, hall)
	w.tell(p, hall, 5, five)
	w.shows(w.read(p, hall, start, 100, five), false, "1", "2", "3", "4", "5")
	w.tell(p, hall, 20, five)
	w.shows(w.read(p, hall, start, 100, five), true, "16", "17", "18", "19", "20")
	at := func(offset uint64) cluster.Position { return cluster.Position{Epoch: start.Epoch, Offset: offset} }
	w.shows(w.read(p, hall, at(19), 100, five), true, "16", "17", "18", "19", "20")
	w.shows(w.read(p, hall, at(20), 100, five), false, "16", "17", "18", "19", "20")
	w.shows(w.read(p, hall, at(24), 100, five), false, "20")
	two := cluster.Retention{Messages: 2, For: time.Hour}
	w.shows(w.read(p, hall, at(20), 100, two), true, "19", "20")
}

// historyHasABoundOfBytes checks rooms of small, large, and different messages: they keep their last
// messages, at most Bytes and not less than the promise allows, and report that others are missing.
func historyHasABoundOfBytes(w *world) {
	p := w.node("a")
	keep := cluster.Retention{Messages: 10_000, For: time.Hour, Bytes: 64 << 10}
	for name, size := range map[string]func(i int) int{
		"small": func(int) int { return 100 }, "large": func(int) int { return 5000 }, "different": func(i int) int { return i * 7919 % 8000 },
	} {
		hall := room(name)
		start := w.start(p, hall)
		const n = 1000
		for i := range n {
			w.must(p.Broker.Publish(w.ctx, hall, fmt.Appendf(nil, "%d %s", i+1, strings.Repeat("x", size(i))), keep))
			if (i+1)%250 != 0 {
				continue
			}
			page, bytes := w.read(p, hall, start, n, keep), int64(0)
			for j, m := range page.Messages {
				bytes += int64(len(m.Payload))
				if want := uint64(i + 2 - len(page.Messages) + j); m.Offset != want {
					w.Fatalf("%s: offset %d, want %d", name, m.Offset, want)
				}
			}
			kept := len(page.Messages)
			whole := kept == i+1
			if bytes > keep.Bytes || page.Missing == whole || !whole && bytes+int64(kept+1)*64+8000 < keep.Bytes/4*3 {
				w.Fatalf("%s: after %d messages %d bytes of history in %d messages, missing: %v; want at most %d bytes", name, i+1, bytes, kept, page.Missing, keep.Bytes)
			}
		}
	}
	huge := room("huge")
	for range 2 {
		w.must(p.Broker.Publish(w.ctx, huge, make([]byte, 100_000), keep))
	}
	if page := w.read(p, huge, w.start(p, huge), 10, keep); len(page.Messages) != 1 || page.Messages[0].Offset != 2 || !page.Missing {
		w.Fatalf("a room keeps %d of the messages that each exceed its bound, missing: %v; want the last", len(page.Messages), page.Missing)
	}
}

func historyIsKeptWithoutMembers(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers[0])
	start := w.start(peers[0], hall)
	w.tell(peers[0], hall, 2, long)
	w.must(peers[0].Broker.Unsubscribe(w.ctx, hall))
	w.tell(peers[1], hall, 2, long)
	w.subscribe(hall, peers[0])
	w.shows(w.read(peers[0], hall, start, 100, long), false, "1", "2", "1", "2")
	w.leaves(peers[0])
	w.shows(w.read(peers[1], hall, start, 100, long), false, "1", "2", "1", "2")
}

func historyComesInPages(w *world) {
	p, hall := w.node("a"), room("hall")
	at := w.start(p, hall)
	const n = 500
	w.tell(p, hall, n, long)
	for next := 1; next <= n; {
		page := w.read(p, hall, at, 7, long)
		if page.Missing || len(page.Messages) != min(7, n-next+1) || page.Top.Offset != n {
			w.Fatalf("after %+v came %d messages, missing: %v, at %+v", at, len(page.Messages), page.Missing, page.Top)
		}
		for _, m := range page.Messages {
			if string(m.Payload) != fmt.Sprint(next) || m.Offset != uint64(next) {
				w.Fatalf("%q is at %d, want %d", m.Payload, m.Offset, next)
			}
			next++
			at.Offset = m.Offset
		}
	}
	w.shows(w.read(p, hall, at, 7, long), false)
	if page, err := p.History.Read(w.ctx, hall, at, -1, long); err == nil {
		w.Errorf("a limit of -1 gave %+v", page)
	}
}

func historyKnowsWhatIsMissing(w *world) {
	p, hall := w.node("a"), room("hall")
	w.tell(p, hall, 3, long)
	top := w.read(p, hall, cluster.Position{}, 0, long).Top
	for _, at := range []cluster.Position{
		{Epoch: top.Epoch, Offset: top.Offset + 1}, {Epoch: top.Epoch, Offset: 1 << 63},
		{Epoch: "another", Offset: 1}, {Epoch: "another"}, {Offset: 1}, {Epoch: "\x00:{}*", Offset: 2},
		{Epoch: strings.Repeat("e", 10_000), Offset: 3},
	} {
		page := w.read(p, hall, at, 10, long)
		w.shows(page, true)
		if page.Top != top {
			w.Errorf("the room is at %+v, want %+v", page.Top, top)
		}
	}
}

// historyGoesAfterItsTime checks that old messages are removed, also in a room with new ones.
func historyGoesAfterItsTime(w *world) {
	p, hall := w.node("a"), room("hall")
	brief := cluster.Retention{Messages: 1000, For: 50 * time.Millisecond}
	start := w.start(p, hall)
	w.must(p.Broker.Publish(w.ctx, hall, []byte("first"), brief))
	w.eventually("the first message is forgotten", func() bool {
		w.must(p.Broker.Publish(w.ctx, hall, []byte("more"), brief))
		page := w.read(p, hall, start, 1, brief)
		return page.Missing && (len(page.Messages) == 0 || string(page.Messages[0].Payload) != "first")
	})
	w.eventually("all are forgotten", func() bool {
		page := w.read(p, hall, start, 1, brief)
		return page.Missing && len(page.Messages) == 0
	})
}

// historyIsKeptWhereAskedFor checks that history lacks messages without retention, and that
// offsets continue.
func historyIsKeptWhereAskedFor(w *world) {
	p, hall := w.node("a"), room("hall")
	w.subscribe(hall, p)
	start := w.start(p, hall)
	w.publish(p, hall, "gone")
	w.tell(p, hall, 2, long)
	w.hears(p, hall, "gone", "1", "2")
	w.consecutive(p.placesIn(hall))
	none := w.read(p, hall, start, 10, cluster.Retention{})
	w.shows(none, true)
	w.shows(w.read(p, hall, cluster.Position{Epoch: start.Epoch, Offset: 1}, 10, long), false, "1", "2")
}

// historyAndLiveMessagesMeet checks nodes that subscribe and read in the middle of many streams:
// the messages that a node reads and the messages that are delivered after them are the room's
// order.
func historyAndLiveMessagesMeet(w *world) {
	peers := w.nodes("a", "b", "c")
	all := cluster.Retention{Messages: 1_000_000, For: time.Hour}
	for round := range 20 {
		r := room(fmt.Sprintf("room %d", round))
		start := w.start(peers[0], r)
		streams := make([]stream, 4)
		for i := range streams {
			streams[i].keep = all
			streams[i].start(w, peers[i%3], r, i)
		}
		w.subscribe(r, peers[1])
		read := w.readAll(peers[1], r, start, all)
		for i := range streams {
			streams[i].finish(w)
		}
		w.must(peers[2].Broker.Publish(w.ctx, r, []byte("end"), all))
		w.eventually("the end is received", func() bool { return peers[1].hasHeard(r, "end") })
		order := w.readAll(peers[0], r, start, all)
		next := uint64(len(read)) + 1
		for i, at := range peers[1].placesIn(r) {
			if at.Offset > next {
				w.Fatalf("history ended before %d, and %d was received next", next, at.Offset)
			}
			if got, want := peers[1].heardIn(r)[i], string(order[at.Offset-1].Payload); got != want {
				w.Fatalf("%q was received at %d, history has %q", got, at.Offset, want)
			}
			next = max(next, at.Offset+1)
		}
		if next != uint64(len(order))+1 {
			w.Fatalf("all of %d messages were to be read or received, and the last was %d", len(order), next-1)
		}
	}
}

func historyOfRoomsOfAnyName(w *world) {
	p := w.node("a")
	starts := map[cluster.RoomID]cluster.Position{}
	for _, r := range oddRooms() {
		starts[r] = w.start(p, r)
		w.must(p.Broker.Publish(w.ctx, r, fmt.Appendf(nil, "for %q", r), long))
	}
	for _, r := range oddRooms() {
		w.shows(w.read(p, r, starts[r], 10, long), false, fmt.Sprintf("for %q", r))
	}
}
