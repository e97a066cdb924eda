package moot

import (
	"strconv"
	"time"
)

// Kind is the effect of a [Sanction].
type Kind string

// The kinds of sanctions.
const (
	Mute   Kind = "mute"   // messages, and actions that count as speech, are refused
	Shadow Kind = "shadow" // messages reach only their author, who is not told
	Ban    Kind = "ban"    // joins are refused and memberships end; in all rooms: connections, too
)

// Sanction restricts a user or the clients of an address. User or Address is set. The
// module's sanctions are its own: it replaces the one with the same user or address, kind
// and rooms, and it never changes what a person or another module has set.
type Sanction struct {
	User    string // the user of a token, at most 256 bytes
	Address string // an address or a network such as 192.0.2.0/24; an IPv6 address stands for its /64
	Kind    Kind
	Rooms   string        // name of a room, in which one * stands for any text; "": all rooms
	TTL     time.Duration // 0: without an end
	Reason  string        // for the user, at most 256 bytes
	Note    string        // for moderators, at most 1024 bytes
}

// SetSanction sets a sanction, also if the module or a later one denies the event. It holds
// on this node for the next event, and on the others a moment later. An error is explained
// in the module's log. Needs "sanctions".
func (h Host) SetSanction(s Sanction) error { return failure(h.raw.SanctionSet(s.json())) }

// PardonSanction removes the sanction that the module has set for this user or address, kind
// and rooms. The other fields of s must be empty. Needs "sanctions".
func (h Host) PardonSanction(s Sanction) error { return failure(h.raw.SanctionPardon(s.json())) }

// RemoveMember removes the connection with that id from a room, also if the module or a
// later one denies the event: the leave has the cause "removed". The client receives the
// reason, at most 120 bytes; "": it receives no notice. Needs "members".
func (h Host) RemoveMember(connection, room, reason string) error {
	return failure(h.raw.MemberRemove(connection, room, reason))
}

// CloseConnection closes the connection with that id, also if the module or a later one
// denies the event. The client receives the reason, at most 120 bytes, and does not come
// back by itself. Needs "members".
func (h Host) CloseConnection(connection, reason string) error {
	return failure(h.raw.ConnectionClose(connection, reason))
}

// RetractMessage retracts the message with this id from a room, also if the module or a later
// one denies the event. Needs "amend".
func (h Host) RetractMessage(room, id string) error {
	return failure(h.raw.MessageRetract(room, id))
}

// Edit is a new text of a message: Text, or JSON if it is set.
type Edit struct {
	Room, ID   string // of the message
	Text, JSON string
}

// EditMessage replaces the text of a message that is in the history of its room, also if the
// module or a later one denies the event. Other rules see the new text as an event with Edits,
// and may deny it. A message that a moderator has edited does not change. Needs "amend".
func (h Host) EditMessage(m Edit) error {
	kind, body := int32(0), m.Text
	if m.JSON != "" {
		kind, body = 1, m.JSON
	}
	return failure(h.raw.MessageEdit(kind, m.Room, m.ID, body))
}

func (s *Sanction) json() string {
	b := append([]byte(`{"kind":`), Quote(string(s.Kind))...)
	for _, f := range [...]struct{ name, value string }{
		{"user", s.User}, {"address", s.Address}, {"rooms", s.Rooms}, {"reason", s.Reason}, {"note", s.Note},
	} {
		if f.value != "" {
			b = append(append(b, `,"`+f.name+`":`...), Quote(f.value)...)
		}
	}
	if s.TTL != 0 {
		b = strconv.AppendInt(append(b, `,"ttl":`...), s.TTL.Milliseconds(), 10)
	}
	return string(append(b, '}'))
}
