// Package chat is a small client for the terminal: rooms, what is said in them,
// and what the server's rules made of it.
package chat

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// session is the client's side of a conversation, without socket or screen: what
// the person types becomes requests, what the server sends becomes lines. It is
// not for concurrent use.
type session struct {
	next  int
	asked map[int]question
	me    string   // the connection's id, once it is known
	rooms []string // joined, in the order they were
	room  string   // the one that is spoken in; "" for none
}

// question is a request that has not been answered.
type question struct{ verb, room, about string }

// line is something to show.
type line struct {
	kind lineKind
	at   time.Time // zero for now
	room string    // "" for none
	from string
	text string
}

type lineKind uint8

const (
	chatLine   lineKind = iota
	noticeLine          // the server's, or the client's own
	deniedLine          // a request that failed, or was turned down by a rule
)

// String is the line as plain text. Control characters of others are shown, not
// obeyed.
func (l line) String() string {
	l.text, l.from, l.room = harmless(l.text), harmless(l.from), harmless(l.room)
	switch {
	case l.kind == deniedLine:
		return "! " + l.text
	case l.kind == noticeLine && l.room == "":
		return "* " + l.text
	case l.kind == noticeLine:
		return fmt.Sprintf("[%s] * %s", l.room, l.text)
	}
	return fmt.Sprintf("[%s] %s: %s", l.room, l.from, l.text)
}

func notice(format string, args ...any) line {
	return line{kind: noticeLine, text: fmt.Sprintf(format, args...)}
}

func denied(format string, args ...any) line {
	return line{kind: deniedLine, text: fmt.Sprintf(format, args...)}
}

func newSession() *session { return &session{asked: map[int]question{}} }

// help is what /help shows.
const help = "/join ROOM  /leave [ROOM]  /room ROOM (speak there)  /rooms  /who [ROOM]  /do ACTION [NAME=VALUE ...]  /actions  /quit"

// ask makes a request. fields are further members of it.
func (s *session) ask(q question, fields map[string]any) json.RawMessage {
	s.next++
	s.asked[s.next] = q
	request := map[string]any{"event": q.verb, "messageId": s.next}
	if q.room != "" {
		request["room"] = q.room
	}
	maps.Copy(request, fields)
	b, err := json.Marshal(request)
	if err != nil { // maps of text always encode
		panic(err)
	}
	return b
}

// typed takes what the person typed. It gives requests to send, lines to show,
// and whether the person wants to leave.
func (s *session) typed(text string) (requests []json.RawMessage, lines []line, quit bool) {
	if strings.TrimSpace(text) == "" {
		return nil, nil, false
	}
	if !strings.HasPrefix(text, "/") {
		if s.room == "" {
			return nil, []line{denied("you are in no room: /join ROOM first")}, false
		}
		return []json.RawMessage{s.ask(question{"say", s.room, text}, map[string]any{"message": text})}, nil, false
	}
	words := strings.Fields(text)
	command, arg := words[0], ""
	if len(words) > 1 {
		arg = strings.TrimSpace(strings.TrimPrefix(text, command))
	}
	room := cmp.Or(arg, s.room)
	request := func(verb string) ([]json.RawMessage, []line, bool) {
		return []json.RawMessage{s.ask(question{verb: verb, room: room}, nil)}, nil, false
	}
	switch command {
	case "/quit", "/exit":
		return []json.RawMessage{json.RawMessage(`{"event":"quit"}`)}, nil, true
	case "/join":
		if arg == "" {
			return nil, []line{denied("which room? /join ROOM")}, false
		}
		return request("roomAdd")
	case "/leave":
		return request("roomLeave")
	case "/who":
		return request("roomView")
	case "/room":
		if !slices.Contains(s.rooms, arg) {
			return nil, []line{denied("you are not in %q: /join it first", arg)}, false
		}
		s.room = arg
		return nil, []line{notice("you speak in %s", arg)}, false
	case "/rooms":
		return nil, []line{notice("you are in %s", cmp.Or(strings.Join(s.rooms, ", "), "no room"))}, false
	case "/actions":
		return []json.RawMessage{s.ask(question{verb: "documentation"}, nil)}, nil, false
	case "/do":
		return s.action(words[1:])
	case "/help":
		return nil, []line{notice("%s", help)}, false
	}
	return nil, []line{denied("there is no %s; /help names the commands", command)}, false
}

func (s *session) action(words []string) ([]json.RawMessage, []line, bool) {
	if len(words) == 0 {
		return nil, []line{denied("which action? /do ACTION [NAME=VALUE ...]; /actions lists them")}, false
	}
	params := map[string]any{"action": words[0]}
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return nil, []line{denied("%q is not NAME=VALUE", w)}, false
		}
		params[name] = value
	}
	return []json.RawMessage{s.ask(question{verb: "action", about: words[0]}, map[string]any{"params": params})}, nil, false
}

// harmless is text of others without what a terminal would obey.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, text)
}
