package hostile

import (
	"context"
	"fmt"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/store"
)

// hostCall is a host function with valid arguments. spans has the indices of pointers and lengths that the host reads;
// outs has the indices of pointers and sizes that the host writes to.
type hostCall struct {
	name, signature string
	args            []int
	spans, outs     []int
	limits          []int    // of the length of each span
	more            []asking // other invalid arguments
}

const everything = 1 << 17 // address of a large free area

var hostCalls = []hostCall{
	{abi.ImportRandom, "i32 i32 -> i32", []int{everything, 16}, nil, []int{0}, nil, []asking{
		{"64 KiB and one byte", []int{0, 64<<10 + 1}, abi.TooLarge},
		{"4 GiB", []int{0, -1}, abi.TooLarge},
	}},
	{abi.ImportConfigGet, "i32 i32 i32 i32 -> i32", []int{text, 5, everything, 100}, []int{0}, []int{2}, []int{256}, []asking{
		{"no room for the value", []int{text, 5, everything, 7}, 8},
		{"room of minus one", []int{text, 5, end - 1, -1}, abi.BadPointer},
		{"not UTF-8", []int{80, 2, everything, 100}, abi.BadPointer},
	}},
	{abi.ImportPropertyGet, "i32 i32 i32 i32 i32 -> i32", []int{0, text, 5, everything, 100}, []int{1}, []int{3}, []int{256}, []asking{
		{"of a receiver there is not", []int{1, text, 5, everything, 100}, abi.Absent},
		{"of receiver minus one", []int{-1, text, 5, everything, 100}, abi.Absent},
		{"that it does not read", []int{0, 72, 6, everything, 100}, abi.Absent},
	}},
	{abi.ImportPropertySet, "i32 i32 i32 i32 -> i32", []int{text, 5, 64, 2}, []int{0, 2}, nil, []int{256, abi.MaxProperties}, []asking{
		{"that was not granted", []int{72, 6, 64, 2}, abi.NotGranted},
		{"not JSON", []int{text, 5, text, 5}, abi.BadPointer},
	}},
	{abi.ImportRoomGet, "i32 i32 i32 i32 -> i32", []int{text, 5, everything, 100}, []int{0}, []int{2}, []int{256}, []asking{
		{"a room of another tenant", []int{72, 6, everything, 100}, abi.Absent},
	}},
	{abi.ImportRoomCreate, "i32 i32 -> i32", []int{text, 5}, []int{0}, nil, []int{256}, []asking{
		{"no name", []int{text, 0}, abi.BadPointer},
		{"name with a line end", []int{88, 3}, abi.BadPointer},
	}},
	{abi.ImportRoomDestroy, "i32 i32 -> i32", []int{text, 5}, []int{0}, nil, []int{256}, nil},
	{abi.ImportKVGet, "i32 i32 i32 i32 -> i32", []int{text, 4, everything, 100}, []int{0}, []int{2}, []int{256}, []asking{
		{"no key", []int{text, 0, everything, 100}, abi.BadPointer},
		{"another module's key", []int{72, 6, everything, 100}, abi.Absent},
	}},
	{abi.ImportKVSet, "i32 i32 i32 i32 i64 -> i32", []int{text, 4, 64, 2, 0}, []int{0, 2}, nil, []int{256, store.MaxValueBytes}, nil},
	{abi.ImportKVDel, "i32 i32 -> i32", []int{text, 5}, []int{0}, nil, []int{256}, []asking{
		{"another module's key", []int{72, 6}, 0},
	}},
	{abi.ImportKVAdd, "i32 i32 i64 i64 i32 -> i32", []int{text, 3, 1, 0, everything}, []int{0}, []int{4}, []int{256}, []asking{
		{"not a number", []int{text, 4, 1, 0, everything}, abi.Unavailable},
	}},
	{abi.ImportKVCAS, "i32 i32 i32 i32 i32 i32 i64 -> i32", []int{text, 5, 64, 2, 64, 2, 0}, []int{0, 2, 4}, nil, []int{256, store.MaxValueBytes, store.MaxValueBytes}, nil},
	{abi.ImportRateTake, "i32 i32 i32 i32 i32 -> i32", []int{text, 5, 1, 1, 1}, []int{0}, nil, []int{256}, []asking{
		{"no tokens", []int{text, 5, 0, 1, 1}, abi.TooLarge},
		{"tokens below zero", []int{text, 5, -1, 1, 1}, abi.TooLarge},
		{"more than there can be", []int{text, 5, 2, 1, 1}, abi.TooLarge},
		{"a bucket for ever", []int{text, 5, 1, 1<<31 - 1, 1<<31 - 1}, abi.TooLarge},
		{"time that goes back", []int{text, 5, 1, -1, 1}, abi.TooLarge},
	}},
	{abi.ImportEmit, "i32 i32 i32 i32 i32 -> i32", []int{0, text, 5, 64, 2}, []int{1, 3}, nil, []int{256, abi.MaxResult}, []asking{
		{"a kind there is not", []int{6, text, 5, 64, 2}, abi.BadPointer},
		{"kind minus one", []int{-1, text, 5, 64, 2}, abi.BadPointer},
		{"to nobody", []int{0, text, 0, 64, 2}, abi.BadPointer},
		{"not JSON", []int{abi.EmitJSON, text, 5, text, 5}, abi.BadPointer},
		{"not UTF-8", []int{abi.EmitText, text, 5, 80, 2}, abi.BadPointer},
	}},
	{abi.ImportSanctionSet, "i32 i32 -> i32", []int{text, 5}, []int{0}, nil, []int{abi.MaxSanction}, []asking{
		{"not JSON", []int{text, 5}, abi.BadPointer},
		{"an empty object", []int{64, 2}, abi.BadPointer},
		{"not UTF-8", []int{80, 2}, abi.BadPointer},
		{"no bytes", []int{text, 0}, abi.BadPointer},
	}},
	{abi.ImportSanctionPardon, "i32 i32 -> i32", []int{text, 5}, []int{0}, nil, []int{abi.MaxSanction}, []asking{
		{"an empty object", []int{64, 2}, abi.BadPointer},
	}},
	{abi.ImportMemberRemove, "i32 i32 i32 i32 i32 i32 -> i32", []int{text, 5, text, 5, 64, 2}, []int{0, 2, 4}, nil, []int{256, 256, abi.MaxRemoval}, []asking{
		{"nobody", []int{text, 0, text, 5, 64, 2}, abi.BadPointer},
		{"no room", []int{text, 5, text, 0, 64, 2}, abi.BadPointer},
		{"not UTF-8", []int{text, 5, text, 5, 80, 2}, abi.BadPointer},
	}},
	{abi.ImportConnectionClose, "i32 i32 i32 i32 -> i32", []int{text, 5, 64, 2}, []int{0, 2}, nil, []int{256, abi.MaxRemoval}, []asking{
		{"nobody", []int{text, 0, 64, 2}, abi.BadPointer},
	}},
	{abi.ImportUserSet, "i32 i32 -> i32", []int{text, 5}, []int{0}, nil, []int{abi.MaxUser}, []asking{
		{"at a hook that sets no user", []int{text, 5}, abi.NotGranted},
	}},
	{abi.ImportMessageRetract, "i32 i32 i32 i32 -> i32", []int{text, 5, text, 5}, []int{0, 2}, nil, []int{256, abi.MaxMessageID}, []asking{
		{"no room", []int{text, 0, text, 5}, abi.BadPointer},
		{"no id", []int{text, 5, text, 0}, abi.BadPointer},
		{"an id with a line end", []int{text, 5, 88, 3}, abi.BadPointer},
	}},
	{abi.ImportMessageEdit, "i32 i32 i32 i32 i32 i32 i32 -> i32", []int{0, text, 5, text, 5, 64, 2}, []int{1, 3, 5}, nil, []int{256, abi.MaxMessageID, abi.MaxResult}, []asking{
		{"a kind there is not", []int{2, text, 5, text, 5, 64, 2}, abi.BadPointer},
		{"kind minus one", []int{-1, text, 5, text, 5, 64, 2}, abi.BadPointer},
		{"no text", []int{0, text, 5, text, 5, 64, 0}, abi.BadPointer},
		{"not JSON", []int{abi.EmitJSON, text, 5, text, 5, text, 5}, abi.BadPointer},
		{"not UTF-8", []int{abi.EmitText, text, 5, text, 5, 80, 2}, abi.BadPointer},
	}},
	{abi.ImportMetricAdd, "i32 i32 i64 -> i32", []int{text, 5, 1}, []int{0}, nil, []int{64}, nil},
}

