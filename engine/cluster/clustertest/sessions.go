package clustertest

import (
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

func sessions() []promise {
	return []promise{
		{"SessionIsTakenOnce", sessionIsTakenOnce},
		{"SessionComesBackAsItWas", sessionComesBackAsItWas},
		{"SessionOutlivesItsNode", sessionOutlivesItsNode},
		{"SessionEndsOnce", sessionEndsOnce},
		{"SessionIsTakenOrEnds", sessionIsTakenOrEnds},
		{"SessionsAreListed", sessionsAreListed},
		{"RedirectsNeedNoOtherNode", redirectsNeedNoOtherNode},
	}
}

func sessionIsTakenOnce(w *world) {
	peers := w.nodes("a", "b", "c")
	for round := range 20 {
		key := fmt.Sprint("key ", round)
		w.must(peers[0].Sessions.Park(w.ctx, key, []byte(key), time.Hour))
		var taken atomic.Int64
		w.together(12, func(i int) error {
			got, err := peers[i%3].Sessions.Take(w.ctx, key)
			switch {
			case errors.Is(err, cluster.ErrNoSession):
				return nil
			case err == nil && string(got) != key:
				return fmt.Errorf("took %q, want %q", got, key)
			case err == nil:
				taken.Add(1)
			}
			return err
		})
		if taken.Load() != 1 {
			w.Fatalf("the session was taken %d times", taken.Load())
		}
	}
	_, err := peers[0].Sessions.Take(w.ctx, "never parked")
	w.mustBe("take a session that was not parked", err, cluster.ErrNoSession)
}

func sessionComesBackAsItWas(w *world) {
	peers := w.nodes("a", "b")
	buf := make([]byte, 0, 300<<10)
	for i, odd := range []string{"", "\x00\xff\r\n", "1 2|3:4", string(make([]byte, 300<<10))} {
		key := fmt.Sprint("key ", i)
		buf = append(buf[:0], odd...)
		w.must(peers[0].Sessions.Park(w.ctx, key, buf, time.Hour))
		copy(buf, "XXXXXXXX")
		got, err := peers[1].Sessions.Take(w.ctx, key)
		w.must(err)
		if string(got) != odd {
			w.Errorf("took %.40q, want %.40q", got, odd)
		}
	}
}

func sessionOutlivesItsNode(w *world) {
	peers := w.nodes("a", "b", "c")
	w.must(peers[0].Sessions.Park(w.ctx, "of a", []byte("of a"), time.Hour))
	w.must(peers[1].Sessions.Park(w.ctx, "of b", []byte("of b"), time.Hour))
	w.leaves(peers[0])
	w.kill(peers[1])
	for _, key := range []string{"of a", "of b"} {
		got, err := peers[2].Sessions.Take(w.ctx, key)
		w.must(err)
		if string(got) != key {
			w.Errorf("took %q, want %q", got, key)
		}
	}
}

// sessionEndsOnce checks that a session that no node took ends once, also if a node leaves at
// that time.
func sessionEndsOnce(w *world) {
	peers := w.nodes("a", "b", "c")
	for i := range 20 {
		w.must(peers[0].Sessions.Park(w.ctx, fmt.Sprint("key ", i), fmt.Append(nil, "session ", i), 50*time.Millisecond))
	}
	w.leaves(peers[0])
	times := func(session string) (n int) {
		for _, p := range peers {
			n += p.hasEnded(session)
		}
		return n
	}
	for i := range 20 {
		session := fmt.Sprint("session ", i)
		w.eventually(session+" has ended", func() bool { return times(session) > 0 })
		_, err := peers[1].Sessions.Take(w.ctx, fmt.Sprint("key ", i))
		w.mustBe("take a session that has ended", err, cluster.ErrNoSession)
	}
	// A session that ends later shows that the others do not end again.
	w.must(peers[1].Sessions.Park(w.ctx, "last", []byte("last"), time.Millisecond))
	w.eventually("the last has ended", func() bool { return times("last") > 0 })
	for i := range 20 {
		if n := times(fmt.Sprint("session ", i)); n != 1 {
			w.Errorf("session %d ended %d times", i, n)
		}
	}
}

// sessionIsTakenOrEnds checks that a session that is taken at the moment of its end is either
// taken or ended, once.
func sessionIsTakenOrEnds(w *world) {
	peers := w.nodes("a", "b")
	const n = 50
	var taken [n]atomic.Int64
	for i := range n {
		w.must(peers[0].Sessions.Park(w.ctx, fmt.Sprint("key ", i), fmt.Append(nil, i), time.Duration(i)*time.Millisecond+time.Millisecond))
	}
	w.together(n, func(i int) error {
		_, err := peers[1].Sessions.Take(w.ctx, fmt.Sprint("key ", i))
		if err == nil {
			taken[i].Add(1)
		} else if !errors.Is(err, cluster.ErrNoSession) {
			return err
		}
		return nil
	})
	for i := range n {
		total := func() int64 {
			return taken[i].Load() + int64(peers[0].hasEnded(fmt.Sprint(i))+peers[1].hasEnded(fmt.Sprint(i)))
		}
		w.eventually(fmt.Sprintf("session %d is taken or has ended", i), func() bool { return total() > 0 })
		if total() != 1 {
			w.Errorf("session %d came %d times", i, total())
		}
	}
}

// sessionsAreListed checks that every node lists the sessions that are parked, and no others.
func sessionsAreListed(w *world) {
	peers := w.nodes("a", "b")
	want := map[string]string{}
	for i := range 300 {
		key, session := fmt.Sprint("key ", i), fmt.Sprint("session ", i)
		w.must(peers[i%2].Sessions.Park(w.ctx, key, []byte(session), time.Hour))
		if i%3 == 0 {
			_, err := peers[1].Sessions.Take(w.ctx, key)
			w.must(err)
			continue
		}
		want[key] = session
	}
	for _, p := range peers {
		got := map[string]string{}
		w.must(p.Sessions.Each(w.ctx, func(key string, session []byte) { got[key] = string(session) }))
		if !maps.Equal(got, want) {
			w.Errorf("%d sessions are listed, want %d", len(got), len(want))
		}
	}
}

// redirectsNeedNoOtherNode checks that the only node of a cluster keeps a redirect, that one call takes it,
// and that it expires.
func redirectsNeedNoOtherNode(w *world) {
	alone := w.nodes("a")[0]
	w.must(alone.Sessions.Redirect(w.ctx, "old", []byte("to new"), time.Hour))
	got, err := alone.Sessions.Take(w.ctx, "old")
	w.must(err)
	if string(got) != "to new" {
		w.Errorf("took %q, want the redirect", got)
	}
	_, err = alone.Sessions.Take(w.ctx, "old")
	w.mustBe("take a redirect again", err, cluster.ErrNoSession)
	w.must(alone.Sessions.Redirect(w.ctx, "older", []byte("to old"), time.Millisecond))
	w.eventually("the redirect has ended", func() bool { return alone.hasEnded("to old") == 1 })
	_, err = alone.Sessions.Take(w.ctx, "older")
	w.mustBe("take a redirect that has ended", err, cluster.ErrNoSession)
}
