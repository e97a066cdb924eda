package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
)

// No node holds a parked session, so no node finds it by its user. Operations on a user therefore read all parked sessions.

// parkedNode stands for the parked sessions in cursors. It follows the names of all nodes.
const parkedNode = "~"

// parkedOwner has the fields of a parked session by which its owner is known. A redirect has a tenant only.
type parkedOwner struct {
	Tenant, ID string
	Profile    struct{ User, RemoteIP string }
}

// eachParked calls f with each parked session of all tenants. A damaged session belongs to nobody.
func (e *Engine) eachParked(ctx context.Context, f func(owner parkedOwner, key string, session []byte)) error {
	if e.sessions.grace == 0 || e.cluster.Sessions == nil {
		return nil
	}
	return e.cluster.Sessions.Each(ctx, func(key string, session []byte) {
		var owner parkedOwner
		_ = json.Unmarshal(session, &owner)
		f(owner, key, session)
	})
}

// endParkedOf ends the parked sessions whose owner matches, and returns their number. They cannot be resumed any more, and
// their memberships end with the cause removed.
func (e *Engine) endParkedOf(ctx context.Context, matches func(parkedOwner) bool) (n int, err error) {
	ctx, end := e.untilShutdown(ctx) // the memberships of a session that was taken must end
	defer end()
	ctx, cancel := context.WithTimeout(ctx, parkedTime)
	defer cancel()
	var keys []string
	err = e.eachParked(ctx, func(owner parkedOwner, key string, _ []byte) {
		if matches(owner) {
			keys = append(keys, key)
		}
	})
	for _, key := range keys {
		b, failed := e.cluster.Sessions.Take(ctx, key)
		var s parkedSession
		switch {
		case errors.Is(failed, cluster.ErrNoSession): // it was resumed, and was checked then
		case failed != nil:
			err = errors.Join(err, failed)
		case json.Unmarshal(b, &s) == nil:
			e.endParked(ctx, &s, hook.CauseRemoved)
			n++
		}
	}
	return n, err
}

// parkedOfUser returns the parked sessions of a user whose ids follow after, sorted by id; at most limit.
func (e *Engine) parkedOfUser(ctx context.Context, tenant, user, after string, limit int) (page []ConnectionInfo, err error) {
	err = e.eachParked(ctx, func(owner parkedOwner, _ string, session []byte) {
		var s parkedSession
		if owner.Tenant == tenant && owner.Profile.User == user && json.Unmarshal(session, &s) == nil && s.ID > after {
			page = append(page, s.info())
		}
	})
	slices.SortFunc(page, func(a, b ConnectionInfo) int { return cmp.Compare(a.ID, b.ID) })
	page = slices.CompactFunc(page, func(a, b ConnectionInfo) bool { return a.ID == b.ID }) // see cluster.Sessions.Each
	if err != nil {
		err = fmt.Errorf("parked sessions of a user: %w", err)
	}
	return page[:min(limit, len(page))], err
}

// info describes a parked session. It has no node.
func (s *parkedSession) info() ConnectionInfo {
	p := decodeProfile(s.Tenant, cluster.MemberRecord{ID: s.ID, Profile: s.Profile})
	i := ConnectionInfo{ID: p.ID, Tenant: p.Tenant, Fingerprint: p.Fingerprint, User: p.User, Transport: p.Transport, RemoteIP: p.RemoteIP,
		RemotePort: p.RemotePort, Locale: p.Locale, ConnectedAt: p.ConnectedAt, Rooms: []string{}, Away: true, TotalActions: s.Actions}
	for _, r := range s.Rooms {
		i.Rooms = append(i.Rooms, r.Room)
	}
	return i
}

// closedUsers are the users of a tenant whose connections the server API has closed lately. No node finds a session that moves
// between nodes at that moment. The node where it arrives ends it: nodes check this list when they resume a session, and before
// and after they park one.
type closedUsers struct {
	mu sync.Mutex
	at map[string]int64 // the time of the last close, ms since 1970
}

// closedTime is longer than a session takes to move between nodes.
const closedTime = time.Minute

// add notes that the user's connections are closed now.
func (u *closedUsers) add(user string) {
	now := time.Now().UnixMilli()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.at == nil {
		u.at = map[string]int64{}
	}
	u.at[user] = now
	time.AfterFunc(closedTime, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.at[user] == now {
			delete(u.at, user)
		}
	})
}

// include reports whether the session of p began before the last close of its user, and must end.
func (u *closedUsers) include(p *hook.Profile) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, closed := u.at[p.User]
	return closed && p.ConnectedAt <= at
}
