package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
)

// shaky is a cluster whose calls fail on request. It checks that the engine makes one call
// of Subscribe or Unsubscribe for a room at a time, and subscribes to a room once.
type shaky struct {
	cluster.Broker
	cluster.Presence

	mu         sync.Mutex
	fail       map[string]error // by method
	added      error            // returned by Add after the member was added
	gone       map[string]bool  // by id: members whose leave another node runs
	parts      int              // calls of BeginLeave
	slow       time.Duration    // the time that BeginLeave takes
	subscribed map[cluster.RoomID]int
	busy       map[cluster.RoomID]bool
	broken     string
}

func (s *shaky) config(cfg *engine.Config) {
	s.Broker, s.Presence = cfg.Cluster.Broker, cfg.Cluster.Presence
	s.fail, s.subscribed, s.busy = map[string]error{}, map[cluster.RoomID]int{}, map[cluster.RoomID]bool{}
	s.gone = map[string]bool{}
	cfg.Cluster.Broker, cfg.Cluster.Presence = s, s
}

func (s *shaky) begin(room cluster.RoomID, method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[room] {
		s.broken = method + " while another call for the room ran"
	}
	s.busy[room] = true
	return s.fail[method]
}

func (s *shaky) end(room cluster.RoomID, change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[room] = false
	if s.subscribed[room] += change; s.subscribed[room] < 0 || s.subscribed[room] > 1 {
		s.broken = fmt.Sprintf("subscribed %d times", s.subscribed[room])
	}
	if s.subscribed[room] == 0 {
		delete(s.subscribed, room)
	}
}

func (s *shaky) Subscribe(ctx context.Context, room cluster.RoomID) error {
	err := s.begin(room, "Subscribe")
	if err != nil {
		s.end(room, 0)
		return err
	}
	defer s.end(room, 1)
	return s.Broker.Subscribe(ctx, room)
}

func (s *shaky) Unsubscribe(ctx context.Context, room cluster.RoomID) error {
	defer s.end(room, -1)
	_ = s.begin(room, "Unsubscribe")
	return s.Broker.Unsubscribe(ctx, room)
}

func (s *shaky) Publish(ctx context.Context, room cluster.RoomID, payload []byte, keep cluster.Retention) error {
	if err := s.fail["Publish"]; err != nil {
		return err
	}
	return s.Broker.Publish(ctx, room, payload, keep)
}

func (s *shaky) Add(ctx context.Context, room cluster.RoomID, m cluster.MemberRecord) error {
	if err := s.fail["Add"]; err != nil {
		return err
	}
	if err := s.Presence.Add(ctx, room, m); err != nil {
		return err
	}
	return s.added
}

func (s *shaky) BeginLeave(ctx context.Context, room cluster.RoomID, id string) (bool, error) {
	s.mu.Lock()
	gone, err := s.gone[id], s.fail["BeginLeave"]
	s.parts++
	s.mu.Unlock()
	time.Sleep(s.slow)
	if gone || err != nil {
		return gone, err
	}
	return s.Presence.BeginLeave(ctx, room, id)
}

// fails makes later calls of a method return err; nil ends this.
func (s *shaky) fails(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[method] = err
}

func (s *shaky) check(w *world) {
	w.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.subscribed) > 0 || s.broken != "" {
		w.Errorf("still subscribed to %v; %s", s.subscribed, s.broken)
	}
}

func TestSubscriptionsBalance(t *testing.T) {
	inWorld(t, func(w *world) {
		var s shaky
		n := w.node("n", s.config)
		l := n.countLeavers(allowed)
		var all sync.WaitGroup
		for i := range 20 {
			c := n.client()
			random := rand.New(rand.NewPCG(1, uint64(i)))
			all.Go(func() {
				for range 30 {
					room := []string{"r", "q"}[random.IntN(2)]
					<-c.Begin([]string{roomAdd(room), roomLeave(room)}[random.IntN(2)])
				}
				if i%2 == 0 {
					c.HangUp()
				}
			})
		}
		all.Wait()
		w.must(n.DestroyRoom(w.Context(), in("r")), nil)
		w.must(n.DestroyRoom(w.Context(), in("q")), nil)
		s.check(w)
		if fmt.Sprint(l.joined) != fmt.Sprint(l.left) {
			w.Errorf("joined %v, left %v", l.joined, l.left)
		}
	})
}

func TestJoinThatTheClusterRefusesLeavesNoTrace(t *testing.T) {
	for _, method := range []string{"Subscribe", "Add"} {
		for _, c := range []struct {
			err  error
			text string
		}{
			{fmt.Errorf("redis: %w", cluster.ErrUnavailable), "cluster unavailable"},
			{fmt.Errorf("redis: %w", cluster.ErrUnknown), "outcome unknown"},
			{fmt.Errorf("dial tcp 10.1.2.3: secret"), "internal error"},
		} {
			inWorld(t, func(w *world) {
				var s shaky
				n := w.node("n", s.config)
				s.fail[method] = c.err
				a := n.client()
				a.says(roomAdd("r"), failed(c.text))
				n.has("r")
				s.check(w)
				delete(s.fail, method)
				a.says(roomAdd("r"), isTrue)
			})
		}
	}
}

