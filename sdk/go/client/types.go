package client

import (
	"encoding/json"
	"time"
)

// Position is a place in what a room has heard. Only rooms that keep history have
// one; the zero Position is none.
type Position struct {
	// Epoch is the life of the room's history: offsets of two epochs do not compare.
	Epoch string `json:"epoch"`
	// Offset counts the room's messages. A rule may hide some, so offsets may skip.
	Offset uint64 `json:"offset"`
}

// Message is something said in a room, as the server's rules let this client hear it.
type Message struct {
	Room string
	// From is the id of the connection that said it; "0" is the server itself.
	From string
	// Message is JSON: a string where it came from a client, anything where it came
	// from a rule or from the server.
	Message json.RawMessage
	// SentAt is by the server's clock, to the millisecond.
	SentAt time.Time
	// Position is zero where the room keeps no history.
	Position Position
	// Extra is what rules have added, by name; never nil in a message that was heard.
	Extra map[string]json.RawMessage
}

// Text is the message where it is a string, else its JSON.
func (m Message) Text() string {
	if s, ok := text(m.Message); ok {
		return s
	}
	return string(m.Message)
}

// Presence is who came to a room and who left, gathered over a moment.
type Presence struct {
	Room string
	// Joined and Left are ids of connections.
	Joined []string
	Left   []string
	// Members is how many the room has on all nodes.
	Members int
}

// Notice is what the server says outside of rooms: its welcome, what an operator or
// a rule sends to this connection, the end of a room.
type Notice struct {
	// Text is the welcome, or the message where it is a string, else its JSON.
	Text string
	// Fields is all that came.
	Fields map[string]json.RawMessage
}

// Member is a member of a room.
type Member struct {
	ID       string // of the connection
	JoinedAt time.Time
}

// Room is a room and a page of its members.
type Room struct {
	Room string
	// Count is how many members the room has.
	Count int
	// Members are those of the page, by the time they joined.
	Members []Member
	// Cursor is where the next page begins; "" on the last.
	Cursor string
}

// Page is which members of a room to show. The zero Page is the first.
type Page struct {
	Limit  int    // at most so many; 0 is 1000, which is the most
	Cursor string // of the page before
}

// History is a page of what was said before, oldest first.
type History struct {
	Room     string
	Epoch    string
	Messages []Message
	// Before is what to ask for to get the page before this one; 0 where there is none.
	Before uint64
}

// Past is which part of a room's history to show. The zero Past is the latest.
type Past struct {
	Limit  int    // at most so many; 0 is 50, 1000 is the most
	Before uint64 // only what has a smaller offset; 0 for no bound
}

// Details is this connection, as the server knows it.
type Details struct {
	ID          string   `json:"id"`
	Fingerprint string   `json:"fingerprint"`
	RemoteIP    string   `json:"remoteIP"`
	Rooms       []string `json:"rooms"`
}

// ActionInfo is what a rule says of an action that it offers.
type ActionInfo struct {
	Description string               `json:"description"`
	Inputs      map[string]InputInfo `json:"inputs"`
}

// InputInfo is what a rule says of a parameter.
type InputInfo struct {
	Description string `json:"description"`
	Required    bool   `json:"required"`
}
