package engine_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/memory"
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
// its answer, and no others, and that it receives a gap notice if more come meanwhile than its
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
					w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", fmt.Appendf(nil, `"%d %s"`, said, strings.Repeat("x", size)))), nil)
				}
				synctest.Wait()
			}
			answer, rest := n.client().joinsAt("", 0)
			if gaps > 0 {
				if answer.Offset != 10 {
					w.Errorf("the position is %d, want 10", answer.Offset)
				}
				w.equal("received", rest, []string{`{"context":"gap","room":"r"}`})
				return
			}
			if answer.Offset != 0 || len(rest) != 20 || !strings.Contains(rest[0], `"1 x"`) {
				w.Errorf("received %q after %d, want messages 1 to 20 after 0", rest, answer.Offset)
			}
		})
	}
}

// TestResumedClientsOfRoomsWithoutHistoryNoticeGaps checks that a client that counts messages learns
// at resume whether it missed any, on the node of its session and on another one, and that a
// client that does not count receives no report.
func TestResumedClientsOfRoomsWithoutHistoryNoticeGaps(t *testing.T) {
	inWorld(t, func(w *world) {
		nodes := []*node{w.node("one", resumes), w.node("two", resumes)}
		nodes[1].client().says(roomAdd("q"), isTrue) // the room's epoch ends with its last member
		at := remembered{}
		a := nodes[0].client()
		<-a.Begin(`{"event":"roomAdd","room":"q","since":{"epoch":"","offset":0},"messageId":1}`)
		if heard := a.heard(); len(heard) != 1 || json.Unmarshal([]byte(heard[0]), &at) != nil || at.Epoch == "" {
			w.Fatalf("roomAdd: %s", heard)
		}
		tell := func(from *node, n int) {
			for range n {
				w.must(errorOf(from.Broadcast(w.Context(), in("q"), "", []byte(`"x"`))), nil)
			}
			synctest.Wait()
		}
		secret := a.secret()
		for i, missed := range []int{0, 0, 2, 0, 3, 0} {
			tell(nodes[i%2], 1)
			at.Offset += uint64(len(a.heard()))
			a.HangUp()
			tell(nodes[1], missed)
			a = nodes[i/2%2].client()
			r, rest := a.back(fmt.Sprintf(`{"event":"resume","session":%q,"since":{"q":{"epoch":%q,"offset":%d}},"messageId":1}`, secret, at.Epoch, at.Offset))
			at.Offset += uint64(missed)
			if q := r.Rooms["q"]; q != (resumedRoom{at.Epoch, at.Offset, missed == 0}) || len(rest) > 0 {
				w.Errorf("return %d after %d messages: %+v, and %q follows; want %d", i, missed, q, rest, at.Offset)
			}
			secret = r.Session
		}
		a.HangUp()
		if r, _ := nodes[0].client().back(resume(secret)); r.Rooms["q"] != (resumedRoom{}) {
			w.Errorf("without a position: %+v", r.Rooms["q"])
		}
	})
}

// TestAResumeLosesNoMessageOfARoomWithoutHistory checks that messages that come while the server reads the
// position are received after it.
func TestAResumeLosesNoMessageOfARoomWithoutHistory(t *testing.T) {
	inWorld(t, func(w *world) {
		h := &halting{wait: func() {}}
		n := w.node("one", func(c *engine.Config) { h.History, c.Cluster.History = c.Cluster.History, h }, resumes)
		a := n.client()
		<-a.Begin(`{"event":"roomAdd","room":"q","since":{"epoch":"","offset":0},"messageId":1}`)
		at := remembered{}
		w.must(json.Unmarshal([]byte(a.heard()[0]), &at), nil)
		secret := a.secret()
		a.HangUp()
		h.wait = func() {
			for range 3 {
				w.must(errorOf(n.Broadcast(w.Context(), in("q"), "", []byte(`"x"`))), nil)
			}
			synctest.Wait()
		}
		r, rest := n.client().back(fmt.Sprintf(`{"event":"resume","session":%q,"since":{"q":{"epoch":%q,"offset":%d}},"messageId":1}`, secret, at.Epoch, at.Offset))
		if q := r.Rooms["q"]; q != (resumedRoom{at.Epoch, at.Offset, true}) || len(rest) != 6 {
			w.Errorf("it is %+v, and %q follows; want the position of the join, and 6 messages", q, rest)
		}
	})
}

// TestAShadowedClientIsNotToldThatItMissedNothing checks a client whose count has its own shadowed messages.
func TestAShadowedClientIsNotToldThatItMissedNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", moderated(&memory.Store{}))
		n.as("bob").says(roomAdd("r"), isTrue)
		a := n.as("ann")
		at, _ := a.joinsAt("", 0)
		n.sanctions(sanction(moderation.Shadow, "ann", moderation.AllRooms, 0))
		a.do(`{"event":"say","room":"r","message":"mine","messageId":2}`)
		a.HangUp()
		n.tells(1, 1)
		again, _ := n.as("ann").joinsAt(at.Epoch, at.Offset+1)
		w.recovered(again, false)
	})
}

func TestEphemeralRoomsHaveNoPosition(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", func(c *engine.Config) {
			c.Tenants[0].Rooms = []engine.RoomSettings{{Retention: cluster.Retention{Ephemeral: true}}}
		})
		n.client().says(`{"event":"roomAdd","room":"r","since":{"epoch":"e","offset":1},"messageId":1}`, isTrue)
	})
}
