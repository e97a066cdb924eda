// Package chat is a chat client for the terminal.
package chat

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/sdk/go/client"
)

// server is the interface for the requests of a session. client.Client implements it.
type server interface {
	Join(ctx context.Context, room string) error
	Leave(ctx context.Context, room string) error
	Say(ctx context.Context, room, message string) (id string, err error)
	View(ctx context.Context, room string, p client.Page) (client.Room, error)
	History(ctx context.Context, room string, p client.HistoryPage) (client.History, error)
	Action(ctx context.Context, name string, params map[string]any) (map[string]json.RawMessage, error)
	Actions(ctx context.Context) (map[string]client.ActionInfo, error)
	Rooms() []string
}

// session turns inputs into requests, and answers and events into lines. Only one goroutine may call typed.
type session struct {
	server  server
	closer  *client.Client
	me      atomic.Pointer[string] // id of the connection; nil before it is known
	room    atomic.Pointer[string] // the current room; nil or "" for none
	events  chan line              // lines that are not answers to inputs
	stopped chan struct{}          // closed when nothing reads events any more
	stop    func()
}

// line is a line to show.
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
	noticeLine          // of the server or of this program
	deniedLine          // an error or the refusal of a rule
)

// tenths is the precision of times.
const tenths = 100 * time.Millisecond

// String formats the line as plain text, without control characters.
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

func newSession() *session {
	s := &session{events: make(chan line), stopped: make(chan struct{})}
	s.stop = sync.OnceFunc(func() {
		close(s.stopped)
		if s.closer != nil {
			s.closer.Close()
			<-s.closer.Done()
		}
	})
	return s
}

// current returns the current room; "" for none. Any goroutine may call it.
func (s *session) current() string {
	if room := s.room.Load(); room != nil {
		return *room
	}
	return ""
}

// help is the text of /help.
const help = "/join ROOM  /leave [ROOM]  /room ROOM (make it current)  /rooms  /who [ROOM]  /history [ROOM]  /do ACTION [NAME=VALUE ...]  /actions  /quit"

// typed carries out one input and returns the lines to show. quit is true for /quit.
func (s *session) typed(ctx context.Context, text string) (lines []line, quit bool) {
	if strings.TrimSpace(text) == "" {
		return nil, false
	}
	if !strings.HasPrefix(text, "/") {
		return s.say(ctx, text), false
	}
	command, arg, _ := strings.Cut(text, " ")
	arg = strings.TrimSpace(arg)
	room := cmp.Or(arg, s.current())
	switch command {
	case "/quit", "/exit":
		return nil, true
	case "/join":
		return s.join(ctx, arg), false
	case "/leave":
		return s.leave(ctx, room), false
	case "/who":
		return s.who(ctx, room), false
	case "/history":
		return s.history(ctx, room), false
	case "/room":
		return s.speak(arg), false
	case "/rooms":
		return []line{notice("you are in %s", cmp.Or(strings.Join(s.server.Rooms(), ", "), "no room"))}, false
	case "/actions":
		all, err := s.server.Actions(ctx)
		return linesOr(ctx, err, "actions", actions(all)...), false
	case "/do":
		return s.do(ctx, strings.Fields(arg)), false
	case "/help":
		return []line{notice("%s", help)}, false
	}
	return []line{denied("unknown command %s: see /help", command)}, false
}

// linesOr returns the lines, or a line with the error.
func linesOr(ctx context.Context, err error, what string, lines ...line) []line {
	switch {
	case err == nil:
		return lines
	case ctx.Err() != nil: // the user has quit
		return nil
	}
	return []line{denied("%s: %v", what, err)}
}

func (s *session) say(ctx context.Context, text string) []line {
	room := s.current()
	if room == "" {
		return []line{denied("no current room: join one with /join ROOM")}
	}
	_, err := s.server.Say(ctx, room, text)
	return linesOr(ctx, err, "say "+room)
}

func (s *session) join(ctx context.Context, room string) []line {
	if room == "" {
		return []line{denied("usage: /join ROOM")}
	}
	err := s.server.Join(ctx, room)
	if err == nil {
		s.room.Store(&room)
	}
	return linesOr(ctx, err, "join "+room, notice("joined %s", room))
}

func (s *session) leave(ctx context.Context, room string) []line {
	if room == "" {
		return []line{denied("usage: /leave ROOM")}
	}
	err := s.server.Leave(ctx, room)
	if rooms := s.server.Rooms(); err == nil && s.current() == room {
		s.room.Store(nil)
		if len(rooms) > 0 {
			s.room.Store(&rooms[0])
		}
	}
	return linesOr(ctx, err, "leave "+room, notice("left %s", room))
}

func (s *session) who(ctx context.Context, room string) []line {
	r, err := s.server.View(ctx, room, client.Page{})
	return linesOr(ctx, err, "who "+room, members(r))
}

func (s *session) history(ctx context.Context, room string) []line {
	h, err := s.server.History(ctx, room, client.HistoryPage{})
	var lines []line
	for _, m := range h.Messages {
		lines = append(lines, s.message(m))
	}
	return linesOr(ctx, err, "history "+room, lines...)
}

func (s *session) speak(room string) []line {
	if !slices.Contains(s.server.Rooms(), room) {
		return []line{denied("you are not in %q: join it with /join", room)}
	}
	s.room.Store(&room)
	return []line{notice("%s is the current room", room)}
}

func (s *session) do(ctx context.Context, words []string) []line {
	if len(words) == 0 {
		return []line{denied("usage: /do ACTION [NAME=VALUE ...]; /actions lists the actions")}
	}
	params := map[string]any{}
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return []line{denied("%q is not NAME=VALUE", w)}
		}
		params[name] = value
	}
	reply, err := s.server.Action(ctx, words[0], params)
	return linesOr(ctx, err, words[0], notice("%s: %s", words[0], text(reply)))
}

// harmless replaces control characters, because other users choose the text.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, text)
}
