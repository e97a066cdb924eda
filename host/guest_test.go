package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/script"
)

// goGuest is testdata/guest, built once; cache has its machine code.
var (
	goGuest []byte
	cache   *diskcache.Cache
)

func TestMain(m *testing.M) {
	if script.IsTranslator(os.Args[1:]) {
		os.Exit(script.Answer(os.Stdin, os.Stdout))
	}
	dir, err := os.MkdirTemp("", "moot-host")
	if err != nil {
		panic(err)
	}
	file := filepath.Join(dir, "guest.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./testdata/guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	if goGuest, err = os.ReadFile(file); err != nil {
		panic(err)
	}
	cache = diskcache.Open(diskcache.Config{Dir: filepath.Join(dir, "cache")})
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// allGrants are the grants that the guest in testdata needs.
var allGrants = []string{"kv", "rate", "emit", "rooms", "sanctions", "members", "identity", "amend", "properties:mood,role"}

// goEntry returns an entry for the guest in testdata.
func goEntry(config string) Entry {
	return Entry{Module: "go", Grants: allGrants, Config: json.RawMessage(config), Where: "config.yaml:1"}
}

// logged collects log lines.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// start returns a host that runs the chain for tenant "t", and its log.
func start(t testing.TB, cfg Config, chain ...Entry) (*Host, *logged) {
	t.Helper()
	log := new(logged)
	cfg.Cache = cmp.Or[Cache](cfg.Cache, cache)
	cfg.StartTimeout = patience
	cfg.ChainTimeout = cmp.Or(cfg.ChainTimeout, patience)
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if used := h.memory.used; used != 0 {
			t.Errorf("%d bytes of guests' memory are left", used)
		}
	})
	swap(t, h, rulesFor(chain...))
	return h, log
}

// patience is the timeout for operations that must not fail on a busy machine.
const patience = 20 * time.Second

// rulesFor returns rules with a chain for tenant "t". Modules other than "go" are made by handMade.
// The default timeout of entries is patience.
func rulesFor(chain ...Entry) Rules {
	chain = slices.Clone(chain)
	for i := range chain {
		chain[i].Timeout = cmp.Or(chain[i].Timeout, patience)
	}
	r := Rules{Tenants: []Tenant{{Name: "t", CPU: 1, Chain: chain}}}
	have := make(map[string]bool)
	for _, e := range chain {
		if have[e.Module] {
			continue
		}
		have[e.Module] = true
		m := Module{Name: e.Module, File: e.Module + ".wasm", Wasm: goGuest}
		if e.Module != "go" {
			m.Wasm = handMade(e.Module)
		}
		r.Modules = append(r.Modules, m)
	}
	return r
}

func swap(t testing.TB, h *Host, rules Rules) {
	t.Helper()
	r, err := h.Load(context.Background(), rules)
	if err != nil {
		t.Fatal(err)
	}
	h.Swap(r)
}

// problems loads rules that have errors, and returns the errors.
func problems(t *testing.T, rules Rules) string {
	t.Helper()
	h, err := New(Config{Cache: cache, StartTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r, err := h.Load(context.Background(), rules)
	if err == nil {
		r.Close()
		t.Fatal("they could be loaded")
	}
	return err.Error()
}

// said returns a message in room "r".
func said(text string) *hook.Event {
	return &hook.Event{Hook: hook.OnSayReceive, Tenant: "t", Room: "r", From: "c1", Context: "user", SentAt: 1000,
		Message: wire.Message{Text: text}, Conn: alice()}
}

func alice() *hook.Profile {
	return &hook.Profile{Connection: hook.Connection{ID: "c1", Fingerprint: "f1", User: "alice", Transport: "websocket", RemoteIP: "10.0.0.1", Tenant: "t", Locale: "en",
		ConnectedAt: 500, Properties: []hook.NamedProperty{
			{Property: hook.Property{Name: "mood", Value: json.RawMessage(`"good"`)}},
			{Property: hook.Property{Name: "role", Value: json.RawMessage(`"admin"`)}, Claim: true},
		}}}
}
