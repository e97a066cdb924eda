package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// resumes enables sessions with a grace of a minute. All rooms except "q" store 100
// messages.
func resumes(c *engine.Config) {
	c.Grace = time.Minute
	c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(r string) bool { return r != "q" }, Retention: cluster.Retention{Messages: 100, For: time.Hour}}}
}

// secret returns the secret of the client's session.
func (c *client) secret() string {
	c.n.w.Helper()
	<-c.Begin(`{"event":"detailsView","messageId":1}`)
	var answer struct{ Data struct{ Session string } }
	for _, h := range c.heard() {
		if json.Unmarshal([]byte(h), &answer) == nil && answer.Data.Session != "" {
			return answer.Data.Session
		}
	}
	c.n.w.Fatal("there is no session in the details")
	return ""
}

func resume(secret string) string {
	return fmt.Sprintf(`{"event":"resume","session":%q,"messageId":1}`, secret)
}

type resumedRoom struct {
	Epoch     string
	Offset    uint64
	Recovered bool
}

type resumed struct {
	ID, Session string
	Rooms       map[string]resumedRoom
}

// back makes the client resume a session. It returns the answer and the messages that
// follow it.
func (c *client) back(request string) (r resumed, messages []string) {
	c.n.w.Helper()
	<-c.Begin(request)
	heard := c.heard()
	var answer remembered
	if len(heard) == 0 || json.Unmarshal([]byte(heard[0]), &answer) != nil || json.Unmarshal(answer.Data, &r) != nil || r.ID == "" {
		c.n.w.Fatalf("resume: %s", heard)
	}
	return r, heard[1:]
}

// ranHooks records the hooks that ran, in order.
type ranHooks struct {
	mu  sync.Mutex
	all []string
}

func (v *ranHooks) of(n *node) {
	for _, h := range []hook.Hook{hook.Connect, hook.Join, hook.Leave, hook.Disconnect} {
		n.on(h, func(ev *hook.Event) hook.Verdict {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.all = append(v.all, strings.TrimSpace(fmt.Sprintf("%v %s %s", h, ev.Room, ev.Cause)))
			return allow()
		})
	}
}

func (v *ranHooks) are(w *world, want ...string) {
	w.Helper()
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	w.equal("hooks", v.all, want)
	v.all = nil
}

func TestLostConnectionIsResumed(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", resumes)
		other := n.client().do(roomAdd("r"))
		a := n.client()
		at, _ := a.joins("r", nil)
		a.do(roomAdd("q"), sayUnder("k", "1"))
		w.must(n.SetProperty(w.Context(), "default", a.ID(), "level", json.RawMessage(`7`)), nil)
		id, secret := a.ID(), a.secret()
		var v ranHooks
		v.of(n)
		a.HangUp()
		v.are(w)
		n.has("r", other, a) // a is away and still a member
		n.has("q", a)
		n.tells(2, 4)
		w.must(errorOf(n.Broadcast(w.Context(), in("q"), "", json.RawMessage(`"missed"`))), nil)
		time.Sleep(59 * time.Second)

		b := n.socket()
		r, messages := b.back(fmt.Sprintf(`{"event":"resume","session":%q,"since":{"r":{"epoch":%q,"offset":1}},"messageId":1}`, secret, at.Epoch))
		w.equal("missed", placesOf(w, messages), numbers(2, 4))
		if r.ID != id || b.ID() != id || r.Session == secret || !r.Rooms["r"].Recovered || r.Rooms["r"].Offset != 4 || r.Rooms["q"].Recovered || len(r.Rooms) != 2 {
			w.Errorf("resumed %+v, as %s", r, b.ID())
		}
		v.are(w, "connect")
		n.has("r", other, b)
		p := b.Profile()
		if string(p.Property("level")) != "7" || p.Transport != "socket" || p.ConnectedAt != 946684800000 {
			w.Errorf("the profile is %+v", p)
		}
		n.tells(5, 5)
		w.equal("live", placesOf(w, b.heard()), numbers(5, 5))
		b.says(sayUnder("k", "again"), ok) // the key is remembered for two minutes
		b.says(say("q", "hi"), ok, fmt.Sprintf(`{"message":"hi","room":"q","from":%q,"context":"user","sentAt":%d}`, id, 946684800000+59000))
		if got := b.secret(); got != r.Session {
			w.Errorf("the secret is %s, and was said to be %s", got, r.Session)
		}
		n.client().says(resume(secret), failed("session has ended"))
		v.are(w, "connect")
		b.do("quit")
		<-b.Gone
		v.are(w, "leave r disconnect", "leave q disconnect", "disconnect")
		n.has("r", other)
	})
}

