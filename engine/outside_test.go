package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/memory"
	"github.com/mootchat/moot/engine/wire"
)

// asks makes the rules of the node ask a service at a hook, as the host does: f is called while other events may run.
func (n *node) asks(at hook.Hook, f func(ctx context.Context, ev *hook.Event) hook.Verdict) {
	n.mw.On(at, func(ctx context.Context, ev *hook.Event) hook.Verdict {
		if ev.Waiter != nil {
			if wait := ev.Waiter.BeginWait(); wait > 0 {
				return hook.Verdict{Outcome: hook.Failed, RetryAfter: wait}
			}
			defer ev.Waiter.EndWait()
		}
		begun := time.Now()
		v := f(ctx, ev)
		v.Waited = max(1, time.Since(begun))
		return v
	})
}

// slow is a service that takes two seconds to answer about a text that begins with "slow".
func slow(ctx context.Context, ev *hook.Event) hook.Verdict {
	if !strings.HasPrefix(ev.Message.Text, "slow") {
		return allow()
	}
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
	}
	return allow()
}

// meanwhile begins a request and calls f one second later, while the service is asked. It returns the answer.
func (c *client) meanwhile(request string, f func()) []string {
	c.n.w.Helper()
	done := c.Begin(request)
	time.Sleep(time.Second)
	f()
	synctest.Wait()
	<-done
	return c.heard()
}

// TestOtherSendersDoNotWaitForAnAnswer checks that a message leaves the queue while a service is asked: another sender's message is
// delivered at once. The message itself is delivered after the answer, with the time at which it was said.
func TestOtherSendersDoNotWaitForAnAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a, b := n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
		n.asks(hook.OnSayReceive, slow)
		done := a.Begin(say("r", "slow"))
		synctest.Wait()
		b.says(say("r", "fast"), ok, chat("r", b.ID(), "fast"))
		a.hears(chat("r", b.ID(), "fast"))
		<-done
		a.compare(answersFirst(a.heard()), []string{ok, chat("r", a.ID(), "slow")})
		b.hears(chat("r", a.ID(), "slow"))
		if took := n.Stats().Chains[0].Durations; took.Sum >= time.Second {
			w.Errorf("the durations of chains include the wait: %v", took.Sum)
		}
	})
}

// TestMessagesOfAConnectionStayInOrder has clients say messages about which a service answers at random times, or never. Each
// receiver gets each accepted message once, and those of one connection in order.
func TestMessagesOfAConnectionStayInOrder(t *testing.T) {
	const senders, messages = 8, 30
	for seed := range uint64(5) {
		inWorld(t, func(w *world) {
			n, other := w.node("n", func(c *engine.Config) { c.Limits.VerbTimeout, c.Limits.VerbsPerSecond = 3*time.Second, 1000 }), w.node("other")
			reader := other.client().do(roomAdd("r"))
			var all []*client
			for range senders {
				all = append(all, n.client().do(roomAdd("r")))
			}
			random := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex
			n.asks(hook.OnSayReceive, func(ctx context.Context, _ *hook.Event) hook.Verdict {
				mu.Lock()
				wait := time.Duration(random.IntN(40)) * 100 * time.Millisecond // longer than verbTimeout, at times
				if random.IntN(3) == 0 {
					wait = 0
				}
				mu.Unlock()
				select {
				case <-time.After(wait):
					return allow()
				case <-ctx.Done():
					return hook.Verdict{Outcome: hook.Failed}
				}
			})
			accepted := make([][]string, senders)
			var saying sync.WaitGroup
			for i, c := range all {
				saying.Go(func() {
					for k := range messages {
						text := fmt.Sprintf("%d/%d", i, k)
						<-c.Begin(say("r", text))
						time.Sleep(time.Millisecond) // for the writer; the clock is that of the bubble
						if slices.ContainsFunc(c.Received(), func(m string) bool { return strings.Contains(m, `"status":"OK"`) }) {
							accepted[i] = append(accepted[i], text)
						}
					}
				})
			}
			saying.Wait()
			got := make([][]string, senders)
			for _, m := range reader.heard() {
				var one struct{ Message string }
				if err := json.Unmarshal([]byte(m), &one); err != nil {
					w.Fatal(err)
				}
				var i, k int
				fmt.Sscanf(one.Message, "%d/%d", &i, &k)
				got[i] = append(got[i], one.Message)
			}
			for i := range got {
				if !slices.Equal(got[i], accepted[i]) || len(got[i]) == 0 || len(got[i]) == messages {
					w.Errorf("seed %d: of sender %d the reader received %v, accepted were %v", seed, i, got[i], accepted[i])
				}
			}
		})
	}
}

