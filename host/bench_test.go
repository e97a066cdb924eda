package host

import (
	"context"
	"testing"

	"github.com/mootchat/moot/engine/hook"
)

// measured has the cases: the name, the entry, and the number of receivers at say.
var measured = []struct {
	name    string
	entry   Entry
	members int
}{
	{"onSayReceive", Entry{Module: "allow"}, 0},
	{"onSayReceive in Go", goEntry(`{}`), 0},
	{"say to 1000 in batches", Entry{Module: "allow"}, 1000},
	{"say to 1000 by locale", Entry{Module: "class"}, 1000},
	{"say to 1000 at once", Entry{Module: "once"}, 1000},
	{"say to 1000 each, in Go", goEntry(`{"say": "receivers"}`), 1000},
}

func callChain(h *Host, ev *hook.Event, members []hook.Member) {
	if members == nil {
		h.Decide(context.Background(), ev)
	} else if d := h.Deliver(context.Background(), ev, members); d.Release != nil {
		d.Release()
	}
}

// one returns the event and the members of a case.
func one(members int) (*hook.Event, []hook.Member) {
	ev := said("a message of ordinary length, such as people write them")
	if members == 0 {
		return ev, nil
	}
	ev.Hook, ev.Conn, ev.Snapshot = hook.Say, nil, new(hook.MemberSnapshot)
	return ev, crowd(members)
}

func BenchmarkHost(b *testing.B) {
	for _, c := range measured {
		b.Run(c.name, func(b *testing.B) {
			h, _ := start(b, Config{}, c.entry)
			ev, members := one(c.members)
			b.ReportAllocs()
			for b.Loop() {
				callChain(h, ev, members)
			}
		})
	}
}

func TestNothingIsAllocatedWhereNothingIsRewritten(t *testing.T) {
	for _, c := range measured[:5] {
		h, _ := start(t, Config{}, c.entry)
		ev, members := one(c.members)
		if n := testing.AllocsPerRun(100, func() { callChain(h, ev, members) }); n > 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// BenchmarkStart measures the start of an instance, with moot_init, by itself and from the image of its module.
func BenchmarkStart(b *testing.B) {
	for _, e := range []Entry{{Module: "allow"}, goEntry(`{}`)} {
		for _, from := range []string{"nothing", "an image"} {
			b.Run(e.Module+" from "+from, func(b *testing.B) {
				h, _ := start(b, Config{}, e)
				g := generationOf(h, "t")
				if from == "nothing" {
					g.images = &images{code: g.code, reason: "the benchmark wants none"}
				}
				for b.Loop() {
					in, f := g.newInstance(false)
					if f != nil {
						b.Fatal(f)
					}
					in.close()
				}
			})
		}
	}
}
