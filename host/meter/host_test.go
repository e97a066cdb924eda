package meter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// errStopped is the panic value of refuel after the deadline, or if no refuels are left.
var errStopped = errors.New("stopped by refuel")

// allowance is the resources of one call. It is the context of the call, as in package host.
type allowance struct {
	context.Context
	slices   int       // refuels left
	used     int       // refuels so far
	slice    int64     // fuel given each time
	deadline time.Time // zero: none
	given    int64     // fuel that refuel returned last, or that the call began with
	paid     int64     // fuel paid so far, including debts
	debt     int64     // largest debt of one charge
	onRefuel func()    // called at each refuel if it is not nil
	stacks   int       // number of times that the stack budget can still be set
}

// account adds the fuel that was paid since the last refill.
func (a *allowance) account(left int64) {
	a.paid += a.given - left
	a.debt = max(a.debt, -left)
}

func allow(slices int) *allowance {
	return &allowance{Context: context.Background(), slices: slices, slice: Slice, stacks: 1000}
}

func refuel(ctx context.Context, mod api.Module, stack []uint64) {
	a := ctx.(*allowance)
	if room := mod.ExportedGlobal(StackExport).(api.MutableGlobal); int64(room.Get()) < 0 && a.stacks > 0 {
		a.stacks--
		room.Set(StackBudget)
		if int64(stack[0]) >= 0 {
			return
		}
	}
	a.used++
	a.account(int64(stack[0]))
	if a.onRefuel != nil {
		a.onRefuel()
	}
	if a.used > a.slices || !a.deadline.IsZero() && time.Now().After(a.deadline) {
		panic(errStopped)
	}
	stack[0], a.given = uint64(a.slice), a.slice
}

// newRuntime returns a runtime with refuel and a host function env.nop.
func newRuntime(t testing.TB, config wazero.RuntimeConfig, limitPages uint32) wazero.Runtime {
	t.Helper()
	rt := wazero.NewRuntimeWithConfig(t.Context(), config.WithMemoryLimitPages(limitPages).WithDebugInfoEnabled(false))
	t.Cleanup(func() { rt.Close(context.Background()) })
	_, err := rt.NewHostModuleBuilder(ImportModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(refuel), []ValueType{i64}, []ValueType{i64}).Export(RefuelImport).Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = rt.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), nil, nil).Export("nop").Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// guest is a metered instance.
type guest struct {
	t      testing.TB
	mod    api.Module
	module *Module
}

// instantiate rewrites and instantiates wasm. It does not call the start function.
func instantiate(t testing.TB, rt wazero.Runtime, wasm []byte, limits Limits) *guest {
	t.Helper()
	m, err := Rewrite(wasm, limits)
	if err != nil {
		t.Fatal(err)
	}
	c, err := rt.CompileModule(t.Context(), m.Wasm)
	if err != nil {
		t.Fatalf("the rewritten module does not compile: %v", err)
	}
	mod, err := rt.InstantiateModule(t.Context(), c, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	return &guest{t: t, mod: mod, module: m}
}

func anonymous() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions()
}

func newGuest(t testing.TB, wasm []byte, limits Limits) *guest {
	return instantiate(t, newRuntime(t, wazero.NewRuntimeConfigCompiler(), 256), wasm, limits)
}

func (g *guest) global(name string) api.MutableGlobal {
	return g.mod.ExportedGlobal(name).(api.MutableGlobal)
}

func (g *guest) fuel() int64  { return int64(g.global(FuelExport).Get()) }
func (g *guest) depth() int64 { return int64(g.global(DepthExport).Get()) }
func (g *guest) stack() int64 { return int64(g.global(StackExport).Get()) }

// call sets the fuel and calls an export.
func (g *guest) call(a *allowance, fuel int64, name string, args ...uint64) ([]uint64, error) {
	g.t.Helper()
	f := g.mod.ExportedFunction(name)
	if f == nil {
		g.t.Fatalf("no export %q", name)
	}
	g.global(FuelExport).Set(uint64(fuel))
	a.given = fuel
	results, err := f.Call(a, args...)
	a.account(g.fuel())
	return results, err
}

// cost returns the fuel that a call uses.
func (g *guest) cost(name string, args ...uint64) int64 {
	g.t.Helper()
	const tank = 1 << 40
	if _, err := g.call(allow(0), tank, name, args...); err != nil {
		g.t.Fatal(err)
	}
	return tank - g.fuel()
}

func firstLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
