package meter

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// randomSegments returns a module with up to 12 data segments in a memory of one or two pages. Most offsets are near
// each other, near the ends of the memory, or at the limits of 32 bits.
func randomSegments(r *rand.Rand) []byte {
	b := newBuilder()
	pages := 1 + r.Int64N(2)
	b.memory(uint32(pages), -1)
	n := r.IntN(12)
	if r.IntN(3) == 0 {
		announced := n
		if r.IntN(8) == 0 {
			announced++
		}
		b.raw(dataCountSection, announced)
	}
	places := []int64{0, 1, 40, maxGap, 1000, 1<<16 - 1, pages<<16 - 30, pages << 16, math.MaxInt32, math.MinInt32, -1}
	for i := range n {
		at := places[r.IntN(len(places)-3*r.IntN(2))]
		if r.IntN(8) > 0 {
			at = max(math.MinInt32, min(math.MaxInt32, at+r.Int64N(100)-10))
		}
		if r.IntN(4) > 0 {
			at = r.Int64N(400)
		}
		content := bytes.Repeat([]byte{byte(i + 1)}, r.IntN(90)*r.IntN(2))
		segment := active(at, string(content))
		switch r.IntN(20) {
		case 0:
			segment = append(appendU32([]byte{1}, uint32(len(content))), content...)
		case 1, 2, 3:
			segment = append([]byte{2, 0}, segment[1:]...)
		}
		b.add(dataSection, segment)
	}
	return b.wasm()
}

// TestRandomSegmentsAreThoseOfTheRuntime compares the memory of random modules with the memory that the runtime makes
// of the module as it was. A module that the runtime does not start must be refused, unless it keeps its segments.
func TestRandomSegmentsAreThoseOfTheRuntime(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	moved, refused := 0, 0
	for i := range segmentRounds {
		wasm := randomSegments(r)
		ctx := context.Background()
		rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
		plain, want := rt.InstantiateWithConfig(ctx, wasm, anonymous())
		m, err := RewriteCode(wasm, Limits{})
		switch {
		case err != nil:
			refused++
			if want == nil {
				t.Fatalf("seed %d, module %d: %v, but the runtime starts it: %x", seed, i, err, wasm)
			}
		case want != nil:
			if m.Data != nil || !strings.Contains(want.Error(), "out of bounds") {
				t.Fatalf("seed %d, module %d: the runtime reports %v, but it is accepted: %x", seed, i, want, wasm)
			}
		case !bytes.Equal(memoryOf(plain), filledMemory(t, m)):
			t.Fatalf("seed %d, module %d: the memory differs: %x", seed, i, wasm)
		case m.Data != nil:
			moved++
		}
		rt.Close(ctx)
	}
	if moved < segmentRounds/10 || refused < segmentRounds/20 {
		t.Errorf("of %d modules %d had their segments moved, and %d were refused", segmentRounds, moved, refused)
	}
}

const segmentRounds = 300
