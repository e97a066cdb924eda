package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// broken returns a module with one error.
func broken(name string) []byte {
	m := blank()
	alloc := func(result int) {
		m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(result))
		m.Func(abi.ExportMarker, "->", "")
	}
	switch name {
	case "no marker":
		m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(exchange))
	case "no alloc":
		m.Func(abi.ExportMarker, "->", "")
	case "nothing":
		m.Func("hello", "->", "")
	case "no memory":
		m = new(asm.Module)
		speak(m)
	case "signature":
		speak(m)
		m.Func("on_say_receive", "i32 i32 -> i32", asm.I32(0))
	case "refuses":
		m.Data(4, []byte("bad\n"))
		m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(1))
		m.Func(abi.ExportReason, "-> i64", asm.I64(4<<32|4))
		speak(m)
	case "refuses at length":
		m.Data(4, []byte("a"+strings.Repeat("ä", 2000))) // the limit is within a character
		m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(1))
		m.Func(abi.ExportReason, "-> i64", asm.I64(4<<32|4001))
		speak(m)
	case "traps":
		m.Start(m.Func("", "->", asm.Unreachable))
		speak(m)
	case "loops":
		m.Func(abi.ExportInitialize, "->", forever)
		speak(m)
	case "null":
		alloc(0)
	case "odd":
		alloc(exchange + 4)
	case "outside":
		alloc(24<<16 - 8)
	case "unknown import":
		m.Import(abi.ImportModule, "self_destruct", "->")
		speak(m)
	case "foreign import":
		m.Import("env", "abort", "->")
		speak(m)
	case "import as":
		m.Import(abi.ImportModule, abi.ImportNow, "-> i32")
		speak(m)
	case "kv":
		m.Import(abi.ImportModule, abi.ImportKVDel, "i32 i32 -> i32")
		speak(m)
	case "properties":
		m.Import(abi.ImportModule, abi.ImportPropertySet, "i32 i32 i32 i32 -> i32")
		speak(m)
	default: // name is a manifest
		m.Custom(abi.ManifestSection, []byte(name))
		speak(m)
	}
	return m.Wasm()
}

func TestEachProblemSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	for name, want := range map[string]string{
		"no marker":                              "it does not export moot_abi_1: it supports no version of the ABI that this host supports",
		"no alloc":                               "it does not export moot_alloc",
		"nothing":                                "not a Moot module: it does not export moot_abi_1; build it with an SDK, or see the guest ABI",
		"no memory":                              `it does not export its memory as "memory"`,
		"signature":                              "export on_say_receive is (i32, i32) -> (i32), it must be (i32) -> (i32)",
		"refuses":                                "it does not start: protocol: moot_init refused its config: bad",
		"refuses at length":                      "it does not start: protocol: moot_init refused its config: a" + strings.Repeat("ä", 511),
		"traps":                                  "it does not start: trap: wasm error: unreachable",
		"loops":                                  "it does not start: deadline: deadline exceeded",
		"null":                                   "it does not start: memory: no exchange buffer of 65536 bytes: moot_alloc refused",
		"odd":                                    "it does not start: protocol: moot_alloc gave 0x10004: 65536 bytes there are not in its memory or not 8-aligned",
		"outside":                                "it does not start: protocol: moot_alloc gave 0x17fff8",
		"unknown import":                         "it imports moot_1.self_destruct, which this host does not have",
		"foreign import":                         "it imports env.abort, but a module may import from moot_1 and wasi_snapshot_preview1 alone",
		"import as":                              "it imports moot_1.now_ms as () -> (i32), but it is () -> (i64)",
		"kv":                                     `it imports moot_1.kv_del, which needs the capability "kv": add it to the entry's grants`,
		"properties":                             `it imports moot_1.property_set, which needs the capability "properties:NAME"`,
		"{":                                      "its manifest is not valid JSON of the expected shape: unexpected end of JSON input",
		`{"hooks": ["join"]}`:                    `its manifest names the hook "join", for which it exports nothing`,
		`{"reads": ["nam"]}`:                     `reads: unknown field "nam"; known are room, tenant`,
		`{"vary": ["room"]}`:                     `vary: a connection has no field "room"`,
		`{"vary": ["properties.x"]}`:             `vary: "properties.x" is not among reads`,
		`{"reads": ["id"], "vary": ["user"]}`:    `vary: "user" is not among reads`,
		`{"actions": [{"name": "a"}]}`:           "its manifest declares actions, but it has no on_action",
		`{"pure": true, "capabilities": ["kv"]}`: `its manifest says that it is pure, and asks for the capability "kv"`,
		`{"capabilities": ["rate"]}`:             `it needs the capability "rate": add it to the entry's grants`,
		`{"capabilities": ["telepathy"]}`:        `its manifest asks for a capability "telepathy" that this host does not have`,
		`{"capabilities": ["properties:mood,level"]}`: `it needs the capability "properties:mood,level"`,
	} {
		rules := Rules{
			Modules: []Module{{Name: "m", File: "m.wasm", Wasm: broken(name)}},
			Tenants: []Tenant{{Name: "t", Chain: []Entry{{Module: "m", Where: "config.yaml:42: tenants.t.chain[0]"}}}},
		}
		want = "config.yaml:42: tenants.t.chain[0]: module m: " + want
		if got := problems(t, rules); !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s:\n%s, want\n%s", name, got, want)
		}
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	dir := t.TempDir()
	missing := func() (io.ReadCloser, error) { return os.Open(filepath.Join(dir, "gone.wasm")) }
	long := func() (io.ReadCloser, error) { return io.NopCloser(zeros{}), nil }
	rules := Rules{
		Modules: []Module{
			{Name: "text", File: "text.wasm", Wasm: []byte("#!/bin/sh"), Where: "w1"},
			{Name: "gone", File: "gone.wasm", Open: missing, Where: "w2"},
			{Name: "allow", File: "allow.wasm", Wasm: handMade("allow"), SHA256: strings.Repeat("0", 64), Where: "w3"},
			{Name: "long", File: "long.wasm", Open: long, Where: "w4"},
			{Name: "cut", File: "cut.wasm", Wasm: handMade("allow")[:60]},
			{Name: "good", Wasm: handMade("allow")},
			{Name: "good", Wasm: handMade("allow"), Where: "w5"},
		},
		Tenants: []Tenant{{Name: "a", Chain: []Entry{
			{Module: "nobody", Where: "e0"},
			{Module: "text", Where: "e1"}, // the error is reported once, for the module
			{Module: "good", Where: "e2", Hooks: []hook.Hook{hook.Join}},
			{Module: "good", Where: "e3", Rooms: []string{"["}, Grants: []string{"telepathy"}, Memory: 5, Config: []byte("{")},
			{Module: "good", Where: "e4"},
			{Module: "cut", Where: "e5"},
		}}, {Name: "a"}},
	}
	got := strings.Split(problems(t, rules), "\n")
	for i, want := range []string{
		`w1: module text: text.wasm is not a WebAssembly module: it does not begin with "\x00asm"`,
		"w2: module gone: there is no file gone.wasm: build it, or correct the path: open ",
		"w3: module allow: allow.wasm has the sha256 ",
		"w4: module long: long.wasm has more than 16777216 bytes",
		"w5: module good: there are two modules of this name",
		`there are two tenants of the name "a"`,
		"e0: module nobody: there is no module of this name: name it under modules, with its file",
		"e2: module good: the entry asks for the hook join, which the module does not have",
		`e3: module good: grants: unknown capability "telepathy"; known are kv, rate, emit, rooms, sanctions, members, identity, amend and properties:NAME[,NAME]`,
		`e3: module good: room pattern "[": a "[" has no "]"`,
		"e3: module good: memory is 5 bytes, it must be from 65536 to 67108864",
		"e3: module good: its config is not JSON",
		"e5: module cut: not a valid WebAssembly module",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("line %d of\n%s\nwant %s", i, strings.Join(got, "\n"), want)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestAModulesOwnReasonIsTold(t *testing.T) {
	got := problems(t, rulesFor(goEntry(`{"refuse": "words: there are none"}`)))
	if want := "config.yaml:1: module go: it does not start: protocol: moot_init refused its config: words: there are none"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAnActionOfTwoModulesIsAProblem(t *testing.T) {
	rules := rulesFor(goEntry(`{"manifest": {"actions": [{"name": "login"}]}}`))
	other := rules.Modules[0]
	other.Name = "other"
	rules.Modules = append(rules.Modules, other)
	entry := rules.Tenants[0].Chain[0]
	entry.Module = "other"
	rules.Tenants[0].Chain = append(rules.Tenants[0].Chain, entry)
	if got := problems(t, rules); !strings.Contains(got, `module other: it declares the action "login", as module go does`) {
		t.Error(got)
	}
}

func TestProblemsCanBeToldApart(t *testing.T) {
	h, _ := start(t, Config{})
	_, err := h.Load(context.Background(), Rules{Modules: []Module{{Name: "m", Open: func() (io.ReadCloser, error) { return nil, os.ErrPermission }}}})
	var p Problem
	if !errors.Is(err, os.ErrPermission) || !errors.As(err, &p) || p.Module != "m" {
		t.Errorf("%#v", err)
	}
}

func TestABadLoadChangesNothing(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "code-1"})
	before := h.Revision()
	rules := rulesFor(Entry{Module: "allow"}, Entry{Module: "nothing"})
	rules.Modules[1].Wasm = broken("nothing")
	if r, err := h.Load(context.Background(), rules); err == nil {
		r.Close()
		t.Error("it could be loaded")
	}
	if v, _ := decide(h, "hello"); v.Outcome != hook.Denied || h.Revision() != before {
		t.Errorf("%+v", v)
	}
}

