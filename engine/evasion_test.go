package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/memory"
	"github.com/mootchat/moot/engine/wire"
)

// These tests take the side of a user who tries to evade a sanction. Others are in sanctions_test.go: a late user, a message
// that waits while a mute arrives, a rule that moves a message, several connections on several nodes.

// at opens a connection of a user from an address.
func (n *node) at(address, user string) (*client, error) {
	return n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "default", RemoteIP: address}, func(i *engine.Info) { i.RemoteIP, i.Token = address, user })
}

// TestABanThatArrivesDuringConnectHolds checks a ban that another node sets while the connect chain of the banned user runs:
// the node has checked the sanctions, and has not registered the connection.
func TestABanThatArrivesDuringConnectHolds(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &memory.Store{}
		a, b := w.node("a", moderated(store)), w.node("b", moderated(store))
		decide := make(chan struct{})
		a.on(hook.Connect, func(*hook.Event) hook.Verdict { <-decide; return allow() })
		opened := make(chan error, 1)
		go func() {
			_, err := a.bring("ann")
			opened <- err
		}()
		synctest.Wait()
		b.sanctions(sanction(moderation.Ban, "ann", "*", 0))
		close(decide)
		w.must(<-opened, engine.Close{Code: 3507, Reason: "banned: be kind"})
	})
}

// TestAMessageThatWaitsDoesNotOutliveABan checks a ban that arrives while a module decides about a message of the banned
// member, and a module that moves a message to a room in which its sender is banned.
func TestAMessageThatWaitsDoesNotOutliveABan(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		decide := make(chan struct{})
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { <-decide; return allow() })
		ann, bob := n.as("ann").do(roomAdd("r")), n.as("bob").do(roomAdd("r"), roomAdd("q"))
		ann.heard()
		waits := ann.Begin(say("r", "waits"))
		synctest.Wait()
		n.sanctions(sanction(moderation.Ban, "ann", "r", 0))
		close(decide)
		<-waits
		ann.hears(refused("banned: be kind", unsaid("waits"), 0))
		bob.hears()
		n.has("r", bob)
		_, err := n.Broadcast(w.Context(), in("r"), ann.ID(), []byte(`"on behalf"`))
		w.must(err, &engine.VerbError{Text: "connection not in this room (r)"})

		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict { ev.Room = "r"; return allow() })
		ann.do(roomAdd("q")).says(say("q", "over there"), refused("banned: be kind", unsaid("over there"), 0))
		bob.hears()
	})
}

// TestABannedUserDoesNotResumeAMembership checks that a user who is banned in a room cannot become a member of it by resuming
// the session of a connection without a user: on the node of the session, and on another one.
func TestABannedUserDoesNotResumeAMembership(t *testing.T) {
	for _, where := range []string{"a", "b"} {
		for _, subject := range []string{"bob", "192.0.2.7"} {
			inWorld(t, func(w *world) {
				store := &memory.Store{}
				a, b := w.node("a", resumes, moderated(store)), w.node("b", resumes, moderated(store))
				guest := a.client().do(roomAdd("r"), roomAdd("q"))
				secret := guest.secret()
				guest.Sink.Close()
				synctest.Wait()
				a.sanctions(sanction(moderation.Ban, subject, "r", 0))
				n := map[string]*node{"a": a, "b": b}[where]
				left := n.countLeavers(allowed)
				c, err := n.at("192.0.2.7", "bob")
				w.must(err, nil)
				answer, _ := c.back(resume(secret))
				if _, ok := answer.Rooms["q"]; !ok || len(answer.Rooms) != 1 {
					w.Errorf("resumed in %v", answer.Rooms)
				}
				n.isEmpty("r")
				n.has("q", c)
				left.check(w, hook.CauseRemoved, 1)
			})
		}
	}
}

// TestNeighboursOfABannedAddress checks which other addresses a ban of an address includes, for clients that are connected
// and for new ones.
func TestNeighboursOfABannedAddress(t *testing.T) {
	for _, c := range []struct{ banned, from, free string }{
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"},
		{"2001:db8:1::/48", "2001:db8:1:ffff::9", "2001:db8:2::1"},
		{"192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"},
		{"::ffff:192.0.2.7", "192.0.2.7", "::ffff:192.0.2.8"},
		{"192.0.2.0/24", "::ffff:192.0.2.200", "::192.0.2.7"},
		{"fe80::1", "fe80::2%eth0", "fe80:0:0:1::1%eth0"},
	} {
		inWorld(t, func(w *world) {
			n := w.node("n", moderated(&memory.Store{}))
			present, err := n.at(c.from, "ann")
			w.must(err, nil)
			free, err := n.at(c.free, "ann")
			w.must(err, nil)
			s := sanction(moderation.Ban, "", "*", 0)
			if s.Network, err = moderation.ParseNetwork(c.banned, false); err != nil {
				w.Fatal(err)
			}
			n.sanctions(s)
			present.hears("bye banned: be kind (3507)")
			_, err = n.at(c.from, "ann")
			w.must(err, engine.Close{Code: 3507, Reason: "banned: be kind"})
			free.do(roomAdd("r"))
			n.has("r", free)
		})
	}
}

// TestABanEndsAllConnectionsOfAUser checks connections of both transports on two nodes, one of them in an action, and that
// the user is refused on both nodes afterwards.
func TestABanEndsAllConnectionsOfAUser(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &memory.Store{}
		var all []*client
		var nodes []*node
		for _, name := range []string{"a", "b"} {
			n := w.node(name, moderated(store))
			lines := n.promise()
			lines.do("auth ann")
			all, nodes = append(all, n.as("ann").do(roomAdd("r")), lines.do("roomAdd r")), append(nodes, n)
		}
		nodes[0].sanctions(sanction(moderation.Ban, "ann", "*", 0))
		for _, c := range all {
			<-c.Gone
		}
		for _, n := range nodes {
			n.has("r")
			_, err := n.bring("ann")
			w.must(err, engine.Close{Code: 3507, Reason: "banned: be kind"})
			late := n.promise()
			late.Run("auth ann")
			<-late.Gone
		}
	})
}

