package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/hook"
)

const (
	verbTime = 15 * time.Second // the default of VerbTimeout
	slowSay  = 50 * time.Millisecond
)

const allHistory = `{"event":"roomHistory","room":"r","limit":1000,"messageId":1}`

// slowly makes the say chain sleep for each message. It returns the number of messages.
func (n *node) slowly() *atomic.Int64 {
	var asked atomic.Int64
	n.mw.Say = func(*hook.Event, []hook.Member) hook.Delivery {
		asked.Add(1)
		time.Sleep(slowSay)
		return hook.Delivery{All: hook.AsIs}
	}
	return &asked
}

// hangsIn makes a hook wait until its ctx ends.
func (n *node) hangsIn(h hook.Hook) {
	n.mw.On(h, func(ctx context.Context, _ *hook.Event) hook.Verdict { <-ctx.Done(); return allow() })
}

func TestHistoryEndsWithItsTime(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keeps(1000))
		n.tells(1, 1000)
		a := n.client().do(roomAdd("r"))
		asked := n.slowly()
		begun := time.Now()
		a.says(allHistory, strings.Replace(failed("time limit exceeded"), `"data":{}`, `"data":{"limit":1000}`, 1))
		if took, messages := time.Since(begun), asked.Load(); took > verbTime+slowSay || messages > int64(verbTime/slowSay)+1 {
			w.Errorf("it took %v and %d messages", took, messages)
		}
		a.says(`{"event":"roomHistory","room":"r","limit":2,"before":3,"messageId":1}`, fmt.Sprintf(
			`{"status":"OK","context":"response","data":{"room":"r","epoch":%q,"messages":[%s,%s]},"messageId":1}`, n.epoch(), n.placed(1), n.placed(2)))
	})
}

// epoch returns the epoch of the room "r".
func (n *node) epoch() string {
	at, _ := n.client().joins("r", nil)
	return at.Epoch
}

// placed returns a message of tells, with its position.
func (n *node) placed(number int) string {
	return fmt.Sprintf(`{"message":"%d","room":"r","from":"0","context":"user","sentAt":%s,"offset":%d,"epoch":%q}`, number, now, number, n.epoch())
}

// TestVerbsEndWithTheirConnection checks that running verbs end when their connection ends
// in different ways, and that the node does not wait for them.
func TestVerbsEndWithTheirConnection(t *testing.T) {
	for name, end := range map[string]func(n *node, c *client){
		"the client has gone":   func(_ *node, c *client) { c.Sink.HangUp() },
		"removed by the server": func(n *node, c *client) { n.w.must(n.Disconnect(n.w.Context(), "default", c.ID()), nil) },
		"the node ends":         func(n *node, _ *client) { n.w.must(n.Shutdown(n.w.Context(), 0), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("one", keeps(1000))
				n.tells(1, 1000)
				c := n.client().do(roomAdd("r"))
				asked := n.slowly()
				c.Begin(allHistory)
				time.Sleep(2 * slowSay)
				begun := time.Now()
				end(n, c)
				<-c.Gone
				if took := time.Since(begun); took > time.Second+slowSay {
					w.Errorf("it went on for %v and %d messages", took, asked.Load())
				}
				n.isEmpty("r")
			})
		})
	}
}

func TestAJoinThatRunsOutIsNoMembership(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		leaves := 0
		n.on(hook.Leave, func(*hook.Event) hook.Verdict { leaves++; return allow() })
		n.hangsIn(hook.Join)
		a := n.client()
		a.says(roomAdd("r"), failed("time limit exceeded"))
		n.has("r")
		a.says(say("r", "hi"), strings.Replace(failed("connection not in this room (r)"), `"data":{}`, `"data":{"message":"hi"}`, 1))
		delete(n.mw.Hooks, hook.Join)
		a.says(roomAdd("r"), isTrue)
		n.has("r", a)
		a.HangUp()
		if leaves != 1 {
			w.Errorf("leave ran %d times for one membership", leaves)
		}
	})
}

func TestASayThatRunsOutIsNotPublished(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		a, b := n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
		n.hangsIn(hook.OnSayReceive)
		a.says(say("r", "hi"), strings.Replace(failed("time limit exceeded"), `"data":{}`, `"data":{"message":"hi"}`, 1))
		b.hears()
	})
}

// TestLeaveRunsOnceThoughTheClientGoesMeanwhile checks that a running leave completes after
// its connection has ended, and does not run again.
func TestLeaveRunsOnceThoughTheClientGoesMeanwhile(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		a := n.client().do(roomAdd("r"))
		leaves := 0
		n.mw.On(hook.Leave, func(ctx context.Context, _ *hook.Event) hook.Verdict {
			leaves++
			time.Sleep(5 * time.Second)
			if ctx.Err() != nil {
				w.Error("leave was cut short")
			}
			return allow()
		})
		a.Begin(`{"event":"roomLeave","room":"r","messageId":1}`)
		time.Sleep(time.Second / 2)
		a.Sink.HangUp()
		<-a.Gone
		if leaves != 1 {
			w.Errorf("leave ran %d times for one membership", leaves)
		}
		n.isEmpty("r")
	})
}

