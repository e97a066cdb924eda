package main

import (
	"maps"
	"testing"

	"github.com/mootchat/moot/sdk/go/moottest"
)

const config = `{"rooms":["secure*","*-staff"],"tokens":{"open-sesame":"member","s3cret":"ad\"min"}}`

func load(t *testing.T) *moottest.Guest {
	t.Helper()
	g, err := moottest.Load(module(), config)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestJoin(t *testing.T) {
	tests := []struct {
		room, role string
		want       moottest.Answer
	}{
		{"lobby", "", moottest.Allow},
		{"insecure", "", moottest.Allow},
		{"secure", "", moottest.Deny},
		{"secure:vault", "", moottest.Deny},
		{"kitchen-staff", "", moottest.Deny},
		{"secure:vault", `"member"`, moottest.Allow},
		{"secure:vault", `""`, moottest.Deny},
		{"secure:vault", `null`, moottest.Deny},
	}
	g := load(t)
	for _, test := range tests {
		c := &moottest.Connection{ID: "1", Properties: map[string]string{"color": `"red"`}}
		if test.role != "" {
			c.Properties["role"] = test.role
		}
		v := g.Ask(moottest.Event{Hook: "join", Room: test.room, Connection: c})
		if v.Answer != test.want {
			t.Errorf("%s with role %s: %s, want %s", test.room, test.role, v.Answer, test.want)
		}
		if v.Answer == moottest.Deny && v.Reason != "members only: log in first" {
			t.Errorf("reason %q", v.Reason)
		}
	}
}

func TestLogin(t *testing.T) {
	tests := []struct {
		params, role, reason string
	}{
		{`{"token":"open-sesame"}`, `"member"`, ""},
		{`{"token":"s3cret"}`, `"ad\"min"`, ""},
		{`{"token":"open-sesam"}`, "", "login: unknown token"},
		{`{"token":""}`, "", "login: unknown token"},
		{`{"token":7}`, "", "login: token must be a string"},
		{``, "", "login: token must be a string"},
	}
	g := load(t)
	for _, test := range tests {
		v := g.Ask(moottest.Event{Hook: "action", Action: "login", Params: test.params, Connection: &moottest.Connection{ID: "1"}})
		if test.reason != "" {
			if v.Answer != moottest.Deny || v.Reason != test.reason || v.Properties != nil {
				t.Errorf("%s: %+v", test.params, v)
			}
			continue
		}
		if !maps.Equal(v.Properties, map[string]string{"role": test.role}) {
			t.Errorf("%s: properties %v", test.params, v.Properties)
		}
		if want := `{"authorized":true,"role":` + test.role + `}`; v.Reply != want {
			t.Errorf("%s: reply %s, want %s", test.params, v.Reply, want)
		}
	}
}

func TestConfig(t *testing.T) {
	tests := []struct{ config, want string }{
		{`{"rooms":["a",""]}`, "rooms[1]: the pattern is empty"},
		{`{"rooms":[{"match":"a","capacity":-1}]}`, "rooms[0]: capacity: -1 is less than 0"},
		{`{"rooms":[{"match":"a","open":true,"roles":["x"]}]}`, "rooms[0]: an open room needs no roles: leave one of the two out"},
		{`{"rooms":[{"roles":["x"]}]}`, "rooms[0]: the pattern is empty"},
		{`{"rooms":[{"role":"x"}]}`, `rooms: {"role":"x"} is neither a pattern nor {match, roles, open, capacity}`},
		{`{"tokens":{"":"member"}}`, "tokens: a token is empty"},
		{`{"tokens":{"open":""}}`, "tokens: a token has no role"},
		{`{"tokens":["open"]}`, "tokens: got array, want map[string]string"},
		{`{"room":"a"}`, `unknown field "room"`},
	}
	for _, test := range tests {
		if _, err := moottest.Load(module(), test.config); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.config, err, test.want)
		}
	}
}

func TestDoors(t *testing.T) {
	g, err := moottest.Load(module(), `{"rooms":[{"match":"staff","roles":["admin","clerk"],"capacity":2},{"match":"hall*","open":true,"capacity":3},"*"]}`)
	if err != nil {
		t.Fatal(err)
	}
	g.Host.Rooms = map[string]int{"staff": 1, "hall1": 3, "hall2": 2}
	for _, test := range []struct {
		room, role, cause string
		reason            string // "": may join
	}{
		{"staff", "", "", "members only: log in first"},
		{"staff", `"member"`, "", "this room is not for your role"},
		{"staff", `"clerk"`, "", ""},
		{"staff", `["clerk"]`, "", "this room is not for your role"},
		{"hall1", "", "", "the room is full"},
		{"hall1", "", "rejoined", ""},
		{"hall2", "", "", ""},
		{"other", "", "", "members only: log in first"},
		{"other", `7`, "", ""},
	} {
		c := &moottest.Connection{ID: "1", Properties: map[string]string{}}
		if test.role != "" {
			c.Properties["role"] = test.role
		}
		v := g.Ask(moottest.Event{Hook: "join", Room: test.room, Cause: test.cause, Connection: c})
		if (v.Answer == moottest.Allow) != (test.reason == "") || v.Reason != test.reason {
			t.Errorf("%s with role %s: %s %q, want %q", test.room, test.role, v.Answer, v.Reason, test.reason)
		}
	}
	g.Host.Rooms["staff"] = 2
	if v := g.Ask(moottest.Event{Hook: "join", Room: "staff", Connection: &moottest.Connection{ID: "1", Properties: map[string]string{"role": `"admin"`}}}); v.Reason != "the room is full" {
		t.Errorf("a full room: %+v", v)
	}
}
