package extism

import (
	"context"
	"fmt"
	"os"
	"testing"

	extism "github.com/extism/go-sdk"

	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/hosttest/bench"
)

// TestMain prints the table of the measurements.
func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Print(&table)
	os.Exit(code)
}

var table bench.Table

// filter returns the filter as a plugin. It searches its input for the word, and its
// output is one byte.
func filter() []byte {
	const env = "extism:host/env"
	m := new(asm.Module)
	length := m.Import(env, "input_length", "-> i64")
	load64 := m.Import(env, "input_load_u64", "i64 -> i64")
	load8 := m.Import(env, "input_load_u8", "i64 -> i32")
	alloc := m.Import(env, "alloc", "i64 -> i64")
	store8 := m.Import(env, "store_u8", "i64 i32 ->")
	output := m.Import(env, "output_set", "i64 i64 ->")
	m.Memory(1, asm.NoMax)
	scan := m.Func("", "i32 i32 -> i32", bench.Scan(0, 1))

	const size, at, answer = 0, 1, 2
	const wrap, extend asm.Code = "\xa7", "\xad" // i64 to i32, i32 to i64 unsigned
	offset := asm.Get(at) + extend
	step := func(n int) asm.Code { return asm.Get(at) + asm.I32(n) + asm.Add + asm.Tee(at) }
	// This reads the input like the PDKs for C and Rust: eight bytes at a time, and the
	// rest byte by byte.
	read := asm.Block(asm.Loop(asm.Get(size)+asm.Get(at)+asm.I32(8)+asm.Add+asm.LessU+asm.BrIf(1)+
		asm.Get(at)+offset+asm.Call(load64)+asm.Store64(0)+step(8)+asm.Drop+asm.Br(0))) +
		asm.Block(asm.Loop(asm.Get(at)+asm.Get(size)+asm.Equal+asm.BrIf(1)+
			asm.Get(at)+offset+asm.Call(load8)+asm.Store8(0)+step(1)+asm.Drop+asm.Br(0)))
	m.FuncWith("filter", "-> i32", "i32 i32 i64",
		asm.Call(length)+wrap+asm.Set(size)+read+
			asm.I64(1)+asm.Call(alloc)+asm.Tee(answer)+
			asm.I32(0)+asm.Get(size)+asm.Call(scan)+asm.Call(store8)+
			asm.Get(answer)+asm.I64(1)+asm.Call(output)+asm.I32(0))
	return m.Wasm()
}

// start starts the plugin with the default timeout of an entry.
func start(t testing.TB) *extism.Plugin {
	t.Helper()
	ctx := context.Background()
	p, err := extism.NewPlugin(ctx, extism.Manifest{
		Wasm:    []extism.Wasm{extism.WasmData{Data: filter()}},
		Timeout: 50, // milliseconds
	}, extism.PluginConfig{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(ctx) })
	return p
}

func denies(p *extism.Plugin, text string) bool {
	_, answer, err := p.Call("filter", []byte(text))
	if err != nil || len(answer) != 1 {
		panic(fmt.Sprintf("%v %v", answer, err))
	}
	return answer[0] != 0
}

func BenchmarkSandboxExtism(b *testing.B) {
	p := start(b)
	h := bench.Start(b, bench.Filter("{}"))
	table.Compare(b,
		bench.Case{Name: "onSayReceive of 200 bytes, by hand", Run: bench.OnSayReceive(h, bench.SayEvent(bench.Message)), Bound: -100},
		bench.Case{Name: "Extism's Go SDK 1.7.1, with a timeout", Run: func(n int) {
			for range n {
				if denies(p, bench.Message) {
					panic("denied")
				}
			}
		}})
}

// TestThePluginFilters checks that the measured plugin denies messages with the word,
// and no others.
func TestThePluginFilters(t *testing.T) {
	p := start(t)
	for text, want := range map[string]bool{
		"": false, "spa": false, "spam": true, bench.Message: false, bench.Message + "spam": true, "no spam please": true,
	} {
		if got := denies(p, text); got != want {
			t.Errorf("%q: denied: %v", text, got)
		}
	}
}
