package host

import (
	"context"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
	"github.com/mootchat/moot/host/wasi"
)

// hostFunction is a function that guests can import.
type hostFunction struct {
	meter.Signature
	capability string // that an entry must grant; "": none
	call       func(in *instance, stack []uint64)
	timed      bool // it may take long: its time is charged too, not only its bytes
}

// use is what a guest has asked the host for.
type use uint8

const (
	useRandom use = 1 << iota
	useConfig     // config_get: the same for all entries with that config
	useTenant     // anything else that depends on the tenant, or changes
)

// useOf returns the use of a host function. Clocks count as nothing: images and diffs are renewed, see imageAge.
func useOf(name string) use {
	switch name {
	case abi.ImportLog, abi.ImportNow:
		return 0
	case abi.ImportRandom, "random_get":
		return useRandom
	case abi.ImportConfigGet:
		return useConfig
	}
	if _, ok := imports[name]; ok {
		return useTenant
	}
	return 0 // the rest of WASI
}

// lookup returns the function with that name; false if there is none.
func lookup(module, name string) (fn hostFunction, ok bool) {
	switch module {
	case abi.ImportModule:
		fn, ok = imports[name]
	case wasi.ModuleName:
		fn, ok = wasiFunction(name)
	}
	return fn, ok
}

// linked is a runtime with all host functions. Its modules do not share names, memory or tables: the module of a guest
// has no name and imports only from the host.
type linked struct {
	runtime wazero.Runtime

	// Guarded by codes.mu.
	users int // modules that are compiled in it
	types int // see maxTypes
}

// maxTypes limits the bytes of type sections in one runtime. wazero keeps every function type that it has seen, in up
// to 30 times as many bytes, until the runtime is closed, so one runtime would grow without limit while modules are
// loaded and unloaded. Beyond this limit new modules use a new runtime, and the old one is closed with its last module.
const maxTypes = 256 << 10

// link returns the runtime for a module whose type section has the given size. The caller calls unlink at the end.
func (cs *codes) link(types int) (*linked, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if old := cs.current; old != nil && old.types+types > maxTypes {
		cs.current = nil
		if old.users == 0 {
			old.close()
		}
	}
	if cs.current == nil {
		l, err := newLinked(cs.cache)
		if err != nil {
			return nil, err
		}
		cs.current = l
	}
	cs.current.users++
	cs.current.types += types
	return cs.current, nil
}

// unlink releases a runtime. The last module closes it, if it takes no new modules.
func (cs *codes) unlink(l *linked) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if l.users--; l.users == 0 && l != cs.current {
		l.close()
	}
}

// close closes the runtime for new modules. All codes are released.
func (cs *codes) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.current != nil {
		cs.current.close()
		cs.current = nil
	}
	cs.pagemap.close()
}

// newLinked returns a runtime with all host functions. They use the raw stack, because functions called by reflection
// take thirty times as long.
func newLinked(cache wazero.CompilationCache) (*linked, error) {
	ctx := context.Background()
	l := &linked{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCompilationCache(cache).
		WithMemoryLimitPages(maxMemory>>16).
		WithDebugInfoEnabled(false))}
	refuel := l.runtime.NewHostModuleBuilder(meter.ImportModule)
	export(refuel, meter.RefuelImport, hostFunction{
		Signature: meter.Signature{Params: []byte{api.ValueTypeI64}, Results: []byte{api.ValueTypeI64}},
		call:      func(in *instance, stack []uint64) { stack[0] = uint64(in.refuel(int64(stack[0]))) },
	})
	contract := l.runtime.NewHostModuleBuilder(abi.ImportModule)
	for name, fn := range imports {
		export(contract, name, watch(name, granted(fn)))
	}
	preview1 := l.runtime.NewHostModuleBuilder(wasi.ModuleName)
	for _, name := range wasi.Names() {
		fn, _ := wasiFunction(name)
		export(preview1, name, watch(name, fn))
	}
	for _, m := range []wazero.HostModuleBuilder{refuel, contract, preview1} {
		if _, err := m.Instantiate(ctx); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *linked) close() { _ = l.runtime.Close(context.Background()) } // does not fail

// granted makes fn refuse instances whose entry does not grant its capability. The module's imports are not enough: all entries of
// a module share its code, and the runner of scripts imports everything.
func granted(fn hostFunction) hostFunction {
	need, call := capabilityBit(fn.capability), fn.call
	if need == 0 {
		return fn
	}
	fn.call = func(in *instance, stack []uint64) {
		if in.generation.capabilities&need == 0 {
			stack[0] = api.EncodeI32(abi.NotGranted)
			return
		}
		call(in, stack)
	}
	return fn
}

func export(b wazero.HostModuleBuilder, name string, fn hostFunction) {
	asks, use := !slices.Contains(harmless, name), useOf(name)
	call := api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		in := ctx.(*instance)
		in.asks, in.used = in.asks || asks, in.used|use
		fn.call(in, stack)
	})
	if fn.timed {
		call = func(ctx context.Context, _ api.Module, stack []uint64) {
			in, t := ctx.(*instance), now()
			in.asks, in.used = in.asks || asks, in.used|use
			if use == useRandom {
				in.draws++
			}
			fn.call(in, stack)
			took := now() - t
			in.pay(took * unitsPerNanosecond)
			in.from += took
		}
	}
	b.NewFunctionBuilder().WithGoModuleFunction(call, fn.Params, fn.Results).Export(name)
}
