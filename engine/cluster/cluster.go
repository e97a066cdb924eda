// Package cluster is what nodes have in common: rooms, their messages and history,
// who is in them, parked sessions, and the nodes themselves. The package is the
// contract between the engine, which uses a [Backend] and is its [Handler], and the
// implementations in cluster/memory and cluster/redis. The promises of a backend are
// tests in cluster/clustertest; PROMISES.md says what they mean for clients.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Errors of a cluster. Implementations wrap them; callers test with errors.Is.
var (
	ErrNoRoom      = errors.New("room does not exist")
	ErrRoomExists  = errors.New("room exists")
	ErrUnavailable = errors.New("cluster unavailable")        // tried for the time it may take; nothing was done
	ErrUnknown     = errors.New("outcome unknown")            // it may have been done
	ErrNoNode      = errors.New("node is not in the cluster") // it never was, or its lease ended
	ErrCursor      = errors.New("not a cursor")               // of a page
	ErrNoSession   = errors.New("session has ended")          // or it never was
)

// RoomID names a room of a tenant. Equal values are the same room on all nodes.
type RoomID struct{ Tenant, Room string }

// Position is a place in a room's order. Offsets go up by one from message to
// message, beginning with 1, while the epoch stays the same; another epoch says
// that they may have been counted anew.
type Position = wire.Position

// Retention is how much of what is said in a room History is to have: the last
// Messages, each for at least so long. The zero Retention is nothing. A room's Retention is
// the same on all nodes, but for the moment in which their configurations change.
type Retention struct {
	Messages int
	For      time.Duration

	// Ephemeral messages have no place in the room's order, and cost least: their
	// Position is zero, History never has them, and a node whose way to the
	// others breaks misses those of that moment, and nobody counts them. Messages
	// is then 0.
	Ephemeral bool
}

// Backend is what the engine needs of the other nodes. A Backend belongs to one node
// and one engine. All its methods may be called concurrently.
type Backend struct {
	Broker   Broker
	History  History // nil: no room can keep any
	Rooms    Rooms
	Presence Presence
	Sessions Sessions // nil: sessions end with their node
	Nodes    Nodes
	Status   Status // nil: all is always well
}

// Status says how the node gets on with the others.
type Status interface {
	// Health is nil while all is well, else what is wrong, for an operator: what
	// needs the others is then likely to fail with ErrUnavailable.
	Health() error
	// Counters are a snapshot.
	Counters() Stats
}

// Stats counts what happened to a node since it began.
type Stats struct {
	Reopened     int64 // subscriptions that broke and were made again
	Healed       int64 // messages read from history since they did not come
	Replayed     int64 // messages published again after a failover had lost them
	Gaps         int64 // messages that had left history before they were read: lost to this node
	Malformed    int64 // what came from the cluster's store, and is not ours
	LeaveUnknown int64 // members whom a node was letting go when it died: leave may have run
	Rejoined     int64 // members whom others had let go, and who joined again
	Restored     int64 // members put back on record, which the store had lost
}

// Handler is the engine, as a cluster calls it. The ctx of every call ends when
// that of Nodes.Run does, and none runs once Run has returned.
type Handler interface {
	// Deliver hands over a published message and its place in the room's order,
	// which is the same on every node. It is called for one room in that order,
	// never twice at a time; for different rooms it may be called at once, and
	// one that takes long does not hold up the others. Offsets may skip where
	// messages were lost to this node, and nowhere else. It returns when the
	// message is in the hands of the writers, after the say chain. payload is
	// only read; it is the caller's again then. Deliver does not publish: that
	// could wait for itself.
	Deliver(ctx context.Context, room RoomID, at Position, payload []byte)

	// Missed says that messages of the room were lost to this node: the cluster had
	// forgotten them before it could read them. The room's next Deliver follows it.
	Missed(ctx context.Context, room RoomID)

	// Pace returns when the room's members have taken most of what they were handed,
	// or after a second. It comes between calls of Deliver that hand over at once
	// what was said earlier.
	Pace(ctx context.Context, room RoomID)

	// Answer carries out a call from another node (or this one). ctx ends by the
	// caller's deadline.
	Answer(ctx context.Context, call []byte) ([]byte, error)

	// Lost hands over the members of a node that died: the handler runs leave
	// for each and calls Presence.Remove after it. Nobody reads them any more.
	Lost(ctx context.Context, room RoomID, members []MemberRecord)

	// Expired hands over a session that was parked and that nobody took in its
	// time: the handler ends it. No other Handler gets it. session is the
	// handler's.
	Expired(ctx context.Context, session []byte)

	// Rejoin hands back members of this node whom another took for lost: leave
	// has run, or runs, there. The handler runs join for each, and calls
	// Presence.Add or Presence.Remove after it.
	Rejoin(ctx context.Context, room RoomID, members []MemberRecord)
}