func TestJoinWithAnUnknownOutcomeIsUndone(t *testing.T) {
	inWorld(t, func(w *world) {
		var s shaky
		n := w.node("n", s.config)
		s.added = cluster.ErrUnknown
		n.client().says(roomAdd("r"), failed("outcome unknown"))
		n.has("r")
		s.check(w)
	})
}

func TestMessageThatTheClusterDoesNotTake(t *testing.T) {
	inWorld(t, func(w *world) {
		var s shaky
		n := w.node("n", s.config)
		a := n.client().do(roomAdd("r"))
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { return allow(emit("q", "never"), property("p", "1")) })
		for text, err := range map[string]error{"cluster unavailable": cluster.ErrUnavailable, "outcome unknown": cluster.ErrUnknown} {
			s.fail["Publish"] = err
			a.says(say("r", "hello"), failedSaying(text))
			w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"x"`))), err)
		}
		if a.Profile().Property("p") != nil || n.Stats().Messages != 0 {
			w.Error("there are effects of a message that was not published")
		}
		delete(s.fail, "Publish")
		a.says(say("r", "hello"), ok, chat("r", a.ID(), "hello"))
	})
}

// TestMessageWhoseOutcomeIsUnknownAtItsTimeLimit checks the answer to a say whose time limit passes
// after the cluster has sent the message. The ctx of a verb ends with context.Canceled.
func TestMessageWhoseOutcomeIsUnknownAtItsTimeLimit(t *testing.T) {
	inWorld(t, func(w *world) {
		var s shaky
		n := w.node("n", s.config)
		a := n.client().do(roomAdd("r"))
		for err, text := range map[error]string{cluster.ErrUnknown: "outcome unknown", cluster.ErrUnavailable: "connection closed"} {
			s.fail["Publish"] = fmt.Errorf("publish: %w: %w", err, context.Canceled)
			a.says(say("r", "hello"), failedSaying(text))
		}
	})
}

// TestLeaveGoesOnWhenNobodyWaits checks that a member leaves even if the
// caller of RemoveMember stops waiting.
func TestLeaveGoesOnWhenNobodyWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client().do(roomAdd("r"))
		ctx, cancel := context.WithCancel(w.Context())
		n.mw.On(hook.Leave, func(asked context.Context, _ *hook.Event) hook.Verdict {
			cancel()
			w.must(asked.Err(), nil)
			return allow()
		})
		w.must(n.RemoveMember(ctx, in("r"), a.ID()), nil)
		n.has("r")
	})
}

// TestLeaveIsNotRepeatedAfterAnotherNodeRanIt checks that a node does not run leave for a
// member whose leave another node has run because it took this node for dead.
func TestLeaveIsNotRepeatedAfterAnotherNodeRanIt(t *testing.T) {
	inWorld(t, func(w *world) {
		var s shaky
		n := w.node("n", s.config)
		l := n.countLeavers(allowed)
		a, b := n.client().do(roomAdd("r"), roomAdd("q")), n.client().do(roomAdd("r"))
		s.gone[a.ID()] = true
		a.says(roomLeave("r"), isTrue)
		n.has("r", b)
		a.HangUp()
		l.check(w, "", 0)
		b.HangUp()
		l.check(w, hook.CauseDisconnect, 1)
	})
}

// TestSessionMovesWhileAMemberIsRemoved checks a session that is resumed, on its node or on another,
// while one of its members is being removed: if the removal fails, the member moves too.
func TestSessionMovesWhileAMemberIsRemoved(t *testing.T) {
	for _, target := range []string{"one", "two"} {
		for _, err := range []error{nil, cluster.ErrUnavailable} {
			t.Run(fmt.Sprint(target, " ", err), func(t *testing.T) {
				inWorld(t, func(w *world) {
					var s shaky
					nodes := map[string]*node{"one": w.node("one", resumes, s.config), "two": w.node("two", resumes)}
					l := nodes["one"].countLeavers(allowed)
					nodes["two"].on(hook.Leave, allowed)
					a := nodes["one"].client().do(roomAdd("r"), roomAdd("q"))
					secret := a.secret()
					a.HangUp()
					s.slow = time.Second
					s.fails("BeginLeave", err)
					removed := make(chan error, 1)
					go func() { removed <- nodes["one"].RemoveMember(w.Context(), in("r"), a.ID()) }()
					synctest.Wait()
					b := nodes[target].client()
					r, _ := b.back(resume(secret))
					w.must(<-removed, err)
					s.fails("BeginLeave", nil)
					rooms := slices.Sorted(maps.Keys(r.Rooms))
					if err == nil {
						l.check(w, hook.CauseRemoved, 1)
						nodes[target].has("r")
						w.equal("rooms", rooms, []string{"q"})
					} else {
						nodes[target].has("r", b)
						w.equal("rooms", rooms, []string{"q", "r"})
					}
					b.do(`{"event":"quit"}`)
					<-b.Gone
					for _, n := range nodes {
						n.isEmpty("r")
						n.isEmpty("q")
					}
				})
			})
		}
	}
}

// TestLeaveWaitsUntilTheClusterAnswers checks leaves while the cluster cannot answer
// which node runs leave: requests to leave fail, and the end of a connection waits for the
// answer.
func TestLeaveWaitsUntilTheClusterAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		var s shaky
		n := w.node("n", s.config)
		l := n.countLeavers(allowed)
		a := n.client().do(roomAdd("r"))
		s.fails("BeginLeave", fmt.Errorf("redis: %w", cluster.ErrUnavailable))
		a.says(roomLeave("r"), failed("cluster unavailable"))
		w.must(n.RemoveMember(w.Context(), in("r"), a.ID()), fmt.Errorf("redis: cluster unavailable"))
		n.has("r", a)
		a.says(say("r", "still here"), ok, chat("r", a.ID(), "still here"))
		a.Sink.Close()
		time.Sleep(10 * time.Second)
		l.check(w, "", 0)
		s.fails("BeginLeave", nil)
		<-a.Gone
		l.check(w, hook.CauseDisconnect, 1)
		n.has("r")
		s.check(w)
	})
}

// TestEndOfTheNodeDoesNotWaitForTheCluster checks that a node stops in time without the
// cluster. Other nodes later treat it as dead and run leave.
func TestEndOfTheNodeDoesNotWaitForTheCluster(t *testing.T) {
	inWorld(t, func(w *world) {
		var s shaky
		n := w.node("n", s.config)
		l := n.countLeavers(allowed)
		n.client().do(roomAdd("r"))
		s.fails("BeginLeave", fmt.Errorf("redis: %w", cluster.ErrUnavailable))
		began := time.Now()
		n.Stop()
		if took := time.Since(began); took > 10*time.Second {
			w.Errorf("it took %v", took)
		}
		l.check(w, "", 0)
		s.check(w)
	})
}

func TestLeavesWithoutRulesAreNotMarked(t *testing.T) {
	inWorld(t, func(w *world) {
		var s shaky
		n := w.node("n", s.config)
		n.client().do(roomAdd("r"), roomLeave("r"), roomAdd("r")).HangUp()
		n.has("r")
		if s.parts != 0 {
			w.Errorf("%d marks were made", s.parts)
		}
	})
}

func TestMemberWhoseLeaveIsDeniedIsRecordedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		two := w.node("two")
		l := n.countLeavers(allowed)
		two.on(hook.Leave, func(*hook.Event) hook.Verdict { return deny("stay") })
		a := two.client().do(roomAdd("r"))
		a.says(roomLeave("r"), failed("stay"))
		n.has("r", a)
		w.must(w.hub.Kill("two"), nil)
		l.check(w, hook.CauseNodeLost, 1) // the member was recorded
	})
}

func TestMembersOfALivingNodeJoinAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		var causes []hook.Cause
		n.on(hook.Join, func(ev *hook.Event) hook.Verdict {
			causes = append(causes, ev.Cause)
			return hook.Verdict{Effects: []hook.Effect{emit("q", "again "+string(ev.Cause))}}
		})
		a, b := n.client().do(roomAdd("r")), n.client().do(roomAdd("q"))
		b.heard()
		w.must(n.presence.Remove(w.Context(), in("r"), a.ID()), nil)
		n.Rejoin(w.Context(), in("r"), []cluster.MemberRecord{{ID: a.ID()}, {ID: b.ID()}, {ID: "n-nobody"}})
		n.has("r", a)
		if fmt.Sprint(causes) != "[  rejoined]" {
			w.Errorf("join ran for %q", causes)
		}
		b.hears(chat("q", "0", "again rejoined"))
		a.says(say("r", "here"), ok, chat("r", a.ID(), "here"))
	})
}

func TestMembersThatCannotJoinAgainAreTold(t *testing.T) {
	for reason, again := range map[string]func(w *world, n *node){
		"full": func(_ *world, n *node) {
			n.on(hook.Join, func(*hook.Event) hook.Verdict { return deny("full") })
		},
		"room does not exist": func(w *world, n *node) {
			w.must(n.presence.Remove(w.Context(), in("r"), n.members("r")[0]), nil)
			w.must(w.hub.Node("x").Rooms.Destroy(w.Context(), in("r")), nil)
		},
	} {
		inWorld(t, func(w *world) {
			var s shaky
			n := w.node("n", s.config)
			l := n.countLeavers(allowed)
			a := n.client().do(roomAdd("r"))
			again(w, n)
			n.Rejoin(w.Context(), in("r"), []cluster.MemberRecord{{ID: a.ID()}})
			a.hears(`{"context":"api","from":"0","message":"you are no longer in this room (` + reason + `)","room":"r"}`)
			n.isEmpty("r")
			s.check(w)
			l.check(w, "", 0)
			if len(a.Rooms()) != 0 {
				w.Errorf("still in %v", a.Rooms())
			}
		})
	}
}
