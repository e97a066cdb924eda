package bench

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	wasi "github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
)

// bare runs the module in a separate runtime without limits. Host functions return "unavailable".
func bare(t testing.TB, wasm []byte) api.Module {
	t.Helper()
	return instantiate(t, newRuntime(t), wasm, abi.ExportInitialize)
}

func newRuntime(t testing.TB) wazero.Runtime {
	rt := wazero.NewRuntime(context.Background())
	t.Cleanup(func() { rt.Close(context.Background()) })
	wasi.MustInstantiate(context.Background(), rt)
	return rt
}

func instantiate(t testing.TB, rt wazero.Runtime, wasm []byte, start ...string) api.Module {
	t.Helper()
	ctx := context.Background()
	compiled, err := rt.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	imports := rt.NewHostModuleBuilder(abi.ImportModule)
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module != abi.ImportModule {
			continue
		}
		unavailable := func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = api.EncodeI32(abi.Unavailable) }
		if len(f.ResultTypes()) == 0 {
			unavailable = func(context.Context, api.Module, []uint64) {}
		}
		imports.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(unavailable), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	if _, err := imports.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	m, err := rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions(start...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// unlimited returns a function that calls onSayReceive of the bare module n times. The frame is already in the module's
// memory.
func unlimited(t testing.TB, wasm []byte, ev *hook.Event) func(n int) {
	return called(t, context.Background(), bare(t, wasm), ev, func() {})
}

// called returns a function that calls onSayReceive n times, and before ahead of each call. Each call must allow.
func called(t testing.TB, ctx context.Context, m api.Module, ev *hook.Event, before func()) func(n int) {
	t.Helper()
	before()
	buffer, err := m.ExportedFunction(abi.ExportAlloc).Call(ctx, abi.ExchangeSize)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Memory().Write(uint32(buffer[0]), frame(ev)) {
		t.Fatal("the frame does not fit")
	}
	hook, stack := m.ExportedFunction(abi.OnSayReceive.Export()), make([]uint64, 1)
	return func(n int) {
		for range n {
			stack[0] = buffer[0]
			before()
			if err := hook.CallWithStack(ctx, stack); err != nil || stack[0] != abi.Allow {
				panic(err)
			}
		}
	}
}

// frame returns a frame of the event with the fields that these guests read.
func frame(ev *hook.Event) []byte {
	b := make([]byte, abi.HeaderSize)
	var fields [abi.EventFieldCount][]byte
	fields[abi.EventMessage] = []byte(ev.Message.Text)
	b = abi.AppendBlob(b, abi.BlobEvent, uint64(ev.SentAt), ev.Sequence, fields[:])
	b[abi.FrameHook] = byte(abi.OnSayReceive)
	b[abi.FrameEvent] = abi.HeaderSize
	return b
}

// metered is like unlimited, for the module that package meter has rewritten.
func metered(t testing.TB, wasm []byte, ev *hook.Event) func(n int) {
	t.Helper()
	m, err := meter.Rewrite(wasm, meter.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, rt := context.Background(), newRuntime(t)
	refuel := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = meter.Slice })
	i64 := []api.ValueType{api.ValueTypeI64}
	_, err = rt.NewHostModuleBuilder(meter.ImportModule).NewFunctionBuilder().
		WithGoModuleFunction(refuel, i64, i64).Export(meter.RefuelImport).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	in := instantiate(t, rt, m.Wasm, abi.ExportInitialize)
	fuel := in.ExportedGlobal(meter.FuelExport).(api.MutableGlobal)
	return called(t, ctx, in, ev, func() { fuel.Set(meter.Slice) })
}
