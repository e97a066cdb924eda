package engine_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// idle is a tracer that does nothing, and no more.
type idle struct{ begun, ended int }

func (i *idle) Begin(ctx context.Context, _ *engine.Profile, _ *wire.Request) (context.Context, func(error)) {
	i.begun++
	return ctx, i.end
}

func (i *idle) end(error) { i.ended++ }

var verbsOfABench = map[string]wire.Request{
	"detailsView": {Verb: "detailsView", ID: json.RawMessage("1")},
	"say":         {Verb: "say", Room: "r", RoomGiven: true, Text: line, ID: json.RawMessage("1")},
}

// Where nobody traces, a verb allocates what it did before there was a tracer to ask
// for: these figures, which BenchmarkVerb shows.
func TestVerbsThatNobodyTracesCostNothingMore(t *testing.T) {
	for name, r := range verbsOfABench {
		h := newHall(t)
		h.enter(t, 1)
		off := testing.AllocsPerRun(200, func() { h.members[0].Do(t.Context(), r) })
		h.stop()
		tracer := &idle{}
		h = newHall(t, func(c *engine.Config) { c.Tracer = tracer })
		h.enter(t, 1)
		on := testing.AllocsPerRun(200, func() { h.members[0].Do(t.Context(), r) })
		h.stop()
		if off > on-1 { // the tracer's own end
			t.Errorf("%s: %v allocations without a tracer, %v with one that allocates once", name, off, on)
		}
		if tracer.begun == 0 || tracer.begun != tracer.ended {
			t.Errorf("%s: %d begun, %d ended", name, tracer.begun, tracer.ended)
		}
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
