// Package scripts tests modules that are scripts. Each language has the whole API, and scripts have the same limits as
// other modules.
package scripts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/script"
)

func TestMain(m *testing.M) {
	if script.IsTranslator(os.Args[1:]) {
		os.Exit(script.Answer(os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// compiler is shared by all tests.
var compiler = sync.OnceValue(func() *script.Compiler { return script.New(script.Config{Command: script.Self()}) })

// patience is a timeout that does not fail on a busy machine.
const patience = 30 * time.Second

// rule is a script, the only entry of tenant t.
type rule struct {
	file   string
	text   string // "": testdata/file
	config string
	grants []string   // nil: all for a file of testdata
	entry  host.Entry // without the module
}

var all = []string{"kv", "rate", "emit", "rooms", "sanctions", "members", "identity", "amend", "properties:mood"}

func (r rule) rules(t testing.TB) host.Rules {
	t.Helper()
	text := []byte(r.text)
	if r.text == "" {
		var err error
		if text, err = os.ReadFile("testdata/" + r.file); err != nil {
			t.Fatal(err)
		}
		if r.grants == nil {
			r.grants = all
		}
	}
	entry := r.entry
	entry.Module, entry.Where, entry.Grants, entry.Config = "rule", "config.yaml:9", r.grants, json.RawMessage(r.config)
	if entry.Timeout == 0 {
		entry.Timeout = patience
	}
	if r.config == "" {
		entry.Config = nil
	}
	entry.Breaker.Minimum = 1000
	return host.Rules{
		Modules: []host.Module{{Name: "rule", File: r.file, Script: "rules/" + r.file, Wasm: text, Where: "config.yaml:3"}},
		Tenants: []host.Tenant{{Name: "t", CPU: 1, Chain: []host.Entry{entry}}},
	}
}

// town is a host that runs one rule.
type town struct {
	*host.Host
	t   *testing.T
	log *lines
}

type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.Buffer.String(), text)
}

// cache keeps the compiled runners for all tests.
var cache = sync.OnceValue(func() *diskcache.Cache {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil
	}
	return diskcache.Open(diskcache.Config{Dir: dir + "/moot/test-scripts"})
})

func open(t *testing.T, r rule) *town {
	t.Helper()
	log := new(lines)
	h, err := host.New(host.Config{Cache: cache(), Scripts: compiler(), StartTimeout: patience, ChainTimeout: patience, Rooms: noRooms{}, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	revision, err := h.Load(context.Background(), r.rules(t))
	if err != nil {
		t.Fatal(err)
	}
	h.Swap(revision)
	return &town{h, t, log}
}

// noRooms is a node without rooms.
type noRooms struct{}

func (noRooms) Members(context.Context, cluster.RoomID) (int, error) { return 0, cluster.ErrNoRoom }

// refused loads a rule that must not load, and returns the error.
func refused(t *testing.T, r rule) string {
	t.Helper()
	h, err := host.New(host.Config{Cache: cache(), Scripts: compiler(), StartTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	revision, err := h.Load(context.Background(), r.rules(t))
	if err == nil {
		revision.Close()
		t.Fatal("it was loaded")
	}
	return err.Error()
}

func ann() *hook.Profile {
	return &hook.Profile{Connection: hook.Connection{ID: "c1", User: "ann", Tenant: "t", Locale: "en", ConnectedAt: 500, Properties: []hook.NamedProperty{
		{Property: hook.Property{Name: "mood", Value: json.RawMessage(`"good"`)}},
		{Property: hook.Property{Name: "role", Value: json.RawMessage(`"admin"`)}},
	}}}
}

// say calls the rule with a message.
func (w *town) say(text string) (*hook.Event, hook.Verdict) {
	ev := &hook.Event{Hook: hook.OnSayReceive, Tenant: "t", Room: "r", From: "c1", Context: "user", SentAt: 1000, Sequence: 5,
		Message: wire.Message{Text: text}, Conn: ann()}
	return ev, w.Decide(context.Background(), ev)
}

func languages(t *testing.T, test func(t *testing.T, language string)) {
	for _, language := range []string{"js", "lua"} {
		t.Run(language, func(t *testing.T) { test(t, language) })
	}
}

func TestEveryVerdict(t *testing.T) {
	languages(t, func(t *testing.T, language string) {
		w := open(t, rule{file: "all." + language, grants: all, config: `{"deep":{"n":[1,"x",null]}}`})
		for say, want := range map[string]hook.Outcome{
			"allow": hook.Allowed, "nothing": hook.Allowed, "end": hook.Allowed, "unknown": hook.Allowed,
			"deny not here": hook.Denied, "drop": hook.Dropped,
		} {
			if _, v := w.say(say); v.Outcome != want {
				t.Errorf("%s: %+v", say, v)
			}
		}
		if _, v := w.say("deny not here"); v.Reason != "not here" {
			t.Errorf("the reason is %q", v.Reason)
		}
		for say, want := range map[string]hook.Verdict{
			"hold":            {Hold: &hook.Hold{}},
			"hold a new user": {Reason: "a new user", Hold: &hook.Hold{TTL: time.Minute}},
			"ever":            {Reason: "ever", Hold: &hook.Hold{TTL: 30 * 24 * time.Hour}},
		} {
			want.Outcome, want.Hold.At.Module = hook.Held, "rule"
			_, v := w.say(say)
			if want.Module = v.Module; !reflect.DeepEqual(v, want) {
				t.Errorf("%s: %+v %+v\n%s", say, v, v.Hold, w.log)
			}
		}
		for say, want := range map[string]string{
			"rewrite ein Satz": "EIN SATZ",
			"fields":           "onSayReceive r t c1 1000 5",
			"who":              "c1 ann en 500 good none",
			"kv":               "absent v false true w true false 1 42",
			"long":             "5000",
			"rate":             "false true",
			"rooms":            "undefined",
		} {
			if ev, v := w.say(say); v.Outcome != hook.Allowed || ev.Message.Text != want || ev.Message.JSON {
				t.Errorf("%s: %+v, %+v; want %q\n%s", say, v, ev.Message, want, w.log)
			}
		}
		ev, _ := w.say("envelope")
		if ev.Room != "other" || ev.From != "0" || ev.SentAt != 1234 || string(ev.Extra) != `{"lang":"de","n":[1,2.5,null,true]}` {
			t.Errorf("rewritten to %+v, extra %s", ev, ev.Extra)
		}
		if ev, _ := w.say("json"); !ev.Message.JSON || ev.Message.Text != `{"a":["ü","\n"],"b":{}}` {
			t.Errorf("JSON: %+v", ev.Message)
		}
		if ev, _ := w.say("config"); ev.Message.Text != `{"n":[1,"x",null]}` {
			t.Errorf("config: %+v", ev.Message)
		}
		ev = &hook.Event{Hook: hook.OnSayReceive, Tenant: "t", Room: "r", Message: wire.Message{Text: `{"a":"\ud83d\ude00\\u0041\"","b":[]}`, JSON: true}}
		if v := w.Decide(context.Background(), ev); v.Outcome != hook.Allowed || ev.Message.Text != `{"heard":{"a":"😀\\u0041\"","b":[]}}` {
			t.Errorf("JSON in and out: %+v %+v\n%s", v, ev.Message, w.log)
		}
	})
}

func TestEffects(t *testing.T) {
	languages(t, func(t *testing.T, language string) {
		w := open(t, rule{file: "all." + language, grants: all})
		_, v := w.say("set great")
		if len(v.Effects) != 1 || v.Effects[0].Property == nil || string(v.Effects[0].Property.Value) != `{"value":"great"}` {
			t.Errorf("property: %+v", v)
		}
		if _, v = w.say("emit"); len(v.Effects) != 3 || v.Effects[0].Emit.Message.Text != "psst" || v.Effects[1].Emit.Connection != "c1" || v.Effects[2].Emit.User != "ann" {
			t.Errorf("emit: %+v", v)
		}
		stranger := &hook.Profile{Connection: hook.Connection{ID: "c9", Tenant: "t"}}
		login := &hook.Event{Hook: hook.Action, Tenant: "t", Conn: stranger, Action: "login", Params: json.RawMessage(`{"name":"cleo"}`)}
		if v = w.Decide(context.Background(), login); len(v.Effects) != 1 || *v.Effects[0].Identity != (hook.Identity{User: "cleo", Module: "rule"}) {
			t.Errorf("user: %+v", v)
		}
		login.Conn = ann()
		if v = w.Decide(context.Background(), login); v.Outcome != hook.Failed || !w.log.has(`the connection has the user`) || !w.log.has("identity.setUser: not granted") {
			t.Errorf("a second user: %+v, %s", v, w.log)
		}
		if _, v = w.say("rooms"); len(v.Effects) != 2 || v.Effects[0].Room.Name != "made" || !v.Effects[1].Room.Destroy {
			t.Errorf("rooms: %+v", v)
		}
		_, v = w.say("moderate")
		var got []string
		for _, f := range v.Effects {
			switch {
			case f.Sanction != nil:
				s := &f.Sanction.Set
				got = append(got, fmt.Sprint(f.Sanction.Pardon, " ", s.Subject(), " ", s.Kind, " ", s.Rooms, " ", f.Sanction.TTL, " ", s.Reason, " ", s.Note, " ", s.Module))
			case f.Removal != nil:
				got = append(got, fmt.Sprint(f.Removal.Connection, " ", f.Removal.Room, " ", f.Removal.Reason))
			}
		}
		want := []string{"false user:ann mute * 1m0s be kind n rule", "true network:192.0.2.7/32 ban r* 0s   rule", "c1 r off topic", "c2  "}
		if v.Outcome != hook.Denied || v.Reason != "moderated" || !slices.Equal(got, want) {
			t.Errorf("sanctions and removals: %+v, %q", v, got)
		}
		if _, v = w.say("unamended"); v.Outcome != hook.Failed || !w.log.has("message_retract: id:") {
			t.Errorf("an amendment without an id: %+v", v)
		}
		if _, v = w.say("wrong"); v.Outcome != hook.Failed || !w.log.has("sanction_set: kind") {
			t.Errorf("a sanction without a kind: %+v", v)
		}
		w.say("log what happens")
		if !w.log.has("told: what happens") {
			t.Errorf("the log has %s", w.log)
		}
	})
}

// TestScriptsAmend checks the fields of an edit and the amendments of a script.
func TestScriptsAmend(t *testing.T) {
	languages(t, func(t *testing.T, language string) {
		w := open(t, rule{file: "all." + language})
		v := w.Decide(context.Background(), &hook.Event{Hook: hook.OnSayReceive, Tenant: "t", Room: "r", Conn: ann(), Message: wire.Message{Text: "amend"}, MessageID: "m1", Edits: "m2"})
		var got []hook.Amendment
		for _, f := range v.Effects {
			got = append(got, *f.Amend)
		}
		want := []hook.Amendment{
			{Room: "r", ID: "m1", Module: "rule"},
			{Room: "q", ID: "m2", Edit: true, Message: wire.Message{Text: "better"}, Module: "rule"},
			{Room: "q", ID: "m3", Edit: true, Message: wire.Message{Text: `{"n":1}`, JSON: true}, Module: "rule"},
		}
		if v.Outcome != hook.Denied || v.Reason != "m1 m2" || !slices.Equal(got, want) {
			t.Errorf("%+v, %+v", v, got)
		}
	})
}

func TestOtherHooks(t *testing.T) {
	languages(t, func(t *testing.T, language string) {
		w := open(t, rule{file: "all." + language})
		mallory := ann()
		mallory.User = "mallory"
		for conn, want := range map[*hook.Profile]hook.Outcome{ann(): hook.Allowed, mallory: hook.Denied} {
			if v := w.Decide(context.Background(), &hook.Event{Hook: hook.Join, Tenant: "t", Room: "r", Conn: conn}); v.Outcome != want {
				t.Errorf("%s joins: %+v", conn.User, v)
			}
		}
		w.Decide(context.Background(), &hook.Event{Hook: hook.Leave, Tenant: "t", Room: "r", Conn: ann(), Cause: hook.CauseDestroyed})
		if !w.log.has("left by destroyed") {
			t.Errorf("the log has %s", w.log)
		}
		if spec := w.Actions("t")["greet"]; spec.Description != "says hello" || !spec.Inputs["name"].Required || !spec.Speech {
			t.Errorf("the action is %+v", spec)
		}
		v := w.Decide(context.Background(), &hook.Event{Hook: hook.Action, Tenant: "t", Conn: ann(), Action: "greet", Params: json.RawMessage(`{"name":"bob"}`)})
		var reply map[string]string
		if json.Unmarshal(v.Reply, &reply) != nil || reply["greeting"] != "hello bob" || reply["by"] != "greet" {
			t.Errorf("the action answers %s: %+v\n%s", v.Reply, v, w.log)
		}
	})
}

// member is a receiver.
type member struct{ profile *hook.Profile }

func (m member) Profile() *hook.Profile { return m.profile }
func (m member) JoinedAt() int64        { return 700 }

func TestAnswersPerReceiver(t *testing.T) {
	languages(t, func(t *testing.T, language string) {
		w := open(t, rule{file: "all." + language})
		var members []hook.Member
		for _, locale := range []string{"en", "de", "xx", "de"} {
			members = append(members, member{&hook.Profile{Connection: hook.Connection{ID: locale, Locale: locale, Tenant: "t"}}})
		}
		ev := &hook.Event{Hook: hook.Say, Tenant: "t", Room: "r", From: "c1", Context: "user", Message: wire.Message{Text: "hello"}}
		d := w.Deliver(context.Background(), ev, members)
		if len(d.Answers) != 1 || d.Answers[0].Message.Text != "hallo" || string(d.Answers[0].Extra) != `{"lang":"de"}` {
			t.Fatalf("the answers are %+v\n%s", d, w.log)
		}
		if got, want := fmt.Sprint(d.For), fmt.Sprint([]int32{hook.AsIs, 0, hook.Nothing, 0}); got != want {
			t.Errorf("the answers by receiver are %s, want %s", got, want)
		}
		if d.Release != nil {
			d.Release()
		}
		d = w.Deliver(context.Background(), ev, members[1:2])
		if d.For != nil || len(d.Answers) != 1 || d.All != 0 {
			t.Errorf("one answer for all is %+v", d)
		}
	})
}

// TestUsesMustBeDeclaredAndGranted checks that a script does not load if it uses a capability that it does not declare, or that
// its entry does not grant, and that the error names the place of the use.
func TestUsesMustBeDeclaredAndGranted(t *testing.T) {
	for _, c := range []struct {
		file, text string
		place      string // of the use, and what the error says about it
		grant      string
		declare    string // added to the text
		grants     []string
	}{
		{"rule.js", "moot.on('join', (e, c) => {\n  if (moot.kv.get('k')) return moot.deny('no');\n});",
			`rule.js:2:7: moot.kv needs the capability "kv": `, "kv", "\nmoot.declare({ capabilities: ['kv'] });", []string{"kv"}},
		{"rule.ts", "interface T { kv: string }\n\nmoot.on('join', (e, c) => c.setProperty('mood', 1));",
			`rule.ts:3:29: setProperty needs the capability "properties:mood": `, "properties:mood",
			"\nmoot.declare({ capabilities: ['properties:role,mood'] });", []string{"properties:role,mood"}},
		{"rule.lua", "moot.on('join', function(e, c)\n  moot.emit({ room = 'r', message = 'x' })\nend)",
			`rule.lua:2:3: moot.emit needs the capability "emit": `, "emit", "\nmoot.declare({ capabilities = { 'emit' } })", []string{"emit"}},
		{"rule.lua", "moot.on('join', function(e, c) c:setProperty(e.room, 1) end)",
			`rule.lua:1:34: setProperty needs the capability "properties:NAME": `, "properties:NAME",
			"\nmoot.declare({ capabilities = { 'properties:x' } })", []string{"properties:x"}},
	} {
		if got, want := refused(t, rule{file: c.file, text: c.text}), c.place+"declare and grant "+c.grant; !strings.HasSuffix(got, ": "+want) {
			t.Errorf("%s: %s, want %s", c.file, got, want)
		}
		if got, want := refused(t, rule{file: c.file, text: c.text, grants: c.grants}), c.place+"declare "+c.grant; !strings.HasSuffix(got, ": "+want) {
			t.Errorf("%s, granted: %s, want %s", c.file, got, want)
		}
		open(t, rule{file: c.file, text: c.text + c.declare, grants: c.grants})
	}
	missing := refused(t, rule{file: "all.js", grants: []string{"rate", "emit", "rooms", "sanctions", "members", "identity", "amend", "properties:mood"}})
	if missing != `config.yaml:9: module rule: it needs the capability "kv": add it to the entry's grants` {
		t.Errorf("a capability that is declared and not granted: %s", missing)
	}
}

// TestCallWithoutGrantFails checks a use that the text of a script does not show.
func TestCallWithoutGrantFails(t *testing.T) {
	for file, text := range map[string]string{
		"rule.js":  `moot.on("onSayReceive", (e, c) => { const m = moot; if (e.message === "kv") m.kv.set("k", "v"); else c["set" + "Property"]("mood", 1); });`,
		"rule.lua": `moot.on("onSayReceive", function(e, c) local m = moot; if e.message == "kv" then m.kv.set("k", "v") else c["set" .. "Property"](c, "mood", 1) end end)`,
	} {
		w := open(t, rule{file: file, text: text})
		for message, want := range map[string]string{"kv": "kv.set: not granted: declare and grant kv;", "mood": "property mood: not granted: declare and grant properties:mood;"} {
			if _, v := w.say(message); v.Outcome != hook.Failed || !w.log.has(want) {
				t.Errorf("%s: %+v, want %s\n%s", file, v, want, w.log)
			}
		}
	}
}

// TestDeadlinesNameTheLine checks that the failure of a script that runs out of time names its limit and the line of the script,
// whatever it does there.
func TestDeadlinesNameTheLine(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"rule.js", "function spin() {\n  let i = 0;\n  for (;;) {\n    i++;\n  }\n}\n\nmoot.on('onSayReceive', () => {\n  spin();\n});", `rule\.js:[34]:`},
		{"rule.js", "moot.on('onSayReceive', () => {\n  const text = 'a'.repeat(40);\n  if (/^(a+)+$/.test(text + '!')) return moot.drop();\n});", `rule\.js:3:`},
		{"rule.ts", "interface A { a: number }\n\nmoot.on('onSayReceive', (): void => {\n  let n = 0;\n  while (n >= 0)\n    n = [1, 2, 3].map((x: number) => x * n).length;\n});", `rule\.ts:[56]:`},
		{"rule.lua", "moot.on('onSayReceive', function()\n  local i = 0\n  while true do\n    i = i + 1\n  end\nend)", `rule\.lua:[345]:`},
		{"rule.lua", "moot.on('onSayReceive', function()\n  local i = 0\n  for n = 1, 1e18 do\n    i = i + n\n  end\nend)", `rule\.lua:[34]:`},
		{"rule.lua", "local function spin(s)\n  repeat\n    s = (s .. 'x'):rep(2):sub(1, 9)\n  until s == ''\nend\nmoot.on('onSayReceive', function() spin('') end)", `rule\.lua:[34]:`},
		{"rule.lua", "moot.on('onSayReceive', function()\n  string.find(('a'):rep(200), ('a-'):rep(90) .. 'b')\nend)", `rule\.lua:2:`},
	} {
		r := rule{file: c.file, text: c.text}
		r.entry.Timeout = 300 * time.Millisecond
		w := open(t, r)
		_, v := w.say("hello")
		want := regexp.MustCompile(`deadline exceeded after [0-9.]+ms in ` + c.want + `\d+: the entry's timeout is 300ms`)
		if v.Outcome != hook.Failed || !want.MatchString(w.log.String()) {
			t.Errorf("%s: %+v, want %s\n%s", c.text, v, c.want, w.log)
		}
	}
	h, err := host.New(host.Config{Cache: cache(), Scripts: compiler(), StartTimeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, err = h.Load(context.Background(), rule{file: "loop.js", text: "let i = 0;\nfor (;;)\n  i++;"}.rules(t))
	if err == nil || !strings.Contains(err.Error(), " in loop.js:") || !strings.Contains(err.Error(), "the limit of a start is 300ms") {
		t.Errorf("a script that does not end: %v", err)
	}
}

// TestConfigOfAScriptIsChecked checks that a script declares the schema of its config, also if it fails because of the config.
func TestConfigOfAScriptIsChecked(t *testing.T) {
	for file, text := range map[string]string{
		"rule.js": `moot.declare({ config: { type: "object", additionalProperties: false, properties: { words: { type: "array", items: { type: "string" } } } } });
			const words = moot.config.words.map((word) => word.toLowerCase());
			moot.on("onSayReceive", () => moot.rewrite(words.join()));`,
		"rule.lua": `moot.declare({ config = { type = "object", additionalProperties = false, properties = { words = { type = "array", items = { type = "string" } } } } })
			local words = {}
			for i = 1, #moot.config.words do words[i] = moot.config.words[i]:lower() end
			moot.on("onSayReceive", function() return moot.rewrite(table.concat(words, ",")) end)`,
	} {
		w := open(t, rule{file: file, text: text, config: `{"words":["A","b"]}`})
		if ev, _ := w.say("hello"); ev.Message.Text != "a,b" {
			t.Errorf("%s: it says %s\n%s", file, ev.Message.Text, w.log)
		}
		for config, want := range map[string]string{
			`{"wrods":["a"]}`:   `config.yaml:9: module rule: config.wrods: unknown setting: did you mean "words"?`,
			`{"words":["a",5]}`: `config.yaml:9: module rule: config.words[1]: must be text, not a number`,
		} {
			if got := refused(t, rule{file: file, text: text, config: config}); got != want {
				t.Errorf("%s with %s: %s, want %s", file, config, got, want)
			}
		}
		if got := refused(t, rule{file: file, text: text, config: `{}`}); !strings.Contains(got, file+":") {
			t.Errorf("%s fails for another reason: %s", file, got)
		}
		if got := refused(t, rule{file: file, text: strings.Replace(text, `"object"`, `"thing"`, 1)}); !strings.Contains(got, "a schema for the config that cannot be used") && !strings.Contains(got, file+":") {
			t.Errorf("%s has a wrong schema: %s", file, got)
		}
	}
}

// TestErrorsNameTheLine checks that an error has the file, the line and, if the language has it, the column.
func TestErrorsNameTheLine(t *testing.T) {
	for file, want := range map[string]string{"all.js": "all.js:37:5", "all.ts": "all.ts:9:5", "all.lua": "all.lua:47:5: on purpose"} {
		w := open(t, rule{file: file, grants: all})
		if _, v := w.say("throw"); v.Outcome != hook.Failed || v.Reason != "" {
			t.Errorf("%s: %+v", file, v)
		}
		if !w.log.has(want) {
			t.Errorf("%s: %q is not in the log:\n%s", file, want, w.log)
		}
	}
	for _, c := range []struct{ file, text, want string }{
		{"bad.js", "moot.on('join', () => {\n  return moot.deny('x'\n});", "rules/bad.js:3:1: "},
		{"bad.ts", "const x: = 1;", "rules/bad.ts:1:10: "},
		{"bad.lua", "moot.on('join'\nfunction() end)", "bad.lua:2:1: "},
		{"late.js", "\n\nmoot.on('join', () => {});\nnull.x;", "late.js:4:1"},
		{"late.lua", "\nlocal x = nil\nx.y = 1", "late.lua:3:1: "},
		{"hook.js", "moot.on('jion', () => {});", "there is no hook jion; there are connect, join"},
		{"hook.lua", "moot.on('jion', function() end)", "there is no hook jion; there are connect, join"},
		{"twice.js", "moot.on('join', () => {});\nmoot.on('join', () => {});", "twice.js:2"},
		{"none.js", "const x = 1;", "has no handler"},
		{"none.lua", "local x = 1", "has no handler"},
		{"reads.js", "moot.declare({reads: ['massage']}); moot.on('join', () => {});", "massage"},
		{"loop.js", "for (;;) {}", "deadline"},
		{"loop.lua", "while true do end", "deadline"},
		{"rule.py", "pass", "must end in .js, .ts or .lua"},
		{"large.lua", strings.Repeat("-", 600<<10), "a script may have 131072"},
		{"binary.js", "moot.on\x00", "not UTF-8 text"},
	} {
		r := rule{file: c.file, text: c.text}
		if strings.HasPrefix(c.file, "loop") {
			continue // see TestEndlessScriptIsNotLoaded
		}
		if got := refused(t, r); !strings.Contains(got, c.want) || !strings.Contains(got, "config.yaml:") {
			t.Errorf("%s: the error is %s\nwant %s", c.file, got, c.want)
		}
	}
}

func TestEndlessScriptIsNotLoaded(t *testing.T) {
	for file, text := range map[string]string{"loop.js": "for (;;) {}", "loop.lua": "while true do end", "hoard.js": "const a = []; for (;;) a.push(new Array(1e5).fill(1));"} {
		h, err := host.New(host.Config{Cache: cache(), Scripts: compiler(), StartTimeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		revision, err := h.Load(context.Background(), rule{file: file, text: text}.rules(t))
		if err == nil {
			revision.Close()
			t.Errorf("%s was loaded", file)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestHostileScriptsFail(t *testing.T) {
	languages(t, func(t *testing.T, language string) {
		r := rule{file: "all." + language}
		r.entry.Timeout = 2 * time.Second // for the loop; it bounds a call, not the start of an instance
		w := open(t, r)
		for _, attack := range []string{"loop", "hoard", "recurse", "throw", "nonsense"} {
			if _, v := w.say(attack); v.Outcome != hook.Failed || v.Reason != "" {
				t.Errorf("%s: %+v", attack, v)
			}
			if ev, v := w.say("rewrite ok"); v.Outcome != hook.Allowed || ev.Message.Text != "OK" {
				t.Errorf("after %s: %+v\n%s", attack, v, w.log)
			}
		}
	})
}

// TestTypings checks that a script that uses the whole API of the runner passes the type check of TypeScript.
func TestTypings(t *testing.T) {
	tsc := "../../../sdk/client/node_modules/typescript/bin/tsc"
	if _, err := os.Stat(tsc); err != nil {
		t.Fatalf("%v: run `make test`, which installs what this test needs", err)
	}
	for _, file := range []string{"testdata/all.ts", "../../../guests/game/game.ts", "../../../sdk/script/moot.d.ts"} {
		file, err := filepath.Abs(file) // tsc resolves references in a relative path wrongly
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "node", tsc, "--noEmit", "--strict", "--target", "es2020", "--lib", "es2020",
			file).CombinedOutput()
		if err != nil {
			t.Errorf("tsc %s: %v\n%s", file, err, out)
		}
	}
}

// TestScriptsReachNothing checks that a script has no access to anything but its language and its grants.
func TestScriptsReachNothing(t *testing.T) {
	probes := map[string]string{
		"probe.js": `moot.on("onSayReceive", () => moot.rewrite([typeof require, typeof process, typeof std, typeof os, typeof fetch, typeof native].join(" ")));`,
		"probe.lua": `moot.on("onSayReceive", function()
			return moot.rewrite(table.concat({type(io), type(os), type(require), type(load), type(loadfile), type(dofile), type(debug), type(coroutine)}, " ")) end)`,
	}
	for file, text := range probes {
		w := open(t, rule{file: file, text: text})
		ev, v := w.say("hello")
		if words := strings.Fields(ev.Message.Text); v.Outcome != hook.Allowed || len(words) < 6 || strings.Trim(ev.Message.Text, "undefil ") != "" {
			t.Errorf("%s finds %q (%+v)", file, ev.Message.Text, v)
		}
	}
}