func TestSessionsEnd(t *testing.T) {
	for name, end := range map[string]func(w *world, n *node, a *client){
		"when its client quits":     func(w *world, n *node, a *client) { a.do(`{"event":"quit"}`); <-a.Gone },
		"when its grace has passed": func(w *world, n *node, a *client) { a.HangUp(); time.Sleep(time.Minute) },
		"when it is removed": func(w *world, n *node, a *client) {
			w.must(n.Disconnect(w.Context(), "default", a.ID()), nil)
			<-a.Gone
		},
		"when it is removed, away": func(w *world, n *node, a *client) {
			a.HangUp()
			w.must(n.Disconnect(w.Context(), "default", a.ID()), nil)
		},
		"with its tenant": func(w *world, n *node, a *client) { w.must(n.Swap(w.Context(), engine.Settings{}, nil), nil); <-a.Gone },
		"with its tenant, away": func(w *world, n *node, a *client) {
			a.HangUp()
			w.must(n.Swap(w.Context(), engine.Settings{}, nil), nil)
		},
		"with the last node":          func(w *world, n *node, a *client) { n.Stop(); <-a.Gone },
		"with the last node, away":    func(w *world, n *node, a *client) { a.HangUp(); n.Stop() },
		"when it breaks the protocol": func(w *world, n *node, a *client) { a.Close(engine.CloseBinary); <-a.Gone },
	} {
		inWorld(t, func(w *world) {
			n := w.node("one", resumes)
			a := n.client().do(roomAdd("r"))
			secret := a.secret()
			var v ranHooks
			v.of(n)
			end(w, n, a)
			v.are(w, "leave r disconnect", "disconnect")
			n.isEmpty("r")
			if got := n.Reservations(); got != 0 {
				w.Errorf("%s: %d places are taken", name, got)
			}
			if b, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "default"}); err == nil {
				b.says(resume(secret), failed("session has ended"))
			}
		})
	}
}

// TestRoomEndsWhileItsMemberIsAway checks that a connection that is away leaves a destroyed
// room and can be removed from a room.
func TestRoomEndsWhileItsMemberIsAway(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", resumes)
		a := n.client().do(roomAdd("r"), roomAdd("q"))
		secret := a.secret()
		a.HangUp()
		var v ranHooks
		v.of(n)
		w.must(n.DestroyRoom(w.Context(), in("r")), nil)
		v.are(w, "leave r destroyed")
		w.must(n.RemoveMember(w.Context(), in("q"), a.ID()), nil)
		v.are(w, "leave q removed")
		w.must(n.AddMember(w.Context(), in("q"), a.ID()), &engine.VerbError{Text: "connection closed"})
		w.must(n.SendMessage(w.Context(), "default", a.ID(), json.RawMessage(`1`)), &engine.VerbError{Text: "connection is away"})
		if r, _ := n.client().back(resume(secret)); len(r.Rooms) != 0 {
			w.Errorf("the rooms are %v", r.Rooms)
		}
	})
}

func TestOlderSocketOfASessionIsClosed(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", resumes)
		a := n.client()
		at, _ := a.joins("r", nil)
		secret := a.secret()
		var v ranHooks
		v.of(n)
		b := n.client()
		r, _ := b.back(fmt.Sprintf(`{"event":"resume","session":%q,"since":{"r":{"epoch":%q,"offset":0}},"messageId":1}`, secret, at.Epoch))
		if r.ID != a.ID() || !r.Rooms["r"].Recovered {
			w.Errorf("resumed %+v", r)
		}
		<-a.Gone
		a.hears("bye session resumed elsewhere (3506)")
		v.are(w, "connect")
		n.has("r", b)
		n.tells(1, 1)
		w.equal("live", placesOf(w, b.heard()), numbers(1, 1))
	})
}

