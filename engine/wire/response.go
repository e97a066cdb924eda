package wire

import (
	"encoding/json"
	"strconv"
)

// Dialect is the form of the responses of a transport.
type Dialect uint8

// The dialects differ only in the errors of verbs. On the WebSocket an error is
// {"status":"Error: TEXT","error":"Error: TEXT","context","data":REQUEST,
// "messageId"}. On the socket, and for actions on both, it is
// {"error":TEXT,"context","messageId"}.
const (
	WebSocket Dialect = iota
	Socket
)

// Response answers a request.
type Response struct {
	ID   json.RawMessage // messageId; nil omits it
	Data json.RawMessage // nil omits data

	// Error is the text of the error, without the prefix "Error: "; "" for success.
	Error      string
	Request    json.RawMessage // the data of a verb's error on the WebSocket; nil: {}
	RetryAfter int64           // ms after which the client may repeat the request; 0 omits retryAfter
	Code       uint32          // the number of a module's denial; 0 omits code

	// Action marks the response of an action, which has no status.
	Action bool
	Reply  json.RawMessage // a JSON object, whose members are members of a successful response; nil: {}
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
	if r.Code != 0 {
		dst = strconv.AppendUint(append(dst, `,"code":`...), uint64(r.Code), 10)
	}
	if r.RetryAfter > 0 {
		dst = strconv.AppendInt(append(dst, `,"retryAfter":`...), r.RetryAfter, 10)
	}
	if r.ID != nil {
		dst = appendJSON(append(dst, `,"messageId":`...), r.ID)
	}
	return append(dst, '}')
}

// appendAction appends the beginning of an action's response: all members except
// code, retryAfter and messageId, without the closing brace.
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

// AppendWelcome appends the first message to a client: {"welcome":TEXT,"context":"api"}.
func AppendWelcome(dst []byte, text string) []byte {
	dst = AppendString(append(dst, `{"welcome":`...), text)
	return append(dst, `,"context":"api"}`...)
}
