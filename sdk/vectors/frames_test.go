package vectors_test

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/mootchat/moot/host/abi"
)

var le = binary.LittleEndian

// frame is a golden frame: the bytes, and the values that a guest reads from them.
type frame struct {
	Name       string       `json:"name"`
	Hook       string       `json:"hook"`
	Number     int          `json:"number"` // of the hook
	Minor      int          `json:"minor"`
	JSON       bool         `json:"json"` // the message is JSON text
	Event      event        `json:"event"`
	Connection *connection  `json:"connection"` // null: none
	Receivers  []connection `json:"receivers,omitempty"`
	Answer     *answer      `json:"answer,omitempty"` // of on_answer
	Hex        string       `json:"hex"`
}

type event struct {
	Fields   map[string]string `json:"fields"` // fields that are present
	SentAt   uint64            `json:"sentAt"`
	Sequence uint64            `json:"sequence"`
}

type connection struct {
	Fields      map[string]string `json:"fields"`
	Properties  []property        `json:"properties"` // null: absent
	ConnectedAt uint64            `json:"connectedAt"`
	JoinedAt    uint64            `json:"joinedAt"`
}

type answer struct {
	Fields map[string]string `json:"fields"` // name, body, state
	Status uint64            `json:"status"`
	Number uint64            `json:"number"` // of the ask
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"` // JSON text
}

const noon = 1_700_000_000_000 // ms since 1970

type fields = map[string]string

var (
	ann = connection{
		Fields: fields{"id": "4f2a", "fingerprint": "a9c1", "user": "ann", "transport": "websocket",
			"remoteIP": "203.0.113.7", "tenant": "default", "locale": "en-GB"},
		Properties:  []property{{"role", `"member"`}, {"strikes", `{"count":2,"since":"2026-11-01"}`}},
		ConnectedAt: noon - 5000,
		JoinedAt:    noon - 4000,
	}
	bob = connection{
		Fields:      fields{"id": "77", "transport": "socket", "remoteIP": "2001:db8::1", "locale": "de"},
		ConnectedAt: noon - 3000,
		JoinedAt:    noon - 2000,
	}
	carla = connection{Fields: fields{"id": "émile", "locale": ""}, Properties: []property{}}
)

