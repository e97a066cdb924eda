package moot

import (
	"encoding/binary"
	"time"
)

// Layout of a frame and a blob: see ABI.md.
const (
	frameMinor       = 4
	frameHook        = 6
	frameFlags       = 8
	frameReceivers   = 12
	frameEvent       = 16
	frameConnection  = 20
	frameReceiverTab = 24
	frameVerdicts    = 28
	frameAnswer      = 136 // only in frames of on_answer; frames of earlier hosts end before it

	blobFields = 6
	blobA      = 8
	blobB      = 16
	blobTable  = 24

	flagJSON = 1
)

// Event is the event that a hook is called for. It and its connections are valid
// until the handler returns; the strings that they return are copies that the
// caller may keep. A field that the module does not read is empty.
type Event struct {
	Host
	frame []byte
	blob  blob
	texts [10]string // of fields that were read before: OnSay may read them once per receiver
	conn  Connection
}

// Hook is the number of the hook: 1 connect, 2 join, 3 onSayReceive, 4 say, 5
// leave, 6 disconnect, 7 action.
func (e *Event) Hook() int { return int(binary.LittleEndian.Uint16(e.frame[frameHook:])) }

// Connection is the connection of the event: the connection that joins, sends or
// ends. It is nil for a message of the system and at say; methods of a nil Connection
// return zero values.
func (e *Event) Connection() *Connection {
	if e.conn.blob.bytes == nil {
		return nil
	}
	return &e.conn
}

// Room is the room of the event.
func (e *Event) Room() string { return e.text(0) }

// Tenant is the tenant of the event.
func (e *Event) Tenant() string { return e.text(1) }

// From is the sender of the message: the id of a connection, "0" for the system.
func (e *Event) From() string { return e.text(2) }

// Message is the message: text, or JSON text if [Event.IsJSON] is true.
func (e *Event) Message() string { return e.text(3) }

// MessageBytes is Message without the copy. The caller must not change it, and may
// use it until the handler returns.
func (e *Event) MessageBytes() []byte { return e.blob.field(3) }

// IsJSON reports whether the message is JSON text.
func (e *Event) IsJSON() bool { return e.u32(frameFlags)&flagJSON != 0 }

// Context is the context of the message, "user" for a client's.
func (e *Event) Context() string { return e.text(4) }

// Cause is the cause of the event: at leave "roomLeave", "destroyed", "disconnect", "removed" or
// "node_lost"; at join "" or "rejoined".
func (e *Event) Cause() string { return e.text(5) }

// Action is the name of the action.
func (e *Event) Action() string { return e.text(6) }

// Params are the action's parameters, a JSON object; "" without parameters.
func (e *Event) Params() string { return e.text(7) }

// MessageID is the id of the message, by which modules retract and edit it; "" in an ephemeral
// room, and at hooks without a message. A message that a module moves to another room gets
// another id there.
func (e *Event) MessageID() string { return e.text(8) }

// Edits is the id of the message that the event edits; Message is its whole new text. Edits is ""
// for a new message.
func (e *Event) Edits() string { return e.text(9) }

// SentAt is the time of the message; the zero Time at hooks without a message.
func (e *Event) SentAt() time.Time { return e.blob.time(blobA) }

// Sequence counts the messages of the room on this node.
func (e *Event) Sequence() uint64 { return e.blob.u64(blobB) }

func (e *Event) u32(slot int) int { return int(binary.LittleEndian.Uint32(e.frame[slot:])) }

func (e *Event) text(n int) string {
	if e.texts[n] == "" {
		e.texts[n] = e.blob.text(n)
	}
	return e.texts[n]
}

// at returns the part of the frame at the offset in slot; nil if the offset is 0.
func (e *Event) at(slot int) []byte {
	if at := e.u32(slot); at != 0 {
		return e.frame[at:]
	}
	return nil
}

// Connection is the connection of a client. Methods of a nil Connection return
// zero values.
type Connection struct{ blob blob }

