package guests_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

var callsGrants = []string{"kv", "rate", "emit", "rooms", "properties:mood"}

func TestEveryHostFunction(t *testing.T) {
	h, log := loaded(t, "testdata/calls", `{}`, callsGrants...)
	params := `{"much":"` + strings.Repeat("x", 100_000) + `"}` // more than the first exchange buffer
	v := ask(h, &hook.Event{Hook: hook.Action, Action: "every", Conn: profile("17", role(`"member"`)), Params: []byte(params)})
	want := map[string]any{
		"random": true, "now": true, "absent": "absent", "kv": true, "add": float64(1 << 40), "swap": true, "delete": true,
		"take": float64(0), "take again": true, "room size": "absent", "find": "unavailable", "create": nil, "destroy": nil, "mood": nil,
		"role": "not granted", "reads role": `"member"`, "emit": nil, "emit to": nil, "count": nil, "params": float64(len(params)),
	}
	var got map[string]any
	if err := json.Unmarshal(v.Reply, &got); err != nil {
		t.Fatalf("%v: %+v\n%s", err, v, log)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	var effects []string
	for _, e := range v.Effects {
		b, _ := json.Marshal(e)
		effects = append(effects, string(b))
	}
	if len(effects) != 5 || string(v.Effects[2].Property.Value) != `"fine"` || v.Effects[0].Room.Name != "new" ||
		!v.Effects[1].Room.Destroy || v.Effects[3].Emit.Message.Text != "hello" || v.Effects[4].Emit.Connection != "1" || !v.Effects[4].Emit.Message.JSON {
		t.Errorf("effects %s", effects)
	}
	for _, line := range []string{"a line from 17", "a line of standard error"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
}

func TestRewriteOfEverything(t *testing.T) {
	h, _ := loaded(t, "testdata/calls", `{}`, callsGrants...)
	ev := &hook.Event{Hook: hook.OnSayReceive, Room: "lobby", Conn: profile("1"), Message: wire.Message{Text: `say "hi"`}, From: "1", SentAt: 1}
	v := ask(h, ev)
	// The text is rewritten twice, because the room to which the message is moved has the same chain.
	want := wire.Message{JSON: true, Text: `{"was":"{\"was\":\"say \\\"hi\\\"\"}"}`}
	if v.Outcome != hook.Allowed || ev.Message != want ||
		ev.Room != "elsewhere" || ev.From != "9" || ev.SentAt != 5 || string(ev.Extra) != `{"seen":true}` {
		t.Errorf("%+v: %+v", v, ev)
	}
}

func TestPanicIsLoggedAndTheNextCallIsAnswered(t *testing.T) {
	h, log := loaded(t, "testdata/calls", `{}`, callsGrants...)
	say := func(text string) hook.Verdict {
		return ask(h, &hook.Event{Hook: hook.OnSayReceive, Room: "lobby", Conn: profile("1"), Message: wire.Message{Text: text}})
	}
	if v := say("panic"); v.Outcome != hook.Failed {
		t.Errorf("panic: %+v", v)
	}
	if !strings.Contains(log.String(), "as it was told") {
		t.Errorf("the log does not have the panic:\n%s", log)
	}
	if v := say("hello"); v.Outcome != hook.Allowed {
		t.Errorf("after it: %+v", v)
	}
}

type member struct{ profile *hook.Profile }

func (m member) Profile() *hook.Profile { return m.profile }
func (m member) JoinedAt() int64        { return 1 }

func TestSayToManyReceivers(t *testing.T) {
	h, log := loaded(t, "testdata/calls", `{}`, callsGrants...)
	locales := []string{"en", "de", "fr"}
	var members []hook.Member
	for i := range 3000 { // several frames, some larger than the first exchange buffer
		p := profile(fmt.Sprint(i))
		p.Locale = locales[i%3]
		members = append(members, member{p})
	}
	ev := &hook.Event{Hook: hook.Say, Tenant: "default", Room: "lobby", Message: wire.Message{Text: "hi"}}
	d := h.Deliver(context.Background(), ev, members)
	if d.For == nil || len(d.Answers) != 1 || d.Answers[0].Message.Text != "hallo: hi" {
		t.Fatalf("got %+v\n%s", d, log)
	}
	for i, got := range d.For {
		if want := []int32{hook.AsIs, 0, hook.Nothing}[i%3]; got != want {
			t.Fatalf("member %d: %d, want %d", i, got, want)
		}
	}
	if d.Release != nil {
		d.Release()
	}
}
