package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// This file implements the server API's operations on rooms and connections. A connection
// may be on any node. Errors about rooms and nodes are those of package cluster. An error
// that a client would receive is a *VerbError.

// ErrNoTenant means that the node has no tenant of that name.
var ErrNoTenant = errors.New("no such tenant")

// ErrNoConnection means that no node has a connection of that id and tenant.
var ErrNoConnection = errors.New("no such connection")

func (e *Engine) tenant(name string) (*tenant, error) {
	t := e.settings.Load().tenants[name]
	if t == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoTenant, name)
	}
	return t, nil
}

// CreateRoom creates a room. It returns ErrRoomExists if the room exists.
func (e *Engine) CreateRoom(ctx context.Context, id cluster.RoomID) error {
	t, err := e.tenant(id.Tenant)
	if err != nil {
		return err
	}
	return e.createRoom(ctx, t, id.Room)
}

func (e *Engine) createRoom(ctx context.Context, t *tenant, name string) error {
	if err := wire.ValidRoom(name); err != nil {
		return &VerbError{err.Error()}
	}
	if most := t.cfg().Limits.Rooms; most > 0 {
		counts, err := e.cluster.Rooms.Count(ctx, t.name)
		if err != nil {
			return err
		}
		if counts[0] >= most {
			return e.tooManyRooms(ctx, cluster.RoomID{Tenant: t.name, Room: name}, most)
		}
	}
	if err := e.cluster.Rooms.Create(ctx, cluster.RoomID{Tenant: t.name, Room: name}); err != nil {
		return err
	}
	e.written(ctx, e.roomEvent(events.RoomCreated, t.name, name))
	return nil
}

// tooManyRooms returns the error for a room over the limit: ErrRoomExists if the room
// exists, else a *VerbError.
func (e *Engine) tooManyRooms(ctx context.Context, id cluster.RoomID, most int) error {
	is, err := e.cluster.Rooms.Exists(ctx, id)
	switch {
	case err != nil:
		return err
	case is:
		return cluster.ErrRoomExists
	}
	return &VerbError{fmt.Sprintf("too many rooms (at most %d)", most)}
}

// RoomExists reports whether the room exists.
func (e *Engine) RoomExists(ctx context.Context, id cluster.RoomID) (bool, error) {
	return e.cluster.Rooms.Exists(ctx, id)
}

// Rooms returns a page of the tenant's rooms; see cluster.Rooms.
func (e *Engine) Rooms(ctx context.Context, tenant string, q cluster.RoomQuery) (names []string, more bool, err error) {
	return e.cluster.Rooms.List(ctx, tenant, q)
}

// RoomCounts returns the number of rooms of each tenant.
func (e *Engine) RoomCounts(ctx context.Context, tenants ...string) ([]int, error) {
	return e.cluster.Rooms.Count(ctx, tenants...)
}

// MemberCounts returns the number of members of each room on all nodes. A destroyed room
// may have members that are still leaving.
func (e *Engine) MemberCounts(ctx context.Context, rooms []cluster.RoomID) ([]int, error) {
	return e.cluster.Presence.Counts(ctx, rooms)
}

// RoomStatus is a room with a page of its members.
type RoomStatus struct {
	Room         string
	Members      []cluster.MemberRecord // one page, in an order that does not change for members that stay
	MembersCount int                    // on all nodes and all pages
	NamesUsers   bool                   // the room has the setting users; false: Users and UsersCount are zero
	Users        map[string]int         // for each user of Members, the number of the user's connections in the room on all nodes
	UsersCount   int                    // number of different users on all nodes and all pages
	Cursor       string                 // of the next page; "" at the end
}

// maxMembersListed is the maximum number of members in one page of a room's status.
const maxMembersListed = 1000

