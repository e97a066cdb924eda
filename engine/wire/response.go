package wire

import (
	"encoding/json"
	"strconv"
)

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

	// Action marks the response of an action: it has no status.
	Action bool
	Reply  json.RawMessage // a JSON object, whose members stand at the top level of a success; nil: {}
}

// AppendResponse appends the JSON text of r, its members in ActionHero's order.
func (d Dialect) AppendResponse(dst []byte, r Response) []byte {
	switch {
	case r.Action:
		dst = appendAction(dst, r)
	case r.Error == "":
		dst = append(dst, `{"status":"OK","context":"response"`...)
		if r.Data != nil {
			dst = appendJSON(append(dst, `,"data":`...), r.Data)
		}
		dst = appendMembers(dst, r.Reply)
	case d == Socket:
		dst = AppendString(append(dst, `{"error":`...), r.Error)
		dst = append(dst, `,"context":"response"`...)
	default:
		text := "Error: " + r.Error
		dst = AppendString(append(dst, `{"status":`...), text)
		dst = AppendString(append(dst, `,"error":`...), text)
		dst = append(dst, `,"context":"response","data":`...)
		if r.Request == nil {
			dst = append(dst, "{}"...)
		}
		dst = appendJSON(dst, r.Request)
	}
	if r.RetryAfter > 0 {
		dst = strconv.AppendInt(append(dst, `,"retryAfter":`...), r.RetryAfter, 10)
	}
	if r.ID != nil {
		dst = appendJSON(append(dst, `,"messageId":`...), r.ID)
	}
	return append(dst, '}')
}

// appendAction appends the response of an action, without its end.
func appendAction(dst []byte, r Response) []byte {
	dst = append(dst, '{')
	start := len(dst)
	dst = appendMembers(dst, r.Reply)
	if r.Error != "" {
		dst = AppendString(append(dst, `,"error":`...), r.Error)
	}
	dst = append(dst, `,"context":"response"`...)
	return append(dst[:start], dst[start+1:]...) // without the first comma
}

// AppendWelcome appends what a client hears first: {"welcome":TEXT,"context":"api"}.
func AppendWelcome(dst []byte, text string) []byte {
	dst = AppendString(append(dst, `{"welcome":`...), text)
	return append(dst, `,"context":"api"}`...)
}
