package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// isOn checks the connections of a user, in the order of their nodes and ids, and the user's rooms.
func (n *node) isOn(user string, rooms []string, want ...*client) {
	n.w.Helper()
	s, err := n.User(n.w.Context(), "default", user)
	n.w.must(err, nil)
	var got, ids []string
	for _, c := range s.Connections {
		got = append(got, c.ID)
	}
	for _, c := range want {
		ids = append(ids, c.ID())
	}
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) || !slices.Equal(s.Rooms, rooms) || len(s.Lost) > 0 || s.More {
		n.w.Errorf("%s has the connections %v in %v, lost %v; want %v in %v", user, got, s.Rooms, s.Lost, ids, rooms)
	}
}

// TestConnectionsOfAUserAreKnownOnAllNodes checks the index through connects, a late token, a
// resumed session and ends of connections.
func TestConnectionsOfAUserAreKnownOnAllNodes(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", takes(people, false), resumes), w.node("two", takes(people, false), resumes)
		a, err := one.bring("ann")
		w.must(err, nil)
		b, err := two.bring("ann")
		w.must(err, nil)
		guest, bob := one.client(), one.client()
		bob.do(`{"event":"auth","token":"bob","messageId":1}`)
		a.do(roomAdd("r"))
		b.do(roomAdd("q"), roomAdd("r"))
		guest.do(roomAdd("q"))
		for _, n := range []*node{one, two} {
			n.isOn("ann", []string{"q", "r"}, a, b)
			n.isOn("bob", []string{}, bob)
			n.isOn("", []string{"q", "r"}, a, b, guest, bob)
			n.isOn("nobody", []string{})
		}
		guest.do(`{"event":"auth","token":"ann","messageId":1}`) // the user is set late
		two.isOn("ann", []string{"q", "r"}, a, b, guest)

		session := b.secret()
		b.HangUp()
		synctest.Wait()
		one.isOn("ann", []string{"q", "r"}, a, b, guest) // it is away
		back, err := one.bring("ann")
		w.must(err, nil)
		back.do(fmt.Sprintf(`{"event":"resume","session":%q,"messageId":1}`, session))
		two.isOn("ann", []string{"q", "r"}, a, back, guest)

		for _, c := range []*client{a, back, guest} {
			c.do(`{"event":"quit"}`)
		}
		two.isOn("ann", []string{})
	})
}

// TestOperationsOnAUserReachAllConnections checks messages to a user and the end of all
// connections, and that other users and tenants are not concerned.
func TestOperationsOnAUserReachAllConnections(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", takes(people, false)), w.node("two", takes(people, false))
		var anns []*client
		for _, n := range []*node{one, two, two} {
			c, err := n.bring("ann")
			w.must(err, nil)
			anns = append(anns, c)
		}
		bob, err := two.bring("bob")
		w.must(err, nil)

		r, err := one.SendToUser(w.Context(), "default", "ann", json.RawMessage(`{"alert":1}`))
		if w.must(err, nil); r.Connections != 3 || r.Lost != nil {
			w.Errorf("the message reached %+v", r)
		}
		for _, c := range anns {
			c.hears(`{"alert":1,"context":"api"}`)
		}
		bob.hears()
		_, err = one.SendToUser(w.Context(), "default", "ann", json.RawMessage(`{`))
		w.must(err, &engine.VerbError{Text: "message is not JSON"})
		_, err = one.SendToUser(w.Context(), "other", "ann", json.RawMessage(`1`))
		w.must(err, fmt.Errorf(`no such tenant: "other"`))

		r, err = one.DisconnectUser(w.Context(), "default", "ann")
		if w.must(err, nil); r.Connections != 3 || r.Lost != nil {
			w.Errorf("closed: %+v", r)
		}
		synctest.Wait()
		for _, c := range anns {
			select {
			case <-c.Gone:
			default:
				w.Errorf("%s is still connected", c.ID())
			}
		}
		one.isOn("ann", []string{})
		one.isOn("bob", []string{}, bob)
	})
}

// namesUsers makes r name users.
func namesUsers(c *engine.Config) {
	c.Grace = time.Minute
	c.Tenants[0].Tokens = people
	c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(room string) bool { return room == "r" }, Users: true, Retention: cluster.Retention{Messages: 10, For: time.Hour}}}
}

// viewed returns the members of r as roomView gives them to the client.
func viewed(c *client) string {
	c.Run(`{"event":"roomView","room":"r","messageId":1}`)
	heard := c.heard()
	return heard[len(heard)-1]
}

