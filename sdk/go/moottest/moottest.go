//go:build !wasm

// Package moottest calls a module as the host calls it, in a native program, so that
// go test can test rules without a sandbox.
//
//	g, err := moottest.Load(module(), `{"words": ["darn"]}`)
//	...
//	v := g.Ask(moottest.Event{Hook: "onSayReceive", Message: "oh darn"})
//	if v.Message != "oh ****" { ... }
//
// Every call passes a frame of the host's layout: a module sees only the fields that
// it declares, and may call only host functions of its capabilities.
package moottest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	moot "github.com/mootchat/moot/sdk/go"
)

// Event is the event to call a hook for. An empty field is absent.
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
	MessageID  string
	Edits      string       // the id of the message that the event edits
	Connection *Connection  // nil: an event of the system, or say
	Receivers  []Connection // of say
}

// Connection is a client's connection. An empty field is absent.
type Connection struct {
	ID, Fingerprint, User, Transport, RemoteIP, Tenant, Locale string

	Properties  map[string]string // values are JSON text
	ConnectedAt int64             // ms since 1970
	JoinedAt    int64             // of the event's room
}

// Answer is the kind of a verdict.
type Answer string

// The answers. Failed stands for an error that the host logs, and for which onError
// decides: an error of the module, or an answer that violates the contract.
const (
	Allow    Answer = "allow"
	AllowEnd Answer = "allowEnd"
	Deny     Answer = "deny"
	Drop     Answer = "drop"
	Rewrite  Answer = "rewrite"
	Hold     Answer = "hold"
	Ask      Answer = "ask"
	Failed   Answer = "failed"
)

// Verdict is the module's answer. Fields that the module did not set are empty.
type Verdict struct {
	Answer  Answer
	Reason  string // of a denial, a hold or a failure
	Code    uint32 // of a denial: a number that the module defines
	Message string
	Kind    uint32 // of Message: 0 not rewritten, 1 text, 2 JSON text
	Extra   string
	Room    string
	From    string
	SentAt  int64  // ms since 1970
	Reply   string // of an action
	TTL     int64  // of a hold, in ms; 0: the tenant's default
	Asked   Asked  // of an ask

	Receivers []Verdict // of say: one for each receiver

	// The effects that the host would apply; none if the module denied or held the event.
	Emitted    []moot.Emit
	Properties map[string]string // JSON text; "": removed
	Created    []string          // rooms
	Destroyed  []string          // rooms
	User       string            // the name of the connection's user

	// The effects that the host would apply, also if the module denied, dropped or held the event.
	Sanctions []moot.Sanction // Rooms is "*" for all
	Pardons   []moot.Sanction
	Removals  []Removal
	Retracted []Amendment
	Edited    []Amendment
}

// Asked is a question to an external service. Pass its answer to [Guest.Answer].
type Asked struct {
	Name, Body, State string
}

// Reply is the answer of a service.
type Reply struct {
	Name   string // of the ask
	Status int    // of HTTP; 0: 200
	JSON   string // "": none
	State  string // of the ask
	Number int    // of the ask about the event; 0: 1
}

// Guest is a loaded module. Only one goroutine may use it at a time.
type Guest struct {
	Host  *Host // its host functions
	guest *moot.Guest
	sees  view
	asks  []string
}

// Load makes a guest of m with the config, a JSON object or "". It fails with the
// reason of the module's refusal, or with the declaration that the host would refuse.
func Load(m moot.Module, config string) (*Guest, error) {
	host := new(Host)
	g := moot.NewGuest(m, host)
	var declared struct {
		Reads, Vary, Capabilities, Asks []string
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
	return &Guest{host, g, sees, declared.Asks}, nil
}

// Manifest returns the module's manifest as JSON.
func (g *Guest) Manifest() string { return g.guest.Manifest() }

// Ask calls the module with e. It panics if e names no hook, and if the module panics.
func (g *Guest) Ask(e Event) Verdict {
	hook := numberOf(e.Hook)
	frame := g.sees.frame(hook, &e)
	g.Host.begin(hook, &e)
	returned := g.guest.Call(frame)
	if returned == 3 && le.Uint32(frame[100:]) > maxVariants && len(e.Receivers) > maxVariants {
		return g.inParts(e)
	}
	return g.verdict(hook, returned, frame)
}

// Answer calls OnAnswer of the module with the answer to an ask about e.
func (g *Guest) Answer(e Event, r Reply) Verdict {
	hook := numberOf(e.Hook)
	frame := appendAnswer(g.sees.frame(hook, &e), &r)
	g.Host.begin(hook, &e)
	return g.verdict(hook, g.guest.Answer(frame), frame)
}

func numberOf(hook string) int {
	n := slices.Index(hooks[:], hook)
	if n < 1 {
		panic(fmt.Sprintf("moottest: there is no hook %q, but %s", hook, strings.Join(hooks[1:], ", ")))
	}
	return n
}

// verdict returns the verdict that the guest has written, with its effects.
func (g *Guest) verdict(hook int, returned int32, frame []byte) Verdict {
	v := judged(hook, decode(returned, frame, g.guest.Memory()))
	if v.Answer == Ask {
		return judgedAsk(v, g.asks)
	}
	if v.Answer == Allow || v.Answer == AllowEnd || v.Answer == Rewrite {
		v.Emitted, v.Properties = g.Host.emitted, g.Host.properties
		v.Created, v.Destroyed, v.User = g.Host.created, g.Host.destroyed, g.Host.named
	}
	if v.Answer != Failed {
		v.Sanctions, v.Pardons, v.Removals = g.Host.sanctions, g.Host.pardons, g.Host.removals
		v.Retracted, v.Edited = g.Host.retracted, g.Host.edited
	}
	return v
}

// maxVariants is the highest number of variants in one answer.
const maxVariants = 253

// inParts calls with at most maxVariants receivers at a time, so that each can have
// a variant of its own.
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
