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

// Members of a room with presence receive notices of joins and leaves if they ask for them.
// Each node collects the joins and leaves of its connections and publishes them on a topic
// of its own for each room. Thus a node without such members need not subscribe to the
// topic, and notices are not part of the room's order and history.

const (
	noticeDelay   = 100 * time.Millisecond // the time for which joins and leaves are collected
	noticeTimeout = 10 * time.Second       // for publishing a notice
	maxNoticeIDs  = 1000                   // maximum number of ids in a notice, for joins and for leaves
)

// noticesOf returns the topic of a room's notices. Clients cannot create a room with that
// name.
func noticesOf(room cluster.RoomID) cluster.RoomID {
	return cluster.RoomID{Tenant: room.Tenant, Room: "\x01" + room.Room}
}

// notice is a presence notice, as members receive it.
type notice struct {
	Context      string   `json:"context"` // "presence"
	Room         string   `json:"room"`
	Joined       []string `json:"joined"`
	Left         []string `json:"left"`
	MembersCount int      `json:"membersCount"` // on all nodes, after the joins and leaves
}

// pendingNotices holds the joins and leaves that are not published yet.
type pendingNotices struct {
	mu     sync.Mutex
	rooms  map[cluster.RoomID]*pendingNotice
	users  map[cluster.RoomID]*pendingUsers // rooms whose users will be announced; see usernotices.go
	timers sync.WaitGroup
}

type pendingNotice struct {
	joined, left []string
	timer        *time.Timer
}

// notePresence adds a join or a leave to the pending notice of a room with presence. A join
// and a leave of the same connection cancel each other out.
func (e *Engine) notePresence(t *tenant, room cluster.RoomID, id string, joined bool) {
	if !t.settings(room.Room).Presence {
		return
	}
	e.noteUsers(t, room)
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

// publishNotice publishes the collected joins and leaves of a room.
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
			e.log.Warn("a presence notice was not published", "tenant", room.Tenant, "room", room.Room, "error", err)
			return
		}
	}
}

// next removes the ids for one notice and returns the notice.
func (n *pendingNotice) next(room string, count int) []byte {
	joined := min(len(n.joined), maxNoticeIDs)
	left := min(len(n.left), maxNoticeIDs)
	b, err := json.Marshal(notice{"presence", room, append([]string{}, n.joined[:joined]...), append([]string{}, n.left[:left]...), count})
	if err != nil {
		panic("engine: a notice cannot be encoded: " + err.Error()) // a notice has only strings and a number
	}
	n.joined, n.left = n.joined[joined:], n.left[left:]
	return b
}

// publishAllNotices publishes all pending notices and waits until they are published.
func (e *Engine) publishAllNotices() {
	g := &e.notices
	g.mu.Lock()
	var now []cluster.RoomID
	for room, n := range g.rooms {
		if n.timer.Stop() {
			now = append(now, room)
		}
	}
	var users []cluster.RoomID
	for room, p := range g.users {
		if p.timer.Stop() {
			users = append(users, room)
		}
	}
	g.mu.Unlock()
	for _, room := range now {
		e.publishNotice(room)
	}
	for _, room := range users {
		e.announceUsers(room)
	}
	g.timers.Wait()
}

// deliverNotice sends a notice to the members that asked for notices. It returns false if
// topic is not a topic of notices.
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
	ofUsers := t.settings(name).Users && isUsersNotice(payload)
	if ofUsers && !r.firstNotice(payload) {
		return true
	}
	to := r.present()
	frame := wire.FrameOf(payload)
	n := fanout.Message{Answers: []*wire.Frame{frame}, Which: make([]int32, len(to.members)), Size: frame.Len()}
	for i, m := range to.members {
		if !m.watches || ofUsers && m.conn.actionHero {
			n.Which[i] = fanout.Nothing
		}
	}
	r.out.Post(&to.Snapshot, n)
	return true
}
