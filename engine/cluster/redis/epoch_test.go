package redis

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
)

// TestPositionsAreTheSameThoughAnEpochEnds checks that a node that reads messages after the end of
// their epoch passes them with the positions that other nodes passed, and that history names the
// end of the epoch, so that the positions can be compared.
func TestPositionsAreTheSameThoughAnEpochEnds(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	cfg := Config{Addresses: []string{f.Address()}}
	a, behind := tr.node(cfg, "a"), tr.node(cfg, "behind")
	hall := tr.rooms[0]
	say := func(texts ...string) {
		for _, text := range texts {
			tr.must(a.Publish(tr.ctx, hall, []byte(text), kept))
		}
	}
	hears := func(w *recorder, n int) {
		eventually(t, fmt.Sprint(w.cfg.Node, " receives ", n), func() bool { return len(w.heardIn(hall)) >= n })
	}
	for _, w := range tr.nodes {
		tr.must(w.Subscribe(tr.ctx, hall))
	}
	say("1")
	hears(behind, 1)
	behind.link.disconnect()
	say("2", "3")
	f.snapshot()()
	say("4", "5")
	hears(a, 5)
	behind.link.mend()
	hears(behind, 5)

	want := a.placesIn(hall)
	if got := behind.placesIn(hall); !slices.Equal(got, want) {
		t.Errorf("positions %v, and %v on the other node", got, want)
	}
	page, err := a.Read(tr.ctx, hall, want[3], 10, kept)
	tr.must(err)
	if page.Top != want[4] || !slices.Equal(page.Former, []cluster.Position{want[2]}) || want[2].Epoch == want[3].Epoch {
		t.Errorf("history is at %v, after %v: want %v, after %v", page.Top, page.Former, want[4], want[2])
	}
}

func (w *recorder) placesIn(room cluster.RoomID) []cluster.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.places[room])
}
