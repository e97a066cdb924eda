package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/sdk/go/client"
)

// fake is a server that records its requests. It refuses all requests about the room "secure".
type fake struct {
	rooms []string
	asked []string
}

func (f *fake) ask(what ...any) error {
	f.asked = append(f.asked, strings.TrimSpace(fmt.Sprintln(what...)))
	if slices.Contains(what, any("secure")) {
		return &client.VerbError{Message: "members only"}
	}
	return nil
}

func (f *fake) Join(_ context.Context, room string) error {
	err := f.ask("join", room)
	if err == nil {
		f.rooms = append(f.rooms, room)
	}
	return err
}

func (f *fake) Leave(_ context.Context, room string) error {
	f.rooms = slices.DeleteFunc(f.rooms, func(r string) bool { return r == room })
	return f.ask("leave", room)
}

func (f *fake) Say(_ context.Context, room, message string) (string, error) {
	return "id", f.ask("say", room, message)
}

func (f *fake) View(_ context.Context, room string, _ client.Page) (client.Room, error) {
	return client.Room{Room: room, MembersCount: 3, Members: []client.Member{{ID: "b"}, {ID: "a"}}, Cursor: "c"}, f.ask("view", room)
}

func (f *fake) History(_ context.Context, room string, _ client.HistoryPage) (client.History, error) {
	return client.History{Messages: []client.Message{{Room: room, From: "n-2", Message: json.RawMessage(`"hi"`)}}}, f.ask("history", room)
}

func (f *fake) Action(_ context.Context, name string, params map[string]any) (map[string]json.RawMessage, error) {
	return map[string]json.RawMessage{"role": json.RawMessage(`"member"`)}, f.ask("action", name, params)
}

func (f *fake) Actions(context.Context) (map[string]client.ActionInfo, error) {
	return map[string]client.ActionInfo{"login": {Description: "lets you in", Inputs: map[string]client.InputInfo{"token": {}}}}, f.ask("actions")
}

func (f *fake) Rooms() []string { return f.rooms }

func plain(lines []line) string {
	var b []string
	for _, l := range lines {
		b = append(b, l.String())
	}
	return strings.Join(b, "\n")
}

func TestInputsBecomeRequests(t *testing.T) {
	for _, c := range []struct{ room, typed, asked, shown string }{
		{"", "hello", "", "! no current room: join one with /join ROOM"},
		{"r", "hello  there", "say r hello  there", ""},
		{"secure", "hello", "say secure hello", "! say secure: members only"},
		{"", "/join a room", "join a room", "* joined a room"},
		{"", "/join secure", "join secure", "! join secure: members only"},
		{"", "/join", "", "! usage: /join ROOM"},
		{"r", "/leave", "leave r", "* left r"},
		{"", "/leave", "", "! usage: /leave ROOM"},
		{"r", "/who other", "view other", "* other has 3: a, b and more"},
		{"r", "/history", "history r", "[r] n-2: hi"},
		{"", "/do login token=x=y", "action login map[token:x=y]", `* login: {"role":"member"}`},
		{"", "/do login token", "", `! "token" is not NAME=VALUE`},
		{"", "/do", "", "! usage: /do ACTION [NAME=VALUE ...]; /actions lists the actions"},
		{"", "/actions", "actions", "* /do login token=...  lets you in"},
		{"r", "/room q", "", `! you are not in "q": join it with /join`},
		{"r", "/room r", "", "* r is the current room"},
		{"", "/rooms", "", "* you are in no room"},
		{"r", "/rooms", "", "* you are in r"},
		{"", "/nonsense", "", "! unknown command /nonsense: see /help"},
		{"", "   ", "", ""},
	} {
		f := &fake{}
		s := newSession()
		s.server = f
		if c.room != "" {
			f.rooms = []string{c.room}
			s.room.Store(&c.room)
		}
		lines, quit := s.typed(t.Context(), c.typed)
		if got := strings.Join(f.asked, "\n"); got != c.asked || plain(lines) != c.shown || quit {
			t.Errorf("%q asked %q and showed %q, %v; want %q, %q", c.typed, got, plain(lines), quit, c.asked, c.shown)
		}
	}
	if _, quit := newSession().typed(t.Context(), "/quit"); !quit {
		t.Error("/quit does not quit")
	}
}

func TestTheCurrentRoom(t *testing.T) {
	s := newSession()
	s.server = &fake{}
	for _, c := range [][2]string{{"/join a", "a"}, {"/join b", "b"}, {"/join secure", "b"}, {"/room a", "a"}, {"/leave b", "a"}, {"/join b", "b"}, {"/leave", "a"}, {"/leave", ""}} {
		if s.typed(t.Context(), c[0]); s.current() != c[1] {
			t.Errorf("after %s the current room is %q, want %q", c[0], s.current(), c[1])
		}
	}
}

// TestEventsBecomeLines checks the line of each event of a client, and that a lost connection calls giveUp.
func TestEventsBecomeLines(t *testing.T) {
	s := newSession()
	s.events = make(chan line, 1)
	var gaveUp error
	h := s.handlers(func(why error) { gaveUp = why })
	said := func(from, message string) func() {
		return func() {
			h.OnMessage(client.Message{Room: "lobby", From: from, Message: json.RawMessage(message), SentAt: time.UnixMilli(1)})
		}
	}
	for _, c := range []struct {
		happens func()
		shown   string
	}{
		{func() { h.OnNotice(client.Notice{Text: "Welcome to the moot api"}) }, "* Welcome to the moot api"},
		{func() { h.OnNotice(client.Notice{Fields: map[string]json.RawMessage{"a": json.RawMessage("1")}}) }, `* {"a":1}`},
		{func() { h.OnConnected("n-1", false) }, "* you are n-1"},
		{said("n-1", `"hi"`), "[lobby] you: hi"},
		{said("n-2", `{"a":1}`), `[lobby] n-2: {"a":1}`},
		{said("0", `"n-2 joined"`), "[lobby] * n-2 joined"},
		{said("n-2", `"\u001b[2J"`), "[lobby] n-2: \uFFFD[2J"},
		{func() {
			h.OnPresence(client.Presence{Room: "lobby", Joined: []string{"a"}, Left: []string{"b", "c"}, MembersCount: 3})
		}, "[lobby] * a joined, b, c left: 3 are here"},
		{func() { h.OnGap("lobby") }, "* messages were lost in lobby"},
		{func() { h.OnLeft("secure", errors.New("members only")) }, "! you are no longer in secure: members only"},
		{func() {
			h.OnState(client.StateChange{State: client.Waiting, Err: errors.New("connection lost"), Delay: 1234 * time.Millisecond})
		}, "! connection lost; the next attempt is in 1.2s"},
	} {
		if c.happens(); gaveUp != nil && c.shown[0] != '!' {
			t.Error("it gave up")
		}
		if got := (<-s.events).String(); got != c.shown {
			t.Errorf("it shows %q, want %q", got, c.shown)
		}
	}
	if gaveUp == nil {
		t.Error("it did not give up")
	}
	s.stop()
	h.OnGap("nobody listens") // it does not block
}