func TestOnlyItsClientResumesASession(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", resumes, func(c *engine.Config) {
			c.Tenants = append(c.Tenants, engine.TenantConfig{Name: "other"})
		})
		a := n.client().do(roomAdd("r"))
		secret := a.secret()
		a.HangUp()
		stranger := n.open(wire.WebSocket, engine.ReservationRequest{Tenant: "other"})
		stranger.says(resume(secret), failed("session has ended"))
		b := n.client()
		for _, wrong := range []string{"one-", "one-" + secret, "nobody-" + secret, "UPPER-x", secret + "x", "-", "\u0000-\u0000"} {
			<-b.Begin(fmt.Sprintf(`{"event":"resume","session":%s,"messageId":1}`, quoted(wrong)))
			b.hears(failed("session has ended"))
		}
		b.says(`{"event":"resume","messageId":1}`, failed("session is required"))
		b.says(`{"event":"resume","session":5,"messageId":1}`, failed("session must be a string"))
		b.do(roomAdd("q"))
		b.says(resume(secret), failed("resume must be requested before any room is joined"))
		b.do(roomLeave("q"))
		if r, _ := b.back(resume(secret)); r.ID != a.ID() {
			w.Errorf("resumed %+v", r)
		}
	})
	inWorld(t, func(w *world) {
		a := w.node("one").client()
		a.says(resume("one-x"), failed("sessions are not enabled"))
	})
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// TestResumeWithoutPositionsSendsMissedMessages checks a resume without positions: the client
// receives the messages that were published while it was away, and the room is not reported
// as recovered, because earlier messages may have been lost with the connection.
func TestResumeWithoutPositionsSendsMissedMessages(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", resumes)
		a := n.client().do(roomAdd("r"))
		n.tells(1, 3)
		secret := a.secret()
		a.HangUp()
		n.tells(4, 6)
		r, messages := n.client().back(resume(secret))
		w.equal("missed", placesOf(w, messages), numbers(4, 6))
		if r.Rooms["r"].Recovered {
			w.Error("it is called recovered")
		}
	})
}

// TestSessionsResumeInAFullTenant checks that a connection that is away keeps its place, and
// that a client without a place can only resume.
func TestSessionsResumeInAFullTenant(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", resumes, func(c *engine.Config) { c.Tenants[0].Limits.Connections = 2 })
		a, b := n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
		secrets := []string{a.secret(), b.secret()}
		full := func() {
			w.Helper()
			_, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "default"})
			w.must(err, fmt.Errorf("too many connections"))
		}
		full()
		a.HangUp()
		b.HangUp()
		c, d := n.client(), n.client()
		full()
		c.back(resume(secrets[0]))
		d.back(resume(secrets[1]))
		if got := n.Reservations(); got != 2 {
			w.Errorf("%d places are taken", got)
		}
		full()
		c.HangUp()
		guest := n.client()
		<-guest.Begin(roomAdd("r"))
		<-guest.Gone
		guest.hears("bye too many connections (3012)")
		time.Sleep(time.Minute) // the session of c ends
		late := n.client().do(roomAdd("r"))
		n.has("r", d, late)
	})
}

func TestManySessionsEndAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", resumes)
		var left, now, most atomic.Int64
		n.on(hook.Leave, func(*hook.Event) hook.Verdict {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Millisecond)
			now.Add(-1)
			left.Add(1)
			return allow()
		})
		var all []*client
		for range 200 {
			all = append(all, n.client().do(roomAdd("r")))
		}
		for _, c := range all {
			c.HangUp()
		}
		time.Sleep(time.Minute + time.Second)
		if left.Load() != 200 || most.Load() > 16 {
			w.Errorf("%d left, %d at a time", left.Load(), most.Load())
		}
		n.isEmpty("r")
	})
}

// comesTo makes a client of node one, in "r", resume its session on node two.
func (w *world) comesTo(two *node, a *client, secret, epoch string, offset int) (*client, resumed, []string) {
	w.Helper()
	b := two.client()
	r, messages := b.back(fmt.Sprintf(`{"event":"resume","session":%q,"since":{"r":{"epoch":%q,"offset":%d}},"messageId":1}`, secret, epoch, offset))
	if r.ID != a.ID() || b.ID() != a.ID() {
		w.Errorf("resumed %+v, want %s", r, a.ID())
	}
	return b, r, placesOf(w, messages)
}