// TestUsersAreComparedByteForByte checks that a sanction holds for exactly the user of the token, as RFC 7519 compares
// subjects: other cases, spaces and normal forms of Unicode are other users.
func TestUsersAreComparedByteForByte(t *testing.T) {
	names := []string{"jos\u00e9", "jose\u0301", "JOS\u00c9", "jos\u00e9 ", "jos\u0435", "\uff4aos\u00e9"}
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}), func(c *engine.Config) {
			byName := tokens{}
			for _, name := range names {
				byName[name] = engine.Identity{User: name}
			}
			c.Tenants[0].Tokens = byName
		})
		for i, banned := range names {
			s := n.sanctions(sanction(moderation.Ban, banned, "*", 0))
			for j, name := range names {
				c, err := n.bring(name)
				if (err != nil) != (i == j) {
					w.Errorf("with a ban of %q, %q receives %v", banned, name, err)
				}
				if err == nil {
					c.HangUp()
				}
			}
			if _, err := n.RemoveSanction(w.Context(), "default", s.ID, "mia"); err != nil {
				w.Error(err)
			}
		}
	})
}

// TestATokenDoesNotTakeAUserAway checks that a connection cannot leave its sanctions behind by a token of another user, or of
// none.
func TestATokenDoesNotTakeAUserAway(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}), func(c *engine.Config) {
			c.Tenants[0].Tokens = tokens{"ann": {User: "ann"}, "bob": {User: "bob"}, "nobody": {}}
		})
		n.sanctions(sanction(moderation.Mute, "ann", "*", time.Hour))
		ann := n.as("ann").do(roomAdd("r"))
		for _, token := range []string{"bob", "nobody"} {
			ann.do(fmt.Sprintf(`{"event":"auth","token":%q,"messageId":1}`, token))
			ann.says(say("r", "psst"), refused("muted until 2000-01-01T01:00:00Z: be kind", unsaid("psst"), time.Hour))
		}
	})
}

// TestABanEndsParkedSessions checks that a ban of all rooms ends the parked sessions of its subject, and no others:
// their memberships end at once, with the cause removed, and after a pardon there is nothing to resume.
func TestABanEndsParkedSessions(t *testing.T) {
	for _, subject := range []string{"ann", "192.0.2.7"} {
		inWorld(t, func(w *world) {
			store := &memory.Store{}
			one, two, three := w.node("one", resumes, moderated(store)), w.node("two", resumes, moderated(store)), w.node("three", resumes, moderated(store))
			var secrets []string
			for _, who := range []string{"ann", "bob"} {
				c, err := one.at(map[string]string{"ann": "192.0.2.7", "bob": "192.0.2.8"}[who], who)
				w.must(err, nil)
				secrets = append(secrets, c.do(roomAdd("r"), roomAdd("q")).secret())
			}
			one.Stop()
			left := two.countLeavers(allowed)
			two.sanctions(sanction(moderation.Ban, subject, "r", 0))
			left.check(w, hook.CauseRemoved, 0) // a ban of some rooms is checked when the session is resumed
			s := two.sanctions(sanction(moderation.Ban, subject, "*", 0))
			left.check(w, hook.CauseRemoved, 2)
			_, err := three.at("192.0.2.7", "ann")
			w.must(err, engine.Close{Code: 3507, Reason: "banned: be kind"})
			_, err = two.RemoveSanction(w.Context(), "default", s.ID, "mia")
			w.must(err, nil)
			three.as("ann").says(resume(secrets[0]), failed("session has ended"))
			if r, _ := three.as("bob").back(resume(secrets[1])); len(r.Rooms) != 2 {
				w.Errorf("bob resumes in %v", r.Rooms)
			}
			time.Sleep(2 * time.Minute)
			left.check(w, hook.CauseRemoved, 2)
		})
	}
}

// TestABannedSessionIsNotParked checks a connection that is away when it is banned on a node that shuts down: its session
// ends, and is not parked for the other nodes.
func TestABannedSessionIsNotParked(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &memory.Store{}
		one, two := w.node("one", resumes, moderated(store)), w.node("two", resumes, moderated(store))
		decide := make(chan struct{})
		causes := make(chan hook.Cause, 9)
		one.on(hook.Leave, func(ev *hook.Event) hook.Verdict {
			<-decide
			causes <- ev.Cause
			return allow()
		})
		ann, busy := one.as("ann").do(roomAdd("r")), one.as("bob").do(roomAdd("q"))
		secret := ann.secret()
		busy.Begin(`{"event":"roomLeave","room":"q","messageId":1}`) // the node cannot end before it
		ann.Sink.Close()
		synctest.Wait()
		one.Refuse()
		two.sanctions(sanction(moderation.Ban, "ann", "*", 0))
		close(decide)
		one.Stop()
		var left []string
		for len(causes) > 0 {
			left = append(left, string(<-causes))
		}
		slices.Sort(left)
		if want := []string{string(hook.CauseRemoved), string(hook.CauseRoomLeave)}; !slices.Equal(left, want) {
			w.Errorf("members left by %v, want %v", left, want)
		}
		s := sanction(moderation.Ban, "ann", "*", 0)
		w.must(s.Identify(), nil)
		_, err := two.RemoveSanction(w.Context(), "default", s.ID, "mia")
		w.must(err, nil)
		two.as("ann").says(resume(secret), failed("session has ended"))
	})
}
