// Package cluster defines what nodes share: rooms, messages, history, members, parked sessions and the list of nodes.
// It is the contract between the engine, which uses a [Backend] and implements [Handler], and the backends in
// cluster/memory and cluster/redis. The tests in cluster/clustertest check the promises of a backend; PROMISES.md
// describes them for clients.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Errors of a cluster. Implementations wrap them; callers test with errors.Is.
var (
	ErrNoRoom      = errors.New("room does not exist")
	ErrRoomExists  = errors.New("room exists")
	ErrUnavailable = errors.New("cluster unavailable")        // the time limit has passed, and nothing was done
	ErrUnknown     = errors.New("outcome unknown")            // the operation may have been done
	ErrNoNode      = errors.New("node is not in the cluster") // the node never joined, or its lease has ended
	ErrCursor      = errors.New("not a cursor")               // the cursor of a page is not valid
	ErrNoSession   = errors.New("session has ended")          // or it never existed
	ErrNoMessage   = errors.New("message is not in history")  // or it was retracted
)

// RoomID names a room of a tenant. Equal values are the same room on all nodes.
type RoomID struct{ Tenant, Room string }

// Position is a place in the order of a room's messages. The offsets of an epoch begin with 1 and
// increase by one with each message. Page.Former relates positions of different epochs.
type Position = wire.Position

// Retention is the amount of history that a room keeps: the last Messages messages, each for at
// least For, unless they exceed Bytes. The zero Retention keeps no history. All nodes have the same
// Retention for a room, except while their configurations change.
type Retention struct {
	Messages int
	For      time.Duration

	// Bytes bounds the kept messages; 0: no bound. A message counts as its payload and up to 64
	// bytes of the backend. If a published message exceeds the bound, the room drops its oldest
	// messages, and up to a quarter of Bytes more than it must. The last message is always kept.
	// Read does not check Bytes.
	Bytes int64

	// Ephemeral messages have no position, are not in History, and cost least. A node whose
	// connection breaks misses the messages of that moment and does not count them. Messages
	// must be 0.
	Ephemeral bool
}

// Backend connects an engine to the other nodes. A Backend belongs to one node and one engine.
// All its methods may be called concurrently.
type Backend struct {
	Broker   Broker
	History  History // nil: rooms have no history
	Rooms    Rooms
	Presence Presence
	Sessions Sessions // nil: sessions end with their node
	Nodes    Nodes
	Status   Status // nil: the backend is always healthy

	// Secret is the same on all nodes, and is not known to clients: 32 random bytes, or nil if the
	// backend keeps none.
	Secret []byte
}

// Status is the state of a node's connection to its cluster.
type Status interface {
	// Health returns nil while the backend answers, and otherwise an error for the operator:
	// calls that need the backend then probably fail with ErrUnavailable.
	Health() error
	// Counters returns a snapshot of the counters.
	Counters() Stats
}

// Stats counts events of a node since it started.
type Stats struct {
	Reopened     int64 // subscriptions that broke and were opened again
	Healed       int64 // missed messages that were read from the backend
	Replayed     int64 // messages that a failover lost and that were published again
	Gaps         int64 // messages that are lost to this node; at least one for each gap
	Malformed    int64 // malformed values in the backend
	LeaveUnknown int64 // members whose leave may have run on a node that died during the hook
	Rejoined     int64 // members of this node that another node removed and that joined again
	Restored     int64 // members that the backend lost and that were recorded again
}

