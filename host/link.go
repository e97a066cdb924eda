package host

import (
	"context"

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
	timed      bool // it may take long: the guest pays for its time, not by its bytes alone
}

// lookup is the function of that name. It is false for names there are not.
func lookup(module, name string) (fn hostFunction, ok bool) {
	switch module {
	case abi.ImportModule:
		fn, ok = imports[name]
	case wasi.ModuleName:
		fn, ok = wasiFunction(name)
	}
	return fn, ok
}

// link makes the host modules that the guest's imports need, and those functions
// alone. All of them are Go functions on the raw stack: what goes through reflection
// costs thirty times as much.
func link(ctx context.Context, rt wazero.Runtime, imports []meter.Import, given grants) error {
	refuel := hostFunction{
		Signature: meter.Signature{Params: []byte{api.ValueTypeI64}, Results: []byte{api.ValueTypeI64}},
		call:      func(in *instance, stack []uint64) { stack[0] = uint64(in.refuel(int64(stack[0]))) },
	}
	modules := map[string]wazero.HostModuleBuilder{meter.ImportModule: rt.NewHostModuleBuilder(meter.ImportModule)}
	export(modules[meter.ImportModule], meter.RefuelImport, refuel)
	for _, im := range imports {
		fn, ok := lookup(im.Module, im.Name)
		if !ok {
			continue // instantiating will say so
		}
		if !given.has(fn.capability) { // only runners of scripts come as far as this
			fn.call, fn.timed = func(_ *instance, stack []uint64) { stack[0] = api.EncodeI32(abi.NotGranted) }, false
		}
		if modules[im.Module] == nil {
			modules[im.Module] = rt.NewHostModuleBuilder(im.Module)
		}
		export(modules[im.Module], im.Name, watch(im.Name, fn))
	}
	for _, m := range modules {
		if _, err := m.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

func export(b wazero.HostModuleBuilder, name string, fn hostFunction) {
	call := api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		fn.call(ctx.(*instance), stack)
	})
	if fn.timed {
		call = func(ctx context.Context, _ api.Module, stack []uint64) {
			in, t := ctx.(*instance), now()
			fn.call(in, stack)
			took := now() - t
			in.pay(took * unitsPerNanosecond)
			in.from += took
		}
	}
	b.NewFunctionBuilder().WithGoModuleFunction(call, fn.Params, fn.Results).Export(name)
}
