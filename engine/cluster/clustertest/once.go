package clustertest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/mootchat/moot/engine/cluster"
)

// once publishes a message once and returns its position.
func (w *world) once(p *peer, room cluster.RoomID, id, payload string, keep cluster.Retention) cluster.Position {
	w.Helper()
	at, err := p.Broker.PublishOnce(w.ctx, room, id, []byte(payload), keep)
	if err != nil {
		w.Fatalf("publish %s once: %v", id, err)
	}
	return at
}

// anIDIsPublishedOnce checks that one of several calls with the same id publishes its message, and that all return the
// position of that message. The calls are on two nodes, first one after the other and then at once.
func anIDIsPublishedOnce(w *world) {
	peers := w.nodes("a", "b")
	for name, keep := range map[string]cluster.Retention{"kept": long, "healed": {}, "ephemeral": {Ephemeral: true}} {
		hall := room(name)
		w.subscribe(hall, peers...)
		first := w.once(peers[0], hall, "id", "first", keep)
		if second := w.once(peers[1], hall, "id", "second", keep); second != first || (first == cluster.Position{}) != keep.Ephemeral {
			w.Errorf("%s: the positions are %+v and %+v", name, first, second)
		}
		var mu sync.Mutex
		places := map[cluster.Position]int{}
		w.together(8, func(i int) error {
			at, err := peers[i%2].Broker.PublishOnce(w.ctx, hall, "at-once", fmt.Append(nil, "call ", i), keep)
			mu.Lock()
			defer mu.Unlock()
			places[at]++
			return err
		})
		w.once(peers[1], hall, "last", "last", keep)
		var heard []string
		for _, p := range peers {
			w.eventually(p.name+" receives the last", func() bool { return p.hasHeard(hall, "last") })
			if heard = p.heardIn(hall); len(heard) != 3 || heard[0] != "first" {
				w.Errorf("%s: %s received %q, want first, one of the calls, and last", name, p.name, heard)
			}
		}
		if len(places) != 1 {
			w.Errorf("%s: the calls at once return the positions %v", name, places)
		}
		if keep.Ephemeral {
			continue
		}
		if at := peers[0].placesIn(hall); at[0] != first || places[at[1]] != 8 {
			w.Errorf("%s: the messages are at %v, the calls return %+v and %v", name, at, first, places)
		}
	}
}

// anIDIsPublishedOnceToNobody checks that an id counts as published even if the room had no subscribers, and that rooms do not
// share ids.
func anIDIsPublishedOnceToNobody(w *world) {
	a, hall, other := w.node("a"), room("hall"), room("other")
	for name, keep := range map[string]cluster.Retention{"healed": {}, "ephemeral": {Ephemeral: true}} {
		w.once(a, hall, name, "nobody", keep)
		w.subscribe(hall, a)
		w.subscribe(other, a)
		w.once(a, hall, name, "again", keep)
		w.once(a, other, name, "other "+name, keep)
		w.once(a, hall, name+"-last", "last "+name, keep)
		w.eventually("the last is received", func() bool { return a.hasHeard(hall, "last "+name) && a.hasHeard(other, "other "+name) })
		if heard := a.heardIn(hall); slices.Contains(heard, "again") || slices.Contains(heard, "nobody") {
			w.Errorf("%s: it received %q", name, heard)
		}
		if err := a.Broker.Unsubscribe(w.ctx, hall); err != nil {
			w.Fatal(err)
		}
	}
}

// onceBesideOthers checks that a repeated call of PublishOnce takes no position in the room's order, and does not disturb
// the messages that other nodes publish at the same time.
func onceBesideOthers(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers...)
	w.together(4, func(i int) error {
		for k := range 50 {
			p := peers[i%2]
			var err error
			if k%2 == 0 {
				err = p.Broker.Publish(w.ctx, hall, []byte(says(hall, i, int64(k/2))), cluster.Retention{})
			} else {
				_, err = p.Broker.PublishOnce(w.ctx, hall, fmt.Sprint("id-", k), fmt.Append(nil, "once ", k), cluster.Retention{})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range peers {
		w.eventually(p.name+" receives all", func() bool { return len(p.heardIn(hall)) >= 4*25+25 })
		heard := p.heardIn(hall)
		if all := slices.Compact(slices.Sorted(slices.Values(heard))); len(all) != len(heard) || len(heard) != 4*25+25 {
			w.Errorf("%s received %d messages, %d of them different, want %d", p.name, len(heard), len(all), 4*25+25)
		}
		if !slices.Equal(heard, peers[0].heardIn(hall)) {
			w.Errorf("%s received another order", p.name)
		}
	}
	w.consecutive(peers[0].placesIn(hall))
}

// idsAreChecked checks that an id that a backend could not keep is refused.
func idsAreChecked(w *world) {
	a := w.node("a")
	for _, id := range []string{"", "a b", "a.b", "a~b", "1234567890123456789012345"} {
		if _, err := a.Broker.PublishOnce(w.ctx, room("hall"), id, []byte("x"), cluster.Retention{}); err == nil {
			w.Errorf("the id %q was accepted", id)
		}
	}
}