func TestLoadingCanBeGivenUp(t *testing.T) {
	h, _ := start(t, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Load(ctx, rulesFor(Entry{Module: "allow"})); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestAChainKeepsNoFrames checks that a chain copies the name of a room: the name may be part of a
// client's frame, which would stay in memory.
func TestAChainKeepsNoFrames(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "allow", Rooms: []string{"a*"}})
	frame := strings.Repeat("a", 1000)
	room := frame[:5]
	h.Asks(hook.OnSayReceive, "t", room)
	for kept := range h.current.Load().tenants["t"].chains[hook.OnSayReceive].matched {
		if unsafe.StringData(kept) == unsafe.StringData(room) {
			t.Errorf("%q is part of the frame", kept)
		}
	}
}

// TestInspectedModulesFindAnEmptyStore checks that a module may use module storage when it starts
// during an inspection, which grants everything.
func TestInspectedModulesFindAnEmptyStore(t *testing.T) {
	m := blank()
	get := m.Import(abi.ImportModule, abi.ImportKVGet, "i32 i32 i32 i32 -> i32")
	m.Data(8, []byte("k"))
	speak(m)
	m.Func(abi.ExportInitialize, "->", asm.I32(8)+asm.I32(1)+asm.I32(16)+asm.I32(8)+asm.Call(get)+asm.Drop)
	m.Func(abi.ExportManifest, "-> i64", "\x42\x00")
	m.Func("on_say_receive", "i32 -> i32", asm.I32(abi.Allow))
	h, _ := start(t, Config{})
	i, err := h.Inspect(t.Context(), Module{Name: "m", File: "it", Wasm: m.Wasm()}, nil, 0)
	if err != nil || len(i.Problems) > 0 {
		t.Errorf("%v, %+v", err, i)
	}
}

// TestALargeManifestIsNotReadWhenAModuleIsInspected checks that a manifest over the limit is not
// decoded, because that would take long.
func TestALargeManifestIsNotReadWhenAModuleIsInspected(t *testing.T) {
	h, _ := start(t, Config{})
	m := blank()
	m.Custom(abi.ManifestSection, make([]byte, abi.MaxManifest+1))
	speak(m)
	i, err := h.Inspect(t.Context(), Module{Name: "m", File: "it", Wasm: m.Wasm()}, nil, 0)
	if err != nil || len(i.Problems) != 1 || !strings.Contains(i.Problems[0].Error(), "more than 65536 bytes") {
		t.Errorf("%+v, %v", i, err)
	}
}

// TestAKnownModuleIsNotReadAgain checks that a module that the caller knows to be unchanged is not read while its code is in
// use, and that it is read if the digest is another one.
func TestAKnownModuleIsNotReadAgain(t *testing.T) {
	h, _ := start(t, Config{})
	wasm := handMade("allow")
	reads := 0
	var sum [32]byte
	rules := func(known [32]byte) Rules {
		return Rules{Modules: []Module{{Name: "m", Known: known, Digested: func(s [32]byte) { sum = s }, Open: func() (io.ReadCloser, error) {
			reads++
			return io.NopCloser(bytes.NewReader(wasm)), nil
		}}}, Tenants: []Tenant{{Name: "t", CPU: 1, Chain: []Entry{{Module: "m"}}}}}
	}
	swap(t, h, rules([32]byte{}))
	if reads != 1 || sum != sha256.Sum256(wasm) {
		t.Fatalf("%d reads, the digest is %x", reads, sum)
	}
	before := h.Revision()
	swap(t, h, rules(sum))
	if reads != 1 || h.Revision() != before {
		t.Errorf("%d reads, the revision %s was %s", reads, h.Revision(), before)
	}
	swap(t, h, rules([32]byte{1}))
	if reads != 2 {
		t.Errorf("%d reads", reads)
	}
	other := rules(sum)
	other.Modules[0].SHA256 = strings.Repeat("0", 64)
	if _, err := h.Load(t.Context(), other); err == nil {
		t.Error("a module with another digest than the wanted one is used")
	}
	if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed {
		t.Errorf("%+v", v)
	}
}
