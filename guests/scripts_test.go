package guests_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/script"
)

// scripted returns a host with the script as the chain of the tenant default, or the error of
// the load.
func scripted(t *testing.T, path, config string, grants ...string) (*host.Host, *logged, error) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log := new(logged)
	h, err := host.New(host.Config{Cache: cache, Scripts: script.New(script.Config{Command: script.Self()}), Log: slog.New(slog.NewTextHandler(log, nil)), StartTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	r, err := h.Load(t.Context(), host.Rules{
		Modules: []host.Module{{Name: "rule", Script: path, File: path, Wasm: text}},
		Tenants: []host.Tenant{{Name: "default", CPU: 1, Chain: []host.Entry{{
			Module: "rule", Grants: grants, Config: json.RawMessage(config), Timeout: time.Minute, // for slow machines
		}}}},
	})
	if err == nil {
		h.Swap(r)
	}
	return h, log, err
}

// heard returns the message that each receiver gets; "-" stands for no message.
func heard(t *testing.T, h *host.Host, ev hook.Event, receivers ...*hook.Profile) []string {
	t.Helper()
	ev.Hook, ev.Tenant, ev.Room = hook.Say, "default", "r"
	members := make([]hook.Member, len(receivers))
	for i, p := range receivers {
		members[i] = present{p}
	}
	d := h.Deliver(t.Context(), &ev, members)
	if d.Release != nil {
		defer d.Release()
	}
	texts := make([]string, len(receivers))
	for i := range texts {
		k := d.All
		if d.For != nil {
			k = d.For[i]
		} else if len(d.Answers) == 0 && k == 0 {
			k = hook.AsIs
		}
		switch k {
		case hook.AsIs:
			texts[i] = ev.Message.Text
		case hook.Nothing:
			texts[i] = "-"
		default:
			texts[i] = d.Answers[k].Message.Text + string(d.Answers[k].Extra)
		}
	}
	return texts
}

type present struct{ profile *hook.Profile }

func (p present) Profile() *hook.Profile { return p.profile }
func (p present) JoinedAt() int64        { return 1 }

func TestShadowban(t *testing.T) {
	h, log, err := scripted(t, "shadowban/shadowban.lua", `{"users":["mallory"],"addresses":["192.0.2.7"]}`, "kv")
	if err != nil {
		t.Fatal(err)
	}
	mallory, ann := profile("m1"), profile("a1")
	mallory.User, ann.User, ann.RemoteIP = "mallory", "ann", "192.0.2.8"
	say := func(from *hook.Profile, m wire.Message) []string {
		ev := hook.Event{Hook: hook.OnSayReceive, Tenant: "default", Room: "r", From: from.ID, Conn: from, Message: m}
		if v := h.Decide(t.Context(), &ev); v.Outcome != hook.Allowed {
			t.Fatalf("%+v\n%s", v, log)
		}
		return heard(t, h, hook.Event{From: from.ID, Message: ev.Message}, ann, mallory)
	}
	for _, c := range []struct {
		from *hook.Profile
		m    wire.Message
		want string
	}{
		{ann, wire.Message{Text: "hello"}, "hello hello"},
		{mallory, wire.Message{Text: "buy"}, "- buy"},
		{mallory, wire.Message{Text: `["buy"]`, JSON: true}, `- ["buy"]`},
		{mallory, wire.Message{Text: `null`, JSON: true}, `- null`},
		{ann, wire.Message{Text: `{"a":[1]}`, JSON: true}, `{"a":[1]} {"a":[1]}`},
	} {
		if got := strings.Join(say(c.from, c.m), " "); got != c.want {
			t.Errorf("%s says %s: received %q, want %q\n%s", c.from.ID, c.m.Text, got, c.want, log)
		}
	}
	ann = profile("a1") // a profile does not change
	ann.RemoteIP = "192.0.2.7"
	if got := say(ann, wire.Message{Text: "hello"}); fmt.Sprint(got) != "[hello -]" {
		t.Errorf("from a banned address: %v", got)
	}
	if _, _, err := scripted(t, "shadowban/shadowban.lua", `{"user":["mallory"]}`, "kv"); err == nil || !strings.Contains(err.Error(), `config.user: unknown setting: did you mean "users"?`) {
		t.Errorf("a setting that is not there: %v", err)
	}
}

func TestLanguage(t *testing.T) {
	h, _, err := scripted(t, "language/language.js", `{"phrases":{"greeting":{"en":"Good morning","de":"Guten Morgen","pt-BR":"Bom dia"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	var receivers []*hook.Profile
	for _, locale := range []string{"en-GB", "de-AT", "pt-BR", "pt", "", "de"} {
		p := profile("c-" + locale)
		p.Locale = locale
		receivers = append(receivers, p)
	}
	german := `Guten Morgen{"original":"good  morning!","language":"de"}`
	want := []string{"good  morning!", german, `Bom dia{"original":"good  morning!","language":"pt-BR"}`, "good  morning!", "good  morning!", german}
	if got := heard(t, h, hook.Event{From: "x", Message: wire.Message{Text: "good  morning!"}}, receivers...); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("received\n%q, want\n%q", got, want)
	}
	if got := heard(t, h, hook.Event{From: "x", Message: wire.Message{Text: "good night"}}, receivers[1]); got[0] != "good night" {
		t.Errorf("an unknown phrase is received as %q", got)
	}
	card := wire.Message{JSON: true, Text: `{"Good morning":"Good Morning","more":["hello",{"to":"good morning!"},1,null]}`}
	translated := `{"Good morning":"Bom dia","more":["hello",{"to":"Bom dia"},1,null]}{"original":` + card.Text + `,"language":"pt-BR"}`
	if got := heard(t, h, hook.Event{From: "x", Message: card}, receivers[0], receivers[2]); got[0] != card.Text || got[1] != translated {
		t.Errorf("the JSON message is received as\n%q, want\n%q", got, translated)
	}
	for config, want := range map[string]string{
		`{"phrases":{"a":"b"}}`: "config.phrases.a: must be a mapping, not text", `{"phrase":{}}`: `config.phrase: unknown setting: did you mean "phrases"?`,
		`{"phrases":{"a":{"en":" ! "}}}`: "phrases.a.en has no letters",
	} {
		if _, _, err := scripted(t, "language/language.js", config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
}

func TestGame(t *testing.T) {
	h, log, err := scripted(t, "game/game.ts", `{}`, "kv", "emit")
	if err != nil {
		t.Fatal(err)
	}
	do := func(player, action, params string) (string, hook.Verdict) {
		v := h.Decide(t.Context(), &hook.Event{Hook: hook.Action, Tenant: "default", Conn: profile(player), Action: action, Params: json.RawMessage(params)})
		if v.Outcome == hook.Failed {
			t.Fatalf("%s %s: %+v\n%s", action, params, v, log)
		}
		return v.Reason, v
	}
	for _, move := range []struct{ player, cell, refusal string }{
		{"ann", "4", ""},
		{"ann", "0", "it is not your turn"},
		{"bob", "4", "the cell is taken"},
		{"bob", "0", ""},
		{"cleo", "8", "two others play"},
		{"ann", "9", "cell must be a number from 0 to 8"},
		{"ann", "2", ""},
		{"bob", `"1"`, ""},
		{"ann", "6", ""},
		{"bob", "8", "the game is over: start a new one"},
	} {
		refusal, v := do(move.player, "game.play", `{"room":"r","cell":`+move.cell+`}`)
		if refusal != move.refusal {
			t.Errorf("%s at %s: %q, want %q", move.player, move.cell, refusal, move.refusal)
		}
		if refusal == "" && (len(v.Effects) != 1 || v.Effects[0].Emit == nil || v.Effects[0].Emit.Room != "r") {
			t.Errorf("%s at %s: the room receives %+v", move.player, move.cell, v.Effects)
		}
	}
	_, v := do("cleo", "game.board", `{"room":"r"}`)
	var reply struct {
		Game struct {
			Cells  []*string
			Winner string
		}
	}
	if err := json.Unmarshal(v.Reply, &reply); err != nil || reply.Game.Winner != "X" || len(reply.Game.Cells) != 9 || *reply.Game.Cells[0] != "O" {
		t.Errorf("the board is %s (%v)", v.Reply, err)
	}
	if refusal, _ := do("cleo", "game.new", `{"room":"r"}`); refusal != "" {
		t.Errorf("a new game is refused: %s", refusal)
	}
	if refusal, _ := do("ann", "game.play", `{"room":"r","cell":0}`); refusal != "" {
		t.Errorf("after it a move is refused: %s", refusal)
	}
	if refusal, _ := do("bob", "game.new", `{"room":"r"}`); refusal != "two others play" {
		t.Errorf("a spectator may end a game: %q", refusal)
	}
}
