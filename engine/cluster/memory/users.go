package memory

import (
	"context"
	"crypto/rand"

	"github.com/mootchat/moot/engine/cluster"
)

// users are the users of a room's members. The directory's lock guards them.
type users struct {
	of      map[string]*presence
	present int                 // users with members
	changed map[string]struct{} // users who may have to be announced

	batch *cluster.Announcement // the announcement that publish has not published without an error yet; nil: none
	by    *process              // the process that publishes batch; nil: none
}

// presence is the presence of a user in a room.
type presence struct {
	members   int
	announced bool // as present
}

// mostAnnounced is the largest number of users in an announcement.
const mostAnnounced = 500

// changeUser records that the user of a member changes from was to now; "": none. announce is MemberRecord.Announce. The
// caller holds d.mu.
func (d *directory) changeUser(room cluster.RoomID, was, now string, announce bool) {
	u := d.users[room]
	if u == nil {
		u = &users{of: map[string]*presence{}, changed: map[string]struct{}{}}
		d.users[room] = u
	}
	if now != "" && was != now {
		u.join(now)
	}
	if p := u.of[now]; announce && p != nil && !p.announced {
		u.changed[now] = struct{}{}
	}
	if was != "" && was != now {
		u.leave(was)
	}
	d.sweepUsers(room, u)
}

func (u *users) join(name string) {
	p := u.of[name]
	if p == nil {
		p = &presence{}
		u.of[name] = p
	}
	if p.members++; p.members == 1 {
		u.present++
	}
}

func (u *users) leave(name string) {
	p := u.of[name]
	if p == nil {
		return
	}
	if p.members--; p.members > 0 {
		return
	}
	u.present--
	if p.announced {
		u.changed[name] = struct{}{}
	} else {
		delete(u.of, name)
		delete(u.changed, name)
	}
}

func (d *directory) sweepUsers(room cluster.RoomID, u *users) {
	if len(u.of) == 0 && len(u.changed) == 0 && u.batch == nil {
		delete(d.users, room)
	}
}

// Users implements cluster.Presence.
func (n *node) Users(_ context.Context, room cluster.RoomID, names []string) (total int, members []int, err error) {
	d := &n.hub.directory
	d.mu.RLock()
	defer d.mu.RUnlock()
	members = make([]int, len(names))
	u := d.users[room]
	if u == nil {
		return 0, members, nil
	}
	for i, name := range names {
		if p := u.of[name]; p != nil {
			members[i] = p.members
		}
	}
	return u.present, members, nil
}

// Announce implements cluster.Presence.
func (n *node) Announce(ctx context.Context, room cluster.RoomID, publish func(context.Context, cluster.Announcement) error) (done bool, err error) {
	s, err := n.up(ctx)
	if err != nil {
		return false, err
	}
	d := &n.hub.directory
	for {
		a, busy := d.announcement(room, s)
		if a == nil || busy {
			return !busy, nil
		}
		if err := publish(ctx, *a); err != nil {
			return false, err
		}
		if s.ctx.Err() != nil {
			return false, s.errStopped()
		}
		d.announced(room, a)
	}
}

// announcement returns the next announcement of the room for a process; nil if there is none. busy
// reports that another process is announcing.
func (d *directory) announcement(room cluster.RoomID, s *process) (a *cluster.Announcement, busy bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.users[room]
	switch {
	case u == nil:
		return nil, false
	case u.batch != nil && u.by != nil && u.by != s:
		return nil, true
	case s.ctx.Err() != nil:
		return nil, true
	case u.batch != nil:
		u.by = s
		return u.batch, false
	}
	a = u.next()
	if a != nil {
		u.batch, u.by = a, s
	}
	d.sweepUsers(room, u)
	return a, false
}

// next returns the next announcement, and marks its users as announced; nil if there is nothing to announce.
func (u *users) next() *cluster.Announcement {
	a := &cluster.Announcement{ID: rand.Text()[:20], Users: u.present}
	for name := range u.changed {
		if len(a.Joined)+len(a.Left) == mostAnnounced {
			break
		}
		delete(u.changed, name)
		switch p := u.of[name]; {
		case p == nil:
		case p.members > 0 && !p.announced:
			p.announced = true
			a.Joined = append(a.Joined, name)
		case p.members == 0:
			delete(u.of, name)
			a.Left = append(a.Left, name)
		}
	}
	if len(a.Joined)+len(a.Left) == 0 {
		return nil
	}
	return a
}

// announced records that an announcement was published.
func (d *directory) announced(room cluster.RoomID, a *cluster.Announcement) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.users[room]; u != nil && u.batch == a {
		u.batch, u.by = nil, nil
		d.sweepUsers(room, u)
	}
}
