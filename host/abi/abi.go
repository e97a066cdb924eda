// Package abi is the contract between the host and a guest module: names,
// numbers and the layout of the frame in which an event crosses into a guest's
// memory. It is ABI major version 1; a guest says which major it speaks by the
// name of its marker export.
//
// # One call
//
// The host writes one [Frame] into the guest's exchange buffer (the memory that
// moot_alloc returned), calls one hook export with the frame's address, and
// reads one i32 and the frame's result slots back. All numbers are little
// endian. Offsets in a frame count from the frame's start, offsets in a blob
// from the blob's start; result pointers, which the guest writes, are absolute
// addresses in its memory.
//
// # Growth
//
// Field numbers, hook numbers and result slots are only ever appended. A guest
// checks a blob's field count before it reads a field that Minor 0 did not have.
package abi

// Minor is the minor version this host speaks: it is in every frame, and the
// first argument of moot_init.
const Minor = 0

// Names of what a guest exports. Signatures are in wasm types.
const (
	ExportMemory     = "memory"
	ExportMarker     = "moot_abi_1"    // () -> (): never called
	ExportAlloc      = "moot_alloc"    // (size i32) -> ptr i32: the exchange buffer, 8-aligned; 0 refuses
	ExportManifest   = "moot_manifest" // () -> i64: ptr<<32 | len of a [Manifest] as JSON
	ExportInit       = "moot_init"     // (minor, ptr, len i32) -> i32: the entry's config as JSON; 0 accepts
	ExportInitialize = "_initialize"   // () -> (): optional, called once before all others
)

// ExportReason is optional, () -> i64: ptr<<32 | len of why moot_init refused,
// asked right after it did.
const ExportReason = "moot_reason"

// ManifestSection is the custom section that may hold the manifest in place of
// [ExportManifest].
const ManifestSection = "moot.manifest"

// ImportModule is the module name of the host functions a guest may import.
const ImportModule = "moot_1"

// ExchangeSize is what the host asks moot_alloc for first, in bytes; it asks
// again, up to ExchangeMax, only when a frame needs more.
const (
	ExchangeSize = 64 << 10
	ExchangeMax  = 1 << 20
)

// Bounds of one call.
const (
	MaxReceivers     = 1024      // receivers in one frame of on_say
	MaxReceiverBytes = 256 << 10 // bytes of their blobs
	MaxVariants      = 253       // variants one on_say may offer: verdict bytes 2..254; more ask for fewer receivers
	MaxReason        = 1 << 10   // bytes of a deny's reason
	MaxResult        = 64 << 10  // bytes of any other result a guest gives
	MaxProperties    = 16 << 10  // bytes of the properties of one connection, encoded
	MaxManifest      = 64 << 10  // bytes of a manifest
	MaxEmits         = 4         // emit calls in one hook call
)

// Hook numbers a hook in a frame.
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

// Hooks is how many hooks there are: valid numbers are 1 to Hooks.
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

// String is the hook's name in config, logs and docs, "" for a number that is
// no hook.
func (h Hook) String() string {
	if h > Hooks {
		return ""
	}
	return hooks[h].name
}

// Export is the name of the guest's function for the hook, "" for a number that
// is no hook.
func (h Hook) Export() string {
	if h > Hooks {
		return ""
	}
	return hooks[h].export
}

// HookNamed is the hook of that name, 0 if there is none.
func HookNamed(name string) Hook {
	for h := Connect; h <= Hooks; h++ {
		if hooks[h].name == name {
			return h
		}
	}
	return 0
}

// What a hook export returns. Every other number is a protocol error, a
// negative one the guest's own error; both follow the entry's onError.
const (
	Allow       = 0
	Deny        = 1 // reason in the result slots; on_say: as Drop, and counted
	Rewritten   = 2 // what the result slots name replaces what the event had
	PerReceiver = 3 // on_say alone: the verdict bytes count
	AllowEnd    = 4 // allow, and ask no later module of the chain
	Drop        = 5
)

// Verdict bytes of on_say, one per receiver.
const (
	VerdictDeliver = 0
	VerdictDrop    = 1
	VerdictVariant = 2 // 2+k: deliver variant k
)

// Kinds of a message.
const (
	KindNone = 0 // in a result: not rewritten
	KindText = 1 // UTF-8 text
	KindJSON = 2 // JSON text
)

// Results of host functions that are not a value or a length.
const (
	Absent      = -1
	NotGranted  = -2
	OverBudget  = -3
	BadPointer  = -4
	TooLarge    = -5
	Unavailable = -6
)

// Kinds of an emit: the sum of one of the first pair and one of the second. A JSON
// object to a connection is sent as it is, and may not use the names that a reply may
// not use.
const (
	EmitText         = 0
	EmitJSON         = 1
	EmitToRoom       = 0
	EmitToConnection = 2
)

// Capabilities that an entry grants in config. [CapabilityProperties] is
// followed by ":" and the names that may be set, separated by commas.
const (
	CapabilityKV         = "kv"
	CapabilityRate       = "rate"
	CapabilityEmit       = "emit"
	CapabilityRooms      = "rooms"
	CapabilityProperties = "properties"
)

// Manifest is what a module says of itself, as JSON.
type Manifest struct {
	Name         string       `json:"name"`                   // the module's own name; config may call it otherwise
	Version      string       `json:"version,omitempty"`      // any text
	Hooks        []string     `json:"hooks,omitempty"`        // the hooks it wants, each exported; none: all that it exports
	Reads        []string     `json:"reads"`                  // see [EventField], [ConnectionField]; null: all fields but properties
	Vary         []string     `json:"vary"`                   // receiver fields that the answer of on_say depends on; null: per receiver
	Pure         bool         `json:"pure,omitempty"`         // the same frame always gives the same verdict
	Capabilities []string     `json:"capabilities,omitempty"` // what its entry must grant
	Actions      []ActionSpec `json:"actions,omitempty"`
	Config       any          `json:"config,omitempty"` // JSON Schema of the entry's config, for people and tools
}

// ActionSpec is an action that a module answers.
type ActionSpec struct {
	Name        string               `json:"name"`
	Description string               `json:"description,omitempty"`
	Inputs      map[string]InputSpec `json:"inputs,omitempty"`
}

// InputSpec is an input of an action. The engine refuses an action that lacks a
// required one.
type InputSpec struct {
	Required    bool   `json:"required,omitempty"`
	Description string `json:"description,omitempty"`
}