// Broker carries a room's messages to every node that has members of it, in one
// order for all.
type Broker interface {
	// Publish returns when the room's message is accepted and its place in the
	// room's order is fixed, not when anyone has received it; payload may then
	// be reused. keep is how much of the room History is to have from now on,
	// this message included. Errors: ErrUnavailable, ErrUnknown.
	Publish(ctx context.Context, room RoomID, payload []byte, keep Retention) error

	// Subscribe returns when every message published from now on will reach
	// this node's Handler. It is called before the first member of the room is
	// recorded here. Who is subscribed may subscribe, which changes nothing.
	// Errors: ErrUnavailable.
	Subscribe(ctx context.Context, room RoomID) error

	// Unsubscribe is called after the last member has gone: nothing published
	// after it returns reaches the Handler. Who is not subscribed is no error. A
	// node's calls of Subscribe and Unsubscribe for one room come one after the
	// other.
	Unsubscribe(ctx context.Context, room RoomID) error

	// Flush returns when every message that was published before it is called,
	// on any node, has been handed to this node's Handler, if that is subscribed,
	// and Deliver has returned. Errors: ErrUnavailable.
	Flush(ctx context.Context, room RoomID) error
}

// History is what was said in rooms, as far as it is kept. It belongs to the room's
// name: a room that is destroyed and made again goes on with it.
type History interface {
	// Read gives messages after a position: those that are kept, at most limit,
	// in the room's order; a limit of 0 only asks where the room is. keep is the
	// room's: what is beyond it is not given, even if it is still there. What a
	// Handler was told of can be read, as long as it is kept. Errors:
	// ErrUnavailable; a negative limit is an error.
	Read(ctx context.Context, room RoomID, after Position, limit int, keep Retention) (Page, error)
}

// Page is a part of a room's history. It is the reader's.
type Page struct {
	Messages []StoredMessage

	// Top is where the room was when it was read: the position of its last
	// message. Its Epoch is never empty: in a room where nothing was said, or
	// where all is forgotten, a new one begins, with Offset 0. Who knows Top
	// misses nothing but what is said after it: Read gives that for at least
	// keep.For.
	Top Position

	// Missing is true if the messages after the position are not all here, up to
	// the last of Messages or, where they are fewer than limit, up to Top:
	// because some are not kept any more, or because the position is of another
	// epoch, whose offsets say nothing, or beyond Top. In the two last cases
	// there are no Messages.
	Missing bool
}

// StoredMessage is a message of history.
type StoredMessage struct {
	Offset  uint64 // in the epoch of Page.Top
	Payload []byte // as it was published
}

// Rooms is the list of the rooms that exist.
type Rooms interface {
	// Create returns ErrRoomExists if there is such a room.
	Create(ctx context.Context, room RoomID) error
	// Destroy takes it off the list; ErrNoRoom if it is not on it. Its members
	// stay on record until each is removed, but nobody is added any more.
	Destroy(ctx context.Context, room RoomID) error
	Exists(ctx context.Context, room RoomID) (bool, error)
	// List gives a page of the tenant's rooms in the order of their names' bytes,
	// and says whether others follow; those have the page's last name as After. A
	// room that exists from the first page to the last is on exactly one of them.
	// A page may be shorter than the limit though others follow, and it costs what
	// it has, not what the tenant has. A limit below 1 is an error.
	List(ctx context.Context, tenant string, q RoomQuery) (names []string, more bool, err error)
	// Count is how many rooms each of the tenants has, in one round trip.
	Count(ctx context.Context, tenants ...string) ([]int, error)
}