func TestSessionIsResumedOnAnotherNode(t *testing.T) {
	for name, lose := range map[string]func(w *world, one *node, a *client){
		"that was away":            func(w *world, one *node, a *client) { a.HangUp() },
		"whose socket still stood": func(w *world, one *node, a *client) {},
		"whose node was drained":   func(w *world, one *node, a *client) { one.Stop() },
		"that was away when its node was drained": func(w *world, one *node, a *client) {
			a.HangUp()
			one.Stop()
		},
	} {
		inWorld(t, func(w *world) {
			one, two := w.node("one", resumes), w.node("two", resumes)
			var v ranHooks
			a := one.client()
			at, _ := a.joins("r", nil)
			a.do(roomAdd("q"), sayUnder("k", "1"))
			w.must(one.SetProperty(w.Context(), "default", a.ID(), "level", json.RawMessage(`7`)), nil)
			secret := a.secret()
			v.of(one)
			v.of(two)
			lose(w, one, a)
			two.tells(2, 4)
			b, r, messages := w.comesTo(two, a, secret, at.Epoch, 1)
			w.equal(name+", missed", messages, numbers(2, 4))
			if !r.Rooms["r"].Recovered || len(r.Rooms) != 2 || string(b.Profile().Property("level")) != "7" {
				w.Errorf("%s: resumed %+v", name, r)
			}
			v.are(w, "connect")
			two.has("r", b)
			two.has("q", b)
			b.says(sayUnder("k", "again"), ok)
			two.tells(5, 5)
			w.equal("live", placesOf(w, b.heard()), numbers(5, 5))
			if slices.Contains(mustList(w, two), "one") {
				// The connection is found although its id names another node.
				w.must(one.SetProperty(w.Context(), "default", b.ID(), "level", json.RawMessage(`8`)), nil)
				if got := one.HeldRooms("default"); got != 0 || one.Reservations() != 0 {
					w.Errorf("%s: the other node holds %d rooms, %d places", name, got, one.Reservations())
				}
			}
			<-b.Begin(`{"event":"quit"}`)
			<-b.Gone
			v.are(w, "leave r disconnect", "leave q disconnect", "disconnect")
			two.isEmpty("r")
		})
	}
}

func mustList(w *world, n *node) []string {
	w.Helper()
	names, err := n.Nodes(w.Context())
	w.must(err, nil)
	return names
}

// TestDrainedSessionEndsElsewhere checks that another node ends the session of a drained
// node if no client resumes it.
func TestDrainedSessionEndsElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", resumes), w.node("two", resumes)
		a := one.client().do(roomAdd("r"))
		secret := a.secret()
		var v ranHooks
		v.of(one)
		v.of(two)
		one.Stop()
		v.are(w)
		time.Sleep(59 * time.Second)
		v.are(w)
		time.Sleep(2 * time.Second)
		v.are(w, "leave r disconnect", "disconnect")
		two.client().says(resume(secret), failed("session has ended"))
	})
}

// TestKilledNodeEndsItsSessions checks that another node runs leave for a connection that
// is away on a killed node, and that its session cannot be resumed.
func TestKilledNodeEndsItsSessions(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", resumes), w.node("two", resumes)
		a := one.client().do(roomAdd("r"))
		secret := a.secret()
		a.HangUp()
		var v ranHooks
		v.of(two)
		w.must(w.hub.Kill("one"), nil)
		v.are(w, "leave r node_lost")
		two.client().says(resume(secret), failed("session has ended"))
	})
}

// TestAResumedSessionLeavesADestroyedRoom checks that a resumed session leaves a room that was
// destroyed in the meantime.
func TestAResumedSessionLeavesADestroyedRoom(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", resumes), w.node("two", resumes)
		a := one.client().do(roomAdd("r"), roomAdd("q"))
		secret := a.secret()
		one.Stop()
		w.must(two.DestroyRoom(w.Context(), in("r")), nil)
		var v ranHooks
		v.of(two)
		r, _ := two.client().back(resume(secret))
		if _, ok := r.Rooms["q"]; len(r.Rooms) != 1 || !ok {
			w.Errorf("the rooms are %v", r.Rooms)
		}
		v.are(w, "connect", "leave r destroyed")
	})
}

// TestASessionLostDuringShutdownKeepsItsRooms checks that a session keeps all its
// rooms if its connection is lost while the node shuts down.
func TestASessionLostDuringShutdownKeepsItsRooms(t *testing.T) {
	rooms := make([]string, 50) // many rooms, so that marking a connection as away takes time
	for i := range rooms {
		rooms[i] = fmt.Sprint("r", i)
	}
	many := func(cfg *engine.Config) { cfg.Tenants[0].StartingRooms = rooms }
	for range 20 {
		inWorld(t, func(w *world) {
			one, two := w.node("one", resumes, many), w.node("two", resumes, many)
			var clients []*client
			var secrets []string
			for range 4 {
				c := one.client()
				for _, room := range rooms {
					c.do(roomAdd(room))
				}
				clients, secrets = append(clients, c), append(secrets, c.secret())
			}
			for _, c := range clients {
				go c.Sink.Close()
			}
			w.must(one.Shutdown(w.Context(), 0), nil)
			synctest.Wait()
			for _, secret := range secrets {
				if r, _ := two.client().back(resume(secret)); len(r.Rooms) != len(rooms) {
					w.Fatalf("resumed in %d rooms", len(r.Rooms))
				}
			}
		})
	}
}

