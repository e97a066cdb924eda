package meter

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
)

// BenchmarkMetering measures plain and metered versions of the same code, in ns per call, iteration or recursion.
func BenchmarkMetering(b *testing.B) {
	w := newBuilder()
	w.memory(16, 16)
	x, y := at(opLocalGet, 0), at(opLocalGet, 1)
	w.fn("noop", vals(i32), vals(i32), nil, i32c(0))
	w.fn("spin", vals(i32), vals(i32), nil, ops(opLoop, 0x40), x, i32c(1), ops(0x6b), at(opLocalTee, 0), ops(opBrIf, 0, opEnd), i32c(0))
	w.fn("scan", vals(i32), vals(i32), ops(1, i32), ops(opLoop, 0x40), y, x, ops(0x2d, 0, 0, 0x6a), at(opLocalSet, 1), x, i32c(1), ops(0x6b), at(opLocalTee, 0), ops(opBrIf, 0, opEnd), y)
	n := x
	self := uint32(3)
	w.fn("fib", vals(i32), vals(i32), nil, n, i32c(2), ops(0x48, opIf, i32), n, ops(opElse), n, i32c(1), ops(0x6b), at(opCall, self), n, i32c(2), ops(0x6b), at(opCall, self), ops(0x6a, opEnd))
	w.fn("callloop", vals(i32), vals(i32), nil, ops(opLoop, 0x40), i32c(1), at(opCall, 0), ops(0x1a), x, i32c(1), ops(0x6b), at(opLocalTee, 0), ops(opBrIf, 0, opEnd), i32c(0))
	wasm := w.wasm()
	rt := wazero.NewRuntime(context.Background())
	plain, err := rt.InstantiateWithConfig(context.Background(), wasm, anonymous())
	if err != nil {
		b.Fatal(err)
	}
	g := newGuest(b, wasm, Limits{})
	for _, c := range []struct {
		name string
		arg  uint64
		per  float64
	}{{"noop", 0, 1}, {"spin", 10000, 10000}, {"scan", 10000, 10000}, {"fib", 20, 21891}, {"callloop", 10000, 10000}} {
		b.Run(c.name+"/plain", func(b *testing.B) {
			f := plain.ExportedFunction(c.name)
			st := make([]uint64, 1)
			for b.Loop() {
				st[0] = c.arg
				f.CallWithStack(context.Background(), st)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/c.per, "ns/step")
		})
		b.Run(c.name+"/metered", func(b *testing.B) {
			f := g.mod.ExportedFunction(c.name)
			st := make([]uint64, 1)
			fuel := g.global(FuelExport)
			a := allow(1 << 60)
			for b.Loop() {
				st[0] = c.arg
				fuel.Set(Slice)
				if err := f.CallWithStack(a, st); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/c.per, "ns/step")
		})
	}
}
