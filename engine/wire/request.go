package wire

import "encoding/json"

// Request is a verb as a client sent it. It shares no memory with the frame or
// line it was parsed from.
type Request struct {
	// Verb is what the client wants: "say", "roomAdd", "action", ... as it was
	// written; it may be no verb at all. "" if the frame named none, and errors
	// then print it as "undefined".
	Verb string

	// ID is the messageId, JSON as it came; nil if there was none or a falsy
	// one: the engine then takes the sticky one (socket), or makes one.
	ID json.RawMessage

	// Room and Text follow ActionHero's words rule: Room is the room that was
	// named, else the first other word; Text is the remaining words joined by
	// a space. RoomGiven is false when there was neither, and errors then print
	// the room as "undefined". A room that is null, false or 0 is "", given.
	Room      string
	RoomGiven bool
	Text      string

	// Key is the word of paramAdd, paramDelete and paramView, Value the second
	// one of paramAdd. At say, Key is the idempotency key, "" if there is none;
	// its length is not checked here.
	Key, Value string

	// Action is the name of the action at the verb "action". "" if none was
	// named: with a Params there is then no such action; without, it is the
	// action before that is meant (socket: the sticky parameter "action", which
	// an Action that is not "" replaces).
	Action string

	// Params are the parameters of an action as they came, a JSON object, with
	// action and messageId where they were among them. On the socket transport
	// a Params that is not nil takes the place of all sticky ones, the sticky
	// action and messageId included; nil leaves them as they are.
	Params json.RawMessage

	// Limit pages roomView and roomHistory, Cursor roomView, Before roomHistory
	// (an offset): 0 and "" mean the engine's defaults.
	Limit  int
	Cursor string
	Before uint64

	// Since and Presence are those of roomAdd. nil: the client missed nothing
	// that it wants to hear.
	Since    *Position
	Presence bool

	// Token is that of the verb auth.
	Token string

	// Session and Sinces are those of resume: the secret, and what the client
	// heard last in its rooms, by their names.
	Session string
	Sinces  map[string]Position

	// Fault is what is wrong with one of the fields above that ActionHero does
	// not have, such as "limit must be a whole number"; "" if nothing is. The
	// engine answers it as an error in place of the verb.
	Fault string

	// Data is what an error response echoes on the WebSocket: the request
	// without event, messageId, secrets and a truthy room, a JSON object. nil for
	// actions and for lines, whose errors echo nothing.
	Data json.RawMessage
}

// Position is a place in the history of a room. The zero Position is none.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}
