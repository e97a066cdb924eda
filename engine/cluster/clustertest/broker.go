package clustertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/mootchat/moot/engine/cluster"
)

func broker() []promise {
	return []promise{
		{"EveryNodeHearsOneOrderOnce", everyNodeHearsOneOrderOnce},
		{"SubscriberMissesNothing", subscriberMissesNothing},
		{"SubscribingTwiceIsSubscribingOnce", subscribingTwice},
		{"UnsubscribedHearsNothing", unsubscribedHearsNothing},
		{"LeaverDoesNotDeafenJoiner", leaverDoesNotDeafenJoiner},
		{"PublishingToNobodyIsFine", publishingToNobody},
		{"ManyRoomsAtOnce", manyRoomsAtOnce},
		{"SlowRoomDoesNotHoldUpOthers", slowRoomDoesNotHoldUpOthers},
		{"PayloadIsThePublishersAgain", payloadMayBeReused},
		{"PayloadArrivesAsItWas", payloadArrivesAsItWas},
		{"RoomsOfAnyNameAreApart", roomsOfAnyNameAreApart},
		{"FlushedHasHeardAll", flushedHasHeardAll},
		{"EphemeralMessagesHaveNoPlace", ephemeralMessagesHaveNoPlace},
		{"AnIDIsPublishedOnce", anIDIsPublishedOnce},
		{"AnIDIsPublishedOnceToNobody", anIDIsPublishedOnceToNobody},
		{"OnceBesideOthers", onceBesideOthers},
		{"IDsAreChecked", idsAreChecked},
	}
}

// says returns the k-th message of a sender.
func says(room cluster.RoomID, sender int, k int64) string {
	return fmt.Sprintf("%s sender%d %d", room.Room, sender, k)
}

// send publishes a sender's messages 0 to n-1.
func (w *world) send(p *peer, room cluster.RoomID, sender, n int) error {
	for k := range n {
		if err := p.Broker.Publish(w.ctx, room, []byte(says(room, sender, int64(k))), cluster.Retention{}); err != nil {
			return err
		}
	}
	return nil
}

// inOrder fails the test unless the peer has received each sender's n messages once, in the order
// of sending.
func (w *world) inOrder(p *peer, room cluster.RoomID, senders, n int) {
	w.Helper()
	w.eventually(fmt.Sprintf("%s receives all of %q", p.name, room.Room), func() bool { return len(p.heardIn(room)) >= senders*n })
	next := map[string]int{}
	for _, payload := range p.heardIn(room) {
		cut := strings.LastIndexByte(payload, ' ')
		sender := payload[:cut]
		if want := fmt.Sprintf("%s %d", sender, next[sender]); payload != want {
			w.Fatalf("%s received %q, want %q", p.name, payload, want)
		}
		next[sender]++
	}
	if len(next) != senders {
		w.Fatalf("%s received %d senders, want %d", p.name, len(next), senders)
	}
}

func everyNodeHearsOneOrderOnce(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	w.subscribe(hall, peers...)
	w.together(6, func(i int) error { return w.send(peers[i%3], hall, i, 100) })
	for _, p := range peers {
		w.inOrder(p, hall, 6, 100)
	}
	w.consecutive(peers[0].placesIn(hall))
	for _, p := range peers[1:] {
		if !slices.Equal(p.heardIn(hall), peers[0].heardIn(hall)) {
			w.Errorf("%s and %s received different orders", peers[0].name, p.name)
		}
		if !slices.Equal(p.placesIn(hall), peers[0].placesIn(hall)) {
			w.Errorf("%s and %s received different positions", peers[0].name, p.name)
		}
	}
}

// consecutive fails the test unless the positions follow each other without a gap.
func (w *world) consecutive(places []cluster.Position) {
	w.Helper()
	for i, p := range places {
		if want := (cluster.Position{Epoch: places[0].Epoch, Offset: places[0].Offset + uint64(i)}); p != want || p.Epoch == "" || p.Offset == 0 {
			w.Fatalf("message %d is at %+v, want %+v", i, p, want)
		}
	}
}

