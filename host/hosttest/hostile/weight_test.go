package hostile

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/meter"
)

// heavy are modules whose instances take much more outside of their memory than in it.
var heavy = map[string]func(g *guest) asm.Code{
	"tables": func(g *guest) asm.Code { return tables(g, 1<<16) },
	"globals": func(g *guest) asm.Code {
		repeat(9000, func(int) { g.Global("i64", asm.I64(1)) })
		return answers(abi.Allow)
	},
	"exports": func(g *guest) asm.Code {
		repeat(9000, func(i int) { g.Export(fmt.Sprint("e", i), asm.Memory, 0) })
		return answers(abi.Allow)
	},
	"functions": func(g *guest) asm.Code {
		repeat(9000, func(i int) { g.Func("", "->", "") })
		return answers(abi.Allow)
	},
	"locals": func(g *guest) asm.Code {
		repeat(100, func(int) { g.Body("", "->", slices.Concat([]byte{1}, asm.Uint(9000), []byte{0x7f, 0x0b})) })
		return answers(abi.Allow)
	},
	"data": func(g *guest) asm.Code {
		repeat(90_000, func(i int) { g.Data(1<<10+70*(i%1000), []byte{1}) })
		return answers(abi.Allow)
	},
	"passive data": func(g *guest) asm.Code {
		const n = 90_000
		g.Section(asm.Data, slices.Concat(asm.Uint(n), slices.Repeat([]byte{1, 1, 7}, n)))
		return answers(abi.Allow)
	},
	"elements": func(g *guest) asm.Code {
		f := g.Func("", "->", "")
		repeat(4, func(int) { g.Elements(0, slices.Repeat([]int{f}, 60_000)...) })
		return tables(g, 1<<16)
	},
	"passive elements": func(g *guest) asm.Code {
		const n = 250_000
		f := g.Func("", "->", "")
		items := slices.Concat([]byte{1, 1, 0}, asm.Uint(n), slices.Repeat(asm.Uint(f), n))
		g.Section(asm.Elements, items)
		return answers(abi.Allow)
	},
	"a table that grows": func(g *guest) asm.Code {
		return tables(g, 1) + asm.Drop + asm.NullFunc + asm.I32(1<<16-1) + asm.TableGrow + asm.Drop + answers(abi.Allow)
	},
	"references": func(g *guest) asm.Code {
		g.Table(1, 1)
		f := asm.Uint(g.Func("f", "->", ""))
		return times(200_000, asm.I32(0)+asm.RefFunc+asm.Code(f)+asm.TableSet+"\x00") + answers(abi.Allow)
	},
}

// tables adds as many tables as a module may have.
func tables(g *guest, elements int) asm.Code {
	repeat(16, func(int) { g.Table(elements, asm.NoMax) })
	return answers(abi.Allow)
}

// TestInstancesTakeNoMoreThanTheirCharge compares the heap that code and instances take with what the node and the tenant
// are charged with.
func TestInstancesTakeNoMoreThanTheirCharge(t *testing.T) {
	const instances = 10
	for name, build := range heavy {
		wasm := guestOf([]hook.Hook{hook.OnSayReceive}, build)
		m, err := meter.RewriteCode(wasm, meter.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w := openWith(t, host.Config{Memory: 1 << 30})
		tenant := host.Tenant{Name: "hostile", CPU: float64(runtime.GOMAXPROCS(0))}
		for i := range instances {
			tenant.Chain = append(tenant.Chain, host.Entry{Module: "m", Timeout: patience, Config: fmt.Appendf(nil, `{"n":%d}`, i)})
		}
		before := inUse()
		r, err := w.Load(context.Background(), host.Rules{
			Modules: []host.Module{{Name: "m", Wasm: wasm}}, Tenants: []host.Tenant{tenant}, ChainTimeout: time.Minute})
		w.must(err)
		w.Swap(r)
		code := inUse()
		for range 3 {
			w.allows("hostile", hook.OnSayReceive)
		}
		after := inUse()
		const small = 64 << 10                                                // of any instance
		spares := int64(max(2, runtime.GOMAXPROCS(0))) * (m.Instance + small) // instances of the load that are kept for the entries
		if used, charged := int64(code-before), m.Decoded+2*int64(len(m.Wasm))+1<<20+spares; used > charged {
			t.Errorf("%s: the code and the spare instances take %d bytes of heap, %d are charged", name, used, charged)
		}
		if used, charged := int64(after-code)/instances, m.Instance+small; used > charged {
			t.Errorf("%s: an instance takes %d bytes of heap, %d are charged", name, used, charged)
		}
		w.end()
	}
}

// TestTablesTakeTheTenantsMemory checks that an instance is refused if there is no memory for its tables.
func TestTablesTakeTheTenantsMemory(t *testing.T) {
	wasm := guestOf([]hook.Hook{hook.OnSayReceive}, heavy["tables"])
	w := openWith(t, host.Config{Memory: 8 << 20})
	defer w.Close()
	err := w.load([]module{{wasm: wasm}})
	if err == nil || !strings.Contains(err.Error(), "no memory") {
		t.Errorf("an instance with tables of 8 MiB in a budget of 8 MiB: %v", err)
	}
}
