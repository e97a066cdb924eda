package trial_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/store"
	memstore "github.com/mootchat/moot/host/store/memory"
	"github.com/mootchat/moot/host/trial"
)

const exchange = 1 << 16

// stamping returns a module that rewrites a message to 24 letters, one for each byte of the time, of 8 random bytes and
// of the value of the key k.
func stamping(add int) []byte {
	m := new(asm.Module)
	now := m.Import(abi.ImportModule, abi.ImportNow, "-> i64")
	random := m.Import(abi.ImportModule, abi.ImportRandom, "i32 i32 -> i32")
	get := m.Import(abi.ImportModule, abi.ImportKVGet, "i32 i32 i32 i32 -> i32")
	m.Memory(24, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	m.Data(8, []byte("k"))
	m.Custom(abi.ManifestSection, []byte(`{"name":"stamping","reads":["message"],"capabilities":["kv"]}`))
	m.Func(abi.ExportMarker, "->", "")
	m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(exchange))
	const store64, and, load8 asm.Code = "\x37\x03\x00", "\x71", "\x2d\x00\x00"
	// 64: the time; 72: random; 80: the value. Then 24 letters of them from 128 on.
	code := asm.I32(64) + asm.Call(now) + store64 +
		asm.I32(72) + asm.I32(8) + asm.Call(random) + asm.Drop +
		asm.I32(8) + asm.I32(1) + asm.I32(80) + asm.I32(8) + asm.Call(get) + asm.Drop +
		asm.I32(0) + asm.Set(1) +
		asm.Loop(asm.Get(1)+asm.Get(1)+asm.I32(64)+asm.Add+load8+asm.I32(15)+and+asm.I32('a'+add)+asm.Add+asm.Store8(128)+
			asm.Get(1)+asm.I32(1)+asm.Add+asm.Tee(1)+asm.I32(24)+asm.LessU+asm.BrIf(0)) +
		asm.I32(exchange) + asm.I32(128) + asm.Store32(abi.ResultMessage) +
		asm.I32(exchange) + asm.I32(24) + asm.Store32(abi.ResultMessage+4) +
		asm.I32(exchange) + asm.I32(abi.KindText) + asm.Store32(abi.ResultMessageKind) +
		asm.I32(abi.Rewritten)
	m.FuncWith("on_say_receive", "i32 -> i32", "i32", code)
	return m.Wasm()
}