// TestAFullQueueHasAPlaceForAnAnsweredMessage fills the queue of a room while a service is asked.
func TestAFullQueueHasAPlaceForAnAnsweredMessage(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client().do(roomAdd("r"))
		open := make(chan struct{})
		n.mw.On(hook.OnSayReceive, func(_ context.Context, ev *hook.Event) hook.Verdict {
			if ev.Message.Text != "slow" {
				<-open
				return allow()
			}
			ev.Waiter.BeginWait()
			time.Sleep(time.Second)
			ev.Waiter.EndWait()
			return hook.Verdict{Waited: time.Second}
		})
		done := a.Begin(say("r", "slow"))
		synctest.Wait()
		var others sync.WaitGroup
		for range 257 { // one in its turn, and all places
			others.Go(func() { _, _ = n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"x"`)) })
		}
		synctest.Wait()
		if _, err := n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"x"`)); fmt.Sprint(err) != "room busy" {
			w.Errorf("got %v with a full queue", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		close(open)
		others.Wait()
		<-done
		heard := answersFirst(a.heard())
		if last := heard[len(heard)-1]; len(heard) != 259 || heard[0] != ok || last != chat("r", a.ID(), "slow") {
			w.Errorf("received %d messages: first %s, last %s", len(heard), heard[0], last)
		}
	})
}

// TestWhatHappensWhileAServiceIsAsked checks membership, room and sanctions again before a message is published.
func TestWhatHappensWhileAServiceIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(w *world, n, other *node, a *client)
		want string // the end of the error; "": the message is published
	}{
		"nothing": {func(*world, *node, *node, *client) {}, ""},
		"removed": {func(w *world, n, _ *node, a *client) { w.must(n.RemoveMember(w.Context(), in("r"), a.ID()), nil) }, "connection not in this room (r)"},
		"removed and joined again": {func(w *world, n, _ *node, a *client) {
			w.must(n.RemoveMember(w.Context(), in("r"), a.ID()), nil)
			w.must(n.AddMember(w.Context(), in("r"), a.ID()), nil)
		}, "connection not in this room (r)"},
		"room destroyed": {func(w *world, n, _ *node, _ *client) { w.must(n.DestroyRoom(w.Context(), in("r")), nil) }, "connection not in this room (r)"},
		"muted":          {func(_ *world, n, _ *node, _ *client) { n.sanctions(sanction(moderation.Mute, "ann", "r", 0)) }, "muted: be kind"},
		"muted by another node": {func(_ *world, _, other *node, _ *client) {
			other.sanctions(sanction(moderation.Mute, "ann", "r", 0))
			time.Sleep(200 * time.Millisecond)
		}, "muted: be kind"},
		"banned": {func(_ *world, n, _ *node, _ *client) { n.sanctions(sanction(moderation.Ban, "ann", "r", 0)) }, "connection not in this room (r)"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				store := &memory.Store{}
				n, other := w.node("n", moderated(store)), w.node("other", moderated(store))
				a, b := n.as("ann").do(roomAdd("r")), other.as("bob").do(roomAdd("r"))
				n.asks(hook.OnSayReceive, slow)
				a.heard()
				heard := a.meanwhile(say("r", "slow"), func() { c.do(w, n, other, a) })
				answer := slices.ContainsFunc(heard, func(m string) bool {
					return m == ok && c.want == "" || c.want != "" && strings.Contains(m, `"status":"Error: `+c.want)
				})
				published := slices.Contains(b.heard(), chat("r", a.ID(), "slow"))
				if !answer || published != (c.want == "") {
					w.Errorf("the sender received %v, published is %v", heard, published)
				}
			})
		})
	}
}

