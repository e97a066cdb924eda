package meter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// keeping is code of so many values that outlast a call of function 0 with what the parameter is less one.
func keeping(n int) []byte {
	value := cat(at(opLocalGet, 0), i32c(3), ops(0x73))
	return cat(bytes.Repeat(value, n), at(opLocalGet, 0), i32c(1), ops(opI32Sub), at(opCall, 0), bytes.Repeat(ops(opI32Add), n))
}

// TestRoomIsForTheFramesOfAChain has functions of large frames call themselves: the host is asked for room again and again,
// and where it gives none they trap. After every return the room is what it was.
func TestRoomIsForTheFramesOfAChain(t *testing.T) {
	for name, code := range map[string][]byte{
		"run":     cat(at(opLocalGet, 0), ops(0x45, opIf, 0x40), i32c(7), ops(opReturn, opEnd), keeping(1000)),
		"not run": cat(at(opLocalGet, 0), i32c(1000), ops(0x46, opIf, i32), keeping(1000), ops(opElse), at(opLocalGet, 0), ops(opIf, i32), keeping(0), ops(opElse), i32c(7), ops(opEnd, opEnd)),
	} {
		b := newBuilder()
		b.fn("down", vals(i32), vals(i32), nil, code)
		wasm := b.wasm()
		g := newGuest(t, wasm, Limits{})
		a := allow(1000)
		if _, err := g.call(a, Slice, "down", 500); err != nil || g.room() != FirstRoom {
			t.Errorf("%s: %v, room %d", name, firstLine(err), g.room())
		}
		const each = 16_000 // at least, of a frame
		if asked := 1000 - a.chains; asked < (500*each-FirstRoom)/Room {
			t.Errorf("%s: 500 frames asked for room %d times", name, asked)
		}
		a = allow(1000)
		a.chains = 0
		if _, err := g.call(a, Slice, "down", 500); !strings.Contains(fmt.Sprint(err), "unreachable") || g.room() >= 0 {
			t.Errorf("%s: without room: %v, room %d", name, firstLine(err), g.room())
		}
	}
}

// TestSmallFramesNeedNoRoom is about what most functions are: to count for them would cost each call.
func TestSmallFramesNeedNoRoom(t *testing.T) {
	g := newGuest(t, down(nil), Limits{})
	a := allow(1000)
	a.asked = func() {
		if g.room() != FirstRoom {
			t.Errorf("the room is %d", g.room())
		}
	}
	if _, err := g.call(a, 0, "down", 5000); err != nil || a.used == 0 {
		t.Errorf("%v, asked %d times", err, a.used)
	}
}
