package wire

import "encoding/json"

// Request is the request of a client. It shares no memory with the frame or line that it
// was parsed from.
type Request struct {
	// Verb is the verb that the client sent: "say", "roomAdd", "action", ...; it may not
	// exist. "": the frame has none, and errors print it as "undefined".
	Verb string

	// ID is the messageId, as JSON; nil if it is absent or falsy: the engine then uses
	// the sticky one of the socket transport, or a new one.
	ID json.RawMessage

	// Room and Text follow ActionHero's rule for words, which are the values of all
	// members except event and messageId: Room is the member room, or the first word if
	// that is absent or falsy; Text is the remaining words, joined by spaces. RoomGiven is
	// false without any word, and errors then print the room as "undefined". A room that
	// is null, false or 0 is "" and counts as given.
	Room      string
	RoomGiven bool
	Text      string

	// Key is the name of a parameter for paramAdd, paramDelete and paramView; Value is
	// its value for paramAdd. For say, Key is the idempotency key, "" if there is none;
	// the engine checks its length.
	Key, Value string

	// Action is the name of an action, for the verb "action". "": the request names
	// none. On the socket transport without Params this means the sticky parameter
	// "action", which is the last action.
	Action string

	// Params are the parameters of an action, a JSON object, which may include action
	// and messageId. On the socket transport they replace all sticky parameters,
	// action and messageId included; nil leaves those unchanged.
	Params json.RawMessage

	// Limit is the size of a page of roomView or roomHistory; 0 is the engine's default.
	// Cursor selects the page of roomView, Before, an offset, that of roomHistory; ""
	// and 0 select the first page.
	Limit  int
	Cursor string
	Before uint64

	// Since and Presence are fields of roomAdd. Since is the last position that the
	// client has; nil: it wants no missed messages.
	Since    *Position
	Presence bool

	// Token is the field of auth.
	Token string

	// Session and Sinces are fields of resume: the secret, and the last position that
	// the client has of each room, by name.
	Session string
	Sinces  map[string]Position

	// Fault is the error of a field that ActionHero does not have, such as "limit must be
	// a whole number"; "" if there is none. The engine answers it and does not run the
	// verb.
	Fault string

	// Data is what an error on the WebSocket gives back: a JSON object, the request
	// without event, messageId, secrets and a truthy room. nil for actions and for lines,
	// whose errors give back nothing.
	Data json.RawMessage
}

// Position is a position in the history of a room. The zero Position means none.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}