func TestActionsEndWithTheirTimeAndTheirConnection(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		n.mw.Declared = map[string]hook.ActionSpec{"wait": {}}
		n.hangsIn(hook.Action)
		const action = `{"event":"action","params":{"action":"wait"},"messageId":1}`
		a := n.client()
		<-a.Begin(action)
		time.Sleep(verbTime)
		a.hears(`{"error":"time limit exceeded","context":"response","messageId":1}`)
		<-a.Begin(action)
		synctest.Wait()
		begun := time.Now()
		a.Sink.HangUp()
		<-a.Gone
		if took := time.Since(begun); took > time.Second {
			w.Errorf("the connection took %v to end", took)
		}
	})
}

// TestEffectsDoNotEndWithTheConnection checks that the effects of a completed verb are
// applied even if the client disconnects before.
func TestEffectsDoNotEndWithTheConnection(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		watcher := n.client().do(roomAdd("q"))
		n.on(hook.Join, func(*hook.Event) hook.Verdict { return allow(emit("q", "somebody has joined")) })
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			if ev.Message.Text == "slow" {
				time.Sleep(3 * time.Second)
			}
			return allow()
		})
		go n.Broadcast(w.Context(), in("q"), "", json.RawMessage(`"slow"`))
		synctest.Wait()
		a := n.client()
		a.Begin(roomAdd("r"))
		synctest.Wait()
		a.Sink.HangUp()
		<-a.Gone
		time.Sleep(3 * time.Second)
		heard := watcher.heard()
		if len(heard) != 2 {
			w.Errorf("the watcher received %q", heard)
		}
	})
}

func TestCatchingUpThatRunsOutSaysThatSomethingIsMissing(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keeps(1000))
		at, _ := n.client().joins("r", nil)
		n.tells(1, 1000)
		n.slowly()
		a := n.client()
		begun := time.Now()
		back, missed := a.joins("r", &at)
		if took := time.Since(begun); took > verbTime+slowSay {
			w.Errorf("it took %v", took)
		}
		w.recovered(back, false)
		w.equal("missed", missed, nil)
		n.mw.Say = nil
		n.tells(1001, 1002)
		w.equal("live", placesOf(w, a.heard()), numbers(1001, 1002))
	})
}

func TestResumingThatRunsOutKeepsTheSession(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", resumes)
		w.node("two", resumes)
		a := n.client()
		at, _ := a.joins("r", nil)
		id, secret := a.ID(), a.secret()
		a.HangUp()
		n.tells(1, 100)
		var v ranHooks
		v.of(n)
		n.mw.Say = func(*hook.Event, []hook.Member) hook.Delivery {
			time.Sleep(time.Second)
			return hook.Delivery{All: hook.AsIs}
		}
		request := fmt.Sprintf(`{"event":"resume","session":%q,"since":{"r":{"epoch":%q,"offset":0}},"messageId":1}`, secret, at.Epoch)

		gone := n.client() // disconnects while it resumes
		gone.Begin(request)
		time.Sleep(3 * time.Second)
		gone.Sink.HangUp()
		<-gone.Gone
		b := n.client()
		begun := time.Now()
		r, messages := b.back(request)
		if took := time.Since(begun); took > verbTime+time.Second {
			w.Errorf("it took %v", took)
		}
		if r.ID != id || r.Rooms["r"].Recovered || len(messages) > 0 {
			w.Errorf("resumed %+v with %d messages", r, len(messages))
		}
		v.are(w, "connect", "connect")
		n.mw.Say = nil
		n.tells(101, 101)
		w.equal("live", placesOf(w, b.heard()), numbers(101, 101))
	})
}

// TestOperatorsCallsEndWithTheirTimeAndTheirRequest checks that calls of the server API
// have the time limit of a verb and end with their request.
func TestOperatorsCallsEndWithTheirTimeAndTheirRequest(t *testing.T) {
	inWorld(t, func(w *world) {
		n, two := w.node("one"), w.node("two")
		n.hangsIn(hook.Join)
		a := n.client()
		for _, at := range []*node{n, two} {
			begun := time.Now()
			if err := at.AddMember(w.Context(), in("r"), a.ID()); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != verbTime {
				w.Errorf("after %v: %v", time.Since(begun), err)
			}
			ctx, cancel := context.WithCancel(w.Context())
			begun = time.Now()
			time.AfterFunc(time.Second, cancel)
			if err := at.AddMember(ctx, in("r"), a.ID()); err == nil || time.Since(begun) != time.Second {
				w.Errorf("after %v: %v", time.Since(begun), err)
			}
			synctest.Wait()
			n.has("r")
		}
		n.hangsIn(hook.OnSayReceive)
		if _, err := n.Broadcast(w.Context(), in("q"), "", json.RawMessage(`"hi"`)); !errors.Is(err, context.DeadlineExceeded) {
			w.Error(err)
		}
	})
}