// RoomQuery says which rooms a page has.
type RoomQuery struct {
	Prefix string // their names begin with it; "": all
	After  string // the last name of the page before, whose room need not exist any more; "": the first page
	Limit  int    // of the page; 1 or more
}

// MemberRecord is a member of a room as the whole cluster knows it.
type MemberRecord struct {
	ID       string          // the connection's
	JoinedAt int64           // ms since 1970
	Profile  json.RawMessage // what leave needs when its node is gone; see Profile
}

// Presence records who is in a room, on which node.
type Presence interface {
	// Add records a member of this node; ErrNoRoom if the room does not exist.
	// Adding who is there changes nothing, but that one who is there on another
	// node is this node's as well, until that one removes him. m.Profile may be
	// kept: nobody writes to it again.
	Add(ctx context.Context, room RoomID, m MemberRecord) error
	// BeginLeave begins the end of a membership of this node, before leave is run: from
	// now on the member is handed to nobody as lost. gone says that he was: then
	// leave is another node's to run. Remove follows, or Add, which undoes it.
	// Asking again is asking once. Errors: ErrUnavailable, ErrUnknown.
	BeginLeave(ctx context.Context, room RoomID, id string) (gone bool, err error)
	// Remove takes a member of this node out; who is not there is no error. It is
	// done in the end, also after an error.
	Remove(ctx context.Context, room RoomID, id string) error
	// Members gives at most limit members after cursor, in an order that
	// holds still for who stays, and the cursor of the next page, "" at the
	// end. The first page's cursor is "". Where nobody is, the page is
	// empty. A limit below 1 is an error, and what is no cursor is ErrCursor.
	// Their Profile is nil: it may be long, and a page is short.
	Members(ctx context.Context, room RoomID, cursor string, limit int) (page []MemberRecord, next string, err error)
	// Count is how many members the room has on all nodes.
	Count(ctx context.Context, room RoomID) (int, error)
	// Counts is Count of several rooms: at most 100 take one round trip.
	Counts(ctx context.Context, rooms []RoomID) ([]int, error)
}

// Sessions keeps the sessions of connections that no node holds: their node has
// left, or is handing them over to another one.
type Sessions interface {
	// Park keeps a session for ttl, under a key that was never used before. After
	// that a node's Handler gets it, unless it is taken: at once if a node runs
	// then, else when one does. session may be reused when Park returns. Errors:
	// ErrUnavailable, also where the session could not outlive this node;
	// ErrUnknown.
	Park(ctx context.Context, key string, session []byte, ttl time.Duration) error
	// Take gives a parked session to one caller, on any node; it is not parked
	// any more then. Errors: ErrNoSession, ErrUnavailable, ErrUnknown.
	Take(ctx context.Context, key string) ([]byte, error)
}

// Nodes is the list of nodes, and the way to call one.
type Nodes interface {
	// Run serves the node until ctx ends, and calls h; what needs a running
	// node waits for it to begin. It returns nil when ctx ended it, after the
	// node was taken off the list. Members it still has are lost, as those of
	// a node that died: another node's Handler lets them go.
	Run(ctx context.Context, h Handler) error
	// Self is this node's name: [a-z0-9-]{1,63}.
	Self() string
	// List gives the names of the nodes alive. It waits for Run to begin: from then on
	// this node is one of them.
	List(ctx context.Context) ([]string, error)
	// Call has the node's Handler answer. Errors: the text of what it answered,
	// ErrNoNode, ctx's error, naming the node.
	Call(ctx context.Context, node string, call []byte) ([]byte, error)
}