// TestRoomsCanNameUsers checks the users of messages, of past messages and of members, on another
// node and after a late token, and that other rooms and clients of ActionHero do not receive them.
func TestRoomsCanNameUsers(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", namesUsers), w.node("two", namesUsers)
		a, err := one.bring("ann")
		w.must(err, nil)
		late := two.client()
		hero, err := two.tryOpen(wire.WebSocket, engine.ReservationRequest{}, actionHero)
		w.must(err, nil)
		for _, c := range []*client{a, late, hero} {
			c.do(roomAdd("r"), roomAdd("q"))
		}
		hears := func(c *client, text, user string) {
			t.Helper()
			heard := c.heard()
			if len(heard) != 1 || !strings.Contains(heard[0], text) || strings.Contains(heard[0], `,"user":"`+user+`",`) != (user != "") || user == "" && strings.Contains(heard[0], "user\":") {
				t.Errorf("received %s, want %s of user %q", heard, text, user)
			}
		}
		a.do(say("r", "hi"))
		hears(late, "hi", "ann")
		hears(hero, "hi", "")
		a.do(say("q", "no names"))
		hears(late, "no names", "")
		hears(hero, "no names", "")
		w.must(errorOf(two.Broadcast(w.Context(), in("r"), a.ID(), json.RawMessage(`"on behalf"`))), nil)
		hears(late, "on behalf", "ann")
		w.must(errorOf(two.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"system"`))), nil)
		hears(late, "system", "")

		if got := viewed(late); strings.Count(got, `"user":"ann"`) != 1 || strings.Count(got, `"user"`) != 1 {
			t.Errorf("the members are %s", got)
		}
		late.do(`{"event":"auth","token":"bob","messageId":1}`)
		if got := viewed(a); !strings.Contains(got, `"user":"ann"`) || !strings.Contains(got, `"user":"bob"`) {
			t.Errorf("after a late token the members are %s", got)
		}
		if got := viewed(hero); strings.Contains(got, `"user"`) {
			t.Errorf("a client of ActionHero reads %s", got)
		}
		late.do(say("r", "me too"))
		a.heard()
		a.Run(`{"event":"roomHistory","room":"r","messageId":1}`)
		if got := a.heard(); !strings.Contains(got[0], `"message":"me too"`) || strings.Count(got[0], `"user":"bob"`) != 1 || strings.Count(got[0], `"user":"ann"`) != 2 {
			t.Errorf("history is %s", got)
		}
	})
}

// TestMessagesOfAUserAcrossRooms checks that messages of a user are found on another node in all rooms of the user and in a named
// one, the latest first, and none of other users, also in a room that does not name users.
func TestMessagesOfAUserAcrossRooms(t *testing.T) {
	inWorld(t, func(w *world) {
		keeps := func(c *engine.Config) {
			namesUsers(c)
			unnamed := c.Tenants[0].Rooms[0]
			unnamed.Match, unnamed.Users = func(room string) bool { return room == "q" }, false
			c.Tenants[0].Rooms = append(c.Tenants[0].Rooms, unnamed)
		}
		one, two := w.node("one", keeps), w.node("two", keeps)
		ann, err := one.bring("ann")
		w.must(err, nil)
		bob, err := two.bring("bob")
		w.must(err, nil)
		for _, c := range []*client{ann, bob} {
			c.do(roomAdd("r"), roomAdd("q"))
		}
		for _, c := range []struct {
			of         *client
			room, text string
		}{{ann, "r", "first"}, {bob, "q", "bob's"}, {ann, "q", "second"}, {bob, "r", "bob's too"}, {ann, "r", "third"}} {
			time.Sleep(time.Second)
			c.of.do(say(c.room, c.text))
		}
		ann.do(roomLeave("r"))
		for _, c := range []struct {
			user, room string
			limit      int
			want       string
		}{{"ann", "", 10, "q second"}, {"ann", "r", 10, "r third, q second, r first"}, {"ann", "r", 2, "r third, q second"}, {"bob", "r", 10, "r bob's too, q bob's"}, {"eve", "r", 10, ""}, {"ann", "none", 1, "q second"}} {
			found, more, err := two.UserMessages(w.Context(), "default", c.user, c.room, c.limit)
			w.must(err, nil)
			var texts []string
			for _, m := range found {
				var sent struct{ Room, Message string }
				w.must(json.Unmarshal(m, &sent), nil)
				texts = append(texts, sent.Room+" "+sent.Message)
			}
			if got := strings.Join(texts, ", "); got != c.want || more {
				t.Errorf("%s in %q, at most %d: %q, want %q", c.user, c.room, c.limit, got, c.want)
			}
		}
	})
}

// TestAChangedSenderHidesTheUser checks that a module that changes the sender does not reveal the user.
func TestAChangedSenderHidesTheUser(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", namesUsers)
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict { ev.From = "somebody"; return allow() })
		a, err := n.bring("ann")
		w.must(err, nil)
		a.do(roomAdd("r"))
		a.Run(say("r", "hi"))
		if heard := strings.Join(a.heard(), ""); !strings.Contains(heard, `"from":"somebody"`) || strings.Contains(heard, "ann") {
			t.Errorf("received %s", heard)
		}
	})
}

// older is a node of an earlier version, which does not know calls about users.
type older struct{ cluster.Nodes }

func (o older) Run(ctx context.Context, h cluster.Handler) error {
	return o.Nodes.Run(ctx, olderHandler{h})
}

type olderHandler struct{ cluster.Handler }

func (o olderHandler) Answer(_ context.Context, request []byte) ([]byte, error) {
	var c struct{ Do string }
	if err := json.Unmarshal(request, &c); err != nil || c.Do != "list" {
		return json.Marshal(map[string]string{"error": `no such connection: ""`, "kind": "connection"})
	}
	return []byte(`{"value":{"connections":[{"id":"somebody","node":"old"}]}}`), nil
}

// TestNodesOfEarlierVersionsAreReported checks that the answer names a node that does not know users,
// and that the node's list of all connections is not taken for those of the user.
func TestNodesOfEarlierVersionsAreReported(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("new", takes(people, false))
		w.node("old", func(c *engine.Config) { c.Cluster.Nodes = older{c.Cluster.Nodes} })
		a, err := n.bring("ann")
		w.must(err, nil)
		s, err := n.User(w.Context(), "default", "ann")
		if w.must(err, nil); len(s.Connections) != 1 || s.Connections[0].ID != a.ID() || !slices.Equal(s.Lost, []string{"old"}) {
			w.Errorf("ann has %+v", s)
		}
		r, err := n.SendToUser(w.Context(), "default", "ann", json.RawMessage(`1`))
		if w.must(err, nil); r.Connections != 1 || !slices.Equal(r.Lost, []string{"old"}) {
			w.Errorf("the message reached %+v", r)
		}
	})
}
