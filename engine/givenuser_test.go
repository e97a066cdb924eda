package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/memory"
)

// names returns the effect of a module that names the user of a connection.
func names(user string) hook.Effect {
	return hook.Effect{Identity: &hook.Identity{User: user, Module: "login"}}
}

// login is the request of the action login, whose module names the user.
func login(user string) string { return action("login", `"user":"`+user+`"`) }

// loggedIn is the answer to login.
const loggedIn = `{"context":"response","messageId":1}`

// identifies gives the node a module that names users: at the action login the user of the request, and at connect the user that
// users has for the fingerprint.
func (n *node) identifies(users map[string]string) *node {
	n.mw.Declared = map[string]hook.ActionSpec{"login": {}}
	n.on(hook.Action, func(ev *hook.Event) hook.Verdict {
		var params struct{ User string }
		if err := json.Unmarshal(ev.Params, &params); err != nil {
			n.w.Error(err)
		}
		return allow(names(params.User))
	})
	n.on(hook.Connect, func(ev *hook.Event) hook.Verdict {
		if user := users[ev.Conn.Fingerprint]; user != "" {
			return allow(names(user))
		}
		return allow()
	})
	return n
}

// from opens a connection of a client with that fingerprint.
func (n *node) from(fingerprint string) (*client, error) {
	return n.tryOpen(0, engine.ReservationRequest{}, func(i *engine.Info) { i.Fingerprint = fingerprint })
}

// TestAModuleNamesTheUserAtConnect checks that the first message has the user that the connect hook has named, and that a ban of
// the user refuses the connection before its welcome.
func TestAModuleNamesTheUserAtConnect(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &memory.Store{}
		one, two := w.node("one", namesUsers, moderated(store)), w.node("two", namesUsers, moderated(store))
		one.identifies(map[string]string{"device": "cleo", "other": "dan"})
		c, err := one.from("device")
		w.must(err, nil)
		two.isOn("cleo", []string{}, c)
		c.do(roomAdd("r"))
		b := two.client().do(roomAdd("r"))
		c.do(say("r", "hi"))
		if got := strings.Join(b.heard(), ""); !strings.Contains(got, `"user":"cleo"`) {
			t.Errorf("the message is %s", got)
		}
		two.sanctions(sanction(moderation.Ban, "dan", "*", 0))
		_, err = one.from("other")
		w.must(err, engine.Close{Code: 3507, Reason: "banned: be kind"})
		one.isOn("dan", []string{})
	})
}

// TestAModuleNamesTheUserLate checks that a user that an action has named is in the index, in lists of members and in messages, on all
// nodes, and that sanctions of the user apply, of one room and of all rooms.
func TestAModuleNamesTheUserLate(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &memory.Store{}
		one, two := w.node("one", namesUsers, moderated(store)), w.node("two", namesUsers, moderated(store))
		one.identifies(nil)
		c, b := one.client().do(roomAdd("r"), roomAdd("q")), two.client().do(roomAdd("r"))
		c.says(login("cleo"), loggedIn)
		two.isOn("cleo", []string{"q", "r"}, c)
		if got := viewed(b); strings.Count(got, `"user":"cleo"`) != 1 {
			t.Errorf("the members are %s", got)
		}
		c.do(say("r", "hi"))
		if got := strings.Join(b.heard(), ""); !strings.Contains(got, `"user":"cleo"`) {
			t.Errorf("the message is %s", got)
		}

		two.sanctions(sanction(moderation.Mute, "dan", "q", 0))
		two.sanctions(sanction(moderation.Ban, "dan", "r", 0))
		two.sanctions(sanction(moderation.Ban, "eve", "*", 0))
		d := one.client().do(roomAdd("r"), roomAdd("q"))
		left := one.countLeavers(allowed)
		d.do(login("dan"))
		one.has("r", c, b)
		left.check(w, hook.CauseRemoved, 1)
		d.says(say("q", "psst"), refused("muted: be kind", unsaid("psst"), 0))
		e := one.client().do(roomAdd("q"))
		e.Run(login("eve"))
		<-e.Gone
		if got := slices.DeleteFunc(e.heard(), func(frame string) bool { return frame == loggedIn }); !slices.Equal(got, []string{"bye banned: be kind (3507)"}) {
			t.Errorf("beside the answer, which the close may outrun, the client has %q", got)
		}
		one.isOn("eve", []string{})
	})
}

