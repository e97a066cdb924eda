// Package hook is the contract between the engine and rules. The engine calls a
// [Middleware] at each [Hook] with an [Event], and applies the [Verdict] or, at say, the
// [Delivery]. Package host implements Middleware. Package hook contains types and no
// behavior.
package hook

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

// Hook is a point at which the engine calls its middleware.
type Hook uint8

// The hooks. The comments of the fields of [Event] name the hooks that have them.
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

// String returns the name of the hook in configuration, logs and documents.
func (h Hook) String() string { return names[h] }

// Named returns the hook with that name; 0 if there is none.
func Named(name string) Hook {
	return Hook(max(0, slices.Index(names[:], name)))
}

// Cause is the reason for which a membership began or ended.
type Cause string

// The causes. A join has no cause if a client or the server requested it.
const (
	CauseRoomLeave  Cause = "roomLeave"  // the client requested it
	CauseDestroyed  Cause = "destroyed"  // the room was destroyed
	CauseDisconnect Cause = "disconnect" // the connection ended
	CauseRemoved    Cause = "removed"    // the server removed the member
	CauseNodeLost   Cause = "node_lost"  // the node that held the connection died
	CauseRejoined   Cause = "rejoined"   // the member joined again after other nodes had removed it while its node was cut off
)

// Middleware decides about events: the engine calls it at every hook and applies its
// answer. A nil Middleware allows everything.
//
// Its methods are called concurrently, and never while a lock of the engine is held. They
// must answer within the time limit of their chain; waits for services do not count. ctx ends when the answer is no longer
// needed; the ctx of a leave that cannot be denied does not end. The methods must not keep
// their arguments, except a [Profile], which is immutable.
type Middleware interface {
	// Asks reports whether the tenant has a chain for the hook and, if the hook has a room,
	// for that room. It is called for every message and must be fast.
	Asks(hook Hook, tenant, room string) bool

	// Decide runs the tenant's chain for a hook other than say. If a module rewrites the
	// event, Decide changes the event in place (at onSayReceive: the fields Message, Room,
	// From, SentAt and Extra).
	Decide(ctx context.Context, ev *Event) Verdict

	// Deliver runs the say chain for one message and the members of the room
	// on this node. It must not keep or change members.
	Deliver(ctx context.Context, ev *Event, members []Member) Delivery

	// Actions returns the actions that the tenant's chain declares, by name. The map
	// must not be changed.
	Actions(tenant string) map[string]ActionSpec
}

// Member is a connection in a room, for the say chain.
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
	Room   string // at join, leave, say and onSayReceive

	// Conn is the connection of the event: it joins, leaves, sends, acts, or has ended. It
	// is nil for broadcasts of the system, and at say, which concerns all members.
	Conn *Profile

	// JoinedAt is the time when Conn joined the room, in ms since 1970. It is set at leave,
	// and at onSayReceive for a message of a member; else it is 0.
	JoinedAt int64

	// Caused is true if an effect of a module caused the event. Effects of its chain that
	// emit messages or create or destroy rooms are then dropped.
	Caused bool

	Cause Cause // at leave and join

	// The fields of a message, at onSayReceive and say.
	Message  wire.Message
	From     string
	Context  string
	SentAt   int64           // ms since 1970
	Sequence uint64          // the number of the message in its room, counted by this node
	Extra    json.RawMessage // a JSON object; nil: none
	Edits    string          // the id of the message that is edited: Message is its new text; "": it is a new message

	// MessageID is the id of the message; "" in an ephemeral room. A chain that moves a new message to another
	// room sees the id that the message would have in its first room.
	MessageID string

	// Snapshot identifies the members at say; see [MemberSnapshot]. nil means unknown.
	Snapshot *MemberSnapshot

	// Waiter is called when the chain begins and ends to wait for a service; nil: nothing is called.
	Waiter Waiter

	// After is set at onSayReceive for a held message that is released: Decide skips the entries
	// up to and including this place. nil: the whole chain runs.
	After *Place

	// The fields of an action.
	Action string
	Params json.RawMessage // a JSON object; nil: none
}

// Waiter lets other events run while the chain of an event waits for a service.
type Waiter interface {
	// BeginWait is called before the wait. A result above 0 refuses the wait: the chain fails,
	// the result is the RetryAfter of its verdict, and EndWait is not called.
	BeginWait() (retryAfter time.Duration)

	// EndWait is called after the wait, and returns when the event may go on.
	EndWait()
}

// MemberSnapshot identifies the members of a room at one moment, in their order. The room
// gets a new MemberSnapshot when a member joins, leaves or gets another profile.
type MemberSnapshot struct {
	// Derived holds data that the middleware derives from the members. The engine does not
	// use it.
	Derived atomic.Value
}

// Outcome is the result of a chain.
type Outcome uint8

// The outcomes.
const (
	Allowed Outcome = iota
	Denied          // Reason is for the client
	Dropped         // the client gets no error
	Failed          // a module failed, and its entry has onError: deny
	Held            // at onSayReceive: a moderator decides about the message; Hold is set
)

// Outcomes is the length of an array that is indexed by outcome.
const Outcomes = Held + 1

// String returns the name of the outcome in metrics.
func (o Outcome) String() string {
	return [Outcomes]string{"allowed", "denied", "dropped", "failed", "held"}[o]
}

