package memory

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/tidwall/btree"

	"github.com/mootchat/moot/engine/cluster"
)

// directory is the list of rooms and of their members. One lock guards both, because a member is
// added only to a room that exists at that moment.
type directory struct {
	mu      sync.RWMutex
	tenants map[string]*btree.Set[string] // the names of the rooms that exist, in order
	rosters map[cluster.RoomID]*roster    // rosters of the rooms with members
	users   map[cluster.RoomID]*users     // users of the rooms that name them
	seat    uint64                        // number of the last seat, in any room
}

// Create implements cluster.Rooms.
func (d *directory) Create(_ context.Context, room cluster.RoomID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.has(room) {
		return fmt.Errorf("create %q: %w", room.Room, cluster.ErrRoomExists)
	}
	d.insert(room)
	return nil
}

// Ensure implements cluster.Rooms.
func (d *directory) Ensure(_ context.Context, rooms []cluster.RoomID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, room := range rooms {
		d.insert(room)
	}
	return nil
}

// insert adds a room, which may exist. The caller holds d.mu.
func (d *directory) insert(room cluster.RoomID) {
	rooms := d.tenants[room.Tenant]
	if rooms == nil {
		rooms = &btree.Set[string]{}
		d.tenants[room.Tenant] = rooms
	}
	rooms.Insert(room.Room)
}

// Destroy implements cluster.Rooms. Members stay until they are removed or their node has left.
func (d *directory) Destroy(_ context.Context, room cluster.RoomID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.has(room) {
		return fmt.Errorf("destroy %q: %w", room.Room, cluster.ErrNoRoom)
	}
	rooms := d.tenants[room.Tenant]
	rooms.Delete(room.Room)
	if rooms.Len() == 0 {
		delete(d.tenants, room.Tenant)
	}
	return nil
}

// Exists implements cluster.Rooms.
func (d *directory) Exists(_ context.Context, room cluster.RoomID) (bool, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.has(room), nil
}

// List implements cluster.Rooms.
func (d *directory) List(_ context.Context, tenant string, q cluster.RoomQuery) (names []string, more bool, err error) {
	if q.Limit < 1 {
		return nil, false, fmt.Errorf("list rooms: limit %d: must be 1 or more", q.Limit)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	rooms := d.tenants[tenant]
	if rooms == nil {
		return nil, false, nil
	}
	rooms.Ascend(max(q.Prefix, q.After), func(name string) bool {
		switch {
		case !strings.HasPrefix(name, q.Prefix):
			return false
		case name == q.After:
			return true
		}
		if more = len(names) == q.Limit; !more {
			names = append(names, name)
		}
		return !more
	})
	return names, more, nil
}

// Count implements cluster.Rooms.
func (d *directory) Count(_ context.Context, tenants ...string) ([]int, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	counts := make([]int, len(tenants))
	for i, tenant := range tenants {
		if rooms := d.tenants[tenant]; rooms != nil {
			counts[i] = rooms.Len()
		}
	}
	return counts, nil
}

func (d *directory) has(room cluster.RoomID) bool {
	rooms := d.tenants[room.Tenant]
	return rooms != nil && rooms.Contains(room.Room)
}

// Add implements cluster.Presence. It keeps m.Profile.
func (n *node) Add(ctx context.Context, room cluster.RoomID, m cluster.MemberRecord) error {
	s, err := n.up(ctx)
	if err != nil {
		return err
	}
	return n.hub.directory.add(room, m, s)
}

// BeginLeave implements cluster.Presence.
func (n *node) BeginLeave(ctx context.Context, room cluster.RoomID, id string) (gone bool, err error) {
	s, err := n.up(ctx)
	if err != nil {
		return false, err
	}
	return !n.hub.directory.part(room, id, s), nil
}

// Remove implements cluster.Presence.
func (n *node) Remove(_ context.Context, room cluster.RoomID, id string) error {
	n.hub.directory.remove(room, id, n.process.Load())
	return nil
}

// Members implements cluster.Presence, in the order of joining.
func (n *node) Members(_ context.Context, room cluster.RoomID, cursor string, limit int) ([]cluster.MemberRecord, string, error) {
	if limit < 1 {
		return nil, "", fmt.Errorf("members: limit %d: must be 1 or more", limit)
	}
	var after uint64
	if cursor != "" {
		var err error
		if after, err = strconv.ParseUint(cursor, 36, 64); err != nil {
			return nil, "", fmt.Errorf("members: %w: %.40q", cluster.ErrCursor, cursor)
		}
	}
	page, last := n.hub.directory.page(room, after, limit)
	if last == 0 {
		return page, "", nil
	}
	return page, strconv.FormatUint(last, 36), nil
}

// Count implements cluster.Presence.
func (n *node) Count(_ context.Context, room cluster.RoomID) (int, error) {
	d := &n.hub.directory
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.rosters[room].len(), nil
}

// Counts implements cluster.Presence.
func (n *node) Counts(_ context.Context, rooms []cluster.RoomID) ([]int, error) {
	d := &n.hub.directory
	d.mu.RLock()
	defer d.mu.RUnlock()
	counts := make([]int, len(rooms))
	for i, room := range rooms {
		counts[i] = d.rosters[room].len()
	}
	return counts, nil
}

func (d *directory) add(room cluster.RoomID, m cluster.MemberRecord, s *process) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.ctx.Err() != nil { // checked under the lock, because removeAllOf misses a later member
		return s.errStopped()
	}
	if !d.has(room) {
		return fmt.Errorf("add to %q: %w", room.Room, cluster.ErrNoRoom)
	}
	r := d.rosters[room]
	if r == nil {
		r = &roster{byID: map[string]uint64{}}
		d.rosters[room] = r
	}
	d.seat++
	was, now := r.add(seat{number: d.seat, by: s, member: m})
	if was != now || m.Announce && now != "" {
		d.changeUser(room, was, now, m.Announce)
	}
	return nil
}

// part marks a member as leaving. It reports false if the process has no such member.
func (d *directory) part(room cluster.RoomID, id string, s *process) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.rosters[room]
	return r != nil && r.part(id, s)
}

func (d *directory) remove(room cluster.RoomID, id string, by *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.rosters[room]
	if r == nil {
		return
	}
	if user := r.leave(id, by); user != "" {
		d.changeUser(room, user, "", false)
	}
	d.sweep(room, r)
}

func (d *directory) sweep(room cluster.RoomID, r *roster) {
	if r.len() == 0 {
		delete(d.rosters, room)
	}
}

func (d *directory) page(room cluster.RoomID, after uint64, limit int) ([]cluster.MemberRecord, uint64) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.rosters[room].page(after, limit)
}

// removeAllOf removes the members that a process added.
func (d *directory) removeAllOf(s *process) []loss {
	d.mu.Lock()
	defer d.mu.Unlock()
	var losses []loss
	for room, r := range d.rosters {
		members, users := r.removeAllOf(s)
		if len(members) > 0 {
			losses = append(losses, loss{room: room, members: members})
		}
		for _, user := range users {
			d.changeUser(room, user, "", false)
		}
		d.sweep(room, r)
	}
	for room, u := range d.users {
		if u.batch != nil && u.by == s {
			u.by = nil
		}
		if len(u.changed) > 0 || u.batch != nil {
			losses = append(losses, loss{room: room, unannounced: true})
		}
	}
	return losses
}
