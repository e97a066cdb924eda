package engine_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
)

// leavers counts the calls of the join and leave hooks, by connection, room and cause.
type leavers struct {
	mu     sync.Mutex
	joined map[string]int // by connection and room
	left   map[string]int
	causes map[hook.Cause]int
}

func (n *node) countLeavers(verdict func(ev *hook.Event) hook.Verdict) *leavers {
	l := &leavers{joined: map[string]int{}, left: map[string]int{}, causes: map[hook.Cause]int{}}
	n.on(hook.Join, func(ev *hook.Event) hook.Verdict {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.joined[ev.Conn.ID+" "+ev.Room]++
		return allow()
	})
	n.on(hook.Leave, func(ev *hook.Event) hook.Verdict {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.causes[ev.Cause]++
		l.left[ev.Conn.ID+" "+ev.Room]++
		return verdict(ev)
	})
	return l
}

func allowed(*hook.Event) hook.Verdict { return allow() }

func (l *leavers) check(w *world, cause hook.Cause, want int) {
	w.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for _, n := range l.causes {
		total += n
	}
	if l.causes[cause] != want || total != want {
		w.Errorf("leave ran for %v, want %d times for %s", l.causes, want, cause)
	}
}

func TestEveryLeaveHasItsCause(t *testing.T) {
	for cause, leave := range map[hook.Cause]func(w *world, n *node, c *client){
		hook.CauseRoomLeave:  func(_ *world, _ *node, c *client) { c.do(roomLeave("r")) },
		hook.CauseDisconnect: func(_ *world, _ *node, c *client) { c.HangUp() },
		hook.CauseDestroyed:  func(w *world, n *node, _ *client) { w.must(n.DestroyRoom(w.Context(), in("r")), nil) },
		hook.CauseRemoved:    func(w *world, n *node, c *client) { w.must(n.RemoveMember(w.Context(), in("r"), c.ID()), nil) },
	} {
		t.Run(string(cause), func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("n")
				l := n.countLeavers(allowed)
				c := n.client().do(roomAdd("r"))
				leave(w, n, c)
				l.check(w, cause, 1)
				n.isEmpty("r")
			})
		})
	}
}

func TestOnlyRoomLeaveCanBeDenied(t *testing.T) {
	for _, verdict := range []hook.Verdict{deny("stay"), {Outcome: hook.Failed}, {Outcome: hook.Dropped}} {
		inWorld(t, func(w *world) {
			n := w.node("n")
			var causes []hook.Cause
			n.countLeavers(func(ev *hook.Event) hook.Verdict {
				causes = append(causes, ev.Cause)
				return verdict
			})
			a, b, c := n.client().do(roomAdd("r")), n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
			text := map[hook.Outcome]string{hook.Denied: "stay", hook.Failed: "middleware error", hook.Dropped: "denied"}[verdict.Outcome]
			a.says(roomLeave("r"), failed(text))
			n.has("r", a, b, c)
			a.says(say("r", "still here"), ok, chat("r", a.ID(), "still here"))
			a.HangUp()
			n.has("r", b, c)
			w.must(n.RemoveMember(w.Context(), in("r"), b.ID()), nil)
			n.has("r", c)
			w.must(n.DestroyRoom(w.Context(), in("r")), nil)
			n.isEmpty("r")
			want := []hook.Cause{hook.CauseRoomLeave, hook.CauseDisconnect, hook.CauseRemoved, hook.CauseDestroyed}
			if fmt.Sprint(causes) != fmt.Sprint(want) {
				w.Errorf("leave ran for %v, want %v", causes, want)
			}
		})
	}
}

// TestLeaveRunsOnceHoweverAMembershipEnds checks that leave runs once for each membership
// and nothing of it remains, while memberships end in several ways at once and others
// begin.
func TestLeaveRunsOnceHoweverAMembershipEnds(t *testing.T) {
	for seed := range uint64(40) {
		inWorld(t, func(w *world) {
			n := w.node("n")
			l := n.countLeavers(allowed)
			random := rand.New(rand.NewPCG(seed, 1))
			var all sync.WaitGroup
			for range 12 {
				c := n.client()
				var ways []func()
				ways = append(ways,
					func() { c.Sink.Close() },
					func() { _ = n.RemoveMember(w.Context(), in("r"), c.ID()) },
					func() { <-c.Begin(roomLeave("r")) },
					func() { <-c.Begin(roomAdd("r")) },
					func() { _ = n.AddMember(w.Context(), in("r"), c.ID()) },
					func() { _ = n.AddMember(w.Context(), in("q"), c.ID()) },
				)
				<-c.Begin(roomAdd("r"))
				random.Shuffle(len(ways), func(i, j int) { ways[i], ways[j] = ways[j], ways[i] })
				for _, way := range ways[:2+random.IntN(5)] {
					all.Go(way)
				}
			}
			destroyed := seed%2 == 1
			if destroyed {
				all.Go(func() { _ = n.DestroyRoom(w.Context(), in("r")) })
			}
			all.Wait()
			w.must(n.Shutdown(w.Context(), 0), nil)
			for membership, joined := range l.joined {
				// The join chain may allow a join that then fails because the room was
				// destroyed.
				if left := l.left[membership]; left != joined && !destroyed || left > joined {
					w.Errorf("seed %d: %s was joined %d times and left %d times", seed, membership, joined, left)
				}
			}
			n.isEmpty("r")
			n.isEmpty("q")
		})
	}
}

func TestDestroyWhileJoinsAreUnderWayLeavesNoGhosts(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate := make(chan struct{})
		n.on(hook.Join, func(*hook.Event) hook.Verdict { <-gate; return allow() })
		var joins []<-chan struct{}
		var clients []*client
		for range 10 {
			c := n.client()
			clients = append(clients, c)
			joins = append(joins, c.Begin(roomAdd("r")))
		}
		synctest.Wait()
		w.must(n.DestroyRoom(w.Context(), in("r")), nil)
		w.must(n.CreateRoom(w.Context(), in("r")), nil) // a new room with the same name
		close(gate)
		for i, c := range clients {
			<-joins[i]
			c.hears(failed("room does not exist"))
			if len(c.Rooms()) > 0 {
				w.Errorf("it is in %v", c.Rooms())
			}
		}
		n.has("r")
		clients[0].says(roomAdd("r"), isTrue)
	})
}

func TestConnectionThatEndsDuringAJoinIsNoGhost(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate := make(chan struct{})
		l := n.countLeavers(allowed)
		n.on(hook.Join, func(*hook.Event) hook.Verdict { <-gate; return allow() })
		c := n.client()
		added := make(chan error, 1)
		go func() { added <- n.AddMember(w.Context(), in("r"), c.ID()) }()
		synctest.Wait()
		c.Sink.Close()
		synctest.Wait() // Done waits for the join
		w.must(n.AddMember(w.Context(), in("q"), c.ID()), &engine.VerbError{Text: "connection closed"})
		close(gate)
		<-c.Gone
		w.must(<-added, nil)
		l.check(w, hook.CauseDisconnect, 1)
		n.has("r")
	})
}