// TestManyClaimOneSession checks that exactly one of several clients on two nodes keeps a
// session that all of them resume. Clients that lose the session are closed.
func TestManyClaimOneSession(t *testing.T) {
	for round := range 10 {
		inWorld(t, func(w *world) {
			one, two := w.node("one", resumes), w.node("two", resumes)
			a := one.client().do(roomAdd("r"))
			secret := a.secret()
			if round%2 == 0 {
				a.HangUp()
			}
			var clients []*client
			for i := range 8 {
				c := []*node{one, two}[i%2].client()
				clients = append(clients, c)
			}
			for _, c := range clients {
				c.Begin(resume(secret))
			}
			synctest.Wait()
			time.Sleep(20 * time.Second)
			got := 0
			for _, c := range clients {
				heard := c.heard()
				const elsewhere = "bye session resumed elsewhere (3506)"
				if len(heard) == 1 && heard[0] == elsewhere { // the connection was closed before its answer was sent
					continue
				}
				var answer remembered
				w.must(json.Unmarshal([]byte(heard[0]), &answer), nil)
				switch {
				case len(heard) == 2 && answer.Status == "OK" && heard[1] == elsewhere:
				case len(heard) != 1:
					w.Fatalf("received %s", heard)
				case answer.Status == "OK":
					got++
					one.has("r", c)
				}
			}
			if got != 1 {
				w.Errorf("%d clients have the session", got)
			}
		})
	}
}

// TestAClientResumesAgainIfTheAnswerWasLost checks that a client can resume with its
// old secret if the connection was lost before it received the new one, several times in a
// row, on several nodes and on a node alone.
func TestAClientResumesAgainIfTheAnswerWasLost(t *testing.T) {
	for _, names := range [][]string{{"one", "two", "three"}, {"alone"}} {
		inWorld(t, func(w *world) {
			var nodes []*node
			var v ranHooks
			for _, name := range names {
				nodes = append(nodes, w.node(name, resumes))
			}
			at := func(i int) *node { return nodes[i%len(nodes)] }
			a := at(0).client().do(roomAdd("r"))
			id, secret := a.ID(), a.secret()
			for _, n := range nodes {
				v.of(n)
			}
			a.HangUp()
			connects := 0
			for _, i := range []int{0, 0, 1, 1, 2, 0, 2} {
				c := at(i).client()
				connects++
				r, _ := c.back(resume(secret))
				if r.ID != id || len(r.Rooms) != 1 {
					w.Fatalf("at node %d: resumed %+v, want %s", i, r, id)
				}
				c.HangUp()
			}
			b := at(1).client()
			connects++
			r, _ := b.back(resume(secret))
			b.do(say("r", "I know"))
			v.are(w, slices.Repeat([]string{"connect"}, connects)...)
			for _, n := range nodes {
				n.client().says(resume(secret), failed("session has ended"))
			}
			at(1).has("r", b)
			b.says(resume(r.Session), failed("resume must be requested before any room is joined"))
			v.are(w, slices.Repeat([]string{"connect"}, len(nodes))...)
			time.Sleep(10 * time.Minute) // redirects that have expired have no effect
			v.are(w)
		})
	}
}

// TestASessionHasOneRedirect checks that a client that resumes again and again leaves at most
// one redirect, and none after its session has ended.
func TestASessionHasOneRedirect(t *testing.T) {
	for _, names := range [][]string{{"one", "two"}, {"alone"}} {
		inWorld(t, func(w *world) {
			var nodes []*node
			for _, name := range names {
				nodes = append(nodes, w.node(name, resumes))
			}
			redirects := func() (n int) {
				w.must(nodes[0].sessions.Each(w.Context(), func(string, []byte) { n++ }), nil)
				return n
			}
			a := nodes[0].client()
			secret := a.secret()
			for i := range 10 {
				a.HangUp()
				a = nodes[i%len(nodes)].client()
				r, _ := a.back(resume(secret))
				secret = r.Session
				if n := redirects(); n != 1 {
					w.Fatalf("%d nodes have %d redirects after %d resumes, want 1", len(nodes), n, i+1)
				}
			}
			a.HangUp()
			time.Sleep(61 * time.Second) // the grace
			synctest.Wait()
			if n := redirects(); n != 0 {
				w.Errorf("%d redirects lead to a session that has ended", n)
			}
		})
	}
}
