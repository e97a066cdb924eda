package hostile

import (
	"context"
	"fmt"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// find traps if one of the words, of four bytes each, is in a range of the memory.
func find(from, to int, words ...string) asm.Code {
	var look asm.Code
	for _, word := range words {
		look += asm.Get(i) + asm.Load32(0) + asm.I32(int(word[0])|int(word[1])<<8|int(word[2])<<16|int(word[3])<<24) + asm.Equal + asm.If(asm.Unreachable)
	}
	return asm.I32(from) + asm.Set(i) + asm.Loop(look+asm.Get(i)+asm.I32(1)+asm.Add+asm.Tee(i)+asm.I32(to)+asm.LessU+asm.BrIf(0))
}

// TestModuleSeesOnlyDeclaredFields searches the exchange buffer, and the memory after it, for fields that the module
// has not declared and for hidden parts of fields.
func TestModuleSeesOnlyDeclaredFields(t *testing.T) {
	search := func(words ...string) func(g *guest) asm.Code {
		return func(g *guest) asm.Code { return find(frame, end-4, words...) + answers(abi.Allow) }
	}
	reading := func(manifest string, then func(g *guest) asm.Code) func(g *guest) asm.Code {
		return func(g *guest) asm.Code {
			g.manifest = manifest
			return then(g)
		}
	}
	const action = `"actions": [{"name": "act"}]`
	run(t, []attack{
		{name: "reads nothing", tries: "to find a message, a user, an address or a property", hooks: everyHook, entry: patient,
			build: reading(`{"reads": [], `+action+`}`, search("hell", "alic", "10.0", "valu", "secr", "webs"))},
		{name: "reads the message", tries: "to find who says it", hooks: everyHook, entry: patient,
			build: reading(`{"reads": ["message"], `+action+`}`, search("alic", "10.0", "valu", "secr"))},
		{name: "declares nothing", tries: "to find properties", hooks: everyHook, entry: patient,
			build: reading(`{`+action+`}`, search("valu", "secr"))},
		{name: "reads a property", tries: "to find the others", hooks: everyHook, entry: patient,
			build: reading(`{"reads": ["properties.hello"], `+action+`}`, search("secr"))},
		{name: "reads the message, really", tries: "nothing: this one finds what it looks for", kind: "trap", says: "unreachable", entry: patient,
			build: reading(`{"reads": ["message"]}`, search("hell"))},
	})
}

// TestNewMemoryIsZero searches new memory for data of instances that have released it.
func TestNewMemoryIsZero(t *testing.T) {
	t.Parallel()
	w := open(t)
	defer w.end()
	const word = 'l' | 'e'<<8 | 'f'<<16 | 't'<<24
	leaves := attack{entry: patient, build: func(g *guest) asm.Code {
		return growToTheEnd + asm.I32(end) + asm.Set(i) +
			asm.Loop(asm.Get(i)+asm.I32(word)+asm.Store32(0)+asm.Get(i)+asm.I32(4096)+asm.Add+asm.Tee(i)+asm.I32(16<<20)+asm.LessU+asm.BrIf(0)) + asm.Unreachable
	}}
	looks := attack{entry: patient, build: func(g *guest) asm.Code {
		return growToTheEnd + find(end, 16<<20-4, "left") + answers(abi.Allow)
	}}
	leaver, looker := leaves.module(), looks.module()
	leaver.entry.Module, looker.entry.Module = "leaver", "looker"
	leaver.entry.OnError = host.AllowOnError
	w.must(w.load([]module{leaver, looker}))
	for range calls {
		w.allows("hostile", hook.OnSayReceive)
	}
}

// TestNothingIsSharedBetweenTenants runs the same module for two tenants. The module counts its calls and reads random
// numbers. The test checks that each count begins at one, and that the numbers differ.
func TestNothingIsSharedBetweenTenants(t *testing.T) {
	t.Parallel()
	w := open(t)
	defer w.end()
	const first, second = "first number", "count"
	shared := attack{build: func(g *guest) asm.Code {
		g.Data(64, []byte(first))
		g.Data(80, []byte(second))
		random := g.host(abi.ImportRandom, "i32 i32 -> i32")
		metric := g.host(abi.ImportMetricAdd, "i32 i32 i64 -> i32")
		count := g.Global("i32", asm.I32(0))
		return asm.I32(scratch) + asm.I32(4) + random + asm.Drop +
			asm.I32(64) + asm.I32(len(first)) + asm.I32(scratch) + asm.Load32(0) + asm.Extend + metric + asm.Drop +
			asm.GlobalGet(count) + asm.I32(1) + asm.Add + asm.GlobalSet(count) +
			asm.I32(80) + asm.I32(len(second)) + asm.GlobalGet(count) + asm.Extend + metric + asm.Drop + answers(abi.Allow)
	}}
	all := host.Rules{Modules: []host.Module{{Name: "shared", Wasm: shared.module().wasm}}}
	for n := range 4 {
		all.Tenants = append(all.Tenants, host.Tenant{Name: fmt.Sprint(n), Chain: []host.Entry{{Module: "shared"}}})
	}
	r, err := w.Load(context.Background(), all)
	w.must(err)
	w.Swap(r)
	drawn := make(map[int64]bool)
	for n, s := range w.Stats() {
		w.allows(fmt.Sprint(n), hook.OnSayReceive)
		s = w.Stats()[n]
		if s.Metrics[second] != 1 {
			t.Errorf("tenant %d: call %d", n, s.Metrics[second])
		}
		drawn[s.Metrics[first]] = true
	}
	if len(drawn) < 3 { // two may be equal by chance
		t.Errorf("the numbers drawn are %v", drawn)
	}
}
