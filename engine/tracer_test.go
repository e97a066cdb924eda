package engine_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// idle is a tracer that only counts its calls.
type idle struct{ begun, ended int }

func (i *idle) Begin(ctx context.Context, _ *hook.Profile, _ *wire.Request) (context.Context, func(error)) {
	i.begun++
	return ctx, i.end
}

func (i *idle) end(error) { i.ended++ }

var verbsOfABench = map[string]wire.Request{
	"detailsView": {Verb: "detailsView", ID: json.RawMessage("1")},
	"say":         {Verb: "say", Room: "r", RoomGiven: true, Text: line, ID: json.RawMessage("1")},
}

// TestTracingIsFreeWithoutATracer checks that tracing allocates nothing without a
// tracer.
func TestTracingIsFreeWithoutATracer(t *testing.T) {
	h := newHall(t)
	defer h.stop()
	h.enter(t, 1)
	for name, r := range verbsOfABench {
		if n := testing.AllocsPerRun(100, func() { engine.Begin(t.Context(), h.members[0], &r) }); n > 0 {
			t.Errorf("%s: it allocates %v times", name, n)
		}
	}
}

func TestATracerSeesEachVerbAndItsEnd(t *testing.T) {
	tracer := &idle{}
	h := newHall(t, func(c *engine.Config) { c.Tracer = tracer })
	defer h.stop()
	h.enter(t, 1) // with the verb roomAdd
	for _, r := range verbsOfABench {
		h.members[0].Do(t.Context(), r)
	}
	if tracer.begun != 3 || tracer.ended != 3 {
		t.Errorf("%d begun, %d ended", tracer.begun, tracer.ended)
	}
}

func BenchmarkVerb(b *testing.B) {
	for name, r := range verbsOfABench {
		b.Run(name, func(b *testing.B) {
			h := newHall(b)
			defer h.stop()
			h.enter(b, 1)
			b.ReportAllocs()
			for b.Loop() {
				h.members[0].Do(context.Background(), r)
			}
		})
	}
}
