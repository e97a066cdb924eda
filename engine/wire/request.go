package wire

import "encoding/json"

// Request is the request of a client. It shares no memory with the frame or line that it
// was parsed from.
type Request struct {
	// Verb is the verb that the client sent: "say", "roomAdd", "action", ...; it may be
	// unknown. If it is "", the frame has no verb, and errors print it as "undefined".
	Verb string

	// ID is the messageId as JSON. It is nil if the messageId is absent or falsy; the
	// engine then uses the sticky one of the socket transport, or a new one.
	ID json.RawMessage

	// Room and Text follow ActionHero's rule for words. The words are the values of all
	// members except event and messageId. Room is the member room, or the first word if
	// that member is absent or falsy. Text is the remaining words, joined by spaces.
	// RoomGiven is false if there is no word; errors then print the room as
	// "undefined". A room that is null, false or 0 is "" and counts as given.
	Room      string
	RoomGiven bool
	Text      string

	// Structured is the member message of say if it is a JSON object or array, as
	// compact JSON: without space between tokens, and with strings as AppendString writes
	// them. It is "" otherwise. Text has the value as JavaScript's String() converts
	// it. Depth is the depth of its arrays and objects.
	Structured string
	Depth      int

	// Key is the name of a parameter for paramAdd, paramDelete and paramView; Value is
	// its value for paramAdd. For say, Key is the idempotency key, or "" if there is
	// none; the engine checks its length.
	Key, Value string

	// Action is the name of an action, for the verb "action". If it is "", the request
	// names no action. On the socket transport without Params, the engine then uses the
	// sticky parameter "action", which is the last action.
	Action string

	// Params are the parameters of an action, a JSON object, which may include action
	// and messageId. On the socket transport they replace all sticky parameters,
	// including action and messageId. If Params is nil, the sticky parameters do not
	// change.
	Params json.RawMessage

	// Limit is the page size of roomView, roomHistory or heldView; 0 is the engine's default.
	// Cursor selects the page of roomView and heldView, and the offset Before selects the page of
	// roomHistory. The zero values select the first page.
	Limit  int
	Cursor string
	Before uint64

	// Since, Presence, Moderation and Amendments are fields of roomAdd. Since is the last position that
	// the client has; if it is nil, the client gets no missed messages.
	Since      *Position
	Presence   bool
	Moderation bool
	Amendments bool

	// Held is the field held of heldWithdraw and heldView: the id of a held message.
	Held string

	// Target is the field id of retract, edit and report: the id of a published message.
	Target string

	// User, Reason and Notify are fields of report.
	User   string
	Reason string
	Notify bool

	// Token is the field of auth.
	Token string

	// Session and Sinces are fields of resume. Session is the secret. Sinces is the
	// last position that the client has of each room, by room name.
	Session string
	Sinces  map[string]Position

	// Fault is the error of a field that ActionHero does not have, such as "limit must
	// be a whole number", or "" if there is none. The engine answers with it and does
	// not run the verb.
	Fault string

	// Data is the object that an error on the WebSocket returns to the client: the
	// request without event, messageId, secrets and a truthy room. It is nil for
	// actions and for lines, whose errors return no request.
	Data json.RawMessage
}

// Position is a position in the history of a room. The zero Position means that there
// is none.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}
