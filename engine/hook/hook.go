// Package hook is what the engine asks of rules. The engine calls a [Middleware] at
// each [Hook] with an [Event], and carries out the [Verdict] or, at say, the
// [Delivery]. The package is the contract between the engine and implementations
// such as package host: it has types and no behavior.
package hook

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Hook is a place where the engine asks its middleware.
type Hook uint8

// The hooks. See the fields of [Event] for what each is given.
const (
	Connect Hook = iota + 1
	Join
	OnSayReceive
	Say
	Leave
	Disconnect
	Action
)

// Hooks is one more than the highest hook: the length of an array indexed by hook,
// whose element 0 is unused.
const Hooks = Action + 1

var names = [Hooks]string{"", "connect", "join", "onSayReceive", "say", "leave", "disconnect", "action"}

// String is the hook's name in config, logs and docs.
func (h Hook) String() string { return names[h] }

// Named is the hook of that name, 0 if there is none.
func Named(name string) Hook {
	return Hook(max(0, slices.Index(names[:], name)))
}

// Cause says why a membership began or ended.
type Cause string

// The causes. A join that a client or the server asked for has none.
const (
	CauseRoomLeave  Cause = "roomLeave"  // the client asked
	CauseDestroyed  Cause = "destroyed"  // the room was destroyed
	CauseDisconnect Cause = "disconnect" // the connection ended
	CauseRemoved    Cause = "removed"    // the server removed the member
	CauseNodeLost   Cause = "node_lost"  // the node that held the connection died
	CauseRejoined   Cause = "rejoined"   // a join: the node was cut off, and its members had been let go
)

// Middleware decides what happens: it is asked at every hook, and the engine
// does what it says. A nil Middleware allows everything.
//
// Its methods are called concurrently, never with a lock of the engine held,
// and answer within the time their chains have. ctx ends when nobody waits for
// the answer any more; that of a leave which cannot be denied does not end.
// They keep no argument after they return, except a [Profile], which does not
// change.
type Middleware interface {
	// Asks says whether anyone listens: whether the tenant has a chain for the
	// hook and, where hooks have a room, for this room. It is called for every
	// message and costs next to nothing.
	Asks(hook Hook, tenant, room string) bool

	// Decide runs the tenant's chain for every hook but say. It edits the event
	// in place where a module rewrites it (onSayReceive: Message, Room, From,
	// SentAt, Extra).
	Decide(ctx context.Context, ev *Event) Verdict

	// Deliver runs the say chain for one message and the members of the room
	// on this node. It must not keep or change members.
	Deliver(ctx context.Context, ev *Event, members []Member) Delivery

	// Actions are those that the tenant's chain declares, by name. The map is
	// not changed by anyone.
	Actions(tenant string) map[string]ActionSpec
}

// Member is a connection in a room, as the say chain sees it.
type Member interface {
	// Profile is what a module may know of the connection.
	Profile() *Profile
	// JoinedAt is when it joined the room, ms since 1970.
	JoinedAt() int64
}

// Event is what happens, as a chain is asked about it.
type Event struct {
	Hook   Hook
	Tenant string
	Room   string // join, leave, say, onSayReceive

	// Conn is the connection it happens to: the joiner, the sender, the one
	// that ended. nil for the system's broadcasts, and at say, where the
	// members are the connections asked about.
	Conn *Profile

	// JoinedAt is when Conn joined the room, ms since 1970, where it is a member:
	// onSayReceive of a member's own message, leave. 0 elsewhere.
	JoinedAt int64

	// Caused is true when a module's effect caused it: emits that its chain asks
	// for are dropped, and so are rooms to create or destroy.
	Caused bool

	Cause Cause // leave, join

	// onSayReceive and say.
	Message  wire.Message
	From     string
	Context  string
	SentAt   int64           // ms since 1970
	Sequence uint64          // counts the messages of the room on this node
	Extra    json.RawMessage // a JSON object; nil: nothing

	// Snapshot is the same for the same members: see [MemberSnapshot]. say alone; nil: unknown.
	Snapshot *MemberSnapshot

	// action.
	Action string
	Params json.RawMessage // a JSON object; nil: none
}