func frames() []frame {
	joiner := ann
	joiner.JoinedAt = 0
	said := event{fields{"room": "lobby", "tenant": "default", "from": "4f2a", "message": "hello", "context": "user"}, noon, 42}
	with := func(e event, name, value string) event {
		changed := fields{name: value}
		for n, v := range e.Fields {
			if n != name {
				changed[n] = v
			}
		}
		e.Fields = changed
		return e
	}
	at := func(room, cause string) event {
		e := event{Fields: fields{"room": room, "tenant": "default"}}
		if cause != "" {
			e.Fields["cause"] = cause
		}
		return e
	}
	doing := func(action string) event { return event{Fields: fields{"tenant": "default", "action": action}} }

	list := []frame{
		{Name: "connect", Hook: "connect", Event: event{Fields: fields{"tenant": "default"}}, Connection: &joiner},
		{Name: "connect: nothing is shown", Hook: "connect", Connection: &connection{}},
		{Name: "join", Hook: "join", Event: at("lobby", ""), Connection: &joiner},
		{Name: "join: again, after the node was cut off", Hook: "join", Event: at("lobby", "rejoined"), Connection: &bob},
		{Name: "join: an empty field, and no property of those shown", Hook: "join", Event: at("", ""), Connection: &carla},
		{Name: "onSayReceive", Hook: "onSayReceive", Event: said, Connection: &ann},
		{Name: "onSayReceive: a JSON message", Hook: "onSayReceive", JSON: true, Event: with(said, "message", `{"move":"e2e4","n":[1,2]}`), Connection: &ann},
		{Name: "onSayReceive: an empty message", Hook: "onSayReceive", Event: with(said, "message", ""), Connection: &bob},
		{Name: "onSayReceive: the system's message", Hook: "onSayReceive", Event: with(said, "from", "0")},
		{Name: "onSayReceive: beyond ASCII, and long", Hook: "onSayReceive", Event: with(said, "message", strings.Repeat("grüße, 世界 🙂 ", 40)), Connection: &ann},
		{Name: "onSayReceive: a zero character", Hook: "onSayReceive", Event: with(said, "message", "a\x00b"), Connection: &ann},
		{Name: "onSayReceive: the message alone is shown", Hook: "onSayReceive", Event: event{fields{"message": "hello"}, noon, 43}, Connection: &connection{}},
		{Name: "say: one receiver", Hook: "say", Event: said, Receivers: []connection{ann}},
		{Name: "say: three receivers", Hook: "say", Event: said, Receivers: []connection{ann, bob, carla}},
		{Name: "say: nine receivers", Hook: "say", Event: said, Receivers: []connection{ann, bob, carla, ann, bob, carla, ann, bob, carla}},
		{Name: "say: a JSON message to a receiver of whom nothing is shown", Hook: "say", JSON: true, Event: with(said, "message", `"hi"`), Receivers: []connection{{}}},
		{Name: "disconnect", Hook: "disconnect", Event: event{Fields: fields{"tenant": "default"}}, Connection: &joiner},
		{Name: "action", Hook: "action", Event: with(doing("login"), "params", `{"token":"open-sesame"}`), Connection: &joiner},
		{Name: "action: without parameters", Hook: "action", Event: doing("roll"), Connection: &bob},
	}
	for _, cause := range []string{"roomLeave", "destroyed", "disconnect", "removed", "node_lost"} {
		list = append(list, frame{Name: "leave: " + cause, Hook: "leave", Event: at("lobby", cause), Connection: &ann})
	}
	for i := range list {
		list[i].finish(1, 0)
	}
	first := frame{Name: "onSayReceive: of minor 0, with fewer fields", Hook: "onSayReceive", Event: said, Connection: &ann}
	first.finish(0, 0)
	firstSay := frame{Name: "say: of minor 0, with fewer fields", Hook: "say", Event: said, Receivers: []connection{ann, bob}}
	firstSay.finish(0, 0)
	next := frame{Name: "onSayReceive: with the id of the message", Hook: "onSayReceive", Event: with(said, "messageId", "0123456789abcdefghijklmn"), Connection: &ann}
	edit := frame{Name: "onSayReceive: an edit", Hook: "onSayReceive", Event: with(with(said, "messageId", "m-1"), "edits", "m-1"), Connection: &ann}
	moderated := frame{Name: "onSayReceive: an edit by a moderator", Hook: "onSayReceive", Event: event{fields{"edits": "m-1", "message": "hello"}, noon, 43}}
	delivered := frame{Name: "say: an edit", Hook: "say", Event: with(with(said, "messageId", "m-1"), "edits", "m-1"), Receivers: []connection{ann, bob}}
	answered := frame{Name: "answer: onSayReceive", Hook: "onSayReceive", Event: with(said, "messageId", "m-1"), Connection: &ann,
		Answer: &answer{fields{"name": "one", "body": `{"score":0.93,"of":"grüße"}`, "state": "of the ask"}, 200, 1}}
	absent := frame{Name: "answer: join, without a body and a state", Hook: "join", Event: at("lobby", ""), Connection: &joiner, Answer: &answer{fields{"name": "two"}, 404, 2}}
	acted := frame{Name: "answer: action", Hook: "action", Event: with(doing("login"), "params", `{"token":"t"}`), Connection: &joiner, Answer: &answer{fields{"name": "one", "body": "null"}, 201, 1}}
	minor1 := []*frame{&next, &edit, &moderated, &delivered, &answered, &absent, &acted}
	for _, f := range minor1 {
		f.finish(1, 0)
	}
	later := frame{Name: "onSayReceive: of a later minor, with a field more", Hook: "onSayReceive", Event: said, Connection: &ann}
	later.finish(1, 1)
	list = append(list, later, first, firstSay)
	for _, f := range minor1 {
		list = append(list, *f)
	}
	return list
}

