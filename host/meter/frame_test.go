package meter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// liveValues returns code with n values that are live during a call of function 0. The argument of the call is the
// parameter minus one.
func liveValues(n int) []byte {
	value := cat(at(opLocalGet, 0), i32c(3), ops(0x73))
	return cat(bytes.Repeat(value, n), at(opLocalGet, 0), i32c(1), ops(opI32Sub), at(opCall, 0), bytes.Repeat(ops(opI32Add), n))
}

// TestStackBudgetBoundsLargeFrames makes functions with large frames call themselves. It checks that the guest calls
// the host for the stack budget repeatedly, and traps if the host does not raise it. It checks that a return restores
// the budget.
func TestStackBudgetBoundsLargeFrames(t *testing.T) {
	for name, code := range map[string][]byte{
		"run":     cat(at(opLocalGet, 0), ops(0x45, opIf, 0x40), i32c(7), ops(opReturn, opEnd), liveValues(1000)),
		"not run": cat(at(opLocalGet, 0), i32c(1000), ops(0x46, opIf, i32), liveValues(1000), ops(opElse), at(opLocalGet, 0), ops(opIf, i32), liveValues(0), ops(opElse), i32c(7), ops(opEnd, opEnd)),
	} {
		b := newBuilder()
		b.fn("down", vals(i32), vals(i32), nil, code)
		wasm := b.wasm()
		g := newGuest(t, wasm, Limits{})
		a := allow(1000)
		if _, err := g.call(a, Slice, "down", 500); err != nil || g.stack() != FirstStackBudget {
			t.Errorf("%s: %v, stack budget %d", name, firstLine(err), g.stack())
		}
		const each = 16_000 // bytes of a frame, at least
		if asked := 1000 - a.stacks; asked < (500*each-FirstStackBudget)/StackBudget {
			t.Errorf("%s: 500 frames used up the stack budget %d times", name, asked)
		}
		a = allow(1000)
		a.stacks = 0
		if _, err := g.call(a, Slice, "down", 500); !strings.Contains(fmt.Sprint(err), "unreachable") || g.stack() >= 0 {
			t.Errorf("%s: a budget that is not raised: %v, stack budget %d", name, firstLine(err), g.stack())
		}
	}
}

// TestSmallFramesTakeNoStackBudget checks that ordinary functions do not count their frames by bytes, which would slow
// down each call.
func TestSmallFramesTakeNoStackBudget(t *testing.T) {
	g := newGuest(t, down(nil), Limits{})
	a := allow(1000)
	a.onRefuel = func() {
		if g.stack() != FirstStackBudget {
			t.Errorf("the stack budget is %d", g.stack())
		}
	}
	if _, err := g.call(a, 0, "down", 5000); err != nil || a.used == 0 {
		t.Errorf("%v, %d refuels", err, a.used)
	}
}