// TestAUserIsNamedOnce checks that a module cannot change the user of a token or one that a module has named, that the log has the
// reason, and that a later token must have the same user.
func TestAUserIsNamedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		var log enginetest.Log
		n := w.node("n", takes(tokens{"ann": {User: "ann"}, "bob": {User: "bob"}, "claims": {Claims: claims("level", "1")}}, false), func(c *engine.Config) { c.Log = log.Logger() })
		n.identifies(nil)
		auth := func(token string) string { return fmt.Sprintf(`{"event":"auth","token":%q,"messageId":1}`, token) }

		a, err := n.bring("ann")
		w.must(err, nil)
		a.says(login("bob"), loggedIn)
		n.isOn("ann", []string{}, a)
		if got := log.String(); !strings.Contains(got, `a module's user was not set`) || !strings.Contains(got, `module=login user=bob error="the connection has the user \"ann\", which cannot be changed"`) {
			t.Errorf("the log is %s", got)
		}

		c := n.client()
		c.says(login("bob"), loggedIn)
		c.says(login("bob"), loggedIn)
		c.says(login("cleo"), loggedIn)
		n.isOn("bob", []string{}, c)
		c.do(auth("ann"))
		n.isOn("bob", []string{}, c)
		c.do(auth("claims")) // a token without a user has properties only
		n.isOn("bob", []string{}, c)
		if got := propertiesOf(c); got != "level=1 claimed" {
			t.Errorf("the properties are %s", got)
		}
		c.do(auth("bob"), auth("claims"), login("cleo")) // the user is now that of a token
		n.isOn("bob", []string{}, c)
	})
}

// TestANamedUserResumes checks that a session keeps the user that a module has named, on its node and on another one, that no
// other user resumes it, and that a ban holds for it.
func TestANamedUserResumes(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &memory.Store{}
		one, two := w.node("one", namesUsers, moderated(store)), w.node("two", namesUsers, moderated(store))
		c := one.identifies(nil).client().do(roomAdd("r"), login("cleo"))
		for _, n := range []*node{one, two} {
			secret := c.secret()
			c.HangUp()
			one.as("bob").says(resume(secret), failed("session is of another user"))
			c = n.client()
			if r, _ := c.back(resume(secret)); len(r.Rooms) != 1 {
				t.Fatalf("resumed in %v", r.Rooms)
			}
			two.isOn("cleo", []string{"r"}, c)
			if got := viewed(c); strings.Count(got, `"user":"cleo"`) != 1 {
				t.Errorf("the members are %s", got)
			}
		}
		one.sanctions(sanction(moderation.Ban, "cleo", "*", 0))
		<-c.Gone
	})
}

// TestALateUserWaitsForJoinsAndLeaves checks connections that get a user while they join or leave a room: a member that stays is
// recorded with the user, and one that leaves is not recorded again.
func TestALateUserWaitsForJoinsAndLeaves(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", namesUsers).identifies(nil)
		c, d := n.client(), n.client().do(roomAdd("r"))
		decide := make(chan struct{})
		wait := func(*hook.Event) hook.Verdict { <-decide; return allow() }
		n.on(hook.Join, wait)
		n.on(hook.Leave, wait)
		go func() { w.must(n.AddMember(w.Context(), in("r"), c.ID()), nil) }()
		go func() { w.must(n.RemoveMember(w.Context(), in("r"), d.ID()), nil) }()
		synctest.Wait()
		c.Run(login("cleo"))
		d.Run(login("dan"))
		c.hears()
		close(decide)
		c.hears(loggedIn)
		d.hears(loggedIn)
		n.has("r", c)
		if got := viewed(c); strings.Count(got, `"user":"cleo"`) != 1 || strings.Contains(got, "dan") {
			t.Errorf("the members are %s", got)
		}
		n.isOn("dan", []string{}, d)
	})
}

// TestAModuleEmitsToAUser checks that all connections of the user receive a message, on all nodes, and no others.
func TestAModuleEmitsToAUser(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", takes(people, false)), w.node("two", takes(people, false))
		anns := []*client{one.as("ann"), two.as("ann"), two.as("ann")}
		bob := one.as("bob").do(roomAdd("r"))
		one.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			return allow(hook.Effect{Emit: &hook.Emit{User: "ann", Message: jsonMessage(`{"alert":1}`)}}, hook.Effect{Emit: &hook.Emit{User: "nobody", Message: jsonMessage(`1`)}})
		})
		bob.says(say("r", "help"), ok, chat("r", bob.ID(), "help"))
		for _, c := range anns {
			c.hears(`{"alert":1,"context":"api"}`)
		}
		bob.hears()
	})
}

// TestEmitsToUsersAreLimited checks that a message for a user counts in the tenant's limit of messages, because it asks all nodes.
func TestEmitsToUsersAreLimited(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", takes(people, false), func(c *engine.Config) { c.Tenants[0].MessagesPerSecond = 2 })
		ann, bob := n.as("ann"), n.as("bob").do(roomAdd("r"))
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict {
			return allow(slices.Repeat([]hook.Effect{{Emit: &hook.Emit{User: "ann", Message: jsonMessage(`1`)}}}, 16)...)
		})
		bob.do(say("r", "help"))
		if got := len(ann.heard()); got != 3 {
			w.Errorf("%d messages arrived, want those of a burst of 4 that the say has left", got)
		}
	})
}
