package hostile

import (
	"context"
	"testing"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// sample returns a small module with something in every section.
func sample() []byte {
	return guestOf(everyHook, func(g *guest) asm.Code {
		now := g.host(abi.ImportNow, "-> i64")
		log := g.host(abi.ImportLog, "i32 i32 i32 ->")
		g.Table(2, 4)
		count := g.Global("i32", asm.I32(7))
		g.Elements(0, g.Func("", "->", ""))
		g.Start(g.Func("", "->", now+asm.Drop))
		g.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(0))
		return asm.GlobalGet(count) + asm.I32(1) + asm.Add + asm.GlobalSet(count) +
			asm.I32(0) + asm.I32(text) + asm.I32(5) + log + times(3, asm.Block(asm.GlobalGet(count)+asm.BrIf(0))) +
			asm.I32(0) + asm.CallIndirect(g.Type("->")) + answers(abi.Allow)
	})
}

// damaged returns all prefixes of the sample, and all modules that differ from it by one bit.
func damaged() [][]byte {
	whole := sample()
	var list [][]byte
	for n := range len(whole) {
		list = append(list, whole[:n])
	}
	for bit := range 8 * len(whole) {
		flipped := append([]byte(nil), whole...)
		flipped[bit/8] ^= 1 << (bit % 8)
		list = append(list, flipped)
	}
	return list
}

// TestDamagedModules loads each damaged module, and calls each hook of the modules that load. It checks that the calls
// end and that the good module answers.
func TestDamagedModules(t *testing.T) {
	t.Parallel()
	w := openWith(t, host.Config{}) // each module is compiled once only, so the cache is of no use
	defer w.end()
	loaded, all := 0, damaged()
	for n, wasm := range all {
		if w.survives(wasm) {
			loaded++
		}
		if n%100 == 0 {
			w.goodAnswers()
		}
	}
	if loaded == 0 || loaded == len(all) {
		t.Errorf("%d of %d could be loaded", loaded, len(all))
	}
}

// survives loads the module and, if that succeeds, calls each of its hooks.
func (w *world) survives(wasm []byte) (loaded bool) {
	m := module{wasm: wasm, entry: short}
	m.entry.OnError = host.AllowOnError
	r, err := w.Load(context.Background(), rules([]module{m}))
	if err != nil {
		return false
	}
	w.Swap(r)
	for _, hook := range everyHook {
		w.ask("hostile", hook)
	}
	return true
}

// FuzzAnyModule loads any bytes as a module and calls each of its hooks.
func FuzzAnyModule(f *testing.F) {
	f.Add(sample())
	f.Add(goodGuest())
	for _, chapter := range [][]attack{loops, hungry, system} {
		for _, a := range chapter {
			f.Add(a.module().wasm)
		}
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		w := openWith(t, host.Config{})
		defer w.end()
		w.survives(wasm)
		w.goodAnswers()
	})
}
