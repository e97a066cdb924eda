package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// In a room with the settings presence and users, members also receive notices of users: a user joins with the user's first
// connection in the room, and leaves with the last one. The cluster records which users were announced. A node announces the
// others after it has changed the members of the room, or when it learns that another node died before it announced them.

// usersNotice is a notice of users, as members receive it.
type usersNotice struct {
	Context      string      `json:"context"` // "presence"
	ID           string      `json:"id"`      // the same if the notice is published again
	Room         string      `json:"room"`
	Joined       []string    `json:"joined"` // connections; always empty, for clients that know only notices of connections
	Left         []string    `json:"left"`
	MembersCount int         `json:"membersCount"`
	Users        usersChange `json:"users"`
}

type usersChange struct {
	Joined []string `json:"joined"`
	Left   []string `json:"left"`
	Count  int      `json:"count"` // users in the room, after the changes
}

// usersRetry is the time after which a node tries again to announce users.
const usersRetry = time.Second

// pendingUsers is a room in which users will be announced.
type pendingUsers struct {
	timer *time.Timer
	again bool // users have changed since the announcement began
}

// noteUsers announces the users who have joined or left a room, after noticeDelay. It returns false if members of the
// room receive no notices of users.
func (e *Engine) noteUsers(t *tenant, room cluster.RoomID) bool {
	if s := t.settings(room.Room); !s.Users || !s.Presence {
		return false
	}
	g := &e.notices
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.users[room]; p != nil {
		p.again = true
		return true
	}
	if g.users == nil {
		g.users = map[cluster.RoomID]*pendingUsers{}
	}
	g.users[room] = &pendingUsers{}
	e.announceAfter(room, noticeDelay)
	return true
}

// announceAfter announces the users of a room after a time. The caller holds notices.mu.
func (e *Engine) announceAfter(room cluster.RoomID, wait time.Duration) {
	e.notices.timers.Add(1)
	e.notices.users[room].timer = time.AfterFunc(wait, func() { e.announceUsers(room) })
}

// announceUsers announces the users of a room, and tries again later if that fails. The timer of announceAfter calls it.
func (e *Engine) announceUsers(room cluster.RoomID) {
	g := &e.notices
	defer g.timers.Done()
	g.mu.Lock()
	g.users[room].again = false
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), noticeTimeout)
	defer cancel()
	_, err := e.cluster.Presence.Announce(ctx, room, func(ctx context.Context, a cluster.Announcement) error { return e.publishUsers(ctx, room, a) })
	over := e.dying.Err() != nil || err != nil && e.closing.Load() // another node announces them
	if err != nil && !over {
		e.log.Warn("users were not announced, trying again", "tenant", room.Tenant, "room", room.Room, "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case over:
		delete(g.users, room)
	case err != nil:
		e.announceAfter(room, usersRetry)
	case g.users[room].again:
		e.announceAfter(room, noticeDelay)
	default:
		delete(g.users, room)
	}
}

// publishUsers publishes a notice of users.
func (e *Engine) publishUsers(ctx context.Context, room cluster.RoomID, a cluster.Announcement) error {
	count, err := e.cluster.Presence.Count(ctx, room)
	if err != nil {
		return err
	}
	b, err := json.Marshal(usersNotice{Context: "presence", ID: a.ID, Room: room.Room, Joined: []string{}, Left: []string{}, MembersCount: count,
		Users: usersChange{append([]string{}, a.Joined...), append([]string{}, a.Left...), a.Users}})
	if err != nil {
		return fmt.Errorf("encode a notice of users: %w", err)
	}
	return e.cluster.Broker.Publish(ctx, noticesOf(room), b, cluster.Retention{})
}

// usersNoticeStart is the beginning of a notice of users.
var usersNoticeStart = []byte(`{"context":"presence","id":"`)

func isUsersNotice(payload []byte) bool { return bytes.HasPrefix(payload, usersNoticeStart) }

// firstNotice reports whether a notice of users is new on this node. After the death of a node, another one may publish its
// last notice again.
func (r *room) firstNotice(payload []byte) bool {
	id, _, _ := bytes.Cut(payload[len(usersNoticeStart):], []byte(`"`))
	for _, known := range r.notified {
		if known == string(id) {
			return false
		}
	}
	copy(r.notified[1:], r.notified[:])
	r.notified[0] = string(id)
	return true
}
