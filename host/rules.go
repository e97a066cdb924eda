package host

import (
	"cmp"
	"encoding/json"
	"io"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/hook"
)

// Rules are the modules and the chains of all tenants. A revision shares the slices of entries, such as Rooms and
// Config; they must not be changed after [Host.Load].
type Rules struct {
	Modules []Module
	Tenants []Tenant

	ChainTimeout time.Duration // for all entries of a chain together, for one event; 0: that of Config

	Memory int64 // limit for compiled modules and instances of the node together, in bytes; 0: that of Config

	Recording Recording
	Beside    func([]Fault) []byte // returns further data for the ID of a revision with these faults; nil: none

	// Partial loads the other tenants if one cannot be loaded; see [Revision.Faults].
	Partial bool
}

// Module is a WebAssembly module or a script that entries name.
type Module struct {
	Name   string
	Script string                        // the name of a script's file; "": a WebAssembly module
	File   string                        // for messages
	Where  string                        // for messages: "config.yaml:12: modules.blocklist"
	Wasm   []byte                        // the binary or the script's text; nil: use Open
	Open   func() (io.ReadCloser, error) // opens it; at most 16 MiB are read
	SHA256 string                        // of it, in hex; "": not checked
	Shared bool                          // with Partial: an error of it fails the load; false: only the tenants that name it
	Owner  string                        // who pays for scripts that are too expensive to translate, together with modules of the same Owner

	// Known is the SHA-256 of the content, if the caller knows that it has not changed since a load has read it. The host
	// does not read a binary again whose code it still has. Zero: unknown.
	Known [32]byte

	// Digested is called with the SHA-256 of the content when it was read; nil: not called.
	Digested func(sum [32]byte)
}

// Tenant is the chain of one tenant, for all hooks.
type Tenant struct {
	Name  string
	CPU   float64 // share of the processors for its modules, up to 1; 0: one half
	Chain []Entry

	// Sum identifies CPU and Chain. A tenant that has the same Sum and the same modules in the revision in use is taken
	// from there unread. It may depend on secrets, and is not shown. Zero: the tenant is always read.
	Sum [32]byte

	// Keep takes the tenant from the revision in use, and ignores CPU and Chain. A tenant that is not in use is left out.
	Keep bool
}

// Entry is a module's place in a chain.
type Entry struct {
	Module    string
	Where     string        // for messages: "config.yaml:42: tenants.default.chain[0]"
	Rooms     []string      // patterns of package glob, of which one must match; nil: every room
	Hooks     []hook.Hook   // nil: all hooks of the module
	Priority  int           // lower ones are called first, equal ones in order
	Timeout   time.Duration // for one event, all calls together; 0: 50 ms
	Memory    int64         // bytes of one instance, 64 KiB to 64 MiB; 0: 16 MiB
	OnError   Policy
	OnExpire  Expiry
	Breaker   Breaker
	Isolation Isolation
	Grants    []string // kv, rate, emit, rooms, sanctions, members, identity, amend, properties:NAME,...
	Mode      Mode
	Config    json.RawMessage // JSON for the module; nil: {}
	Shown     json.RawMessage // the part of Config in a revision's ID; nil: all. Beside covers the rest
	Asks      map[string]Ask  // the services that the module may ask, by the names in its manifest
	NoAsks    bool            // of a shadow: the module does not ask, and its decision is report.Asked
}

// Ask is an external service that a module asks by a name.
type Ask struct {
	Service ask.Service `json:"-"`
	OnError Policy      // if there is no usable answer

	// Definition identifies the service in the ID of a revision, without secrets. After a reload with another
	// Definition, the entry has a new breaker.
	Definition string
}

// Policy is how a chain continues after an entry has failed.
type Policy uint8

// The policies.
const (
	DenyOnError  Policy = iota // the event fails; at say, the receivers get nothing
	AllowOnError               // as if the entry did not exist
	HoldOnError                // of an Ask at onSayReceive: a moderator decides about the message
)

// Expiry is what happens to a message that an entry holds when its time to live is over.
type Expiry uint8

// The expiries.
const (
	RejectOnExpire  Expiry = iota // nobody receives it
	ReleaseOnExpire               // the chain continues behind the entry
)

// Isolation is how long the memory of an instance lasts.
type Isolation uint8

// The isolations.
const (
	PerInstance Isolation = iota // until the instance is closed or reset
	PerCall                      // for one call: the next call has an instance that has just started
)

// Mode is whether a module's verdict applies.
type Mode uint8

// The modes.
const (
	Enforce Mode = iota
	Shadow       // the module is called and counted, also after a deny, without effect
)

// Breaker configures the circuit breaker of an entry. While it is open the entry is not called, and its OnError applies
// at once. Only failures of calls count: time spent waiting for an instance, or for the tenant's share of the
// processors, does not.
type Breaker struct {
	Ratio    float64       // share of failed calls within Window that opens it, above 0 and up to 1; 0: 0.5
	Minimum  int           // calls within Window without which it does not open; 0: 20
	Window   time.Duration // 0: 10 s
	Cooldown time.Duration // until it admits probes; 0: 5 s
	Probes   int           // calls admitted at a time after the cooldown; this number of successes closes the breaker; 0: 3
}

// MaxModule limits a module's binary, in bytes.
const MaxModule = 16 << 20

const (
	defaultTimeout = 50 * time.Millisecond
	defaultMemory  = 16 << 20
	minMemory      = 64 << 10
	// One instruction can fill or copy a whole memory, and Go's garbage collector waits for it: 47 ms at 64 MiB, 607 ms at 1 GiB.
	maxMemory = 64 << 20
)

func (e Entry) withDefaults() Entry {
	e.Timeout = cmp.Or(e.Timeout, defaultTimeout)
	e.Memory = cmp.Or(e.Memory, defaultMemory)
	e.Breaker.Ratio = cmp.Or(e.Breaker.Ratio, 0.5)
	e.Breaker.Minimum = cmp.Or(e.Breaker.Minimum, 20)
	e.Breaker.Window = cmp.Or(e.Breaker.Window, 10*time.Second)
	e.Breaker.Cooldown = cmp.Or(e.Breaker.Cooldown, 5*time.Second)
	e.Breaker.Probes = cmp.Or(e.Breaker.Probes, 3)
	if e.Config == nil {
		e.Config = json.RawMessage("{}")
	}
	return e
}