// subscriberMissesNothing checks a node that subscribes in the middle of many streams. The node
// must receive the room's order from some position on, with all messages whose Publish had not
// begun when Subscribe returned.
func subscriberMissesNothing(w *world) {
	peers := w.nodes("a", "b", "c")
	for round := range 50 {
		r := room(fmt.Sprintf("room %d", round))
		w.subscribe(r, peers[0])
		streams := make([]stream, 4)
		for i := range streams {
			streams[i].start(w, peers[i%3], r, i)
		}
		w.subscribe(r, peers[1])
		var from []int64
		for i := range streams {
			from = append(from, streams[i].finish(w))
		}
		w.publish(peers[2], r, "end")
		for _, p := range peers[:2] {
			w.eventually(p.name+" receives the end", func() bool { return p.hasHeard(r, "end") })
		}
		all, heard := peers[0].heardIn(r), peers[1].heardIn(r)
		if len(heard) > len(all) || !slices.Equal(heard, all[len(all)-len(heard):]) {
			w.Fatalf("a late subscriber received\n%q\nand an early one\n%q", heard, all)
		}
		for i, k := range from {
			if !slices.Contains(heard, says(r, i, k)) {
				w.Fatalf("%q was published after Subscribe, and not received", says(r, i, k))
			}
		}
	}
}

// stream is a sender that publishes until finish.
type stream struct {
	begun atomic.Int64 // number of calls of Publish
	last  atomic.Int64 // number of calls after which it ends; 0: open
	keep  cluster.Retention
	sent  chan error
}

func (s *stream) start(w *world, p *peer, room cluster.RoomID, sender int) {
	s.sent = make(chan error, 1)
	go func() {
		for k := int64(0); s.last.Load() == 0 || k < s.last.Load(); k++ {
			s.begun.Store(k + 1)
			if err := p.Broker.Publish(w.ctx, room, []byte(says(room, sender, k)), s.keep); err != nil {
				s.sent <- err
				return
			}
		}
		s.sent <- nil
	}()
}

// finish sends a few more messages, and returns the first that had not begun.
func (s *stream) finish(w *world) int64 {
	next := s.begun.Load()
	s.last.Store(next + 5)
	w.must(<-s.sent)
	return next
}

func subscribingTwice(w *world) {
	p, hall := w.node("a"), room("hall")
	w.subscribe(hall, p, p)
	w.publish(p, hall, "1")
	w.publish(p, hall, "2")
	w.hears(p, hall, "1", "2")
	w.must(p.Broker.Unsubscribe(w.ctx, hall))
	w.publish(p, hall, "3")
	w.subscribe(hall, p)
	w.publish(p, hall, "4")
	w.hears(p, hall, "1", "2", "4")
}

func unsubscribedHearsNothing(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers...)
	w.publish(peers[0], hall, "1")
	w.hears(peers[1], hall, "1")
	w.must(peers[1].Broker.Unsubscribe(w.ctx, hall))
	w.must(peers[1].Broker.Unsubscribe(w.ctx, hall)) // without a subscription it is not an error
	for _, p := range peers {
		w.publish(p, hall, "2 from "+p.name)
	}
	w.subscribe(hall, peers[1])
	w.publish(peers[0], hall, "3")
	w.hears(peers[1], hall, "1", "3")
	w.hears(peers[0], hall, "1", "2 from a", "2 from b", "3")
}

// leaverDoesNotDeafenJoiner checks that each node receives its own messages while it is
// subscribed, although every node subscribes to the same rooms and unsubscribes again.
func leaverDoesNotDeafenJoiner(w *world) {
	peers := w.nodes("a", "b", "c")
	halls := []cluster.RoomID{room("hall"), room("hall 2")}
	w.together(len(peers)*len(halls), func(i int) error {
		p, hall := peers[i/len(halls)], halls[i%len(halls)]
		for round := range 40 {
			mark := fmt.Sprintf("%s %d", p.name, round)
			if err := p.Broker.Subscribe(w.ctx, hall); err != nil {
				return err
			}
			if err := p.Broker.Publish(w.ctx, hall, []byte(mark), cluster.Retention{}); err != nil {
				return err
			}
			if err := w.wait(func() bool { return p.hasHeard(hall, mark) }); err != nil {
				return fmt.Errorf("%s is deaf in %q: %w", p.name, hall.Room, err)
			}
			if err := p.Broker.Unsubscribe(w.ctx, hall); err != nil {
				return err
			}
		}
		return nil
	})
}

func publishingToNobody(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.publish(peers[0], hall, "1")
	w.subscribe(hall, peers[1])
	w.publish(peers[0], hall, "2")
	w.hears(peers[1], hall, "2") // and no message from before
}

func manyRoomsAtOnce(w *world) {
	peers := w.nodes("a", "b")
	var halls []cluster.RoomID
	for i := range 50 {
		halls = append(halls, room(fmt.Sprintf("room %d", i)))
		w.subscribe(halls[i], peers...)
	}
	w.together(2*len(halls), func(i int) error { return w.send(peers[i%2], halls[i/2], i%2, 20) })
	for _, hall := range halls {
		for _, p := range peers {
			w.inOrder(p, hall, 2, 20)
			for _, payload := range p.heardIn(hall) {
				if !strings.HasPrefix(payload, hall.Room+" sender") {
					w.Fatalf("%q was received in %q", payload, hall.Room)
				}
			}
		}
	}
}