// minor0Fields is the number of the fields of an event in minor version 0.
const minor0Fields = 8

// finish fills in the bytes, with more fields of a later minor version in every blob.
func (f *frame) finish(minor, more int) {
	none := func(of *fields) {
		if *of == nil {
			*of = fields{}
		}
	}
	none(&f.Event.Fields)
	if f.Connection != nil {
		none(&f.Connection.Fields)
	}
	for i := range f.Receivers {
		none(&f.Receivers[i].Fields)
	}
	f.Number, f.Minor = int(abi.HookNamed(f.Hook)), minor
	f.Hex = hex.EncodeToString(f.bytes(more))
}

// bytes encodes the frame: header, table of receivers, verdict bytes, receivers, event,
// connection.
func (f *frame) bytes(more int) []byte {
	b := make([]byte, abi.HeaderSize)
	le.PutUint16(b[abi.FrameMinor:], uint16(f.Minor))
	le.PutUint16(b[abi.FrameHook:], uint16(f.Number))
	if f.JSON {
		le.PutUint32(b[abi.FrameFlags:], abi.FlagJSON)
	}
	if n := len(f.Receivers); n > 0 {
		le.PutUint32(b[abi.FrameReceivers:], uint32(n))
		table := len(b)
		le.PutUint32(b[abi.FrameReceiverTab:], uint32(table))
		b = pad(append(b, make([]byte, 4*n)...))
		le.PutUint32(b[abi.FrameVerdicts:], uint32(len(b)))
		b = pad(append(b, make([]byte, n)...))
		for i := range f.Receivers {
			le.PutUint32(b[table+4*i:], uint32(len(b)))
			b = f.Receivers[i].append(b, more)
		}
	}
	le.PutUint32(b[abi.FrameEvent:], uint32(len(b)))
	b = f.Event.append(b, f.Minor, more)
	if f.Connection != nil {
		le.PutUint32(b[abi.FrameConnection:], uint32(len(b)))
		b = f.Connection.append(b, more)
	}
	if f.Answer != nil {
		le.PutUint32(b[abi.FrameAnswer:], uint32(len(b)))
		b = f.Answer.append(b)
	}
	le.PutUint32(b[abi.FrameSize:], uint32(len(b)))
	return b
}

func (a *answer) append(b []byte) []byte {
	list := make([][]byte, abi.AnswerFieldCount)
	for i, name := range []string{abi.AnswerName: "name", abi.AnswerBody: "body", abi.AnswerState: "state"} {
		if value, ok := a.Fields[name]; ok {
			list[i] = []byte(value)
		}
	}
	return abi.AppendBlob(b, abi.BlobAnswer, a.Status, a.Number, list)
}

func (e *event) append(b []byte, minor, more int) []byte {
	count := int(abi.EventFieldCount)
	if minor == 0 {
		count = minor0Fields
	}
	list := make([][]byte, count+more)
	for name, value := range e.Fields {
		n, _ := abi.EventField(name)
		list[n] = []byte(value)
	}
	return abi.AppendBlob(b, abi.BlobEvent, e.SentAt, e.Sequence, newer(list, more))
}

func (c *connection) append(b []byte, more int) []byte {
	list := make([][]byte, int(abi.ConnFieldCount)+more)
	for name, value := range c.Fields {
		n, _, _ := abi.ConnectionField(name)
		list[n] = []byte(value)
	}
	if c.Properties != nil {
		list[abi.ConnProperties] = []byte{}
	}
	for _, p := range c.Properties {
		list[abi.ConnProperties] = abi.AppendProperty(list[abi.ConnProperties], p.Name, p.Value)
	}
	return abi.AppendBlob(b, abi.BlobConnection, c.ConnectedAt, c.JoinedAt, newer(list, more))
}

// newer fills fields of a later version with values.
func newer(list [][]byte, more int) [][]byte {
	for i := range more {
		list[len(list)-1-i] = []byte("of a later minor")
	}
	return list
}

func pad(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}
