package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
)

// tellsOfMembers enables presence for the room "r".
func tellsOfMembers(c *engine.Config) {
	c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(r string) bool { return r == "r" }, Presence: true}}
}

func watch(room string) string {
	return fmt.Sprintf(`{"event":"roomAdd","room":%q,"presence":true,"messageId":1}`, room)
}

func noticeOf(count int, joined, left []*client) string {
	ids := func(of []*client) []string {
		all := []string{}
		for _, c := range of {
			all = append(all, c.ID())
		}
		return all
	}
	b, _ := json.Marshal(map[string]any{"context": "presence", "room": "r", "joined": ids(joined), "left": ids(left), "membersCount": count})
	return reordered(string(b))
}

// reordered returns the JSON text with sorted names.
func reordered(text string) string {
	var v any
	_ = json.Unmarshal([]byte(text), &v)
	b, _ := json.Marshal(v)
	return string(b)
}

func (c *client) isTold(want ...string) {
	c.n.w.Helper()
	heard := c.heard()
	for i := range heard {
		heard[i] = reordered(heard[i])
	}
	c.compare(heard, want)
}

func TestMembersReceivePresenceNotices(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", tellsOfMembers), w.node("two", tellsOfMembers)
		a := one.client()
		a.says(watch("r"), isTrue)
		time.Sleep(100 * time.Millisecond)
		a.isTold(noticeOf(1, []*client{a}, nil))
		deaf := one.client().do(roomAdd("r"))
		b, c := two.client().do(watch("r")), two.socket().do(roomAdd("r"))
		time.Sleep(99 * time.Millisecond)
		a.isTold()
		time.Sleep(time.Millisecond)
		heard := a.heard()
		slices.Sort(heard)
		w.equal("of two nodes", []string{reordered(heard[0]), reordered(heard[1])},
			[]string{noticeOf(4, []*client{deaf}, nil), noticeOf(4, []*client{b, c}, nil)})
		b.heard()
		b.HangUp()
		c.do(roomLeave("r"))
		time.Sleep(100 * time.Millisecond)
		a.isTold(noticeOf(2, nil, []*client{b, c}))
		deaf.hears()
		// No member of the other node asks for notices now.
		one.client().do(roomAdd("r")).do(roomLeave("r")) // the join and the leave cancel each other out
		time.Sleep(time.Second)
		a.isTold()
		a.do(roomLeave("r"))
		time.Sleep(time.Second)
		a.isTold()
	})
}

func TestRoomsWithoutPresenceTellNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", tellsOfMembers)
		a := n.client().do(watch("q"))
		n.client().do(watch("q")).HangUp()
		time.Sleep(time.Second)
		a.hears()
		a.says(`{"event":"roomAdd","room":"r","presence":"yes","messageId":1}`,
			`{"status":"Error: presence must be true or false","error":"Error: presence must be true or false","context":"response","data":{"presence":"yes"},"messageId":1}`)
	})
}

// TestMembersAreNotifiedOfADeadNode checks that members receive a notice of the members of a node
// that has died.
func TestMembersAreNotifiedOfADeadNode(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", tellsOfMembers), w.node("two", tellsOfMembers)
		a, b := one.client().do(watch("r")), two.client().do(roomAdd("r"))
		time.Sleep(time.Second)
		a.heard()
		w.must(w.hub.Kill("two"), nil)
		time.Sleep(100 * time.Millisecond)
		a.isTold(noticeOf(1, nil, []*client{b}))
	})
}

// TestNodeThatStopsPublishesLeaves checks that a node that stops publishes the leaves of its
// members at once.
func TestNodeThatStopsPublishesLeaves(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", tellsOfMembers), w.node("two", tellsOfMembers)
		a, b := one.client().do(watch("r")), two.client().do(roomAdd("r"))
		time.Sleep(time.Second)
		a.heard()
		two.Stop()
		synctest.Wait()
		a.isTold(noticeOf(1, nil, []*client{b}))
	})
}

// TestNoticesOfManyComeInParts checks that a notice contains at most 1000 ids.
func TestNoticesOfManyComeInParts(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", tellsOfMembers)
		a := n.client().do(watch("r"))
		time.Sleep(time.Second)
		a.heard()
		const many = 1500
		for range many {
			n.client().do(roomAdd("r"))
		}
		time.Sleep(100 * time.Millisecond)
		var sizes []int
		for _, h := range a.heard() {
			var notice struct{ Joined []string }
			w.must(json.Unmarshal([]byte(h), &notice), nil)
			sizes = append(sizes, len(notice.Joined))
		}
		if !slices.Equal(sizes, []int{1000, 500}) {
			w.Errorf("told of %v", sizes)
		}
	})
}