// RoomStatus returns a page of at most limit members after cursor. Limits below 1 and above
// 1000 mean 1000. It returns ErrNoRoom if there is no such room.
func (e *Engine) RoomStatus(ctx context.Context, id cluster.RoomID, cursor string, limit int) (RoomStatus, error) {
	if err := e.exists(ctx, id); err != nil {
		return RoomStatus{}, err
	}
	if limit < 1 || limit > maxMembersListed {
		limit = maxMembersListed
	}
	members, next, err := e.pageOfMembers(ctx, id, cursor, limit)
	if err != nil {
		return RoomStatus{}, err
	}
	s := RoomStatus{Room: id.Room, Members: members, MembersCount: len(members), Cursor: next}
	if cursor != "" || next != "" {
		if s.MembersCount, err = e.cluster.Presence.Count(ctx, id); err != nil {
			return RoomStatus{}, err
		}
	}
	return s, e.countUsers(ctx, id, &s)
}

// countUsers sets NamesUsers, Users and UsersCount of a status.
func (e *Engine) countUsers(ctx context.Context, id cluster.RoomID, s *RoomStatus) error {
	t := e.settings.Load().tenants[id.Tenant]
	if s.NamesUsers = t != nil && t.settings(id.Room).Users; !s.NamesUsers {
		return nil
	}
	var names []string
	for i := range s.Members {
		if name := s.Members[i].User; name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	total, connections, err := e.cluster.Presence.Users(ctx, id, names)
	if err != nil {
		return err
	}
	s.UsersCount, s.Users = total, make(map[string]int, len(names))
	for i, name := range names {
		s.Users[name] = connections[i]
	}
	return nil
}

// maxPieces is the maximum number of pages of Presence.Members that one page of a room's status reads.
const maxPieces = 16

// pageOfMembers returns a page of limit members, if the room has that many. It reads several pages of the cluster, because each
// of them may end with the members of one node, and clients of ActionHero cannot ask for further pages.
func (e *Engine) pageOfMembers(ctx context.Context, id cluster.RoomID, cursor string, limit int) (page []cluster.MemberRecord, next string, err error) {
	next = cursor
	for range maxPieces {
		piece, then, err := e.cluster.Presence.Members(ctx, id, next, limit-len(page))
		if err != nil {
			return nil, "", err
		}
		if page, next = append(page, piece...), then; next == "" || len(page) >= limit {
			break
		}
	}
	return page, next, nil
}

// Members returns the number of members on all nodes. It returns ErrNoRoom if there is no
// such room.
func (e *Engine) Members(ctx context.Context, id cluster.RoomID) (int, error) {
	if err := e.exists(ctx, id); err != nil {
		return 0, err
	}
	return e.cluster.Presence.Count(ctx, id)
}

// DestroyRoom destroys a room. Later joins fail. The members receive a last message and
// leave the room (cause destroyed), each on its own node.
func (e *Engine) DestroyRoom(ctx context.Context, id cluster.RoomID) error {
	t, err := e.tenant(id.Tenant)
	if err != nil {
		return err
	}
	return e.destroyRoom(ctx, t, id.Room, false)
}

// destroyTime is the time that the members of a destroyed room have to leave, on all nodes.
const destroyTime = 30 * time.Second

// destroyRoom implements DestroyRoom. If caused is true, an effect of a module caused the
// event that requested it. Members leave even if ctx ends after the room was removed.
func (e *Engine) destroyRoom(ctx context.Context, t *tenant, name string, caused bool) error {
	if err := e.cluster.Rooms.Destroy(ctx, cluster.RoomID{Tenant: t.name, Room: name}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyTime)
	defer cancel()
	if _, err := e.send(ctx, t, name, outgoing{from: system, message: roomDeleted, caused: caused}); err != nil {
		e.log.Warn("the last message of a destroyed room was not sent", "tenant", t.name, "room", name, "error", err)
	}
	_, err := e.onEveryNode(ctx, call{Do: callEvict, Tenant: t.name, Room: name})
	e.written(ctx, e.roomEvent(events.RoomDestroyed, t.name, name))
	return err
}

// maxEvicting is the maximum number of members of a destroyed room that leave at the same
// time.
const maxEvicting = 16

// flushTime is the time for which the members of a destroyed room wait for earlier
// messages.
const flushTime = 5 * time.Second

// evict makes all members on this node leave a destroyed room, after its last messages have
// been delivered. These may arrive later than the call to evict.
func (e *Engine) evict(ctx context.Context, t *tenant, name string) {
	r := t.lookup(name)
	if r == nil {
		return
	}
	defer t.release(r)
	flush, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	if err := e.cluster.Broker.Flush(flush, r.id); err != nil {
		e.log.Warn("members leave a destroyed room before its last messages were delivered", "tenant", t.name, "room", name, "error", err)
	}
	var leaving errgroup.Group
	leaving.SetLimit(maxEvicting)
	for _, m := range r.evict() {
		leaving.Go(func() error {
			_, _ = e.leave(ctx, m.conn, name, hook.CauseDestroyed) // fails if the member has left already
			return nil
		})
	}
	_ = leaving.Wait() // the functions return no errors
}

// Broadcast publishes a message in a room and returns the message's id; "" in an ephemeral
// room. The sender is the system if from is "", else the member with that id. message is any
// JSON value.
func (e *Engine) Broadcast(ctx context.Context, id cluster.RoomID, from string, message json.RawMessage) (messageID string, err error) {
	t, err := e.tenant(id.Tenant)
	if err != nil {
		return "", err
	}
	m, err := jsonMessage(message)
	if err != nil {
		return "", err
	}
	if id.Room == "" || m.Text == "" {
		return "", &VerbError{"both room and message are required"}
	}
	if err := wire.ValidRoom(id.Room); err != nil {
		return "", &VerbError{err.Error()}
	}
	if from != "" {
		value, err := e.askConnection(ctx, id.Tenant, from, call{Do: callSay, Room: id.Room, Value: message})
		if err == nil && value != nil { // a node of an earlier version answers with no value
			err = json.Unmarshal(value, &messageID)
		}
		return messageID, err
	}
	running := t.withVerbTime(ctx)
	defer running.stop()
	messageID, err = e.send(running, t, id.Room, outgoing{from: system, message: m})
	return messageID, inTime(running, err)
}

// SendMessage sends a JSON value to one connection. An object without a context
// gets the context "api".
func (e *Engine) SendMessage(ctx context.Context, tenant, id string, value json.RawMessage) error {
	return e.onConnection(ctx, tenant, id, call{Do: callSend, Value: value})
}

// SetProperty sets a property of a connection. A nil value removes it.
func (e *Engine) SetProperty(ctx context.Context, tenant, id, name string, value json.RawMessage) error {
	return e.SetProperties(ctx, tenant, id, map[string]json.RawMessage{name: value})
}

// SetProperties sets properties of a connection, all or none. A value that is nil or null
// removes the property.
func (e *Engine) SetProperties(ctx context.Context, tenant, id string, values map[string]json.RawMessage) error {
	return e.onConnection(ctx, tenant, id, call{Do: callSet, Properties: values})
}

// AddMember joins a connection to a room. The join chain applies.
func (e *Engine) AddMember(ctx context.Context, id cluster.RoomID, connection string) error {
	return e.onConnection(ctx, id.Tenant, connection, call{Do: callJoin, Room: id.Room})
}

// RemoveMember removes a connection from a room (cause removed).
func (e *Engine) RemoveMember(ctx context.Context, id cluster.RoomID, connection string) error {
	return e.onConnection(ctx, id.Tenant, connection, call{Do: callLeave, Room: id.Room})
}

// Disconnect closes a connection with the reason "removed by the server", or ends its parked session.
func (e *Engine) Disconnect(ctx context.Context, tenant, id string) error {
	err := e.onConnection(ctx, tenant, id, call{Do: callClose})
	if errors.Is(err, ErrNoConnection) {
		n, failed := e.endParkedOf(ctx, func(o parkedOwner) bool { return o.Tenant == tenant && o.ID == id })
		if n > 0 || failed != nil {
			return failed
		}
	}
	return err
}

func sortProperties(p []hook.NamedProperty) {
	slices.SortFunc(p, func(a, b hook.NamedProperty) int { return cmp.Compare(a.Name, b.Name) })
}