// ID is the id of the connection, which messages name as their sender.
func (c *Connection) ID() string { return c.fields().text(0) }

// Fingerprint identifies the client across connections. The client chooses it.
func (c *Connection) Fingerprint() string { return c.fields().text(1) }

// User is the user that the client's token names, "" without a token.
func (c *Connection) User() string { return c.fields().text(2) }

// Transport is "websocket" or "socket".
func (c *Connection) Transport() string { return c.fields().text(3) }

// RemoteIP is the client's address.
func (c *Connection) RemoteIP() string { return c.fields().text(4) }

// Tenant is the tenant of the connection.
func (c *Connection) Tenant() string { return c.fields().text(5) }

// Locale is a language tag such as "en-GB".
func (c *Connection) Locale() string { return c.fields().text(6) }

// Property is the value of the named property as JSON text, "" if it is not set or
// the module does not read it.
func (c *Connection) Property(name string) string {
	rest := c.fields().field(7)
	for len(rest) >= 8 {
		n := 8 + int(binary.LittleEndian.Uint32(rest))
		end := n + int(binary.LittleEndian.Uint32(rest[4:]))
		if string(rest[8:n]) == name {
			return string(rest[n:end])
		}
		rest = rest[end:]
	}
	return ""
}

// ConnectedAt is the time of the connection; the zero Time if the module does not
// read it.
func (c *Connection) ConnectedAt() time.Time { return c.fields().time(blobA) }

// JoinedAt is the time of the join to the event's room; the zero Time if the
// connection is not a member, or the module does not read it.
func (c *Connection) JoinedAt() time.Time { return c.fields().time(blobB) }

func (c *Connection) fields() blob {
	if c == nil {
		return blob{}
	}
	return c.blob
}

// Answer is the answer of a service to an ask, valid until the handler returns.
type Answer struct{ blob blob }

// Name is the name of the ask.
func (a *Answer) Name() string { return a.blob.text(0) }

// JSON is the answer as JSON text; "" if the service sent none.
func (a *Answer) JSON() string { return a.blob.text(1) }

// State is the state of the ask; see [Verdict.State].
func (a *Answer) State() string { return a.blob.text(2) }

// Status is the HTTP status, 200 to 499: a 404 is an answer too.
func (a *Answer) Status() int { return int(a.blob.u64(blobA)) }

// Number is 1 for the first ask about the event, and 2 for the second one.
func (a *Answer) Number() int { return int(a.blob.u64(blobB)) }

// blob holds the fields of an event, a connection or an answer. The zero blob has none.
type blob struct {
	bytes  []byte // of the blob, and the rest of the frame behind it
	recent *recent
}

// field returns the bytes of a field, nil if it is absent or the host is older than
// the field.
func (b blob) field(n int) []byte {
	if b.bytes == nil || n >= int(binary.LittleEndian.Uint16(b.bytes[blobFields:])) {
		return nil
	}
	entry := b.bytes[blobTable+8*n:]
	at := int(binary.LittleEndian.Uint32(entry))
	if at == 0 {
		return nil
	}
	end := at + int(binary.LittleEndian.Uint32(entry[4:]))
	return b.bytes[at:end:end]
}

func (b blob) text(n int) string { return b.recent.text(b.field(n)) }

func (b blob) u64(slot int) uint64 {
	if b.bytes == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b.bytes[slot:])
}

func (b blob) time(slot int) time.Time {
	ms := b.u64(slot)
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// recent caches short texts. Rooms, tenants and locales repeat: reusing their
// strings leaves no garbage.
type recent [64]string

func (r *recent) text(b []byte) string {
	if len(b) == 0 || len(b) > 32 {
		return string(b)
	}
	s := &r[(int(b[0])*31+int(b[len(b)-1])*7+len(b))%len(r)]
	if *s != string(b) {
		*s = string(b)
	}
	return *s
}
