package wire

import "encoding/json"

// Dialect is how a transport words its responses.
type Dialect uint8

// The dialects. They differ in errors alone: on the WebSocket a verb's error is
// {"status":"Error: TEXT","error":"Error: TEXT","context","data":REQUEST,
// "messageId"}, on the socket {"error":TEXT,"context","messageId"}, as an
// action's error is on both.
const (
	WebSocket Dialect = iota
	Socket
)

// Response answers a request.
type Response struct {
	ID   json.RawMessage // the request's; nil leaves messageId out
	Data json.RawMessage // nil leaves data out

	// Error is the text of what went wrong, without a prefix; "" for success.
	Error      string
	Request    json.RawMessage // what a verb's error on the WebSocket echoes as data; nil: {}
	RetryAfter int64           // ms until it may be tried again; 0 leaves retryAfter out

	// Action marks the response of an action: its Reply's members stand at the
	// top level, and there is no status.
	Action bool
	Reply  json.RawMessage // a JSON object; nil: {}
}