func slowRoomDoesNotHoldUpOthers(w *world) {
	peers := w.nodes("a", "b")
	slow, quick := room("slow"), cluster.RoomID{Tenant: "another", Room: "quick"}
	w.subscribe(slow, peers[1])
	w.subscribe(quick, peers[1])
	sent := make(chan error, 1)
	go func() { sent <- peers[0].Broker.Publish(w.ctx, slow, []byte(held), cluster.Retention{}) }()
	w.eventually("the slow room is being delivered", func() bool { return peers[1].holds(slow) })
	w.publish(peers[0], quick, "1")
	w.hears(peers[1], quick, "1")
	if !peers[1].holds(slow) {
		w.Error("the slow room did not stay slow")
	}
	close(peers[1].release)
	w.must(<-sent)
	w.hears(peers[1], slow, held)
}

func payloadMayBeReused(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers...)
	var want []string
	buf := make([]byte, 8)
	for i := range 200 {
		want = append(want, fmt.Sprintf("%08d", i))
		copy(buf, want[i])
		w.must(peers[0].Broker.Publish(w.ctx, hall, buf, cluster.Retention{}))
		copy(buf, "XXXXXXXX")
	}
	for _, p := range peers {
		w.hears(p, hall, want...)
	}
}

func payloadArrivesAsItWas(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers...)
	big := make([]byte, 64<<10)
	for i := range big {
		big[i] = byte(rand.Uint32())
	}
	want := []string{"", "\x00\xff\r\n", "1:2:3", " ", string(big), "end"}
	for _, payload := range want {
		w.publish(peers[0], hall, payload)
	}
	for _, p := range peers {
		w.hears(p, hall, want...)
	}
}

func roomsOfAnyNameAreApart(w *world) {
	peers := w.nodes("a", "b")
	for _, r := range oddRooms() {
		w.subscribe(r, peers[1])
	}
	for _, r := range oddRooms() {
		w.publish(peers[0], r, fmt.Sprintf("for %q", r))
		w.publish(peers[0], r, "end")
	}
	for _, r := range oddRooms() {
		w.hears(peers[1], r, fmt.Sprintf("for %q", r), "end")
	}
}

// flushedHasHeardAll checks that the messages that all nodes published before a Flush are
// delivered when it returns, and that Flush returns without a subscription or a message.
func flushedHasHeardAll(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.must(peers[1].Broker.Flush(w.ctx, hall))
	w.subscribe(hall, peers[1])
	w.must(peers[1].Broker.Flush(w.ctx, hall))
	for k := range 50 {
		last := ""
		for i := range 5 {
			last = fmt.Sprint(k, " ", i)
			w.publish(peers[0], hall, last)
		}
		w.must(peers[1].Broker.Flush(w.ctx, hall))
		if !peers[1].hasHeard(hall, last) {
			w.Fatalf("%q was not received when Flush returned", last)
		}
	}
	w.must(peers[0].Broker.Flush(w.ctx, hall)) // without a subscription
}

// ephemeralMessagesHaveNoPlace checks that ephemeral messages arrive in one order, are not in
// history, and take no position.
func ephemeralMessagesHaveNoPlace(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	brief := cluster.Retention{Ephemeral: true}
	for _, p := range peers {
		w.subscribe(hall, p)
	}
	var want []string
	for k := range 100 {
		want = append(want, says(hall, 0, int64(k)))
		w.must(peers[0].Broker.Publish(w.ctx, hall, []byte(want[k]), brief))
	}
	for _, p := range peers {
		w.must(p.Broker.Flush(w.ctx, hall))
		w.hears(p, hall, want...)
		for _, at := range p.placesIn(hall) {
			if at != (cluster.Position{}) {
				w.Fatalf("an ephemeral message is at %+v", at)
			}
		}
	}
	w.publish(peers[1], hall, "first")
	w.must(peers[1].Broker.Flush(w.ctx, hall))
	w.must(peers[0].Broker.Publish(w.ctx, hall, []byte("brief"), brief))
	w.must(peers[1].Broker.Flush(w.ctx, hall))
	w.publish(peers[1], hall, "second")
	for _, p := range peers {
		w.eventually("the second is received", func() bool { return p.hasHeard(hall, "second") })
		var places []cluster.Position
		for i, text := range p.heardIn(hall) {
			if text == "first" || text == "second" {
				places = append(places, p.placesIn(hall)[i])
			}
		}
		w.consecutive(places)
	}
}