var allGrants = []string{"kv", "rate", "emit", "rooms", "sanctions", "members", "identity", "amend", "properties:hello"}

// asking is a host call and its expected result.
type asking struct {
	name string
	args []int
	want int64
}

// lies returns calls with bad pointers and lengths.
func (c *hostCall) lies() []asking {
	var list []asking
	add := func(name string, ptr, value int, len, n int, want int64) {
		args := append([]int(nil), c.args...)
		args[ptr] = value
		if len >= 0 {
			args[len] = n
		}
		list = append(list, asking{fmt.Sprintf("%s of argument %d", name, ptr), args, want})
	}
	for k, p := range c.spans {
		add("beyond", p, end, p+1, 4, abi.BadPointer)
		add("over the end", p, end-4, p+1, 5, abi.BadPointer)
		add("wrapping", p, -8, p+1, 16, abi.BadPointer)
		add("too long", p, 0, p+1, c.limits[k]+1, abi.TooLarge)
		add("negative length", p, text, p+1, -1, abi.TooLarge)
		add("all there is", p, -1, p+1, -1, abi.TooLarge)
	}
	for _, p := range c.outs {
		size := p + 1
		if c.name == abi.ImportKVAdd {
			size = -1 // it always writes 8 bytes
		}
		add("out beyond", p, end, size, 100, abi.BadPointer)
		add("out over the end", p, end-1, size, 100, abi.BadPointer)
		add("out wrapping", p, -1, size, 100, abi.BadPointer)
	}
	return list
}

func TestHostCallPointersAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range hostCalls {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			defer w.end()
			probes := append(c.lies(), c.more...)
			a := attack{entry: host.Entry{Grants: allGrants, Timeout: patient.Timeout, Config: []byte(`{"hello":"secret"}`)},
				build: func(g *guest) asm.Code { return g.probe(&c, probes) }}
			w.must(w.load([]module{a.module()}))
			ctx := context.Background()
			others := []store.Key{{Tenant: "good", Module: "hostile", Name: "secret"}, {Tenant: "hostile", Module: "other", Name: "secret"}}
			for _, key := range append(others, store.Key{Tenant: "hostile", Module: "hostile", Name: "hell"}) {
				_, err := w.store.Set(ctx, key, []byte("value"), 0)
				w.must(err)
			}
			ev := event("hostile", hook.OnSayReceive)
			if outcome := w.askAbout(ev); outcome != hook.Allowed {
				t.Errorf("the outcome is %d, the failures are %v", outcome, w.failures())
			}
			got := w.stats().Metrics
			for _, p := range probes {
				if n, asked := got[p.name]; !asked || n != p.want {
					t.Errorf("%s: %d (asked: %v), want %d", p.name, n, asked, p.want)
				}
			}
			for _, key := range others {
				if value, err := w.store.Get(ctx, key); err != nil || string(value) != "value" {
					t.Errorf("%v is %q, %v", key, value, err)
				}
			}
			w.goodAnswers()
		})
	}
}

// probe makes the calls, and counts the result of each as a metric with its name.
func (g *guest) probe(c *hostCall, probes []asking) asm.Code {
	call := g.host(c.name, c.signature)
	metric := call
	if c.name != abi.ImportMetricAdd {
		metric = g.host(abi.ImportMetricAdd, "i32 i32 i64 -> i32")
	}
	g.manifest = `{"reads": ["message", "properties.hello"]}`
	for at, content := range map[int]string{64: "{}", 72: "secret", 80: "\xff\xfe", 88: "a\nb"} {
		g.Data(at, []byte(content))
	}
	at := 1024
	var code asm.Code
	for _, p := range probes {
		g.Data(at, []byte(p.name))
		code += asm.I32(at) + asm.I32(len(p.name)) // of the metric
		for k, arg := range p.args {
			code += constant(c.signature, k, arg)
		}
		code += call + asm.Extend + metric + asm.Drop
		at += len(p.name)
	}
	return code + answers(abi.Allow)
}

// constant returns an argument of the type that the signature has at k.
func constant(signature string, k, n int) asm.Code {
	if signature[4*k:][:3] == "i64" {
		return asm.I64(n)
	}
	return asm.I32(n)
}
