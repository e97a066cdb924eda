package engine_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/review/memory"
)

// TestProtocol runs the conversations in PROTOCOL.md, each on its own engine.
func TestProtocol(t *testing.T) {
	page, err := os.ReadFile("wire/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```chat\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d conversations were found", len(blocks))
	}
	for _, b := range blocks {
		inWorld(t, func(w *world) {
			n := w.node("one", resumes, func(c *engine.Config) {
				c.Tenants[0].StartingRooms = []string{"lobby", "kept", "watched", "orders", "moderated"}
				c.Review = &memory.Store{}
				c.Tenants[0].Rooms = []engine.RoomSettings{
					{Match: func(r string) bool { return r == "kept" }, Retention: cluster.Retention{Messages: 10, For: time.Hour}},
					{Match: func(r string) bool { return r == "watched" }, Presence: true},
					{Match: func(r string) bool { return r == "orders" }, JSON: true},
				}
			})
			n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
				if ev.Room == "moderated" && ev.After == nil {
					return holdAt(100, false)
				}
				return hook.Verdict{}
			})
			talk := conversation{n: n, clients: map[string]*client{}, heard: map[string][]string{}, names: map[string]string{}}
			for line := range strings.Lines(b[1]) {
				talk.line(strings.TrimSuffix(line, "\n"))
			}
			talk.silence()
		})
	}
}

// conversation runs the requests of a conversation and compares the answers, with the
// placeholders of the page.
type conversation struct {
	n       *node
	clients map[string]*client
	heard   map[string][]string // messages that have not been compared yet
	names   map[string]string   // the values of the page's placeholders

	messages int // the number of placeholders for ids of messages: <m1>, <m2>
}

// secrets matches values that have a placeholder on the page.
var secrets = regexp.MustCompile(`"(session|epoch|held)":"([^"]+)"`)

func (t *conversation) line(line string) {
	t.n.w.Helper()
	who, what, text := line[:1], line[1], strings.TrimSpace(line[2:])
	switch what {
	case '+':
		open := t.n.client
		if text == "tcp" {
			open = t.n.socket
		}
		t.clients[who] = open()
		t.names["<"+who+">"] = t.clients[who].ID()
	case '!':
		t.clients[who].HangUp()
	case ':': // a moderator
		if text == string(review.Dismiss) {
			page, _, err := t.n.Reports(t.n.w.Context(), "default", review.Query{Limit: 1})
			if err == nil {
				_, err = t.n.resolves(page[0].ID, review.Decision{Action: review.Dismiss, Reason: "so be it"}, moderation.Sanction{})
			}
			if err != nil {
				t.n.w.Error(err)
			}
			return
		}
		if _, err := t.n.decides(t.names["<held>"], review.Action(text)); err != nil {
			t.n.w.Error(err)
		}
	case '>':
		t.silence()
		for name, is := range t.names {
			text = strings.ReplaceAll(text, name, is)
		}
		<-t.clients[who].Begin(text)
	case '<':
		if len(t.heard[who]) == 0 {
			t.listen()
		}
		if len(t.heard[who]) == 0 {
			time.Sleep(100 * time.Millisecond) // notices are delayed
			t.listen()
		}
		if len(t.heard[who]) == 0 || t.heard[who][0] != text {
			t.n.w.Errorf("%s received\n%s\nwant\n%s", who, t.heard[who], text)
			return
		}
		t.heard[who] = t.heard[who][1:]
	default:
		t.n.w.Errorf("%s is not understood", line)
	}
}

// listen reads the messages of all clients and replaces values by the page's placeholders.
// Answers come before chat messages.
func (t *conversation) listen() {
	synctest.Wait()
	for who, c := range t.clients {
		heard := c.heardIDs()
		slices.SortStableFunc(heard, func(a, b string) int { return isChat(a) - isChat(b) })
		for _, h := range heard {
			for _, m := range messageID.FindAllStringSubmatch(h, -1) {
				if !slices.Contains(slices.Collect(maps.Values(t.names)), m[1]) {
					t.messages++
					t.names[fmt.Sprintf("<m%d>", t.messages)] = m[1]
				}
			}
			for _, m := range secrets.FindAllStringSubmatch(h, -1) {
				t.names["<"+m[1]+">"] = m[2]
				h = strings.ReplaceAll(h, m[2], "<"+m[1]+">")
			}
			for name, is := range t.names {
				h = strings.ReplaceAll(h, is, name)
			}
			t.heard[who] = append(t.heard[who], h)
		}
	}
}

// silence fails the test if a client has received a message that is not on the page.
func (t *conversation) silence() {
	t.n.w.Helper()
	t.listen()
	for who, heard := range t.heard {
		if len(heard) > 0 {
			t.n.w.Errorf("%s received as well: %s", who, fmt.Sprint(heard))
			t.heard[who] = nil
		}
	}
}