// TestAShadowThatIsSetWhileAServiceIsAsked checks that the message then reaches its author alone.
func TestAShadowThatIsSetWhileAServiceIsAsked(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		a, b := n.as("ann").do(roomAdd("r")), n.as("bob").do(roomAdd("r"))
		n.asks(hook.OnSayReceive, slow)
		a.heard()
		heard := a.meanwhile(say("r", "slow"), func() { n.sanctions(sanction(moderation.Shadow, "ann", "r", 0)) })
		a.compare(answersFirst(heard), []string{ok, chat("r", a.ID(), "slow")})
		b.hears()
	})
}

// TestADestroyedRoomTakesNoMessageOfTheSystem destroys the room of a broadcast while a service is asked.
func TestADestroyedRoomTakesNoMessageOfTheSystem(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.asks(hook.OnSayReceive, slow)
		said := make(chan error, 1)
		go func() {
			_, err := n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"slow"`))
			said <- err
		}()
		synctest.Wait()
		w.must(n.DestroyRoom(w.Context(), in("r")), nil)
		if err := <-said; !errors.Is(err, cluster.ErrNoRoom) {
			w.Errorf("got %v", err)
		}
	})
}

// TestADisconnectCancelsTheQuestion checks the context of a question, and that nothing is published.
func TestADisconnectCancelsTheQuestion(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a, b := n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
		var ended error
		n.asks(hook.OnSayReceive, func(ctx context.Context, ev *hook.Event) hook.Verdict {
			<-ctx.Done()
			ended = ctx.Err()
			return allow(emit("r", "never"))
		})
		a.Begin(say("r", "x"))
		synctest.Wait()
		begun := time.Now()
		a.Close(engine.CloseRemoved)
		synctest.Wait()
		if ended != context.Canceled || time.Since(begun) != 0 {
			w.Errorf("after %v the question ended with %v", time.Since(begun), ended)
		}
		a.HangUp()
		b.hears()
	})
}

// TestAQuestionWithoutAnAnswerEndsWithTheVerb checks that waits count in verbTimeout.
func TestAQuestionWithoutAnAnswerEndsWithTheVerb(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client().do(roomAdd("r"))
		n.asks(hook.OnSayReceive, func(ctx context.Context, _ *hook.Event) hook.Verdict { <-ctx.Done(); return allow() })
		begun := time.Now()
		a.says(say("r", "hello"), failedSaying("time limit exceeded"))
		if took := time.Since(begun); took != 15*time.Second {
			w.Errorf("it took %v", took)
		}
	})
}

// TestJoinsThatAsk checks the room, its size and bans again after a question at join.
func TestJoinsThatAsk(t *testing.T) {
	wait := func(_ context.Context, ev *hook.Event) hook.Verdict {
		if ev.Conn.User == "ann" {
			time.Sleep(2 * time.Second)
		}
		return allow()
	}
	for name, c := range map[string]struct {
		do   func(w *world, n *node)
		want string
	}{
		"nothing":   {func(*world, *node) {}, isTrue},
		"banned":    {func(_ *world, n *node) { n.sanctions(sanction(moderation.Ban, "ann", "r", 0)) }, failed("banned: be kind")},
		"destroyed": {func(w *world, n *node) { w.must(n.DestroyRoom(w.Context(), in("r")), nil) }, failed("room does not exist")},
		"full":      {func(_ *world, n *node) { n.as("bob").do(roomAdd("r")) }, failed("room is full (at most 1 members)")},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("n", moderated(&memory.Store{}), func(c *engine.Config) {
					c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(string) bool { return true }, MaxMembers: 1}}
				})
				n.asks(hook.Join, wait)
				a := n.as("ann")
				heard := a.meanwhile(roomAdd("r"), func() { c.do(w, n) })
				a.compare(heard, []string{c.want})
			})
		})
	}
}

// TestQuestionsAtConnectAreLimitedPerAddress opens connections from one address, of which some have to wait for a place.
func TestQuestionsAtConnectAreLimitedPerAddress(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.asks(hook.Connect, func(ctx context.Context, _ *hook.Event) hook.Verdict { time.Sleep(2 * time.Second); return allow() })
		open := func(ip string) error {
			_, err := enginetest.Connect(w, n.Engine.Engine, wire.WebSocket, engine.ReservationRequest{RemoteIP: ip})
			return err
		}
		var opening sync.WaitGroup
		for i := range 16 {
			ip := fmt.Sprintf("2001:db8::%x", i) // one /64
			opening.Go(func() { w.must(open(ip), nil) })
		}
		time.Sleep(time.Second)
		if err, ok := errors.AsType[engine.Close](open("2001:db8::ffff")); !ok || err.Code != engine.CloseFailed.Code || err.RetryAfter != time.Second {
			w.Errorf("got %+v", err)
		}
		opening.Go(func() { w.must(open("2001:db8:0:1::1"), nil) })
		opening.Go(func() { w.must(open("10.0.0.1"), nil) })
		opening.Wait()
		w.must(open("2001:db8::ffff"), nil)
	})
}

// TestAClientThatGoesWhileItConnectsCancelsTheQuestion hangs up while the connect chain asks.
func TestAClientThatGoesWhileItConnectsCancelsTheQuestion(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.asks(hook.Connect, func(ctx context.Context, _ *hook.Event) hook.Verdict { <-ctx.Done(); return allow() })
		begun := time.Now()
		seat, err := n.Reserve(engine.ReservationRequest{Tenant: "default"})
		w.must(err, nil)
		sink := enginetest.NewSink(wire.WebSocket)
		sink.HangUp()
		if _, err = seat.Open(w.Context(), engine.Info{Transport: "websocket", RemoteIP: "10.0.0.1"}, sink); err == nil {
			w.Error("the connection is open")
		}
		if took := time.Since(begun); took > 2*time.Second {
			w.Errorf("the question ended after %v", took)
		}
	})
}

// TestAnActionThatAsksChecksMutesAgain mutes a client while its action asks.
func TestAnActionThatAsksChecksMutesAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		n.mw.Declared = map[string]hook.ActionSpec{"shout": {Speech: true}}
		n.asks(hook.Action, func(context.Context, *hook.Event) hook.Verdict { time.Sleep(2 * time.Second); return allow() })
		a := n.as("ann")
		a.Begin(`{"event":"action","params":{"action":"shout"},"messageId":1}`)
		time.Sleep(time.Second)
		n.sanctions(sanction(moderation.Mute, "ann", "*", 0))
		time.Sleep(2 * time.Second)
		if heard := a.heard(); len(heard) != 1 || !strings.Contains(heard[0], "muted: be kind") {
			w.Errorf("received %v", heard)
		}
	})
}

// TestAHeldMessageIsReleasedThroughAQuestion checks that the queue of the room is free while a later rule asks about a released
// message, and that a message is held after an answer.
func TestAHeldMessageIsReleasedThroughAQuestion(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.holding()
		n := h.node("n")
		n.asks(hook.OnSayReceive, func(_ context.Context, ev *hook.Event) hook.Verdict {
			if strings.HasPrefix(ev.Message.Text, "slow") {
				time.Sleep(2 * time.Second)
				if ev.After == nil {
					return holdAt(100, false)
				}
			}
			return allow()
		})
		a, b := n.as("ann").do(roomAdd("r")), n.as("bob").do(roomAdd("r"))
		a.heard()
		id := a.holds(say("r", "slow"))
		released2 := make(chan struct{})
		go func() { defer close(released2); n.releases(id) }()
		time.Sleep(time.Second)
		later := fmt.Sprint(time.Now().UnixMilli())
		b.do(say("r", "between"))
		heard := a.heard()
		if len(heard) != 1 || !strings.Contains(heard[0], "between") || !strings.Contains(heard[0], later) {
			w.Errorf("received %v", heard)
		}
		<-released2
		if heard = b.heard(); len(heard) != 1 || heard[0] != released("r", a.ID(), "slow", id) {
			w.Errorf("received %v", heard)
		}
	})
}
