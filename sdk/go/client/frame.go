package client

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// frame is a JSON object of the server. Its names are told apart by case, as rules may
// add any.
type frame map[string]json.RawMessage

// text is a field that is a string; "" if it is none.
func (f frame) text(name string) string {
	s, _ := text(f[name])
	return s
}

// text is a JSON string; ok is false if it is none.
func text(value json.RawMessage) (s string, ok bool) {
	if n := len(value); n >= 2 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 && utf8.Valid(value) {
		return string(value[1 : n-1]), true // most are: decoding one costs ten times as much
	}
	err := json.Unmarshal(value, &s)
	return s, err == nil
}

// number is a field that is a whole number; 0 if it is none.
func (f frame) number(name string) int64 {
	n, _ := strconv.ParseInt(string(f[name]), 10, 64)
	return n
}

// into decodes a field.
func (f frame) into(name string, v any) error { return json.Unmarshal(f[name], v) }

// refusal is the error that a response says; nil if it says none.
func (f frame) refusal() error {
	if f["error"] == nil {
		return nil
	}
	return &VerbError{
		Message:    strings.TrimPrefix(f.text("error"), "Error: "),
		RetryAfter: time.Duration(f.number("retryAfter")) * time.Millisecond,
	}
}

// position is where in its room the frame is; zero if the room keeps no history.
func (f frame) position() Position {
	if f["epoch"] == nil || f["offset"] == nil {
		return Position{}
	}
	return Position{Epoch: f.text("epoch"), Offset: uint64(f.number("offset"))}
}

// message is what was said. It takes the frame over.
func (f frame) message() Message {
	m := Message{Room: f.text("room"), From: f.text("from"), Message: f["message"],
		SentAt: time.UnixMilli(f.number("sentAt")), Position: f.position()}
	for _, name := range []string{"context", "room", "from", "message", "sentAt", "epoch", "offset"} {
		delete(f, name)
	}
	m.Extra = f
	return m
}

// presence is who came and went.
func (f frame) presence() Presence {
	p := Presence{Room: f.text("room"), Members: int(f.number("membersCount"))}
	_ = f.into("joined", &p.Joined) // a server of ours says no other
	_ = f.into("left", &p.Left)
	return p
}

// notice is what the server says outside of rooms.
func (f frame) notice() Notice {
	n := Notice{Text: f.text("welcome"), Fields: f}
	if n.Text == "" && f["message"] != nil {
		n.Text = Message{Message: f["message"]}.Text()
	}
	return n
}

// request is what a client sends.
type request struct {
	Event     string         `json:"event"`
	MessageID uint64         `json:"messageId,omitempty"`
	Room      string         `json:"room,omitempty"`
	Message   *string        `json:"message,omitempty"`
	Key       string         `json:"key,omitempty"`
	Since     any            `json:"since,omitempty"`
	Presence  bool           `json:"presence,omitempty"`
	Limit     int            `json:"limit,omitempty"`
	Cursor    string         `json:"cursor,omitempty"`
	Before    uint64         `json:"before,omitempty"`
	Params    map[string]any `json:"params,omitempty"`
	Token     string         `json:"token,omitempty"`
	Session   string         `json:"session,omitempty"`
}
