package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/script"
)

// guestHost is a host with two tenants that have the same guest.
type guestHost struct {
	*Host
	generations [2]*generation
	hooks       []hook.Hook // of the guest, for one member
}

// openGuest returns a host that resets instances by a method.
func openGuest(name string, module Module, prepare func(*Host)) (*guestHost, error) {
	h, err := New(Config{Cache: cache, StartTimeout: patience, ChainTimeout: patience, Scripts: script.New(script.Config{Command: script.Self()})})
	if err != nil {
		return nil, err
	}
	prepare(h)
	g := &guestHost{Host: h}
	r, err := h.Load(context.Background(), rulesOfGuest(name, module))
	if err != nil {
		return g, err
	}
	h.Swap(r)
	g.generations = [2]*generation{generationOf(h, "t0"), generationOf(h, "t1")}
	for _, at := range []hook.Hook{hook.Connect, hook.Join, hook.OnSayReceive, hook.Leave, hook.Disconnect} {
		if g.generations[0].hooks[hookOf(at)] {
			g.hooks = append(g.hooks, at)
		}
	}
	return g, nil
}

// disturb makes one random change to an instance: it calls a hook with a text, or changes memory, its size or a global.
func (g *guestHost) disturb(b *choices, in *instance, tenant string) {
	kind, n := b.next()%5, b.next()<<8|b.next()
	memory, globals := in.memory(), in.mutables()
	switch {
	case kind == 1:
		memory[n*len(memory)>>16] ^= byte(1 + n%255)
	case kind == 2:
		for at := n % pageSize; at < len(memory); at += pageSize * (1 + n%7) {
			memory[at] ^= byte(1 + n%255)
		}
	case kind == 3:
		in.mem.Grow(uint32(n % 4))
	case kind == 4 && len(globals) > 0:
		global := globals[n%len(globals)]
		global.Set(global.Get() + uint64(n))
	case len(g.hooks) > 0:
		ev := said(fmt.Sprintf("%s %x http://example.com", b.rest[:min(n%64, len(b.rest))], n))
		ev.Tenant, ev.Hook, in.mark = tenant, g.hooks[n%len(g.hooks)], now()
		_ = in.decide(g.current.Load().tenants[tenant].entries[0], ev, nil, in.mark+int64(patience), new(answer)) // may fail
	}
}

// FuzzRebindsOfGuests makes two tenants use one instance of a guest in turn, for each guest, language and method of a reset. Each tenant
// calls hooks and changes memory and globals at random. After each reset every byte and global must be that of the image, and
// the guest must start for the other tenant.
func FuzzRebindsOfGuests(f *testing.F) {
	all := guests(f)
	names, ways := slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(methods))
	hosts := make(map[string]*guestHost)
	f.Cleanup(func() {
		for _, h := range hosts {
			if err := h.Close(); err != nil {
				f.Error(err)
			}
		}
	})
	for guest := range names {
		for way := range ways {
			f.Add([]byte{byte(guest), byte(way), 9, 0, 0, 10, 'h', 'e', 'l', 'l', 'o', 2, 0, 7, 3, 0, 3, 0, 0, 20, 1, 80, 9, 4, 0, 1, 0, 0, 1, 5, 2, 1, 9})
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		b := &choices{input}
		name, way := names[b.next()%len(names)], ways[b.next()%len(ways)]
		h := hosts[name+way]
		if h == nil {
			var err error
			if h, err = openGuest(name, all[name], methods[way]); h != nil {
				hosts[name+way] = h
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for turn := 0; turn < 8 && (turn < 2 || len(b.rest) > 0); turn++ {
			tenant := turn % 2
			g := h.generations[tenant]
			in, fail := g.newInstance(false)
			if fail != nil {
				t.Fatalf("%s, %s: %v", name, way, fail)
			}
			for range b.next() % 8 {
				if !in.broken {
					h.disturb(b, in, fmt.Sprint("t", tenant))
				}
			}
			if in.broken || in.linear.image == nil || in.linear.image != in.generation.images.current.Load() {
				in.close()
				continue
			}
			if err := in.reset(); err != nil {
				t.Fatalf("%s, %s: %v", name, way, err)
			}
			in.generation = g
			if err := in.verify(); err != nil {
				t.Errorf("%s, %s: %v", name, way, err)
			}
			if in.generation = nil; !h.memory.awake.spares.add(in) {
				in.close()
			}
		}
	})
}
