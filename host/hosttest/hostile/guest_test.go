package hostile

import (
	"slices"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// guest is a module with the ABI, under construction.
type guest struct {
	asm.Module
	alloc    asm.Code // of moot_alloc
	setUp    asm.Code // of an expensive guest; "": circle
	manifest string
}

// frame is the address of the exchange buffer of these modules. They may use the addresses below it.
const (
	frame   = 1 << 16
	scratch = 1 << 10 // for data that the code writes
	text    = 8       // address of "hello"
	hello   = "hello"
)

// Locals of each hook, after its parameter 0, the frame.
const (
	i, j = 1, 2 // i32
	long = 3    // i64
)

var everyHook = []hook.Hook{hook.Connect, hook.Join, hook.OnSayReceive, hook.Say,
	hook.Leave, hook.Disconnect, hook.Action}

// guestOf returns a module whose hooks run the code that build returns. The code leaves an i32. build may change the
// guest first.
func guestOf(hooks []hook.Hook, build func(g *guest) asm.Code) []byte {
	g := &guest{alloc: asm.I32(frame)}
	if slices.Contains(hooks, hook.Action) {
		g.manifest = `{"actions": [{"name": "act"}]}`
	}
	g.Memory(24, asm.NoMax) // 1.5 MiB
	g.Export(abi.ExportMemory, asm.Memory, 0)
	g.Data(text, []byte(hello))
	f := g.hook(build(g))
	for _, h := range hooks {
		g.Export(abi.Hook(h).Export(), asm.Func, f)
	}
	g.Func(abi.ExportMarker, "->", "")
	g.Func(abi.ExportAlloc, "i32 -> i32", g.alloc)
	if g.manifest != "" {
		g.Custom(abi.ManifestSection, []byte(g.manifest))
	}
	return g.Wasm()
}

// hook adds a function with the type of a hook.
func (g *guest) hook(code asm.Code) int { return g.FuncWith("", "i32 -> i32", "i32 i32 i64", code) }

// host imports a host function.
func (g *guest) host(name, signature string) asm.Code {
	return asm.Call(g.Import(abi.ImportModule, name, signature))
}

// does returns a build function for code that imports nothing.
func does(code asm.Code) func(*guest) asm.Code {
	return func(*guest) asm.Code { return code }
}

// forever repeats code without end. The constant after the loop makes the function valid.
func forever(code asm.Code) asm.Code { return asm.Loop(code+asm.Br(0)) + asm.I32(abi.Allow) }

// times runs code n times. It uses local j.
func times(n int, code asm.Code) asm.Code {
	return asm.I32(n) + asm.Set(j) + asm.Loop(code+asm.Get(j)+asm.I32(1)+asm.Sub+asm.Tee(j)+asm.BrIf(0))
}

// put writes a number into the frame.
func put(slot, n int) asm.Code { return poke(frame+slot, n) }

func poke(at, n int) asm.Code { return asm.I32(at) + asm.I32(n) + asm.Store32(0) }

// span writes a pointer and a length into the frame.
func span(slot, ptr, n int) asm.Code { return put(slot, ptr) + put(slot+4, n) }

// answers returns code that leaves a number as the result of a hook.
func answers(n int) asm.Code { return asm.I32(n) }

// goodGuest adds {"good":1} to messages, and allows everything else.
func goodGuest() []byte {
	return guestOf([]hook.Hook{hook.OnSayReceive}, func(g *guest) asm.Code {
		const extra = `{"good":1}`
		g.Data(64, []byte(extra))
		return span(abi.ResultExtra, 64, len(extra)) + answers(abi.Rewritten)
	})
}
