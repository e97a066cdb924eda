package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/host"
)

// Recorded is one call of a module: a line of a recording.
type Recorded struct {
	At       int64           `json:"at"`     // ms since 1970
	Module   string          `json:"module"` // module@sha256#revision
	Event    Event           `json:"event"`
	Calls    []host.HostCall `json:"calls,omitempty"` // what clock, random numbers, store and rooms answered
	Answer   Answer          `json:"answer"`
	Redacted bool            `json:"redacted,omitempty"` // what was said is x and 0
	Lost     int             `json:"lost,omitempty"`     // calls before it that were not recorded: the reader was too slow
}

// Name is the module's name.
func (r *Recorded) Name() string {
	name, _, _ := strings.Cut(r.Module, "@")
	return name
}

// Filter says which calls are recorded; "" is any.
type Filter struct {
	Tenant, Room, Module string
	Text                 bool // what was said is recorded as it is
}

func (f *Filter) wants(module string, ev *engine.Event) bool {
	name, _, _ := strings.Cut(module, "@")
	return (f.Tenant == "" || f.Tenant == ev.Tenant) && (f.Room == "" || f.Room == ev.Room) && (f.Module == "" || f.Module == name)
}

// Recorder records what the modules of a running host are asked and answer. Its
// methods may be called concurrently. While nobody records it costs nothing.
type Recorder struct {
	host *host.Host
	mu   sync.RWMutex
	tape map[*tape]bool
}

// tape is one recording under way.
type tape struct {
	Filter
	lines chan []byte
	mu    sync.Mutex
	lost  int
}

// maxWaiting bounds the calls that wait for a slow reader; the rest is lost and counted.
const maxWaiting = 256

// NewRecorder makes a recorder of the host's modules.
func NewRecorder(h *host.Host) *Recorder { return &Recorder{host: h, tape: make(map[*tape]bool)} }

// Record gives each call that fits, as a line of JSON, until ctx ends or f fails, whose
// error it returns.
func (r *Recorder) Record(ctx context.Context, filter Filter, f func(line []byte) error) error {
	t := &tape{Filter: filter, lines: make(chan []byte, maxWaiting)}
	r.begin(t)
	defer r.end(t)
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-t.lines:
			if err := f(line); err != nil {
				return err
			}
		}
	}
}

func (r *Recorder) begin(t *tape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tape[t] = true
	r.host.Trace(r)
}

func (r *Recorder) end(t *tape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tape, t)
	if len(r.tape) == 0 {
		r.host.Trace(nil)
	}
}

// Begin implements [host.Tracer].
func (r *Recorder) Begin(module string, ev *engine.Event) *host.Trace {
	if ev == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for t := range r.tape {
		if t.wants(module, ev) {
			return new(host.Trace)
		}
	}
	return nil
}

// End implements [host.Tracer].
func (r *Recorder) End(t *host.Trace) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for tape := range r.tape {
		if tape.wants(t.Module, t.Event) {
			tape.take(t)
		}
	}
}

func (t *tape) take(trace *host.Trace) {
	var receivers []Connection
	for _, r := range trace.Said.Receivers {
		receivers = append(receivers, ConnectionOf(r.Profile, r.JoinedAt))
	}
	c := Recorded{At: time.Now().UnixMilli(), Module: trace.Module, Event: EventOf(trace.Event, receivers), Calls: trace.Calls, Answer: AnswerOf(trace)}
	if !t.Text {
		c = redacted(c)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.Lost = t.lost
	line, err := json.Marshal(&c)
	if err != nil { // a module's bytes that are no JSON: there are none, they were checked
		t.lost++
		return
	}
	select {
	case t.lines <- line:
		t.lost = 0
	default:
		t.lost++
	}
}

// redacted is c without what people said, and what modules made of it: every letter is
// an x, every digit a 0. So are the values of the store that are no numbers, and
// addresses. Names of rooms, ids and properties stay: rules decide by them.
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
	for i := range a.Receivers {
		a.Receivers[i] = redactedAnswer(a.Receivers[i])
	}
	return a
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

// redactedJSON hides the texts and numbers of a value; the names of members stay.
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

// Compared is an answer as a replay is compared: what comes of it, without the module's
// log. Of a say it is what each receiver gets.
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