func load(t *testing.T, cfg trial.Config) *trial.Module {
	t.Helper()
	m, err := trial.Load(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func saying(text string) *trial.Event {
	return &trial.Event{Hook: "onSayReceive", Room: "lobby", Message: &text, SentAt: 5}
}

// TestReplayGivesRecordedAnswer checks that a replay of a call with unpredictable time, random bytes and storage gives
// the recorded answer.
func TestReplayGivesRecordedAnswer(t *testing.T) {
	values := memstore.New()
	if _, err := values.Set(t.Context(), store.Key{Tenant: "acme", Module: "rule", Name: "k"}, []byte("value"), 0); err != nil {
		t.Fatal(err)
	}
	h, err := host.New(host.Config{Store: values})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r, err := h.Load(t.Context(), host.Rules{Modules: []host.Module{{Name: "rule", Wasm: stamping(0)}},
		Tenants: []host.Tenant{{Name: "acme", Chain: []host.Entry{{Module: "rule", Grants: []string{"kv"}, Timeout: time.Minute}}}}})
	if err != nil {
		t.Fatal(err)
	}
	h.Swap(r)
	said := func(room string) string {
		ev := &hook.Event{Hook: hook.OnSayReceive, Tenant: "acme", Room: room, Message: wire.Message{Text: "Hello 42"}}
		if v := h.Decide(t.Context(), ev); v.Outcome != hook.Allowed {
			t.Fatalf("%+v", v)
		}
		return ev.Message.Text
	}
	recorded := func(f trial.Filter) (trial.Recorded, string) {
		rec := trial.NewRecorder(h)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lines := make(chan []byte)
		go func() {
			_ = rec.Record(ctx, f, func(line []byte) error { // it ends with ctx
				select {
				case lines <- line:
				case <-ctx.Done():
				}
				return nil
			})
		}()
		for { // until the recorder listens
			said("elsewhere")
			text := said("lobby")
			select {
			case line := <-lines:
				var e trial.Recorded
				if err := json.Unmarshal(line, &e); err != nil {
					t.Fatal(err)
				}
				return e, text
			default:
			}
		}
	}

	e, _ := recorded(trial.Filter{Tenant: "acme", Room: "lobby", Text: true})
	if e.Name() != "rule" || e.Event.Room != "lobby" || *e.Event.Message != "Hello 42" || len(e.Calls) != 3 || e.Redacted {
		t.Fatalf("recorded %+v", e)
	}
	for range 2 {
		m := load(t, trial.Config{Wasm: stamping(0), Fresh: true, Tenant: "acme"})
		a, missing, err := m.Replay(t.Context(), &e.Event, e.Calls, nil)
		if err != nil || len(missing) > 0 || !a.Same(&e.Answer) {
			t.Errorf("%v %v: replayed %+v, was %+v", err, missing, a, e.Answer)
		}
	}
	m := load(t, trial.Config{Wasm: stamping(1), Fresh: true, Tenant: "acme"})
	if a, _, err := m.Replay(t.Context(), &e.Event, e.Calls, nil); err != nil || a.Same(&e.Answer) {
		t.Errorf("another module: %v %+v", err, a)
	}
	a, missing, err := m.Replay(t.Context(), &e.Event, nil, nil)
	b, _, _ := m.Replay(t.Context(), &e.Event, nil, nil)
	if err != nil || len(missing) != 1 || missing[0] != "kv_get k" || !a.Same(&b) {
		t.Errorf("without a recording: %v %v %+v %+v", err, missing, a, b)
	}

	e, _ = recorded(trial.Filter{Room: "lobby"})
	if !e.Redacted || *e.Event.Message != "Xxxxx 00" || *e.Answer.Message != strings.Repeat("x", 24) || string(e.Calls[2].Bytes) != "xxxxx" {
		t.Errorf("redacted %+v", e)
	}
}

func TestClockIsThatOfConfig(t *testing.T) {
	m := load(t, trial.Config{Wasm: stamping(0), Now: time.UnixMilli(0x0102030405060708), KV: map[string]string{"k": "12345678"}})
	first, cost, err := m.Ask(t.Context(), saying("x"))
	if err != nil || first.Message == nil || !strings.HasPrefix(*first.Message, "ihgfedcb") || !strings.HasSuffix(*first.Message, "bcdefghi") {
		t.Fatalf("%v %+v", err, first)
	}
	if cost.Fuel == 0 || cost.Calls != 1 || cost.Memory != 24<<16 {
		t.Errorf("cost %+v", cost)
	}
	m.Advance(time.Millisecond)
	if a, _, err := m.Ask(t.Context(), saying("x")); err != nil || !strings.HasPrefix(*a.Message, "jhgf") {
		t.Errorf("%v %+v", err, a)
	}
}

func TestAskRefusesInvalidEvents(t *testing.T) {
	m := load(t, trial.Config{Wasm: stamping(0)})
	for want, e := range map[string]*trial.Event{
		`there is no hook "shout": use connect,`:        {Hook: "shout"},
		"the module has no hook join":                   {Hook: "join"},
		"say has no connection: use receivers":          {Hook: "say", Connection: &trial.Connection{}},
		"onSayReceive has no receivers":                 {Hook: "onSayReceive", Receivers: make([]trial.Connection, 1)},
		`the event has the tenant "x", the module runs`: {Hook: "onSayReceive", Tenant: "x"},
		"the event has both message":                    {Hook: "onSayReceive", Message: new(string), JSON: trial.JSON("1")},
	} {
		if _, _, err := m.Ask(t.Context(), e); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestATimeoutLongerThanThatOfAChainHolds checks that a call has all of a long timeout.
func TestATimeoutLongerThanThatOfAChainHolds(t *testing.T) {
	const timeout = 400 * time.Millisecond
	m, err := trial.Load(t.Context(), trial.Config{Script: "loop.lua", Wasm: []byte(`moot.on("onSayReceive", function() while true do end end)`), Scripts: script.New(script.Config{}), Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	text := "hello"
	a, cost, err := m.Ask(t.Context(), &trial.Event{Hook: "onSayReceive", Room: "r", Message: &text})
	if err != nil || a.Kind != "deadline" || cost.Time < timeout || !strings.Contains(a.Failure, "in loop.lua:1") {
		t.Errorf("%+v after %v, %v", a, cost.Time, err)
	}
}