// Handler is the part of the engine that the backend calls. The ctx of every call ends with the
// ctx of Nodes.Run, and no call runs after Run has returned.
type Handler interface {
	// Deliver delivers a published message to the members of a room. at is its position, the same
	// on every node: its epoch is the one in which the message got its place, even if this node
	// reads the message in a later epoch. Calls for one room come one after the other, in the room's order. Calls for
	// different rooms may run at the same time. Offsets skip only where messages are lost to this
	// node. Deliver returns when the writers have the message, after the say chain. Deliver must
	// not change payload, and must not use it after it returns. Deliver must not publish, because
	// it could wait for itself.
	Deliver(ctx context.Context, room RoomID, at Position, payload []byte)

	// Amended is like Deliver for an amendment. It must not change a.Payload, and must not use it
	// after it returns.
	Amended(ctx context.Context, room RoomID, at Position, a Amendment)

	// Missed reports that messages of the room are lost to this node because the backend no
	// longer has them. The backend calls it in the order of Deliver, at the place of the lost
	// messages.
	Missed(ctx context.Context, room RoomID)

	// Pace returns when the members of the room have read most of the messages sent to them, or
	// after a second. The backend calls it between calls of Deliver for messages that this node
	// had missed.
	Pace(ctx context.Context, room RoomID)

	// Answer carries out a call from another node, or from this one. ctx ends with the
	// caller's deadline.
	Answer(ctx context.Context, call []byte) ([]byte, error)

	// Lost passes members of a dead node to the handler, which runs leave for each and then
	// calls Presence.Remove. Members and Count no longer include these members.
	Lost(ctx context.Context, room RoomID, members []MemberRecord)

	// Expired passes a parked session that no node took within its time. The handler ends the
	// session. One Handler of the cluster receives it, and owns session.
	Expired(ctx context.Context, session []byte)

	// Unannounced reports that users have joined or left the room and are not announced, because their node died or
	// its call of Presence.Announce failed. The handler calls Presence.Announce. The backend may call several Handlers,
	// and repeats the calls until the users are announced.
	Unannounced(ctx context.Context, room RoomID)

	// Rejoin returns members of this node that another node removed because it took this node for
	// dead: leave has run there, or is running. The handler runs join for each, and then
	// calls Presence.Add or Presence.Remove.
	Rejoin(ctx context.Context, room RoomID, members []MemberRecord)
}

// OnceFor is the time for which a backend remembers an id of [Broker.PublishOnce].
const OnceFor = 24 * time.Hour

// CheckOnce returns an error for an id that [Broker.PublishOnce] does not accept.
func CheckOnce(id string) error {
	if len(id) == 0 || len(id) > 24 || strings.Trim(id, "0123456789-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return fmt.Errorf("publish once: id %.40q: use 1 to 24 letters, digits and -", id)
	}
	return nil
}

// Broker carries the messages of a room to every node that has members of it, in the
// same order.
type Broker interface {
	// Publish returns when the message is accepted and has its position, which may be before its
	// delivery. payload may then be reused. keep is the room's Retention from now on. Errors:
	// ErrUnavailable, ErrUnknown.
	Publish(ctx context.Context, room RoomID, payload []byte, keep Retention) error

	// PublishOnce publishes a message unless a call with the same id in the same room, on any node, has done so. It
	// returns the position of the message that was published; the zero Position for an ephemeral message, or if a
	// failover has lost the position. The backend remembers an id for a day; see OnceFor. id has 1 to 24 letters,
	// digits and -. Errors: those of Publish. After ErrUnknown the caller may call PublishOnce again.
	PublishOnce(ctx context.Context, room RoomID, id string, payload []byte, keep Retention) (Position, error)

	Amender

	// Subscribe returns when every message that is published from now on will reach this
	// node's Handler. The engine calls it before it records the first member of the room on this
	// node. A second Subscribe changes nothing. Errors: ErrUnavailable.
	Subscribe(ctx context.Context, room RoomID) error

	// Unsubscribe is called after the last member has left: no message that is published after it
	// returns reaches the Handler. Without a subscription it does nothing. A node calls Subscribe
	// and Unsubscribe for one room one after the other.
	Unsubscribe(ctx context.Context, room RoomID) error

	// Flush returns when every message that any node published before the call has been delivered
	// to this node's Handler, and Deliver has returned. Without a subscription it returns at
	// once. Errors: ErrUnavailable.
	Flush(ctx context.Context, room RoomID) error
}

// History reads the messages that rooms keep for members. It belongs to the name of a room: a
// room that is destroyed and created again continues it.
type History interface {
	// Read returns the messages after a position that are within keep, in the room's order, at
	// most limit. With limit 0 it returns only Page.Top. keep is the room's Retention. Every
	// message that was delivered to a Handler can be read while it is kept. Errors:
	// ErrUnavailable; a negative limit is an error.
	Read(ctx context.Context, room RoomID, after Position, limit int, keep Retention) (Page, error)
}

