//go:build !wasm

// Package moottest asks a module as the host would, in a native program: rules
// are tested with go test, without a sandbox.
//
//	g, err := moottest.Load(module(), `{"words": ["darn"]}`)
//	...
//	v := g.Ask(moottest.Event{Hook: "onSayReceive", Message: "oh darn"})
//	if v.Message != "oh ****" { ... }
//
// Every question crosses as a frame, laid out as the host lays it out, so that a
// module sees no field that it does not declare and reaches nothing that it does
// not list among its capabilities.
package moottest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	moot "github.com/mootchat/moot/sdk/go"
)

// Event is what happens. An empty field is absent.
type Event struct {
	Hook       string // as in config: "join", "onSayReceive", ...
	Room       string
	Tenant     string
	From       string
	Message    string
	JSON       bool // Message is JSON text
	Context    string
	Cause      string
	Action     string
	Params     string // a JSON object
	SentAt     int64  // ms since 1970
	Sequence   uint64
	Connection *Connection  // nil: the system's, or say
	Receivers  []Connection // of say
}

// Connection is a client's connection. An empty field is absent.
type Connection struct {
	ID, Fingerprint, User, Transport, RemoteIP, Tenant, Locale string

	Properties  map[string]string // values are JSON text
	ConnectedAt int64             // ms since 1970
	JoinedAt    int64             // of the event's room
}

// Answer is what a verdict comes down to.
type Answer string

// The answers. Failed is what the host's log would tell of, and onError decide:
// an error of the module's own, or an answer that the contract does not have.
const (
	Allow    Answer = "allow"
	AllowEnd Answer = "allowEnd"
	Deny     Answer = "deny"
	Drop     Answer = "drop"
	Rewrite  Answer = "rewrite"
	Failed   Answer = "failed"
)

// Verdict is what the module answered. What it does not say is empty.
type Verdict struct {
	Answer  Answer
	Reason  string // of a denial, or what failed
	Code    uint32 // of a denial: the module's own
	Message string
	Kind    uint32 // of Message: 0 not rewritten, 1 text, 2 JSON text
	Extra   string
	Room    string
	From    string
	SentAt  int64  // ms since 1970
	Reply   string // of an action

	Receivers []Verdict // of say: one for each receiver

	// What the module asked for and would happen now; nothing if it refused.
	Emitted    []moot.Emit
	Properties map[string]string // JSON text; "": removed
	Created    []string          // rooms
	Destroyed  []string          // rooms
}

// Guest is a loaded module. It is for one goroutine at a time.
type Guest struct {
	Host  *Host // what the module finds outside of itself
	guest *moot.Guest
	sees  view
}

// Load makes a guest of m with the config, a JSON object or "". The error is
// why the module refuses it, or what in its declarations the host would refuse.
func Load(m moot.Module, config string) (*Guest, error) {
	host := new(Host)
	g := moot.NewGuest(m, host)
	var declared struct {
		Reads, Vary, Capabilities []string
	}
	if err := json.Unmarshal([]byte(g.Manifest()), &declared); err != nil {
		return nil, fmt.Errorf("manifest: %w", err) // a ConfigSchema that is not JSON
	}
	sees, err := viewOf(declared.Reads)
	if err != nil {
		return nil, err
	}
	for _, name := range declared.Vary {
		if !sees.shows(name) {
			return nil, fmt.Errorf("vary: %q is not among reads", name)
		}
	}
	host.init(declared.Capabilities)
	if err := g.Init(config); err != nil {
		return nil, err
	}
	return &Guest{host, g, sees}, nil
}

// Manifest is what the module says of itself, as JSON.
func (g *Guest) Manifest() string { return g.guest.Manifest() }

// Ask asks the module about e. It panics if e names no hook, and as the module
// does.
func (g *Guest) Ask(e Event) Verdict {
	hook := slices.Index(hooks[:], e.Hook)
	if hook < 1 {
		panic(fmt.Sprintf("moottest: there is no hook %q, but %s", e.Hook, strings.Join(hooks[1:], ", ")))
	}
	frame := g.sees.frame(hook, &e)
	g.Host.begin(hook, &e)
	returned := g.guest.Call(frame)
	if returned == 3 && le.Uint32(frame[100:]) > maxVariants && len(e.Receivers) > maxVariants {
		return g.inParts(e)
	}
	v := judged(hook, decode(returned, frame, g.guest.Memory()))
	if v.Answer == Allow || v.Answer == AllowEnd || v.Answer == Rewrite {
		v.Emitted, v.Properties = g.Host.emitted, g.Host.properties
		v.Created, v.Destroyed = g.Host.created, g.Host.destroyed
	}
	return v
}

// maxVariants is how many variants one answer can have.
const maxVariants = 253

// inParts asks about so few receivers at once that each can have a variant of its own.
func (g *Guest) inParts(e Event) Verdict {
	all := Verdict{Answer: Rewrite}
	for receivers := range slices.Chunk(e.Receivers, maxVariants) {
		e.Receivers = receivers
		v := g.Ask(e)
		if v.Answer == Failed {
			return v
		}
		all.Receivers = append(all.Receivers, v.Receivers...)
	}
	return all
}
