package wire

import "encoding/json"

// Message is the content of a chat message: text, or any JSON value. The zero Message is
// the empty text.
type Message struct {
	Text string // the text itself, or the JSON text of the value
	JSON bool   // Text is JSON
}

// Value returns the message as a JSON value: a text as a string. The caller must not change it.
func (m Message) Value() json.RawMessage {
	if m.JSON {
		return json.RawMessage(m.Text)
	}
	return AppendString(nil, m.Text)
}

// Payload is a chat message as a member receives it, or as a node publishes it.
type Payload struct {
	ID      string // identifies the message in its tenant; "": the message has none
	User    string // the sender's user, in rooms that name users; "": none
	Held    string // the id under which the message was held before its release; "": it was not held
	Message Message
	Room    string
	From    string          // a connection's id, "0" for the system
	Context string          // "user"
	SentAt  int64           // ms since 1970
	At      Position        // in the room's history; the zero Position is omitted
	Extra   json.RawMessage // a JSON object merged into the payload; nil: nothing added

	EditedAt int64  // the time of the last edit, in ms since 1970; 0: it was not edited
	EditedBy string // the person of the last edit; "": the author, or it was not edited
}

// SetOrigin copies from p, the published message, to an answer of the say chain the members that rules cannot change: id,
// user, held, editedAt and editedBy.
func (answer *Payload) SetOrigin(p *Payload) {
	answer.ID, answer.User, answer.Held = p.ID, p.User, p.Held
	answer.EditedAt, answer.EditedBy = p.EditedAt, p.EditedBy
}

// laterReserved are the reserved names of a payload that Extra could use in earlier versions.
var laterReserved = [...]string{"edits", "retracts"}

// reservedInExtra are the names that Extra must not use, beside reserved.
var reservedInExtra = [...]string{"message", "id", "user", "held", "edits", "retracts", "editedAt", "editedBy"}

// reserved are the names that Extra and the reply of an action must not use.
var reserved = [...]string{"context", "messageId", "status", "error", "offset", "epoch", "room", "from", "sentAt"}