// Page is a part of a room's history. The caller owns it.
type Page struct {
	Messages []StoredMessage

	// Top is the position of the room's last message or amendment at the time of the read. Its Epoch is never
	// empty: a room without messages, or with only forgotten messages, begins an epoch
	// with Offset 0. Read returns the messages after Top for at least keep.For.
	Top Position

	// Former has the last positions of the epochs before Top.Epoch that the backend knows, the
	// latest first. Offsets continue from epoch to epoch: a message of a former epoch, up to this
	// position, has the same offset in Top.Epoch. Later messages of the former epoch were lost
	// with a server; those that were published again have other positions.
	Former []Position

	// Missing reports that messages are missing between the requested position and the last
	// of Messages or, if there are fewer than limit, Top. The messages are no longer kept, or
	// the position is of another epoch or beyond Top. In the last two cases Messages is empty.
	Missing bool
}

// StoredMessage is a message of history.
type StoredMessage struct {
	Offset  uint64 // in the epoch of Page.Top
	Payload []byte // the published bytes, or those of the last edit

	// Amends is the id of the message that this amendment changed; "": it is not an amendment.
	Amends  string
	Retract bool // the amendment is a retraction
}

// Rooms is the list of the rooms that exist.
type Rooms interface {
	// Create adds a room. Errors: ErrRoomExists, ErrUnavailable, ErrUnknown.
	Create(ctx context.Context, room RoomID) error
	// Ensure creates those of the rooms that do not exist. Up to 1,000 rooms take one round trip. After
	// an error some of the rooms may exist. Errors: ErrUnavailable, ErrUnknown.
	Ensure(ctx context.Context, rooms []RoomID) error
	// Destroy removes a room. Its members stay recorded until each is removed, but Add adds no
	// further members. Errors: ErrNoRoom, ErrUnavailable, ErrUnknown.
	Destroy(ctx context.Context, room RoomID) error
	Exists(ctx context.Context, room RoomID) (bool, error)
	// List returns a page of the tenant's rooms, ordered by the bytes of their names. more
	// reports whether other rooms follow: their page has the last name as After. A room that
	// exists from the first page to the last is on exactly one of them. A page may be shorter
	// than the limit even if others follow. The cost depends on the size of the page, not on the
	// number of rooms. A limit below 1 is an error.
	List(ctx context.Context, tenant string, q RoomQuery) (names []string, more bool, err error)
	// Count returns the number of rooms of each tenant, in one round trip.
	Count(ctx context.Context, tenants ...string) ([]int, error)
}

// RoomQuery selects the rooms of a page.
type RoomQuery struct {
	Prefix string // first part of their names; "": all rooms
	After  string // the last name of the previous page, even if its room no longer exists; "": the first page
	Limit  int    // size of the page; 1 or more
}

// MemberRecord is a member of a room as the cluster records it.
type MemberRecord struct {
	ID       string          // id of the connection
	JoinedAt int64           // ms since 1970
	User     string          // in rooms that name users; "": none
	Announce bool            // Presence.Announce announces the user
	Profile  json.RawMessage // input of leave on another node, if this one dies
}

