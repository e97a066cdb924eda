package engine_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
)

// joinsAt makes the client join r with a position. It returns the answer and the lines that follow.
func (c *client) joinsAt(epoch string, offset uint64) (answer remembered, rest []string) {
	c.n.w.Helper()
	<-c.Begin(fmt.Sprintf(`{"event":"roomAdd","room":"r","since":{"epoch":%q,"offset":%d},"messageId":1}`, epoch, offset))
	heard := c.heard()
	if len(heard) == 0 || json.Unmarshal([]byte(heard[0]), &answer) != nil || answer.Status != "OK" {
		c.n.w.Fatalf("roomAdd: %s", heard)
	}
	return answer, heard[1:]
}

// TestClientsOfRoomsWithoutHistoryNoticeGaps checks that a client that counts messages after the
// position at its join learns when it comes back whether it missed any.
func TestClientsOfRoomsWithoutHistoryNoticeGaps(t *testing.T) {
	inWorld(t, func(w *world) {
		n, other := w.node("one"), w.node("two")
		n.client().says(roomAdd("r"), isTrue) // the room's epoch ends with its last member
		n.tells(1, 3)
		a := n.client()
		at, rest := a.joinsAt("", 0)
		w.recovered(at, false)
		if at.Epoch == "" || at.Offset != 3 || len(rest) > 0 {
			w.Errorf("the room is at %+v, and %q follows", at, rest)
		}
		other.tells(4, 5)
		at.Offset += uint64(len(a.heard()))
		a.HangUp()
		synctest.Wait()

		b := other.client()
		again, _ := b.joinsAt(at.Epoch, at.Offset)
		w.recovered(again, true)
		b.HangUp()
		n.tells(6, 6)
		missed, rest := other.client().joinsAt(at.Epoch, at.Offset)
		w.recovered(missed, false)
		if missed.Offset != 6 || missed.Epoch != at.Epoch || len(rest) > 0 {
			w.Errorf("the room is at %+v, and %q follows", missed, rest)
		}
	})
}

// TestThePositionAtAJoinIsExact checks that a member receives the messages after the position in
// its answer, and no others, and that it is told of a gap if more come meanwhile than its
// gate holds back.
func TestThePositionAtAJoinIsExact(t *testing.T) {
	for size, gaps := range map[int]int{1: 0, 1000: 1} {
		inWorld(t, func(w *world) {
			var n *node
			said := 0
			h := &halting{}
			n = w.node("one", func(c *engine.Config) {
				h.History, c.Cluster.History = c.Cluster.History, h
				c.Limits.OutboxBytes = 32 << 10
			})
			h.wait = func() {
				for range 10 {
					said++
					w.must(n.Broadcast(w.Context(), in("r"), "", fmt.Appendf(nil, `"%d %s"`, said, strings.Repeat("x", size))), nil)
				}
				synctest.Wait()
			}
			answer, rest := n.client().joinsAt("", 0)
			if answer.Offset != 10 {
				w.Errorf("the position is %d, want 10", answer.Offset)
			}
			if gaps > 0 {
				w.equal("received", rest, []string{`{"context":"gap","room":"r"}`})
				return
			}
			if len(rest) != 10 || !strings.Contains(rest[0], `"11 x"`) {
				w.Errorf("received %q, want messages 11 to 20", rest)
			}
		})
	}
}

func TestEphemeralRoomsHaveNoPosition(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", func(c *engine.Config) {
			c.Tenants[0].Rooms = []engine.RoomSettings{{Retention: cluster.Retention{Ephemeral: true}}}
		})
		n.client().says(`{"event":"roomAdd","room":"r","since":{"epoch":"e","offset":1},"messageId":1}`, isTrue)
	})
}
