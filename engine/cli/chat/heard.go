package chat

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// frame is what a server sends, of every kind.
type frame struct {
	Context   string          `json:"context"`
	MessageID json.RawMessage `json:"messageId"`
	Error     string          `json:"error"`
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	Welcome   string          `json:"welcome"`

	Message json.RawMessage `json:"message"`
	Room    string          `json:"room"`
	From    string          `json:"from"`
	SentAt  int64           `json:"sentAt"`
}

// heard takes one frame of the server and gives the lines to show.
func (s *session) heard(b []byte) []line {
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		return []line{denied("the server sent what is no message: %.80q", b)}
	}
	switch {
	case f.Context == "response":
		return s.answered(f, b)
	case f.Context == "user":
		from := f.From
		if from == s.me {
			from = "you"
		}
		l := line{kind: chatLine, at: time.UnixMilli(f.SentAt), room: f.Room, from: from, text: plain(f.Message)}
		if f.From == "0" {
			l.kind = noticeLine
		}
		return []line{l}
	case f.Welcome != "":
		return []line{notice("%s", f.Welcome)}
	case f.Message != nil:
		return []line{notice("%s", plain(f.Message))}
	}
	return []line{notice("%s", b)}
}

// plain is a message as text: JSON that is no string as it came.
func plain(message json.RawMessage) string {
	var text string
	if json.Unmarshal(message, &text) == nil {
		return text
	}
	return string(message)
}

// answered shows what became of a request.
func (s *session) answered(f frame, whole []byte) []line {
	var id int
	_ = json.Unmarshal(f.MessageID, &id) // 0 is no request of ours
	q, ok := s.asked[id]
	delete(s.asked, id)
	if f.Error != "" {
		what := strings.TrimSpace(q.verb + " " + cmp.Or(q.room, q.about))
		return []line{denied("%s: %s", cmp.Or(what, "request"), strings.TrimPrefix(f.Error, "Error: "))}
	}
	if !ok {
		return nil
	}
	switch q.verb {
	case "roomAdd":
		s.rooms = append(s.rooms, q.room)
		s.room = q.room
		return []line{notice("joined %s", q.room)}
	case "roomLeave":
		s.left(q.room)
		return []line{notice("left %s", q.room)}
	case "detailsView":
		var d struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(f.Data, &d)
		s.me = d.ID
		return []line{notice("you are %s", d.ID)}
	case "roomView":
		return members(q.room, f.Data)
	case "documentation":
		return actions(f.Data)
	case "action":
		return []line{notice("%s: %s", q.about, reply(whole))}
	}
	return nil
}

func (s *session) left(room string) {
	s.rooms = slices.DeleteFunc(s.rooms, func(r string) bool { return r == room })
	if s.room == room {
		s.room = ""
		if n := len(s.rooms); n > 0 {
			s.room = s.rooms[n-1]
		}
	}
}

func members(room string, data json.RawMessage) []line {
	var view struct {
		Members map[string]struct{} `json:"members"`
		Count   int                 `json:"membersCount"`
	}
	if err := json.Unmarshal(data, &view); err != nil {
		return []line{denied("the members of %s were not understood: %v", room, err)}
	}
	return []line{notice("%s has %d: %s", room, view.Count, strings.Join(slices.Sorted(maps.Keys(view.Members)), ", "))}
}

func actions(data json.RawMessage) []line {
	var doc struct {
		Actions map[string]struct {
			Description string                     `json:"description"`
			Inputs      map[string]json.RawMessage `json:"inputs"`
		} `json:"actions"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return []line{denied("the actions were not understood: %v", err)}
	}
	if len(doc.Actions) == 0 {
		return []line{notice("there are no actions here")}
	}
	var lines []line
	for _, name := range slices.Sorted(maps.Keys(doc.Actions)) {
		a := doc.Actions[name]
		use := "/do " + name
		for _, input := range slices.Sorted(maps.Keys(a.Inputs)) {
			use += " " + input + "=..."
		}
		lines = append(lines, notice("%s  %s", use, a.Description))
	}
	return lines
}

// reply is an action's own members of its answer.
func reply(whole []byte) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(whole, &members) != nil {
		return string(whole)
	}
	delete(members, "context")
	delete(members, "messageId")
	b, err := json.Marshal(members)
	if err != nil {
		return string(whole)
	}
	return string(b)
}
