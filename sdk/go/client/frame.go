package client

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// frame is a JSON object from the server. Field names are case-sensitive, because rules
// may add fields of any name; decoding into a struct would not be.
type frame map[string]json.RawMessage

// text returns a field that is a string; "" if it is not.
func (f frame) text(name string) string {
	s, _ := text(f[name])
	return s
}

// text decodes a JSON string; ok is false if value is something else.
func text(value json.RawMessage) (s string, ok bool) {
	if n := len(value); n >= 2 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 && utf8.Valid(value) {
		return string(value[1 : n-1]), true // the common case: json.Unmarshal takes ten times as long
	}
	err := json.Unmarshal(value, &s)
	return s, err == nil
}

// number returns a field that is an integer; 0 if it is not.
func (f frame) number(name string) int64 {
	n, _ := strconv.ParseInt(string(f[name]), 10, 64)
	return n
}

// into decodes a field into v.
func (f frame) into(name string, v any) error { return json.Unmarshal(f[name], v) }

// refusal returns the error of a response as a *VerbError; nil if it has none.
func (f frame) refusal() error {
	if f["error"] == nil {
		return nil
	}
	return &VerbError{
		Message:    strings.TrimPrefix(f.text("error"), "Error: "),
		RetryAfter: time.Duration(f.number("retryAfter")) * time.Millisecond,
		Code:       uint32(f.number("code")),
	}
}

// position returns the position of the frame in its room; zero if the room has no history.
func (f frame) position() Position {
	if f["epoch"] == nil || f["offset"] == nil {
		return Position{}
	}
	return Position{Epoch: f.text("epoch"), Offset: uint64(f.number("offset"))}
}

// message returns the frame as a Message. The frame must not be used afterwards.
func (f frame) message() Message {
	m := Message{ID: f.text("id"), Room: f.text("room"), From: f.text("from"), User: f.text("user"), Held: f.text("held"), Message: f["message"],
		SentAt: time.UnixMilli(f.number("sentAt")), EditedBy: f.text("editedBy"), Position: f.position()}
	if at := f.number("editedAt"); at != 0 {
		m.EditedAt = time.UnixMilli(at)
	}
	for _, name := range []string{"id", "user", "held", "context", "room", "from", "message", "sentAt", "edits", "editedAt", "editedBy", "epoch", "offset"} {
		delete(f, name)
	}
	m.Extra = f
	return m
}

// outcome returns the frame as an Outcome.
func (f frame) outcome() Outcome {
	return Outcome{Held: f.text("held"), Room: f.text("room"), Outcome: f.text("outcome"), Reason: f.text("reason"), ID: f.text("id")}
}

// presence returns the frame as a Presence.
func (f frame) presence() Presence {
	p := Presence{Room: f.text("room"), MembersCount: int(f.number("membersCount"))}
	_ = f.into("joined", &p.Joined) // the server always sends arrays of ids
	_ = f.into("left", &p.Left)
	if f["users"] != nil {
		_ = f.into("users", &p.Users)
	}
	return p
}

// notice returns the frame as a Notice.
func (f frame) notice() Notice {
	n := Notice{Text: f.text("welcome"), Fields: f}
	if n.Text == "" && f["message"] != nil {
		n.Text = Message{Message: f["message"]}.Text()
	}
	return n
}

// request is a frame of the client.
type request struct {
	Event      string         `json:"event"`
	MessageID  uint64         `json:"messageId,omitempty"`
	Room       string         `json:"room,omitempty"`
	Target     string         `json:"id,omitempty"` // of edit and retract
	Message    any            `json:"message,omitempty"`
	Key        string         `json:"key,omitempty"`
	Since      any            `json:"since,omitempty"`
	Presence   bool           `json:"presence,omitempty"`
	Moderation bool           `json:"moderation,omitempty"`
	Amendments bool           `json:"amendments,omitempty"`
	Held       string         `json:"held,omitempty"`
	Limit      int            `json:"limit,omitempty"`
	Cursor     string         `json:"cursor,omitempty"`
	Before     uint64         `json:"before,omitempty"`
	Params     map[string]any `json:"params,omitempty"`
	Token      string         `json:"token,omitempty"`
	Session    string         `json:"session,omitempty"`
	User       string         `json:"user,omitempty"`
	Reason     string         `json:"reason,omitempty"`
	Notify     bool           `json:"notify,omitempty"`
}