// Verdict is the answer of a chain. The zero Verdict allows the event.
type Verdict struct {
	Outcome Outcome
	Reason  string // from the module: the reason of Denied is for the client, that of Held for moderators
	Code    uint32 // for Denied: a number that the module defines, for the client; 0 means none
	Module  string // the module that denied, dropped, failed or held, as module@sha#revision; "" if none did
	Hold    *Hold  // for Held; else nil

	// RetryAfter is the time after which the request may be repeated. It is set for Failed
	// only; 0 means unknown.
	RetryAfter time.Duration

	// Waited is the time for which the chain has waited for services. Other events have
	// run in this time. 0: it has asked none.
	Waited time.Duration

	// Reply is the answer of an action, a JSON object; nil means {}.
	Reply json.RawMessage

	// Effects are applied in order after the event is recorded. If an entry denied, dropped or
	// held the event, they are the effects of this entry and of those before it for which
	// [Effect.Moderates] reports true. They are empty if the chain failed.
	Effects []Effect
}

// Hold describes how a message is held. The event of Decide then has the message as the earlier
// entries have rewritten it.
type Hold struct {
	TTL     time.Duration // time until the message expires, at most 30 days; 0: the default of the tenant
	Release bool          // the message is released when it expires; false: it is rejected
	At      Place         // the place of the entry that holds the message
}

// Place identifies an entry in the chain of a room, even after the chain has changed.
//
// The entries behind a place are those with a higher priority, and those of the same priority that
// follow the entry of the place. If the chain no longer has this entry, no entry of the same
// priority is behind the place.
type Place struct {
	Priority int    `json:"priority"`
	Module   string `json:"module"`          // the name of the module in the configuration
	Index    int    `json:"index,omitempty"` // the number of earlier entries with this priority and module
	Moved    bool   `json:"moved,omitempty"` // another chain moved the message to its room: no entry may move it again
	Room     string `json:"room,omitempty"`  // the room of the chain, if an earlier entry has moved the message to another room; "": the room of the message
}

// Effect is a change that a module requested. Exactly one field is set.
type Effect struct {
	Emit     *Emit
	Property *Property
	Room     *RoomEffect
	Sanction *Sanction
	Removal  *Removal
	Identity *Identity
	Amend    *Amendment
}

// Moderates reports whether the effect applies even if the event is denied, dropped or held: a
// denial is often the reason for a mute.
func (f *Effect) Moderates() bool { return f.Sanction != nil || f.Removal != nil || f.Amend != nil }

// Emit is a message from a module to a room of its tenant, to one connection or to all
// connections of a user. One of the three is set. Its sender is "0".
type Emit struct {
	Room       string
	Connection string
	User       string
	Message    wire.Message
}

// Property is a named JSON value of a connection.
type Property struct {
	Name  string
	Value json.RawMessage // nil: the property is removed
}

// RoomEffect creates or destroys a room.
type RoomEffect struct {
	Name    string
	Destroy bool
}

// Sanction sets or pardons a sanction of a module.
type Sanction struct {
	// Set is the sanction. It is valid and has its ID. Tenant is empty and Until is 0.
	Set    moderation.Sanction
	TTL    time.Duration // from now; 0: without an end
	Pardon bool          // the sanction with the ID is removed
}

// Removal removes a connection of the tenant from a room, or closes it.
type Removal struct {
	Connection string
	Room       string // "": the connection is closed
	Reason     string // for the client; may be ""
	Module     string // the name of the module
}

// Identity names the user of the event's connection, at connect and action. The connection must have no user yet.
type Identity struct {
	User   string // at most 256 bytes of UTF-8 without control characters
	Module string // the name of the module
}

// Amendment retracts or edits a message of a room of the tenant.
type Amendment struct {
	Room    string
	ID      string       // of the message
	Edit    bool         // the message gets a new text; false: it is retracted
	Message wire.Message // the new text of an edit
	Module  string       // the name of the module
}

// Delivery is the answer of a say chain for the members of a room. The zero Delivery
// delivers the event unchanged to all members.
type Delivery struct {
	// Answers are the distinct forms of the message that members receive.
	Answers []wire.Payload
	// All is the answer for all members if For is nil. It has the same values as the
	// elements of For.
	All int32
	// For contains, for each member, the index of its answer, or [AsIs] or [Nothing]. The
	// engine calls Release when it no longer needs For.
	For     []int32
	Release func() // nil: Release is not called
}

// Values of All and of the elements of For that are not an index.
const (
	AsIs    int32 = -1 // the event is delivered unchanged
	Nothing int32 = -2
)

// ActionSpec is an action that a loaded module declares.
type ActionSpec struct {
	Description string
	Inputs      map[string]InputSpec
	Module      string // the name of the module
	Speech      bool   // clients that are muted may not run it
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
	UserGiven   bool            `json:"userGiven,omitempty"` // a module has named the user
	Transport   string          `json:"transport"`           // "websocket", "socket"
	RemoteIP    string          `json:"remoteIP"`
	RemotePort  int             `json:"remotePort"`
	Locale      string          `json:"locale,omitempty"` // a language tag such as "en-GB"; "" unknown
	ConnectedAt int64           `json:"connectedAt"`      // ms since 1970
	Properties  []NamedProperty `json:"-"`                // in the order of their names
}

// Profile is an immutable copy of a Connection. Each change creates a new Profile, so
// derived data can be stored in it.
type Profile struct {
	Connection

	// Derived holds the middleware's encodings of the profile. The engine does not use it.
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
