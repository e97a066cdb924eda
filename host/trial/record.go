package trial

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mootchat/moot/host"
)

// Recorded is a line of a recording: one call of a module, or only Lost.
type Recorded struct {
	At       int64           `json:"at"`     // ms since 1970
	Module   string          `json:"module"` // module@sha256#revision
	Event    Event           `json:"event"`
	Calls    []host.HostCall `json:"calls,omitempty"` // calls of the clock, random numbers, storage and rooms, with their results
	Answer   Answer          `json:"answer"`
	Redacted bool            `json:"redacted,omitempty"` // letters and digits of texts are replaced by x and 0
	Lost     int             `json:"lost,omitempty"`     // number of calls that are missing here because the reader was too slow; other fields are empty
}

// Name returns the name of the module.
func (r *Recorded) Name() string {
	name, _, _ := strings.Cut(r.Module, "@")
	return name
}

// redacted replaces letters by x and digits by 0 in messages, in rewrites of messages, and in IP addresses, and
// stored values that are not numbers by x. Names of rooms, ids and properties are unchanged, because rules decide by
// them.
func redacted(c Recorded) Recorded {
	c.Redacted = true
	e := &c.Event
	e.Message, e.JSON, e.Params = redactedText(e.Message), redactedJSON(e.JSON), redactedJSON(e.Params)
	if e.Connection != nil {
		conn := *e.Connection
		conn.RemoteIP = hide(conn.RemoteIP)
		e.Connection = &conn
	}
	for i := range e.Receivers {
		e.Receivers[i].RemoteIP = hide(e.Receivers[i].RemoteIP)
	}
	calls := make([]host.HostCall, len(c.Calls))
	for i, call := range c.Calls {
		if call.Function == "kv_get" {
			if _, err := strconv.ParseInt(string(call.Bytes), 10, 64); err != nil && len(call.Bytes) > 0 {
				call.Bytes = bytes.Repeat([]byte("x"), len(call.Bytes))
			}
		}
		calls[i] = call
	}
	c.Calls = calls
	c.Answer = redactedAnswer(c.Answer)
	return c
}

func redactedAnswer(a Answer) Answer {
	a.Message, a.JSON, a.Extra, a.Reply = redactedText(a.Message), redactedJSON(a.JSON), redactedJSON(a.Extra), redactedJSON(a.Reply)
	a.Reason, a.Failure, a.Log = hide(a.Reason), hide(a.Failure), nil
	for i := range a.Emits {
		a.Emits[i].Message, a.Emits[i].JSON = redactedText(a.Emits[i].Message), redactedJSON(a.Emits[i].JSON)
	}
	a.Asks = redactedAsks(a.Asks)
	a.Sanctions, a.Pardons = redactedSanctions(a.Sanctions), redactedSanctions(a.Pardons)
	a.Removed, a.Closed = redactedRemovals(a.Removed), redactedRemovals(a.Closed)
	a.Edited = slices.Clone(a.Edited)
	for i := range a.Edited {
		a.Edited[i].Message, a.Edited[i].JSON = redactedText(a.Edited[i].Message), redactedJSON(a.Edited[i].JSON)
	}
	for i := range a.Receivers {
		a.Receivers[i] = redactedAnswer(a.Receivers[i])
	}
	return a
}

func redactedAsks(list []Asked) []Asked {
	list = slices.Clone(list)
	for i := range list {
		list[i].Body, list[i].JSON = redactedJSON(list[i].Body), redactedJSON(list[i].JSON)
	}
	return list
}

// redactedSanctions hides addresses and texts; users stay, as in connections.
func redactedSanctions(list []Sanction) []Sanction {
	list = slices.Clone(list)
	for i := range list {
		s := &list[i]
		s.Address, s.Reason, s.Note = hide(s.Address), hide(s.Reason), hide(s.Note)
	}
	return list
}

func redactedRemovals(list []Removal) []Removal {
	list = slices.Clone(list)
	for i := range list {
		list[i].Reason = hide(list[i].Reason)
	}
	return list
}

func redactedText(s *string) *string {
	if s == nil {
		return nil
	}
	hidden := hide(*s)
	return &hidden
}

func hide(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsUpper(r):
			return 'X'
		case unicode.IsDigit(r):
			return '0'
		case unicode.IsLetter(r):
			return 'x'
		}
		return r
	}, s)
}

// redactedJSON hides texts and numbers in a value; names of members stay.
func redactedJSON(j JSON) JSON {
	var v any
	if j == nil || json.Unmarshal(j, &v) != nil {
		return nil
	}
	b, err := json.Marshal(hidden(v))
	if err != nil {
		return nil
	}
	return b
}

func hidden(v any) any {
	switch v := v.(type) {
	case string:
		return hide(v)
	case float64:
		return 0
	case []any:
		for i := range v {
			v[i] = hidden(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = hidden(v[name])
		}
	}
	return v
}

// Compared returns an answer to the event in the form that replays compare: without the log, and for a say what each
// receiver gets.
func (r *Recorded) Compared(a Answer) Answer {
	a.Log, a.Failure = nil, ""
	if r.Event.Hook != "say" || a.Verdict == "failed" {
		return a
	}
	if len(a.Receivers) == 0 {
		one := a
		switch a.Verdict {
		case "allowEnd":
			one.Verdict = "allow"
		case "deny":
			one = Answer{Verdict: "drop"}
		}
		for range r.Event.Receivers {
			a.Receivers = append(a.Receivers, one)
		}
	}
	return Answer{Verdict: "say", Receivers: a.Receivers}
}
