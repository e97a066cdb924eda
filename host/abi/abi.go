// Package abi is the contract between the host and a guest: names, numbers and the
// layout of the frame in which the host passes an event to a guest. This is version 1
// of the ABI. A guest exports a marker whose name has the guest's version.
//
// # One call
//
// The host writes one [Frame] into the guest's exchange buffer, which is the memory
// that moot_alloc returned. It calls one hook export with the frame's address, and then
// reads the i32 result and the frame's result slots. All numbers are little endian.
// Offsets in a frame count from the frame's start, and offsets in a blob from the
// blob's start. Result pointers, which the guest writes, are absolute addresses in its
// memory.
//
// # Growth
//
// New field numbers, hook numbers and result slots are always appended. A guest checks
// a blob's field count before it reads a field that Minor 0 did not have.
package abi

// Minor is the minor version of this host. Every frame contains it, and it is the first
// argument of moot_init.
const Minor = 1

// Names and signatures of the exports of a guest.
const (
	ExportMemory     = "memory"
	ExportMarker     = "moot_abi_1"    // () -> (): never called
	ExportAlloc      = "moot_alloc"    // (size i32) -> ptr i32: the exchange buffer, 8-aligned; 0 refuses
	ExportManifest   = "moot_manifest" // () -> i64: ptr<<32 | len of a [Manifest] as JSON
	ExportInit       = "moot_init"     // (minor, ptr, len i32) -> i32: the entry's config as JSON; 0 accepts
	ExportInitialize = "_initialize"   // () -> (): optional, called once before all others
)

// ExportReason is an optional export, () -> i64: ptr<<32 | len of the reason. The host
// calls it immediately after moot_init has refused.
const ExportReason = "moot_reason"

// ExportWake is an optional export, () -> (): the host calls it in an instance that starts from an image of another
// one, before moot_init and the first hook. The guest draws new random bytes there for state that it seeded earlier.
const ExportWake = "moot_wake"

// ExportAnswer is the export (frame i32) -> i32 of a module that asks external services: the
// host calls it with the answer. Its result is a verdict of the hook that asked. Since minor 1.
const ExportAnswer = "on_answer"

// ManifestSection is the custom section that may contain the manifest. A module with
// this section does not need [ExportManifest].
const ManifestSection = "moot.manifest"

// ImportModule is the module from which guests import host functions.
const ImportModule = "moot_1"

// ExchangeSize is the size in bytes that the host first passes to moot_alloc. If a
// frame needs more, the host calls moot_alloc again, with at most ExchangeMax.
const (
	ExchangeSize = 64 << 10
	ExchangeMax  = 1 << 20
)

// Limits of one call.
const (
	MaxReceivers     = 1024                  // receivers in one frame of on_say
	MaxReceiverBytes = 256 << 10             // bytes of their blobs
	MaxVariants      = 253                   // variants that one on_say may return: verdict bytes 2 to 254
	MaxReason        = 1 << 10               // bytes of the reason of a deny or a hold
	MaxResult        = 64 << 10              // bytes of any other result of a guest
	MaxProperties    = 16 << 10              // bytes of the properties of one connection, encoded
	MaxManifest      = 64 << 10              // bytes of a manifest
	MaxEmits         = 4                     // emit calls in one hook call
	MaxEffects       = 16                    // other effects of one hook call: properties, rooms, sanctions, removals, amendments, the user
	MaxAsks          = 16                    // names of asks in a manifest
	MaxAskName       = 64                    // bytes of the name of an ask
	MaxAskBody       = 16 << 10              // bytes of the body of an ask
	MaxAnswer        = 64 << 10              // bytes of the JSON of an answer
	MaxState         = 4 << 10               // bytes of the state that comes back with the answer
	MaxAsksPerEvent  = 2                     // asks of one entry for one event
	MaxUser          = 256                   // bytes of the name of a user
	MaxMessageID     = 24                    // bytes of the id of a message
	MaxSanction      = 16 << 10              // bytes of the JSON of a sanction
	MaxRemoval       = 120                   // bytes of the reason of a removal: it has to fit into a close frame
	MaxHold          = 30 * 24 * 3600 * 1000 // ms that a message is held; a longer time counts as this one
)

// Hook is the number of a hook in a frame.
type Hook uint16

// The hooks, in the order of their numbers.
const (
	Connect Hook = iota + 1
	Join
	OnSayReceive
	Say
	Leave
	Disconnect
	Action
)

// Hooks is the number of hooks. Valid numbers are 1 to Hooks.
const Hooks = 7

var hooks = [Hooks + 1]struct{ name, export string }{
	Connect:      {"connect", "on_connect"},
	Join:         {"join", "on_join"},
	OnSayReceive: {"onSayReceive", "on_say_receive"},
	Say:          {"say", "on_say"},
	Leave:        {"leave", "on_leave"},
	Disconnect:   {"disconnect", "on_disconnect"},
	Action:       {"action", "on_action"},
}

