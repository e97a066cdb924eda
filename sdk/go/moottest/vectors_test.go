//go:build !wasm

package moottest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	moot "github.com/mootchat/moot/sdk/go"
)

// Tests with the golden frames: the bytes that the host writes and reads.

type goldenFrame struct {
	Name, Hook, Hex string
	Number, Minor   int
	JSON            bool
	Event           struct {
		Fields           map[string]string
		SentAt, Sequence uint64
	}
	Connection *goldenConnection
	Receivers  []goldenConnection
	Answer     *goldenAnswer
}

type goldenAnswer struct {
	Fields         map[string]string
	Status, Number int
}

type goldenConnection struct {
	Fields                map[string]string
	Properties            []struct{ Name, Value string }
	ConnectedAt, JoinedAt uint64
}

type goldenResult struct {
	Name, Hook, Frame, Memory string
	Verdict                   goldenVerdict
	Receivers                 []goldenVerdict
	Returns                   int32
	FrameAt                   int
}

type goldenVerdict struct {
	Answer, Reason, Extra, Room, From, Reply string
	Code, Kind                               uint32
	Message                                  *string
	SentAt                                   int64
	TTL                                      int64
	Ask, Body, State                         string
}

func load[T any](t *testing.T, file string) []T {
	t.Helper()
	b, err := os.ReadFile("../../vectors/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var list []T
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatalf("%s is empty", file)
	}
	return list
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGuestReadsGoldenFrames(t *testing.T) {
	for _, f := range load[goldenFrame](t, "frames.json") {
		t.Run(f.Name, func(t *testing.T) {
			seen := false
			look := func(e *moot.Event) moot.Verdict {
				seen = true
				checkEvent(t, e, &f)
				checkConnection(t, e.Connection(), f.Connection)
				return moot.Allow()
			}
			heard := 0
			m := moot.Module{
				OnConnect: look, OnJoin: look, OnSayReceive: look, OnLeave: look, OnDisconnect: look,
				OnSay: func(e *moot.Event, c *moot.Connection) moot.Verdict {
					checkConnection(t, c, &f.Receivers[heard])
					heard++
					return look(e)
				},
				Actions: []moot.Action{{Name: "login", Run: look}, {Name: "roll", Run: look}},
				OnAnswer: func(e *moot.Event, a *moot.Answer) moot.Verdict {
					checkAnswer(t, a, f.Answer)
					return look(e)
				},
			}
			call := moot.NewGuest(m, nil).Call
			if f.Answer != nil {
				call = moot.NewGuest(m, nil).Answer
			}
			if code := call(fromHex(t, f.Hex)); code != 0 || !seen || heard != len(f.Receivers) {
				t.Errorf("returned %d, asked %v, of %d receivers %d", code, seen, len(f.Receivers), heard)
			}
		})
	}
}

func checkAnswer(t *testing.T, a *moot.Answer, want *goldenAnswer) {
	t.Helper()
	for name, value := range map[string]string{"name": a.Name(), "body": a.JSON(), "state": a.State()} {
		if value != want.Fields[name] {
			t.Errorf("%s is %q, want %q", name, value, want.Fields[name])
		}
	}
	if a.Status() != want.Status || a.Number() != want.Number {
		t.Errorf("status %d, number %d", a.Status(), a.Number())
	}
}

func checkEvent(t *testing.T, e *moot.Event, want *goldenFrame) {
	t.Helper()
	got := map[string]string{"room": e.Room(), "tenant": e.Tenant(), "from": e.From(), "message": e.Message(),
		"context": e.Context(), "cause": e.Cause(), "action": e.Action(), "params": e.Params(),
		"messageId": e.MessageID(), "edits": e.Edits()}
	for name, value := range got {
		if value != want.Event.Fields[name] {
			t.Errorf("%s is %q, want %q", name, value, want.Event.Fields[name])
		}
	}
	if e.Hook() != want.Number || e.IsJSON() != want.JSON || e.Sequence() != want.Event.Sequence {
		t.Errorf("hook %d, JSON %v, sequence %d", e.Hook(), e.IsJSON(), e.Sequence())
	}
	if string(e.MessageBytes()) != e.Message() {
		t.Errorf("MessageBytes is %q", e.MessageBytes())
	}
	checkTime(t, "sentAt", e.SentAt(), want.Event.SentAt)
}

func checkConnection(t *testing.T, c *moot.Connection, want *goldenConnection) {
	t.Helper()
	if (c == nil) != (want == nil) {
		t.Fatalf("connection %v, want %v", c, want)
	}
	if want == nil {
		want = &goldenConnection{}
	}
	got := map[string]string{"id": c.ID(), "fingerprint": c.Fingerprint(), "user": c.User(), "transport": c.Transport(),
		"remoteIP": c.RemoteIP(), "tenant": c.Tenant(), "locale": c.Locale()}
	for name, value := range got {
		if value != want.Fields[name] {
			t.Errorf("%s is %q, want %q", name, value, want.Fields[name])
		}
	}
	for _, p := range want.Properties {
		if got := c.Property(p.Name); got != p.Value {
			t.Errorf("property %s is %s, want %s", p.Name, got, p.Value)
		}
	}
	if got := c.Property("none"); got != "" {
		t.Errorf("a property that is not there is %q", got)
	}
	checkTime(t, "connectedAt", c.ConnectedAt(), want.ConnectedAt)
	checkTime(t, "joinedAt", c.JoinedAt(), want.JoinedAt)
}

func checkTime(t *testing.T, what string, got time.Time, ms uint64) {
	t.Helper()
	if got.IsZero() != (ms == 0) || ms != 0 && got.UnixMilli() != int64(ms) {
		t.Errorf("%s is %v, want %d ms", what, got, ms)
	}
}

func TestKitWritesGoldenFrames(t *testing.T) {
	for _, f := range load[goldenFrame](t, "frames.json") {
		var receivers [][]byte
		for i := range f.Receivers {
			receivers = append(receivers, f.Receivers[i].blob())
		}
		fields := eventFields
		if f.Minor == 0 {
			fields = fields[:8]
		}
		event := appendBlob(nil, 1, f.Event.SentAt, f.Event.Sequence, values(f.Event.Fields, fields))
		var conn []byte
		if f.Connection != nil {
			conn = f.Connection.blob()
		}
		got := appendFrame(f.Number, f.JSON, event, conn, receivers)
		if a := f.Answer; a != nil {
			got = appendAnswer(got, &Reply{a.Fields["name"], a.Status, a.Fields["body"], a.Fields["state"], a.Number})
		}
		if strings.Contains(f.Name, "later minor") {
			continue
		}
		le.PutUint16(got[4:], uint16(f.Minor)) // the kit writes those of its own version
		if !bytes.Equal(got, fromHex(t, f.Hex)) {
			t.Errorf("%s: got %x\nwant %s", f.Name, got, f.Hex)
		}
	}
}

func (c *goldenConnection) blob() []byte {
	fields := append(values(c.Fields, connFields), nil)
	if c.Properties != nil {
		fields[fieldProperties] = []byte{}
	}
	for _, p := range c.Properties {
		fields[fieldProperties] = appendProperty(fields[fieldProperties], p.Name, p.Value)
	}
	return appendBlob(nil, 2, c.ConnectedAt, c.JoinedAt, fields)
}

func values(of map[string]string, names []string) [][]byte {
	list := make([][]byte, len(names))
	for i, name := range names {
		if value, ok := of[name]; ok {
			list[i] = []byte(value)
		}
	}
	return list
}

func TestKitReadsGoldenResults(t *testing.T) {
	for _, r := range load[goldenResult](t, "results.json") {
		memory := fromHex(t, r.Memory)
		checkVerdict(t, r, decode(r.Returns, memory[r.FrameAt:], memory))
	}
}

func TestGuestGivesGoldenResults(t *testing.T) {
	for _, r := range load[goldenResult](t, "results.json") {
		heard := 0
		answer := func(*moot.Event) moot.Verdict { return r.Verdict.said() }
		m := moot.Module{
			OnConnect: answer, OnJoin: answer, OnSayReceive: answer,
			OnSay: func(*moot.Event, *moot.Connection) moot.Verdict {
				heard++
				return r.Receivers[heard-1].said()
			},
			Actions: []moot.Action{{Name: "login", Run: answer}},
		}
		g := moot.NewGuest(m, nil)
		frame := fromHex(t, r.Frame)
		code := g.Call(frame)
		if code != r.Returns {
			t.Errorf("%s: returned %d, want %d", r.Name, code, r.Returns)
		}
		checkVerdict(t, r, decode(code, frame, g.Memory()))
	}
}

// said returns the verdict that a module would make.
func (v goldenVerdict) said() moot.Verdict {
	var said moot.Verdict
	switch Answer(v.Answer) {
	case AllowEnd:
		return moot.AllowEnd()
	case Deny:
		return moot.Deny(v.Reason).Code(v.Code)
	case Drop:
		return moot.Drop()
	case Ask:
		return moot.Ask(v.Ask, v.Body).State(v.State)
	case Hold:
		return moot.Hold(v.Reason, time.Duration(v.TTL)*time.Millisecond)
	case Allow:
		return moot.Reply(v.Reply)
	}
	said = moot.Rewrite().Extra(v.Extra).Room(v.Room).From(v.From)
	if v.SentAt != 0 {
		said = said.SentAt(time.UnixMilli(v.SentAt))
	}
	switch v.Kind {
	case 1:
		return said.Text(*v.Message)
	case 2:
		return said.JSON(*v.Message)
	}
	return said
}

func checkVerdict(t *testing.T, want goldenResult, got Verdict) {
	t.Helper()
	receivers := got.Receivers
	got.Receivers = nil
	if want.Verdict.Answer != "perReceiver" && !reflect.DeepEqual(got, want.Verdict.decoded()) {
		t.Errorf("%s: got %+v, want %+v", want.Name, got, want.Verdict)
	}
	if len(receivers) != len(want.Receivers) {
		t.Fatalf("%s: %d receivers, want %d", want.Name, len(receivers), len(want.Receivers))
	}
	for i, r := range want.Receivers {
		if !reflect.DeepEqual(receivers[i], r.decoded()) {
			t.Errorf("%s: receiver %d: got %+v, want %+v", want.Name, i, receivers[i], r)
		}
	}
}

func (v goldenVerdict) decoded() Verdict {
	d := Verdict{Answer: Answer(v.Answer), Reason: v.Reason, Code: v.Code, Kind: v.Kind, Extra: v.Extra,
		Room: v.Room, From: v.From, SentAt: v.SentAt, Reply: v.Reply, TTL: v.TTL, Asked: Asked{v.Ask, v.Body, v.State}}
	if v.Message != nil {
		d.Message = *v.Message
	}
	return d
}

func TestGoldenFramesCoverEveryHook(t *testing.T) {
	var have []string
	for _, f := range load[goldenFrame](t, "frames.json") {
		have = append(have, f.Hook)
	}
	for _, hook := range hooks[1:] {
		if !slices.Contains(have, hook) {
			t.Errorf("no golden frame of %s", hook)
		}
	}
}

func TestTextsOutliveTheirFrame(t *testing.T) {
	for _, f := range load[goldenFrame](t, "frames.json") {
		if f.Hook != "onSayReceive" {
			continue
		}
		var got []string
		g := moot.NewGuest(moot.Module{OnSayReceive: func(e *moot.Event) moot.Verdict {
			got = append(got, e.Room(), e.Message(), e.Connection().Locale(), e.Connection().Property("role"))
			return moot.Allow()
		}}, nil)
		frame := fromHex(t, f.Hex)
		g.Call(frame)
		want := slices.Clone(got)
		for i := range want {
			want[i] = string([]byte(got[i]))
		}
		for i := headerSize; i < len(frame); i++ {
			frame[i] = 'x'
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q became %q", f.Name, want, got)
		}
	}
}
