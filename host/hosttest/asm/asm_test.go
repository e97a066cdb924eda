package asm_test

import (
	"context"
	"math"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/mootchat/moot/host/hosttest/asm"
)

// TestModuleRuns checks a module with content in every section.
func TestModuleRuns(t *testing.T) {
	m := new(asm.Module)
	twice := m.Import("env", "twice", "i64 -> i64")
	m.Memory(1, 3)
	m.Export("memory", asm.Memory, 0)
	m.Table(1, asm.NoMax)
	m.Data(8, []byte{40, 0, 0, 0})
	sum := m.Global("i32", asm.I32(-1))
	m.Start(m.Func("", "->", asm.I32(1)+asm.GlobalSet(sum)))
	m.Elements(0, m.Func("", "-> i32", asm.GlobalGet(sum)+asm.I32(8)+asm.Load32(0)+asm.Add))
	// f(n) is 2*(sum + 40 + n), with n iterations of a loop.
	m.FuncWith("f", "i32 -> i64", "i32", asm.Block(asm.Loop(
		asm.Get(1)+asm.Get(0)+asm.Equal+asm.BrIf(1)+asm.Get(1)+asm.I32(1)+asm.Add+asm.Set(1)+asm.Br(0)))+
		asm.I32(0)+asm.CallIndirect(m.Type("-> i32"))+asm.Get(1)+asm.Add+asm.Extend+asm.Call(twice))
	m.Custom("note", []byte("ignored"))
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	_, err := rt.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func(n int64) int64 { return 2 * n }).Export("twice").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	g, err := rt.Instantiate(ctx, m.Wasm())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := g.ExportedFunction("f").Call(ctx, 5); err != nil || got[0] != 2*(1+40+5) {
		t.Errorf("f(5) is %v, %v", got, err)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "\x00", -1: "\x7f", 63: "\x3f", 64: "\xc0\x00", -64: "\x40", -65: "\xbf\x7f",
		math.MaxInt32: "\xff\xff\xff\xff\x07", math.MinInt32: "\x80\x80\x80\x80\x78"} {
		if got := string(asm.Int(n)); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	if got := string(asm.Uint(1<<32 - 1)); got != "\xff\xff\xff\xff\x0f" {
		t.Errorf("2^32-1 is %q", got)
	}
}
