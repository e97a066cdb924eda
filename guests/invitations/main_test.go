package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/sdk/go/moottest"
)

func load(t *testing.T, config string) *moottest.Guest {
	t.Helper()
	g, err := moottest.Load(module(), config)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func joins(g *moottest.Guest, user string) moottest.Verdict {
	return g.Ask(moottest.Event{Hook: "join", Room: "private", Connection: &moottest.Connection{ID: "1", User: user}})
}

func TestSpentInvitationLeavesTheOthers(t *testing.T) {
	g := load(t, "")
	now := g.Host.Clock.UnixMilli()
	over, later := now-1, now+1
	g.Host.KV["room:private"] = `{"members":["ann"],"invitations":{"bob":{"once":true},"cleo":{"ends":` + strconv.FormatInt(over, 10) + `},"dora":{"ends":` + strconv.FormatInt(later, 10) + `}}}`
	if v := joins(g, "bob"); v.Answer != moottest.Allow {
		t.Fatalf("an invited user: %+v", v)
	}
	if want := `{"members":["ann"],"invitations":{"dora":{"ends":` + strconv.FormatInt(later, 10) + `}}}`; g.Host.KV["room:private"] != want {
		t.Errorf("the record is %s, want %s", g.Host.KV["room:private"], want)
	}
}

func TestNothingIsWrittenWhereNothingChanges(t *testing.T) {
	g := load(t, "")
	const record = `{ "members": ["ann"], "invitations": {"bob": {}} }`
	g.Host.KV["room:private"] = record
	for user, want := range map[string]moottest.Answer{"ann": moottest.Allow, "bob": moottest.Allow, "cleo": moottest.Deny} {
		if v := joins(g, user); v.Answer != want {
			t.Errorf("%s: %+v, want %s", user, v, want)
		}
	}
	if g.Host.KV["room:private"] != record || len(g.Host.KV) != 1 {
		t.Errorf("the store has %v", g.Host.KV)
	}
}

func TestRecordThatCannotBeReadIsLogged(t *testing.T) {
	g := load(t, "")
	g.Host.KV["room:private"] = `["ann"]`
	if v := joins(g, "ann"); v.Reason != "not possible now" {
		t.Errorf("got %+v", v)
	}
	if len(g.Host.Logged) != 1 || !strings.HasPrefix(g.Host.Logged[0], `error the key "room:private" must hold {"members"`) {
		t.Errorf("logged %q", g.Host.Logged)
	}
}

func TestRoomOfTheLastNameIsNotFreedByOthers(t *testing.T) {
	g := load(t, `{"roles":["admin"],"max":1}`)
	invite := func(user string) moottest.Verdict {
		return g.Ask(moottest.Event{Hook: "action", Action: "invite", Params: `{"room":"private","user":"` + user + `","lasts":"1m"}`,
			Connection: &moottest.Connection{ID: "1", Properties: map[string]string{"role": `"admin"`}}})
	}
	for _, step := range []struct{ user, reason string }{{"ann", ""}, {"bob", "invite: the room's list is full"}, {"ann", ""}} {
		if v := invite(step.user); v.Reason != step.reason {
			t.Errorf("%s: %+v, want %q", step.user, v, step.reason)
		}
	}
	g.Host.Clock = g.Host.Clock.Add(time.Minute)
	if v := invite("bob"); v.Reason != "" {
		t.Errorf("after an invitation has ended: %+v", v)
	}
}
