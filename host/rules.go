package host

import (
	"cmp"
	"encoding/json"
	"io"
	"time"

	"github.com/mootchat/moot/engine/hook"
)

// Rules are the modules there are and the chains of all tenants. [Host.Load]
// keeps nothing of them.
type Rules struct {
	Modules []Module
	Tenants []Tenant

	ChainTimeout time.Duration // for all entries of a chain together, about one event; 0: that of Config

	Memory int64 // bytes that all instances of the node may use together; 0: that of Config

	Recording Recording
	Beside    []byte // what else a revision's ID stands for; nil: nothing
}

// Module is a WebAssembly module, or a script, that entries name.
type Module struct {
	Name   string
	Script string                        // the name of a script's file; "": it is a WebAssembly module
	File   string                        // for messages
	Where  string                        // for messages: "config.yaml:12: modules.blocklist"
	Wasm   []byte                        // the binary, or the script's text; nil: Open is called
	Open   func() (io.ReadCloser, error) // gives it; at most 16 MiB are read
	SHA256 string                        // of it, in hex; "": not checked
}

// Tenant is the chain of one tenant, for all hooks.
type Tenant struct {
	Name  string
	CPU   float64 // share of the processors that its modules may use, up to 1; 0: one half
	Chain []Entry
}

// Entry is a module's place in a chain.
type Entry struct {
	Module   string
	Where    string        // for messages: "config.yaml:42: tenants.default.chain[0]"
	Rooms    []string      // patterns of package glob, one that fits is enough; nil: every room
	Hooks    []hook.Hook   // nil: all that the module has
	Priority int           // low ones are asked first, equal ones in the order given
	Timeout  time.Duration // for one event, all calls together; 0: 50 ms
	Memory   int64         // bytes of one instance, 64 KiB to 64 MiB; 0: 16 MiB
	OnError  Policy
	Breaker  Breaker
	Grants   []string // kv, rate, emit, rooms, properties:NAME,...
	Mode     Mode
	Config   json.RawMessage // JSON for the module; nil: {}
	Shown    json.RawMessage // what of Config is in a revision's ID; nil: all. Beside tells of the rest
}

// Policy is what a chain makes of an entry that failed.
type Policy uint8

// The policies.
const (
	DenyOnError  Policy = iota // the event fails; at say, the receivers asked about get nothing
	AllowOnError               // as if the entry were not there
)

// Mode says what a module's verdict is worth.
type Mode uint8

// The modes.
const (
	Enforce Mode = iota
	Shadow       // the module is asked and counted, also where the chain ended by a deny; nothing comes of it
)

// Breaker says when an entry that fails too often is not asked for a while, and its
// OnError holds at once. A failure counts where the module was asked: time spent waiting
// for an instance, or for the tenant's share of the processors, does not.
type Breaker struct {
	Ratio    float64       // share of the calls within Window, above 0 and up to 1, that opens it by failing; 0: 0.5
	Minimum  int           // calls within Window before it may open; 0: 20
	Window   time.Duration // 0: 10 s
	Cooldown time.Duration // until the module is probed; 0: 5 s
	Probes   int           // calls admitted at a time after the cooldown; this number of successes closes the breaker; 0: 3
}

// MaxModule bounds a module's binary, in bytes.
const MaxModule = 16 << 20

const (
	defaultTimeout = 50 * time.Millisecond
	defaultMemory  = 16 << 20
	minMemory      = 64 << 10
	// One instruction may fill or copy all of a memory, and Go's collector waits
	// for it: 47 ms at 64 MiB, 607 ms at 1 GiB.
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
