// Package hook is the contract between the engine and rules. The engine calls a
// [Middleware] at each [Hook] with an [Event], and applies the [Verdict] or, at say, the
// [Delivery]. Package host implements it. The package has types and no behavior.
package hook

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// Hook is a point at which the engine calls its middleware.
type Hook uint8

// The hooks. The fields of [Event] say which hooks have them.
const (
	Connect Hook = iota + 1
	Join
	OnSayReceive
	Say
	Leave
	Disconnect
	Action
)

// Hooks is the length of an array indexed by hook, whose element 0 is unused.
const Hooks = Action + 1

var names = [Hooks]string{"", "connect", "join", "onSayReceive", "say", "leave", "disconnect", "action"}

// String returns the hook's name in config, logs and documents.
func (h Hook) String() string { return names[h] }

// Named returns the hook with that name; 0 if there is none.
func Named(name string) Hook {
	return Hook(max(0, slices.Index(names[:], name)))
}

// Cause is the reason for which a membership began or ended.
type Cause string

// The causes. A join that a client or the server requested has none.
const (
	CauseRoomLeave  Cause = "roomLeave"  // the client requested it
	CauseDestroyed  Cause = "destroyed"  // the room was destroyed
	CauseDisconnect Cause = "disconnect" // the connection ended
	CauseRemoved    Cause = "removed"    // the server removed the member
	CauseNodeLost   Cause = "node_lost"  // the node that held the connection died
	CauseRejoined   Cause = "rejoined"   // a join: the node was cut off, and its members had been removed
)

// Middleware decides about events: the engine calls it at every hook and applies its
// answer. A nil Middleware allows everything.
//
// Its methods are called concurrently, never with a lock of the engine held, and must
// answer within the time limit of their chain. ctx ends when the answer is not needed any
// more; the ctx of a leave that cannot be denied does not end. The methods must not keep
// arguments after they return, except a [Profile], which is immutable.
type Middleware interface {
	// Asks reports whether the tenant has a chain for the hook and, if the hook has a
	// room, for this room. It is called for every message and must be cheap.
	Asks(hook Hook, tenant, room string) bool

	// Decide runs the tenant's chain for every hook except say. If a module rewrites
	// the event, it changes the event in place (onSayReceive: Message, Room, From,
	// SentAt, Extra).
	Decide(ctx context.Context, ev *Event) Verdict

	// Deliver runs the say chain for one message and the members of the room
	// on this node. It must not keep or change members.
	Deliver(ctx context.Context, ev *Event, members []Member) Delivery

	// Actions returns the actions that the tenant's chain declares, by name. The map
	// must not be changed.
	Actions(tenant string) map[string]ActionSpec
}

// Member is a connection in a room as the say chain sees it.
type Member interface {
	// Profile returns the data of the connection for modules.
	Profile() *Profile
	// JoinedAt returns the time of the join, in ms since 1970.
	JoinedAt() int64
}

// Event is an event about which a chain decides.
type Event struct {
	Hook   Hook
	Tenant string
	Room   string // join, leave, say, onSayReceive

	// Conn is the connection of the event: the joiner, the sender, the one that ended.
	// nil for broadcasts of the system, and at say, which is about the members.
	Conn *Profile

	// JoinedAt is the time at which Conn joined the room, in ms since 1970: at leave,
	// and at onSayReceive of a member's message. 0 at other hooks.
	JoinedAt int64

	// Caused is true if an effect of a module caused the event. Then effects of its
	// chain that emit, or create or destroy rooms, are dropped.
	Caused bool

	Cause Cause // leave, join

	// onSayReceive and say.
	Message  wire.Message
	From     string
	Context  string
	SentAt   int64           // ms since 1970
	Sequence uint64          // counts the messages of the room on this node
	Extra    json.RawMessage // a JSON object; nil: none

	// Snapshot identifies the members: see [MemberSnapshot]. Only at say; nil: unknown.
	Snapshot *MemberSnapshot

	// action.
	Action string
	Params json.RawMessage // a JSON object; nil: none
}

// MemberSnapshot identifies the members of a room at one moment, in their order. When a
// member joins, leaves or gets another profile, the room has another MemberSnapshot.
type MemberSnapshot struct {
	// Derived is for data that the middleware derives from the members. The engine does
	// not use it.
	Derived atomic.Value
}

// Outcome is the result of a chain.
type Outcome uint8

// The outcomes.
const (
	Allowed Outcome = iota
	Denied          // with a Reason for the client
	Dropped         // silently
	Failed          // a module failed, and its entry has onError: deny
)

// Outcomes is the number of outcomes: the length of an array indexed by outcome.
const Outcomes = Failed + 1

// String returns the outcome's name in metrics.
func (o Outcome) String() string {
	return [Outcomes]string{"allowed", "denied", "dropped", "failed"}[o]
}

// Verdict is the answer of a chain. The zero Verdict allows.
type Verdict struct {
	Outcome Outcome
	Reason  string // Denied: the module's reason
	Module  string // the one that denied, dropped or failed, as module@sha#revision; else ""

	// RetryAfter is the time after which the request may be repeated. Only of Failed; 0: unknown.
	RetryAfter time.Duration

	// Reply is the answer of an action, a JSON object; nil means {}.
	Reply json.RawMessage

	// Effects are applied in order after the event is recorded. A chain that did not
	// allow has none.
	Effects []Effect
}

// Effect is a change that a module requested. Exactly one field is set.
type Effect struct {
	Emit     *Emit
	Property *Property
	Room     *RoomEffect
}

// Emit is a message of a module, from "0", to a room of its tenant or to one connection.
type Emit struct {
	Room       string
	Connection string // set in place of Room
	Message    wire.Message
}

// Property is a named JSON value of a connection.
type Property struct {
	Name  string
	Value json.RawMessage // nil: removed
}

// RoomEffect creates or destroys a room.
type RoomEffect struct {
	Name    string
	Destroy bool
}

// Delivery is the answer of a say chain for the members of a room. The zero Delivery
// delivers the event unchanged to all.
type Delivery struct {
	// Answers are the distinct forms in which members receive the message.
	Answers []wire.Payload
	// All is the answer for every member if For is nil; see For.
	All int32
	// For holds, for each member, the index of its answer, or [AsIs] or [Nothing]. The
	// engine calls Release when it does not need For any more.
	For     []int32
	Release func() // nil: no call is needed
}

// Values of All and For in place of the index of an answer.
const (
	AsIs    int32 = -1 // the event unchanged
	Nothing int32 = -2
)

// ActionSpec is an action that a loaded module declares.
type ActionSpec struct {
	Description string
	Inputs      map[string]InputSpec
	Module      string // by name
}

// InputSpec is an input of an action. The engine refuses a call without a required input.
type InputSpec struct {
	Required    bool
	Description string
}

// Connection is the data of a connection that modules may see.
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

// Profile is an immutable copy of a Connection: a change makes a new Profile, so that
// derived data can be kept with it.
type Profile struct {
	Connection

	// Derived is for the middleware's encodings of the profile. The engine does not
	// use it.
	Derived atomic.Value
}

// NamedProperty is a property of a profile.
type NamedProperty struct {
	Property
	Claim bool // from a token: read-only to modules
}

// Property returns the value of a property; nil if it is not set.
func (c *Connection) Property(name string) json.RawMessage {
	for i := range c.Properties {
		if c.Properties[i].Name == name {
			return c.Properties[i].Value
		}
	}
	return nil
}
