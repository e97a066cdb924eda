package host

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// exchange is the address of the exchange buffer of handmade modules.
const exchange = 1 << 16

// blank returns a module with a memory of 1.5 MiB and nothing else.
func blank() *asm.Module {
	m := new(asm.Module)
	m.Memory(24, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	return m
}

// speak adds the exports that every module has.
func speak(m *asm.Module) {
	m.Func(abi.ExportMarker, "->", "")
	m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(exchange))
}

// put writes a number into the frame.
func put(slot, n int) asm.Code { return asm.I32(exchange) + asm.I32(n) + asm.Store32(slot) }

// forever is an endless loop. Code after it only satisfies the validator.
const forever asm.Code = "\x03\x40\x0c\x00\x0b"

// handMade returns a module that does one thing at onSayReceive and say. The name selects it.
func handMade(name string) []byte {
	m := blank()
	verb, arg, _ := strings.Cut(name, "-")
	code := asm.I32(abi.Allow)
	switch verb {
	case "code":
		var n int
		fmt.Sscan(arg, &n)
		code = asm.I32(n)
	case "number": // denies with a number for the client
		var n int
		fmt.Sscan(arg, &n)
		code = put(abi.ResultCode, n) + asm.I32(abi.Deny)
	case "hold": // holds with a time to live in ms
		var n int
		fmt.Sscan(arg, &n)
		code = put(abi.ResultTTL, n) + asm.I32(abi.Hold)
	case "loop":
		code = forever + code
	case "trap":
		code = asm.Unreachable
	case "badpointer":
		code = put(abi.ResultReason, -16) + put(abi.ResultReason+4, 100) + asm.I32(abi.Deny)
	case "exit":
		exit := m.Import("wasi_snapshot_preview1", "proc_exit", "i32 ->")
		code = asm.I32(7) + asm.Call(exit) + code
	case "room": // moves the message into the room
		m.Data(8, []byte(arg))
		code = put(abi.ResultRoom, 8) + put(abi.ResultRoom+4, len(arg)) + asm.I32(abi.Rewritten)
	case "hungry": // takes all memory it can get, and traps
		code = asm.Loop(asm.I32(1)+asm.MemoryGrow+asm.I32(-1)+asm.Unequal+asm.BrIf(0)) + asm.Unreachable
	case "hoard": // takes all memory it can get, and allows
		code = asm.Loop(asm.I32(1)+asm.MemoryGrow+asm.I32(-1)+asm.Unequal+asm.BrIf(0)) + code
	case "verdict": // sets the verdict byte of the first receiver, without variants
		var n int
		fmt.Sscan(arg, &n)
		code = asm.I32(exchange) + asm.Load32(abi.FrameVerdicts) + asm.I32(exchange) + asm.Add + asm.I32(n) + asm.Store8(0) + asm.I32(abi.PerReceiver)
	case "busy": // has an action that never ends
		m.Custom(abi.ManifestSection, []byte(`{"actions": [{"name": "loop"}]}`))
		m.Func("on_action", "i32 -> i32", forever+asm.I32(abi.Allow))
	case "schema": // has a schema of its config; with an argument a hostile one
		m.Custom(abi.ManifestSection, []byte(`{"config": `+cmp.Or(arg, `{"type": "object", "additionalProperties": false, "properties": {"words": {"type": "array", "items": {"type": "string"}}}}`)+`}`))
	case "picky": // has the same schema, and refuses every config
		m.Custom(abi.ManifestSection, []byte(`{"config": {"additionalProperties": false, "properties": {"words": {}}}}`))
		m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(1))
	case "fickle": // has a schema that allows one setting: that with the name of the first one in its config
		text := `{"config": {"additionalProperties": false, "properties": {"?": {}}}}`
		m.Data(8, []byte(text))
		m.Func(abi.ExportManifest, "-> i64", asm.I64(8<<32|len(text)))
		m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(8+strings.Index(text, "?"))+asm.Get(1)+asm.Load32(2)+asm.Store8(0)+asm.I32(0))
	case "endless": // has a manifest that is too long
		m.Func(abi.ExportManifest, "-> i64", asm.I64(8<<32|70_000))
	case "verbose": // has a manifest of 50 KB with an action that has 3,000 inputs
		var inputs []string
		for i := range 3000 {
			inputs = append(inputs, fmt.Sprintf(`"i%s%d": {}`, arg, i))
		}
		m.Custom(abi.ManifestSection, []byte(`{"actions": [{"name": "a", "inputs": {`+strings.Join(inputs, ", ")+`}}]}`))
		m.Func("on_action", "i32 -> i32", asm.I32(abi.Allow))
	case "ask": // asks the service "score"; see asking
		code = asking(m, arg)
	case "class": // one class of receivers for each locale
		m.Custom(abi.ManifestSection, []byte(`{"vary": ["locale"]}`))
	case "once": // one class of all receivers
		m.Custom(abi.ManifestSection, []byte(`{"vary": []}`))
	}
	if verb == "small" { // it has only the first buffer
		m.Func(abi.ExportMarker, "->", "")
		m.Func(abi.ExportAlloc, "i32 -> i32", asm.Get(0)+asm.I32(abi.ExchangeSize+1)+asm.LessU+asm.If(asm.I32(exchange)+asm.Return)+asm.I32(0))
	} else {
		speak(m)
	}
	if verb == "deep" {
		code = asm.Get(0) + asm.Call(m.Next()) + asm.I32(0) + asm.Add
	}
	f := m.Func("on_say_receive", "i32 -> i32", code)
	m.Export("on_say", asm.Func, f)
	return m.Wasm()
}
