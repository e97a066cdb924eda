package main

import (
	"reflect"
	"strings"
	"testing"

	moot "github.com/mootchat/moot/sdk/go"
	"github.com/mootchat/moot/sdk/go/moottest"
)

func TestAnnouncer(t *testing.T) {
	ann := &moottest.Connection{ID: "17", User: "ann"}
	tests := []struct {
		name, config string
		event        moottest.Event
		want         string // the notice; "": none
	}{
		{"a join", ``, moottest.Event{Hook: "join"}, "17 joined"},
		{"a leave", ``, moottest.Event{Hook: "leave", Cause: "roomLeave"}, "17 left"},
		{"a lost connection", ``, moottest.Event{Hook: "leave", Cause: "disconnect"}, "17 left"},
		{"a rejoin is quiet", ``, moottest.Event{Hook: "join", Cause: "rejoined"}, ""},
		{"a lost node is quiet", ``, moottest.Event{Hook: "leave", Cause: "node_lost"}, ""},
		{"a lost node on request", `{"quiet":[]}`, moottest.Event{Hook: "leave", Cause: "node_lost"}, "17 left"},
		{"quiet on request", `{"quiet":["disconnect"]}`, moottest.Event{Hook: "leave", Cause: "disconnect"}, ""},
		{"all names", `{"join":"{user} ({id}) is in {room}{room}"}`, moottest.Event{Hook: "join"}, "ann (17) is in lobbylobby"},
		{"no notice", `{"join":""}`, moottest.Event{Hook: "join"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, err := moottest.Load(module(), test.config)
			if err != nil {
				t.Fatal(err)
			}
			test.event.Room, test.event.Connection = "lobby", ann
			v := g.Ask(test.event)
			var want []moot.Emit
			if test.want != "" {
				want = []moot.Emit{{Room: "lobby", Text: test.want}}
			}
			if v.Answer != moottest.Allow || !reflect.DeepEqual(v.Emitted, want) {
				t.Errorf("got %s and %+v, want %+v", v.Answer, v.Emitted, want)
			}
		})
	}
}

func TestUserWithoutNameGoesByID(t *testing.T) {
	g, err := moottest.Load(module(), `{"join":"hello {user}"}`)
	if err != nil {
		t.Fatal(err)
	}
	v := g.Ask(moottest.Event{Hook: "join", Room: "lobby", Connection: &moottest.Connection{ID: "17"}})
	if len(v.Emitted) != 1 || v.Emitted[0].Text != "hello 17" {
		t.Errorf("got %+v", v.Emitted)
	}
}

func TestWithoutGrantIsLogged(t *testing.T) {
	m := module()
	m.Capabilities = nil
	g, err := moottest.Load(m, "")
	if err != nil {
		t.Fatal(err)
	}
	v := g.Ask(moottest.Event{Hook: "join", Room: "lobby", Connection: &moottest.Connection{ID: "17"}})
	if v.Answer != moottest.Allow || len(g.Host.Logged) != 1 || g.Host.Logged[0] != "warn not announced: not granted" {
		t.Errorf("got %s, logged %q", v.Answer, g.Host.Logged)
	}
}

func TestUnknownCauseIsRefused(t *testing.T) {
	_, err := moottest.Load(module(), `{"quiet":["rejoined","kicked"]}`)
	if err == nil || !strings.HasPrefix(err.Error(), `quiet[1]: "kicked" is not a cause`) {
		t.Errorf("got %v", err)
	}
}
