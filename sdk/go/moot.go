// Package moot makes a Go program a Moot module: it registers handlers for the
// hooks it wants to decide, and the host asks them.
//
//	func init() {
//		moot.Register(moot.Module{
//			Name:  "shout",
//			Reads: []string{"message"},
//			OnSayReceive: func(e *moot.Event) moot.Verdict {
//				return moot.Rewrite().Text(strings.ToUpper(e.Message()))
//			},
//		})
//	}
//
//	func main() {}
//
// Build it with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o shout.wasm .
//
// main is never run: set up in init. The host asks an instance one thing at a
// time. A handler that panics ends its instance; the panic is in the host's log
// and the entry's onError decides. What a program writes to standard output and
// standard error become log lines. It has no files, no network and no
// environment.
//
// The package also builds natively, so that rules are tested with go test: see
// package moottest.
package moot

// Module is what a program registers: what it says of itself and its handlers.
// A nil handler is a hook that the module does not have.
type Module struct {
	Name    string // the module's own name; config may call it otherwise
	Version string // any text

	// Reads names the fields that the module may see, such as "message", "id"
	// and "properties.role". Undeclared ones read as empty; "action" is seen by
	// any module with Actions. nil: all but properties.
	Reads []string
	// Vary names the fields of a receiver that OnSay's answer depends on, each
	// in Reads too: the host then asks once per distinct set of their values.
	// nil: once per receiver. OnSayAll makes it empty.
	Vary []string
	// Pure says that the same event always gives the same verdict. Not for a
	// module that uses the clock, randomness, KV or rates, or keeps state.
	Pure bool
	// Capabilities names what its entry must grant: "kv", "rate", "emit",
	// "rooms", "properties:role,color".
	Capabilities []string

	// Config is given the entry's config, a JSON object or nothing, before Init:
	// usually [Into] a struct. nil: the module takes no config. It is a function
	// so that a module without config does not carry encoding/json, a third of
	// its size.
	Config func(config []byte) error
	// ConfigSchema is a JSON Schema of the config, for people and tools.
	ConfigSchema string
	// Init is called once per instance, after Config and before all
	// handlers. Its error is why the load fails: begin it with the setting's name.
	Init func() error

	OnConnect    func(*Event) Verdict
	OnJoin       func(*Event) Verdict
	OnSayReceive func(*Event) Verdict // once per message, before it is published
	OnLeave      func(*Event) Verdict
	OnDisconnect func(*Event) Verdict

	// OnSay is asked for each receiver of a message, or for one of each kind
	// that Vary tells apart. Of a rewrite only message and extra count.
	OnSay func(e *Event, receiver *Connection) Verdict
	// OnSayAll is asked in place of OnSay, once for all receivers.
	OnSayAll func(*Event) Verdict

	Actions []Action // what clients may ask this module by name
}

// Action is a request of a client that the module answers.
type Action struct {
	Name        string
	Description string
	Inputs      []Input
	Run         func(*Event) Verdict // answers with [Reply] or [Deny]
}

// Input is a parameter of an action. The host refuses an action that lacks a
// required one.
type Input struct {
	Name        string
	Required    bool
	Description string
}

// Register makes m the module that this program is. Call it once, in init; a
// native build ignores it.
func Register(m Module) { register(m) }
