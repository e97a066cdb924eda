// Package guests_test tests the ready-made rules, the guests in Go, and the Go SDK, in the sandbox.
package guests_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/guests/builtin"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/script"
)

// dir holds the binaries and cache the compiled code of all tests.
var (
	dir   string
	cache *diskcache.Cache
)

func TestMain(m *testing.M) {
	if script.IsTranslator(os.Args[1:]) {
		os.Exit(script.Answer(os.Stdin, os.Stdout))
	}
	var err error
	if dir, err = os.MkdirTemp("", "moot-guests"); err != nil {
		panic(err)
	}
	cache = diskcache.Open(diskcache.Config{Dir: filepath.Join(dir, "cache")})
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// guest builds a module once and returns its binary; builtin/NAME is a ready-made rule. It reads the sources, so that the go
// command does not reuse an old test result after they change.
func guest(t *testing.T, path string) []byte {
	t.Helper()
	if name, ok := strings.CutPrefix(path, "builtin/"); ok {
		wasm, err := builtin.Wasm(name)
		if err != nil {
			t.Fatal(err)
		}
		return wasm
	}
	for _, pattern := range []string{path + "/*.go", "../sdk/go/*.go", "../engine/glob/*.go"} {
		sources, _ := filepath.Glob(pattern)
		for _, file := range sources {
			if _, err := os.Stat(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := filepath.Join(dir, filepath.Base(path)+".wasm")
	if wasm, err := os.ReadFile(file); err == nil {
		return wasm
	}
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./"+path)
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", path, err, said)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// load returns a host with the guest as the chain of the tenant default, or the error of the
// load.
func load(t *testing.T, path, config string, grants ...string) (*host.Host, *logged, error) {
	t.Helper()
	log := new(logged)
	h, err := host.New(host.Config{Cache: cache, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	name := filepath.Base(path)
	r, err := h.Load(t.Context(), host.Rules{
		Modules: []host.Module{{Name: name, Wasm: guest(t, path)}},
		Tenants: []host.Tenant{{Name: "default", CPU: 1, Chain: []host.Entry{{
			Module: name, Grants: grants, Config: json.RawMessage(config), Timeout: time.Minute, // for slow machines
		}}}},
	})
	if err == nil {
		h.Swap(r)
	}
	return h, log, err
}

func loaded(t *testing.T, path, config string, grants ...string) (*host.Host, *logged) {
	t.Helper()
	h, log, err := load(t, path, config, grants...)
	if err != nil {
		t.Fatal(err)
	}
	return h, log
}

func profile(id string, properties ...hook.NamedProperty) *hook.Profile {
	return &hook.Profile{Connection: hook.Connection{ID: id, Tenant: "default", Transport: "websocket", Properties: properties}}
}

func role(json string) hook.NamedProperty {
	return hook.NamedProperty{Property: hook.Property{Name: "role", Value: []byte(json)}}
}

func ask(h *host.Host, ev *hook.Event) hook.Verdict {
	ev.Tenant = "default"
	return h.Decide(context.Background(), ev)
}

// inBoth runs a test with the guest in Go and with the ready-made rule of the same name.
func inBoth(t *testing.T, name string, test func(t *testing.T, path string)) {
	t.Run("in Go", func(t *testing.T) { test(t, name) })
	t.Run("ready-made", func(t *testing.T) { test(t, "builtin/"+name) })
}

func TestBlocklist(t *testing.T) { inBoth(t, "blocklist", testBlocklist) }

func testBlocklist(t *testing.T, path string) {
	h, _ := loaded(t, path, `{"words":["darn","what the heck"]}`)
	tests := []struct{ message, want wire.Message }{
		{wire.Message{Text: "hello"}, wire.Message{Text: "hello"}},
		{wire.Message{Text: "oh Darn, WHAT THE HECK"}, wire.Message{Text: "oh ****, **** *** ****"}},
		{wire.Message{Text: `{"darn":"darn it"}`, JSON: true}, wire.Message{Text: `{"darn":"**** it"}`, JSON: true}},
		{wire.Message{Text: strings.Repeat("darn ", 500)}, wire.Message{Text: strings.Repeat("**** ", 500)}},
	}
	for _, test := range tests {
		ev := &hook.Event{Hook: hook.OnSayReceive, Room: "lobby", Conn: profile("1"), Message: test.message}
		if v := ask(h, ev); v.Outcome != hook.Allowed || ev.Message != test.want {
			t.Errorf("%.40q: outcome %d, %.40q", test.message.Text, v.Outcome, ev.Message.Text)
		}
	}
}

func TestBlocklistDenies(t *testing.T) { inBoth(t, "blocklist", testBlocklistDenies) }

func testBlocklistDenies(t *testing.T, path string) {
	h, _ := loaded(t, path, `{"words":["darn"],"action":"deny"}`)
	v := ask(h, &hook.Event{Hook: hook.OnSayReceive, Room: "lobby", Conn: profile("1"), Message: wire.Message{Text: "darn"}})
	if v.Outcome != hook.Denied || v.Reason != "the message holds a blocked word" {
		t.Errorf("got %+v", v)
	}
}

func TestAnnouncer(t *testing.T) { inBoth(t, "announcer", testAnnouncer) }

func testAnnouncer(t *testing.T, path string) {
	h, _ := loaded(t, path, `{"join":"{user} is in {room}"}`, "emit")
	tests := []struct {
		hook  hook.Hook
		cause hook.Cause
		want  string
	}{
		{hook.Join, "", "17 is in lobby"},
		{hook.Join, hook.CauseRejoined, ""},
		{hook.Leave, hook.CauseDisconnect, "17 left"},
		{hook.Leave, hook.CauseNodeLost, ""},
	}
	for _, test := range tests {
		v := ask(h, &hook.Event{Hook: test.hook, Room: "lobby", Conn: profile("17"), Cause: test.cause})
		got := ""
		if len(v.Effects) == 1 && v.Effects[0].Emit.Room == "lobby" {
			got = v.Effects[0].Emit.Message.Text
		}
		if v.Outcome != hook.Allowed || got != test.want {
			t.Errorf("%v %s: %q, want %q", test.hook, test.cause, got, test.want)
		}
	}
}

func TestGate(t *testing.T) { inBoth(t, "gate", testGate) }

func testGate(t *testing.T, path string) {
	h, _ := loaded(t, path, `{"tokens":{"open-sesame":"member"}}`, "properties:role")
	login := func(token string) hook.Verdict {
		return ask(h, &hook.Event{Hook: hook.Action, Action: "login", Params: []byte(`{"token":"` + token + `"}`), Conn: profile("1")})
	}
	join := func(room string, properties ...hook.NamedProperty) hook.Verdict {
		return ask(h, &hook.Event{Hook: hook.Join, Room: room, Conn: profile("1", properties...)})
	}
	if v := join("secure:vault"); v.Outcome != hook.Denied || v.Reason != "members only: log in first" {
		t.Errorf("without a role: %+v", v)
	}
	if v := join("lobby"); v.Outcome != hook.Allowed {
		t.Errorf("a room that is not guarded: %+v", v)
	}
	if v := join("secure:vault", role(`"member"`)); v.Outcome != hook.Allowed {
		t.Errorf("with a role: %+v", v)
	}
	if v := login("sesame"); v.Outcome != hook.Denied || v.Reason != "login: unknown token" || v.Effects != nil {
		t.Errorf("wrong token: %+v", v)
	}
	v := login("open-sesame")
	if v.Outcome != hook.Allowed || string(v.Reply) != `{"authorized":true,"role":"member"}` || len(v.Effects) != 1 ||
		v.Effects[0].Property.Name != "role" || string(v.Effects[0].Property.Value) != `"member"` {
		t.Errorf("login: %+v", v)
	}
	if in := h.Actions("default")["login"].Inputs["token"]; !in.Required {
		t.Errorf("the input token is %+v", in)
	}
}

func TestLoadErrors(t *testing.T) {
	tests := []struct {
		guest, config, want string
		grants              []string
	}{
		{"blocklist", `{"action":"hide"}`, `config.action: must be one of "mask", "deny"`, nil},
		{"blocklist", `{"wrds":[]}`, `config.wrds: unknown setting: did you mean "words"?`, nil},
		{"announcer", `{}`, `"emit"`, nil},
		{"announcer", `{"quiet":["kicked"]}`, `quiet[0]: "kicked" is not a cause`, []string{"emit"}},
		{"gate", `{}`, `"properties:`, nil},
		{"gate", `{"rooms":["["]}`, "rooms[0]: ", []string{"properties:role"}},
	}
	for _, test := range tests {
		for _, path := range []string{test.guest, "builtin/" + test.guest} {
			if _, _, err := load(t, path, test.config, test.grants...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s with %s: %v, want %s", path, test.config, err, test.want)
			}
		}
	}
}