// MemberSnapshot stands for the members of a room at one moment, in their order. When one
// comes, goes or gets another profile, there is another MemberSnapshot.
type MemberSnapshot struct {
	// Derived is for the middleware: what it has made of the members. The engine
	// does not touch it.
	Derived atomic.Value
}

// Outcome is how a chain ended.
type Outcome uint8

// The outcomes.
const (
	Allowed Outcome = iota
	Denied          // Reason says why, in words for the client
	Dropped         // silently
	Failed          // a module failed where its entry says onError: deny
)

// Outcomes is how many outcomes there are: the length of an array indexed by
// outcome.
const Outcomes = Failed + 1

// String is the outcome's name in metrics.
func (o Outcome) String() string {
	return [Outcomes]string{"allowed", "denied", "dropped", "failed"}[o]
}

// Verdict is what a chain decided. The zero Verdict allows.
type Verdict struct {
	Outcome Outcome
	Reason  string // Denied: the module's own words
	Module  string // who denied, dropped or failed, as module@sha#revision; "" if nobody

	// RetryAfter is when the same may be asked again. Failed alone; 0: unknown.
	RetryAfter time.Duration

	// Reply is the answer of an action, a JSON object; nil: {}.
	Reply json.RawMessage

	// Effects are applied after the thing itself is recorded, in order; none
	// of a chain that did not allow.
	Effects []Effect
}

// Effect is one thing that a module asked for. Exactly one of the fields is
// set.
type Effect struct {
	Emit     *Emit
	Property *Property
	Room     *RoomEffect
}

// Emit is a message that a module sends, from "0", into a room of its own
// tenant or to one connection.
type Emit struct {
	Room       string
	Connection string // in place of Room
	Message    wire.Message
}

// Property is a named JSON value on a connection.
type Property struct {
	Name  string
	Value json.RawMessage // nil: removed
}

// RoomEffect creates or destroys a room.
type RoomEffect struct {
	Name    string
	Destroy bool
}

// Delivery is what a say chain decided for the members it was given. The zero
// Delivery gives the event to everyone as it is.
type Delivery struct {
	// Answers are the distinct forms in which the message is heard.
	Answers []wire.Payload
	// All is the answer of every member when For is nil; see [AsIs].
	All int32
	// For holds, for each member, the index of its answer, or [AsIs] or
	// [Nothing]. The engine gives it back by calling Release.
	For     []int32
	Release func() // nil: For need not be given back
}

// What a member gets in place of an answer.
const (
	AsIs    int32 = -1 // the event as it is
	Nothing int32 = -2
)

// ActionSpec is an action that a loaded module declares.
type ActionSpec struct {
	Description string
	Inputs      map[string]InputSpec
	Module      string // by name
}

// InputSpec is an input of an action; the engine refuses an action that lacks a
// required one.
type InputSpec struct {
	Required    bool
	Description string
}

// Connection is what modules may know of a connection.
type Connection struct {
	ID          string          `json:"-"`
	Tenant      string          `json:"-"`
	Fingerprint string          `json:"fingerprint"`
	User        string          `json:"user,omitempty"`
	Transport   string          `json:"transport"` // "websocket", "socket"
	RemoteIP    string          `json:"remoteIP"`
	RemotePort  int             `json:"remotePort"`
	Locale      string          `json:"locale,omitempty"` // a language tag such as "en-GB"; "" unknown
	ConnectedAt int64           `json:"connectedAt"`      // ms since 1970
	Properties  []NamedProperty `json:"-"`                // in the order of their names
}

// Profile is a Connection at one moment. It is immutable: a change makes a new Profile,
// so that what is derived from it may be kept with it.
type Profile struct {
	Connection

	// Derived is for the middleware: its own encodings of this profile. The
	// engine does not touch it.
	Derived atomic.Value
}

// NamedProperty is a property as a profile has it.
type NamedProperty struct {
	Property
	Claim bool // from a token: read-only to modules
}

// Property is the value of the named property, nil if there is none.
func (c *Connection) Property(name string) json.RawMessage {
	for i := range c.Properties {
		if c.Properties[i].Name == name {
			return c.Properties[i].Value
		}
	}
	return nil
}
