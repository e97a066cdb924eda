package wire

import "encoding/json"

// Request is a verb as a client sent it.
type Request struct {
	Verb string // "" if the frame named none

	// ID is the messageId, JSON as it came; nil if there was none or a falsy
	// one: the engine then makes one.
	ID json.RawMessage

	// Room and Text follow ActionHero's words rule: Room is the room that was
	// named, else the first other word; Text is the remaining words joined by
	// a space. RoomGiven is false when there was neither, and errors then print
	// the room as "undefined".
	Room      string
	RoomGiven bool
	Text      string

	// Key and Value are the words of paramAdd, paramDelete and paramView.
	Key, Value string

	// Params are the parameters of an action, a JSON object; nil: none. On the
	// socket transport the engine merges them with the sticky ones.
	Params json.RawMessage

	// Limit and Cursor page a roomView: 0 and "" mean the engine's defaults.
	Limit  int
	Cursor string

	// Token is that of the verb auth.
	Token string

	// Data is what an error response echoes on the websocket transport: the
	// request without event, messageId and a truthy room.
	Data json.RawMessage
}