// String returns the hook's name in config, logs and docs, or "" if the number is not
// valid.
func (h Hook) String() string {
	if h > Hooks {
		return ""
	}
	return hooks[h].name
}

// Export returns the name of the guest's function for the hook, or "" if the number is
// not valid.
func (h Hook) Export() string {
	if h > Hooks {
		return ""
	}
	return hooks[h].export
}

// HookNamed returns the hook with that name, or 0 if there is none.
func HookNamed(name string) Hook {
	for h := Connect; h <= Hooks; h++ {
		if hooks[h].name == name {
			return h
		}
	}
	return 0
}

// Results of a hook export. A negative number is an error of the guest. Any other
// number that is not listed is a protocol error. The entry's onError applies to both.
const (
	Allow       = 0
	Deny        = 1 // with a reason in the result slots; on_say: as Drop, but counted as a deny
	Rewritten   = 2 // the values in the result slots replace those of the event
	PerReceiver = 3 // on_say only: the verdict bytes apply
	AllowEnd    = 4 // allow, and call no later module of the chain
	Drop        = 5
	Hold        = 6 // on_say_receive only: a moderator decides, with a reason and a time to live in the result slots; since minor 1
	Ask         = 7 // on_connect, on_join, on_say_receive, on_action and on_answer: the host asks a service and calls on_answer; since minor 1
)

// Verdict bytes of on_say, one per receiver.
const (
	VerdictDeliver = 0
	VerdictDrop    = 1
	VerdictVariant = 2 // 2+k: deliver variant k
)

// Kinds of messages.
const (
	KindNone = 0 // in a result: not rewritten
	KindText = 1 // UTF-8 text
	KindJSON = 2 // JSON text
)

// Negative results of host functions.
const (
	Absent      = -1
	NotGranted  = -2
	OverBudget  = -3
	BadPointer  = -4
	TooLarge    = -5
	Unavailable = -6
)

// Kinds of an emit: the sum of one constant of the first pair and one of the others. A
// JSON object to a connection or a user is sent unchanged; it must not have the reserved
// keys of a reply. An edit has a kind of the first pair.
const (
	EmitText         = 0
	EmitJSON         = 1
	EmitToRoom       = 0
	EmitToConnection = 2
	EmitToUser       = 4 // all connections of the user; since minor 1
)

// Capabilities that an entry grants in its config. [CapabilityProperties] is followed
// by ":" and the names of properties that may be set, separated by commas.
const (
	CapabilityKV         = "kv"
	CapabilityRate       = "rate"
	CapabilityEmit       = "emit"
	CapabilityRooms      = "rooms"
	CapabilityProperties = "properties"
	CapabilitySanctions  = "sanctions" // since minor 1
	CapabilityMembers    = "members"   // since minor 1
	CapabilityIdentity   = "identity"  // since minor 1
	CapabilityAmend      = "amend"     // since minor 1
)

// Manifest is a module's declaration of itself, as JSON.
type Manifest struct {
	Name         string       `json:"name"`                   // the module's own name; config may use another one
	Version      string       `json:"version,omitempty"`      // any text
	Hooks        []string     `json:"hooks,omitempty"`        // hooks that are called, each of them exported; none: all that are exported
	Reads        []string     `json:"reads"`                  // see [EventField], [ConnectionField]; null: all fields but properties
	Vary         []string     `json:"vary"`                   // receiver fields that the answer of on_say depends on; null: per receiver
	Pure         bool         `json:"pure,omitempty"`         // the same frame always gives the same verdict
	Capabilities []string     `json:"capabilities,omitempty"` // capabilities that its entry must grant
	Denials      bool         `json:"denials,omitempty"`      // it is called for events that an earlier entry has denied, and for no others; since minor 1
	Asks         []string     `json:"asks,omitempty"`         // names of the services that it asks, which its entry must define; since minor 1
	Actions      []ActionSpec `json:"actions,omitempty"`
	Config       any          `json:"config,omitempty"` // JSON Schema that the entry's config must fit; see package schema
}

// ActionSpec is an action of a module.
type ActionSpec struct {
	Name        string               `json:"name"`
	Description string               `json:"description,omitempty"`
	Inputs      map[string]InputSpec `json:"inputs,omitempty"`
	Speech      bool                 `json:"speech,omitempty"` // muted clients may not run it; since minor 1
}

// InputSpec is an input of an action. If a required input is missing, the engine
// refuses the action.
type InputSpec struct {
	Required    bool   `json:"required,omitempty"`
	Description string `json:"description,omitempty"`
}
