package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mootchat/moot/sdk/go/client"
)

// handlers returns client options whose callbacks send events to s.events. They call giveUp when an attempt to connect
// fails, so that the first failure ends connect.
func (s *session) handlers(giveUp context.CancelCauseFunc) client.Options {
	return client.Options{
		OnMessage: func(m client.Message) { s.print(s.message(m)) },
		OnEdited: func(m client.Message) {
			l := s.message(m)
			l.text += " (edited)"
			s.print(l)
		},
		OnRetracted: func(r client.Retraction) { s.print(notice("a message in %s was retracted", r.Room)) },
		OnPresence:  func(p client.Presence) { s.print(presence(p)) },
		OnNotice:    func(n client.Notice) { s.print(announced(n)) },
		OnConnected: func(id string, _ bool) {
			s.me.Store(&id)
			s.print(notice("you are %s", id))
		},
		OnGap:  func(room string) { s.print(notice("messages were lost in %s", room)) },
		OnLeft: func(room string, reason error) { s.print(denied("you are no longer in %s: %v", room, reason)) },
		OnState: func(c client.StateChange) {
			if c.State == client.Waiting {
				giveUp(c.Err)
				s.print(denied("%v; the next attempt is in %v", c.Err, c.Delay.Round(tenths)))
			}
		},
	}
}

// print sends a line to the screen, unless the session has stopped.
func (s *session) print(l line) {
	select {
	case s.events <- l:
	case <-s.stopped:
	}
}

func (s *session) message(m client.Message) line {
	l := line{kind: chatLine, at: m.SentAt, room: m.Room, from: m.From, text: m.Text()}
	switch me := s.me.Load(); {
	case m.From == "0":
		l.kind = noticeLine
	case me != nil && m.From == *me:
		l.from = "you"
	}
	return l
}

func presence(p client.Presence) line {
	joined, left, here := p.Joined, p.Left, fmt.Sprintf("%d are here", p.MembersCount)
	if p.Users != nil {
		joined, left, here = p.Users.Joined, p.Users.Left, fmt.Sprintf("%d users are here", p.Users.Count)
	}
	var changes []string
	if len(joined) > 0 {
		changes = append(changes, strings.Join(joined, ", ")+" joined")
	}
	if len(left) > 0 {
		changes = append(changes, strings.Join(left, ", ")+" left")
	}
	return line{kind: noticeLine, room: p.Room, text: strings.Join(changes, ", ") + ": " + here}
}

func announced(n client.Notice) line {
	if n.Text != "" {
		return notice("%s", n.Text)
	}
	return notice("%s", text(n.Fields))
}

// text formats fields as JSON.
func text(fields map[string]json.RawMessage) string {
	b, err := json.Marshal(fields)
	if err != nil { // decoded JSON can always be encoded
		panic(err)
	}
	return string(b)
}

func members(r client.Room) line {
	var ids []string
	for _, m := range r.Members {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	more := ""
	if r.Cursor != "" {
		more = " and more"
	}
	return notice("%s has %d: %s%s", r.Room, r.MembersCount, strings.Join(ids, ", "), more)
}

func actions(all map[string]client.ActionInfo) []line {
	if len(all) == 0 {
		return []line{notice("there are no actions here")}
	}
	var lines []line
	for _, name := range slices.Sorted(maps.Keys(all)) {
		use := "/do " + name
		for _, input := range slices.Sorted(maps.Keys(all[name].Inputs)) {
			use += " " + input + "=..."
		}
		lines = append(lines, notice("%s  %s", use, all[name].Description))
	}
	return lines
}
