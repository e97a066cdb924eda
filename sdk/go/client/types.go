package client

import (
	"encoding/json"
	"fmt"
	"time"
)

// Position is the position of a message in a room. Messages have it in rooms with history; the
// zero Position means that there is none.
type Position struct {
	// Epoch identifies the order of messages that Offset counts. Offsets of different
	// epochs cannot be compared.
	Epoch string `json:"epoch"`
	// Offset is the number of the message in its epoch, from 1. Offsets that a client
	// receives may skip numbers, because rules may hide messages from it.
	Offset uint64 `json:"offset"`
}

// Message is a message of a room, in the form that the server's rules chose for this
// client. A handler that receives it owns its bytes and its map.
type Message struct {
	// ID identifies the message, also in history and when it is delivered again; "" in an
	// ephemeral room.
	ID   string
	Room string
	// From is the id of the sender's connection; "0" means the server.
	From string
	// User is the user of the sender's token, in rooms that name users; "" if there is none.
	User string
	// Held is the id under which a rule had held the message before a moderator released it; "" if it was not held.
	Held string
	// Message is JSON: a string, or any value if a rule or the server sent it, or a client in
	// a room with json.
	Message json.RawMessage
	// SentAt is the time by the server's clock, in milliseconds.
	SentAt time.Time
	// EditedAt is the time of the last edit; zero if the message was not edited.
	EditedAt time.Time
	// EditedBy names the editor; "" if it was the author.
	EditedBy string
	// Position is zero if the room has no history. The new version of a message has the position of
	// the edit.
	Position Position
	// Extra holds the fields that rules added, by name; never nil in a received message.
	Extra map[string]json.RawMessage
}

// Text returns the message if it is a string, and its JSON otherwise.
func (m Message) Text() string {
	if s, ok := text(m.Message); ok {
		return s
	}
	return string(m.Message)
}

// DecodeExtra decodes the fields that rules added into v, a pointer to a struct or a map, as
// json.Unmarshal does. Fields of Extra that v does not have are ignored.
func (m Message) DecodeExtra(v any) error {
	object, err := json.Marshal(m.Extra)
	if err != nil {
		return fmt.Errorf("extra fields of a message in %s: %w", m.Room, err)
	}
	if err := json.Unmarshal(object, v); err != nil {
		return fmt.Errorf("extra fields of a message in %s: %w", m.Room, err)
	}
	return nil
}

// Sent is the result of Send.
type Sent struct {
	// ID is the message's id; "" in an ephemeral room, and if the message is held.
	ID string
	// Held is the id under which a rule holds the message until a moderator decides about it; ""
	// if the message is published.
	Held string
}

// Outcome is the state of a held message, or the decision about it.
type Outcome struct {
	Held string // its id
	Room string
	// Outcome is "waiting", "released", "rejected", "withdrawn" or "expired".
	Outcome string
	Reason  string // of the moderator; may be ""
	ID      string // of the released message; "" otherwise, and in an ephemeral room
}

// HeldMessage is a message of this client or its user that a rule holds.
type HeldMessage struct {
	Outcome
	Message json.RawMessage // a string, an object or an array
	SentAt  time.Time
	HeldAt  time.Time
	Until   time.Time // when it expires if nobody decides; zero: never
}

// HeldPage is a page of held messages, the oldest first.
type HeldPage struct {
	Held   []HeldMessage
	Cursor string // of the next page; "" on the last page
}

// Presence is a notice of the members that joined and left a room. The server collects
// the changes of a short time into one notice.
type Presence struct {
	Room string
	// Joined and Left are ids of connections.
	Joined []string
	Left   []string
	// MembersCount is the number of members on all nodes.
	MembersCount int
	// Users is set in a notice of users, in a room that names users. Joined and Left are then empty.
	Users *UsersChange
}

// UsersChange is the change of the users in a room: a user joins with the first connection and
// leaves with the last one.
type UsersChange struct {
	Joined []string `json:"joined"`
	Left   []string `json:"left"`
	Count  int      `json:"count"` // users in the room
}

// Notice is a frame that belongs to no room: the welcome, a message of an operator or of
// a rule to this connection, the end of a room.
type Notice struct {
	// Text is the welcome or the message; the JSON of a message that is not a string.
	Text string
	// Fields holds all fields of the frame.
	Fields map[string]json.RawMessage
}

// Report is a report of a message, or of a user. Message or User is set.
type Report struct {
	Room    string // of the message; of a report of a user: the room in which it happened, may be ""
	Message string // id of a message of the room's history
	User    string
	Reason  string // for the moderators, at most 256 bytes; may be ""
	Notify  bool   // ask for the outcome, which OnNotice receives
}

// Member is a member of a room.
type Member struct {
	ID       string // of the connection
	JoinedAt time.Time
	User     string // of the connection's token, in rooms that name users; "" if there is none
}

// Room is a room and a page of its members.
type Room struct {
	Room string
	// MembersCount is the number of members of the room on all nodes.
	MembersCount int
	// Members are the members of the page, in the order in which they joined.
	Members []Member
	// Users are the users of Members, with the number of their connections in the room, in rooms that
	// name users. UsersCount is the number of users in the room.
	Users      map[string]int
	UsersCount int
	// Cursor is the Page.Cursor of the next page; "" on the last page.
	Cursor string
}

// Page selects members of a room. The zero Page is the first page.
type Page struct {
	Limit  int    // largest number of members; 0 means 1000, which is the maximum
	Cursor string // Room.Cursor of the page before; "" for the first page
}

// History is a page of the past messages of a room, oldest first.
type History struct {
	Room     string
	Epoch    string
	Messages []Message
	// Before is the HistoryPage.Before of the page with older messages; 0 if there are none.
	Before uint64
}

// HistoryPage selects past messages of a room. The zero HistoryPage is the latest messages.
type HistoryPage struct {
	Limit  int    // largest number of messages; 0 means 50, the maximum is 1000
	Before uint64 // only messages with a smaller offset; 0 means all
}

// Details describes the client's connection as the server knows it.
type Details struct {
	ID          string   `json:"id"`
	Fingerprint string   `json:"fingerprint"`
	RemoteIP    string   `json:"remoteIP"`
	Rooms       []string `json:"rooms"`
}

// ActionInfo describes an action of a rule.
type ActionInfo struct {
	Description string               `json:"description"`
	Inputs      map[string]InputInfo `json:"inputs"`
}

// InputInfo describes a parameter of an action.
type InputInfo struct {
	Description string `json:"description"`
	Required    bool   `json:"required"`
}

// Retraction names a message that was retracted.
type Retraction struct {
	ID   string // of the message
	Room string
	// By names who retracted the message; "" if it was the author.
	By string
	// Position is that of the retraction; zero if the room has no history.
	Position Position
}
