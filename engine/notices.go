package engine

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/wire"
)

// Members of a room with presence hear who joins and who leaves, if they asked to.
// Each node gathers what happens on it, and publishes it to a topic beside the
// room's own: nobody is subscribed to that where nobody asked, and it is no part of
// the room's order and history.

const (
	noticeDelay   = 100 * time.Millisecond // of joins and leaves that are told of together
	noticeTimeout = 10 * time.Second       // that a notice may take to be published
	maxNoticeIDs  = 1000                   // ids in a notice
)

// noticesOf is the topic of a room's notices. No client's room has such a name.
func noticesOf(room cluster.RoomID) cluster.RoomID {
	return cluster.RoomID{Tenant: room.Tenant, Room: "\x01" + room.Room}
}

// notice is what members hear.
type notice struct {
	Context      string   `json:"context"` // presence
	Room         string   `json:"room"`
	Joined       []string `json:"joined"`
	Left         []string `json:"left"`
	MembersCount int      `json:"membersCount"` // on all nodes, after it
}

// gathering is what has happened in rooms and is still to be told.
type pendingNotices struct {
	mu     sync.Mutex
	rooms  map[cluster.RoomID]*pendingNotice
	timers sync.WaitGroup
}

type pendingNotice struct {
	joined, left []string
	timer        *time.Timer
}

// notePresence tells a room with presence who has joined or left. Who did both within
// the time has done nothing.
func (e *Engine) notePresence(t *tenant, room cluster.RoomID, id string, joined bool) {
	if !t.settings(room.Room).Presence {
		return
	}
	g := &e.notices
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.rooms[room]
	if n == nil {
		n = &pendingNotice{}
		if g.rooms == nil {
			g.rooms = map[cluster.RoomID]*pendingNotice{}
		}
		g.rooms[room] = n
		g.timers.Add(1)
		n.timer = time.AfterFunc(noticeDelay, func() { e.publishNotice(room) })
	}
	to, against := &n.joined, &n.left
	if !joined {
		to, against = against, to
	}
	if i := slices.Index(*against, id); i >= 0 {
		*against = slices.Delete(*against, i, i+1)
		return
	}
	*to = append(*to, id)
}

// publishNotice publishes what was gathered of a room.
func (e *Engine) publishNotice(room cluster.RoomID) {
	g := &e.notices
	defer g.timers.Done()
	g.mu.Lock()
	n := g.rooms[room]
	delete(g.rooms, room)
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), noticeTimeout)
	defer cancel()
	for len(n.joined) > 0 || len(n.left) > 0 {
		count, err := e.cluster.Presence.Count(ctx, room)
		if err == nil {
			err = e.cluster.Broker.Publish(ctx, noticesOf(room), n.next(room.Room, count), cluster.Retention{})
		}
		if err != nil {
			e.log.Warn("a notice of who joined and left was not sent", "tenant", room.Tenant, "room", room.Room, "error", err)
			return
		}
	}
}

// next takes as much as one notice holds.
func (n *pendingNotice) next(room string, count int) []byte {
	joined := min(len(n.joined), maxNoticeIDs)
	left := min(len(n.left), maxNoticeIDs)
	b, err := json.Marshal(notice{"presence", room, append([]string{}, n.joined[:joined]...), append([]string{}, n.left[:left]...), count})
	if err != nil {
		panic("engine: a notice cannot be encoded: " + err.Error()) // strings and a number
	}
	n.joined, n.left = n.joined[joined:], n.left[left:]
	return b
}

// publishAllNotices publishes what is left, and returns when all is published.
func (e *Engine) publishAllNotices() {
	g := &e.notices
	g.mu.Lock()
	var now []cluster.RoomID
	for room, n := range g.rooms {
		if n.timer.Stop() {
			now = append(now, room)
		}
	}
	g.mu.Unlock()
	for _, room := range now {
		e.publishNotice(room)
	}
	g.timers.Wait()
}

// deliverNotice gives a notice to the members who asked for it. It is false if it
// is none.
func (e *Engine) deliverNotice(t *tenant, topic string, payload []byte) bool {
	name, ok := strings.CutPrefix(topic, "\x01")
	if !ok {
		return false
	}
	r := t.lookup(name)
	if r == nil {
		return true
	}
	defer t.release(r)
	to := r.present()
	frame := wire.FrameOf(payload)
	n := fanout.Message{Answers: []*wire.Frame{frame}, Which: make([]int32, len(to.members)), Size: frame.Len()}
	for i, m := range to.members {
		if !m.watches {
			n.Which[i] = fanout.Nothing
		}
	}
	r.out.Post(&to.Snapshot, n)
	return true
}
