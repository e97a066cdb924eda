// Package moot makes a Go program a Moot module: the program registers handlers for
// hooks, and the host calls them.
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
// main never runs: set up in init. The host makes one call at a time to an instance.
// A panic ends the instance; it appears in the host's log, and the entry's onError
// decides about the event. Lines that a program writes to standard output and
// standard error become log lines. A program has no files, no network and no
// environment.
//
// Package variables and init functions run once, and all instances start from the
// memory that they leave. The functions of math/rand have other numbers in each
// instance, but values that a program derives from random numbers or from the clock
// before Init, such as a rand.Rand with a seed of its own or a maphash.Seed, are the
// same in all instances: make them in Init or in a handler.
//
// The package also builds natively, so that go test can test rules: see package
// moottest.
package moot

// Module is what a program registers: declarations and handlers. The host does not
// call a hook whose handler is nil.
type Module struct {
	Name    string // the module's own name; config may use another name
	Version string // any text

	// Reads names the fields that the module may see, such as "message", "id"
	// and "properties.role". Other fields read as empty; a module with Actions
	// always sees "action". nil: all but properties.
	Reads []string
	// Vary names the fields of a receiver that OnSay's answer depends on, each
	// also in Reads: the host then calls once per distinct set of their values.
	// nil: once per receiver. OnSayAll makes it empty.
	Vary []string
	// Pure declares that the same event always has the same verdict. It is not for
	// modules that use the clock, random numbers, KV or rates, or keep state.
	Pure bool
	// Capabilities names what the entry must grant: "kv", "rate", "emit",
	// "rooms", "sanctions", "members", "identity", "amend", "properties:role,color".
	Capabilities []string
	// Denials makes the host call the module for events that an earlier entry of the
	// chain has denied, and for no others. Its verdict does not count; sanctions,
	// removals and amendments apply. Such a module has neither OnSay nor Actions.
	Denials bool

	// Config receives the entry's config, a JSON object or nothing, before Init:
	// usually [Into] a struct. nil: the module has no config. It is a function
	// so that a module without config does not link encoding/json, a third of
	// its size.
	Config func(config []byte) error
	// ConfigSchema is the JSON Schema of the config; "": none. The host refuses an
	// entry whose config does not fit.
	ConfigSchema string
	// Init runs once per instance, after Config and before all handlers. Its error
	// fails the load: begin it with the name of the setting.
	Init func() error

	OnConnect    func(*Event) Verdict
	OnJoin       func(*Event) Verdict
	OnSayReceive func(*Event) Verdict // once per message, before it is published
	OnLeave      func(*Event) Verdict
	OnDisconnect func(*Event) Verdict

	// OnSay is called for each receiver of a message, or for one receiver of each
	// class that Vary defines. A rewrite may set message and extra only.
	OnSay func(e *Event, receiver *Connection) Verdict
	// OnSayAll is called in place of OnSay, once for all receivers.
	OnSayAll func(*Event) Verdict

	Actions []Action // that clients may run by name

	// Asks names the external services that the module asks with [Ask]: at most 16 names, each of
	// 1 to 64 letters, digits and _.-. The entry defines each service.
	Asks []string
	// OnAnswer is called with the answer to an ask. The event is the one about which the module
	// asked, and the verdict is for its hook.
	OnAnswer func(*Event, *Answer) Verdict
}

// Action is a named procedure that clients run and the module answers.
type Action struct {
	Name        string
	Description string
	Inputs      []Input
	Speech      bool                 // muted clients may not run it: see ABI.md
	Run         func(*Event) Verdict // answers with [Reply] or [Deny]
}

// Input is a parameter of an action. The host refuses an action without a required
// parameter.
type Input struct {
	Name        string
	Required    bool
	Description string
}

// Register makes m the module of this program. Call it once, in init. A native build
// ignores it.
func Register(m Module) { register(m) }