// Presence records which members a room has, and on which node.
type Presence interface {
	// Add records a member of this node. A second Add changes nothing, unless m has another User:
	// then it sets User and Profile. A member that is also
	// recorded for another node belongs to both until that node removes it. The backend may keep
	// m.Profile, so the caller must not change it. Errors: ErrNoRoom, ErrUnavailable, ErrUnknown.
	Add(ctx context.Context, room RoomID, m MemberRecord) error
	// BeginLeave is called before leave runs for a member of this node: afterwards Lost passes
	// the member to no Handler. gone reports that Lost has already passed the member to
	// a Handler, which runs leave. The caller then calls Remove, or Add to undo BeginLeave. A
	// second BeginLeave changes nothing. Errors: ErrUnavailable, ErrUnknown.
	BeginLeave(ctx context.Context, room RoomID, id string) (gone bool, err error)
	// Remove removes a member of this node, or a member that Handler.Lost received on this node.
	// It takes effect eventually, even after an error. An id without a record is not an error.
	Remove(ctx context.Context, room RoomID, id string) error
	// Members returns at most limit members after cursor, and the cursor of the next page. The
	// order does not change for members that stay. The cursors of the first page and after the
	// last page are "". The members have no Profile. A limit below 1 is an error; an invalid
	// cursor is ErrCursor.
	Members(ctx context.Context, room RoomID, cursor string, limit int) (page []MemberRecord, next string, err error)
	// Count returns the number of the room's members on all nodes.
	Count(ctx context.Context, room RoomID) (int, error)
	// Counts returns the number of members of each room. Up to 100 rooms take one round trip.
	Counts(ctx context.Context, rooms []RoomID) ([]int, error)
	// Users returns the number of different users of the room's members on all nodes, and the number of
	// members of each of the named users. Members of a dead node count until Lost passes them to a Handler.
	Users(ctx context.Context, room RoomID, names []string) (total int, members []int, err error)
	// Announce calls publish with the users who have joined or left the room and are not announced yet, once
	// for every 500 users. A user joins with the first member for which Announce is set, and leaves with
	// the last member. A user who has left and joined again before the call is not announced.
	//
	// Each change is in one announcement. After an error of publish, or after the death of this node, a
	// later call on any node passes the same announcement again: receivers must ignore an ID that they know.
	// done is false if another node is announcing, or while the cluster recovers from a failover; the backend
	// then calls Handler.Unannounced if users are left. The caller makes one call for a room at a time.
	// Errors: that of publish, ErrUnavailable, ErrUnknown.
	Announce(ctx context.Context, room RoomID, publish func(context.Context, Announcement) error) (done bool, err error)
}

// Announcement names users who have joined and left a room.
type Announcement struct {
	ID     string   // unique
	Joined []string // without an order; Joined and Left have at most 500 users together
	Left   []string
	Users  int // the number of users in the room, after the changes
}

// Sessions keeps the sessions of connections that no node holds, because their node has stopped
// or is handing them over.
type Sessions interface {
	// Park keeps a session for ttl, under a key that was never used before. If no node takes it
	// in that time, Expired passes it to a Handler, as soon as a node runs. session may be reused
	// when Park returns. Errors: ErrUnavailable, also if the session could not outlive this
	// node; ErrUnknown.
	Park(ctx context.Context, key string, session []byte, ttl time.Duration) error
	// Redirect keeps a redirect to a session for ttl, as Park keeps a session. Other than Park it also keeps a
	// redirect that does not outlive this node, because no other node runs. Take, Each and Expired treat a
	// redirect like a session. Errors: ErrUnavailable, ErrUnknown.
	Redirect(ctx context.Context, key string, redirect []byte, ttl time.Duration) error
	// Take returns a parked session to one caller, on any node, and removes it. Errors:
	// ErrNoSession, ErrUnavailable, ErrUnknown.
	Take(ctx context.Context, key string) ([]byte, error)
	// Each calls f with each parked session, without an order. A session that is parked or
	// taken in the meantime may be missing, and one may be passed twice. The cost grows with
	// the number of all parked sessions. f may keep key and session, and must not call
	// Sessions. Errors: ErrUnavailable.
	Each(ctx context.Context, f func(key string, session []byte)) error
}

// Nodes lists the nodes and calls them.
type Nodes interface {
	// Run runs the node until ctx ends, and calls h. Methods that need a running node wait
	// until Run has begun. Run returns nil when ctx has ended and the node is off the list. Lost
	// then passes its remaining members to another node's Handler.
	Run(ctx context.Context, h Handler) error
	// Self is this node's name: [a-z0-9-]{1,63}.
	Self() string
	// List returns the names of the living nodes. It waits until Run has begun: from then on this
	// node is one of them.
	List(ctx context.Context) ([]string, error)
	// Call sends a call to a node and returns the answer of its Handler. Errors: the text of
	// the Handler's error, ErrNoNode, or ctx's error with the node's name.
	Call(ctx context.Context, node string, call []byte) ([]byte, error)
}
