// Package events is the contract of events: facts about a tenant, such as a join or a ban, on their way to systems of the
// team that runs the tenant. A [Dispatcher] takes events from the engine, writes them to a [Store] and delivers them to the
// sinks of the tenant at least once. The packages memory, redis and sqlite implement Store; package eventstest tests an
// implementation.
package events

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Kind is what happened.
type Kind uint8

// The kinds. The comment of each names the type of its data.
const (
	MemberJoined     Kind = iota // Member
	MemberLeft                   // Member
	RoomCreated                  // Room
	RoomDestroyed                // Room
	SanctionSet                  // Sanction
	SanctionRemoved              // Sanction
	MessageHeld                  // Held
	MessageDecided               // Held
	MessageRetracted             // Amended
	MessageEdited                // Amended
	MessagePublished             // Message
	ReportFiled                  // Report
	ReportResolved               // Report
	RuleDecided                  // Decision
	Test                         // Ping
	kinds
)

var names = [kinds]string{"member.joined", "member.left", "room.created", "room.destroyed", "sanction.set", "sanction.removed", "message.held", "message.decided", "message.retracted", "message.edited",
	"message.published", "report.filed", "report.resolved", "rule.decided", "test"}

// String returns the name of the kind in configuration. Its CloudEvents type is "moot." and the name.
func (k Kind) String() string { return names[k] }

// KindNamed returns the kind with that name.
func KindNamed(name string) (Kind, bool) {
	i := slices.Index(names[:], name)
	return Kind(max(i, 0)), i >= 0
}

// Names returns the names of the kinds that a sink can select, in the order of the constants.
func Names() []string { return slices.Clone(names[:Test]) }

// Kinds is a set of kinds.
type Kinds uint32

// Default is the set of a sink that selects no kinds: all but those that come as often as messages.
const Default = Kinds(1<<Test-1) &^ (1<<MessagePublished | 1<<RuleDecided)

// Durable reports whether clients are answered only when the store has the event. Events of other kinds are lost first if the
// store does not answer.
func (k Kind) Durable() bool { return k != RuleDecided }

// With returns s and k.
func (s Kinds) With(k Kind) Kinds { return s | 1<<k }

// Has reports whether k is in s.
func (s Kinds) Has(k Kind) bool { return s&(1<<k) != 0 }

// Event is something that happened. It is immutable.
type Event struct {
	ID   string          `json:"id"` // unique; the same if the event is delivered again
	Kind string          `json:"kind"`
	Room string          `json:"room,omitempty"` // "": the event concerns no room
	User string          `json:"user,omitempty"` // the user that it concerns, for erasure; "": none, or a connection without a user
	At   int64           `json:"at"`             // ms since 1970, by the clock of the node
	Data json.RawMessage `json:"data"`
}

// Record is an event for one sink.
type Record struct {
	Sink Sink `json:"-"`
	Event

	// Sequence is the number of the event among those of the same room, or among those without a room, for the sink. The first
	// is 1. A count that is not used for a day begins at 1 again. Records of a Claim have it.
	Sequence uint64 `json:"sequence"`
	Error    string `json:"error,omitempty"` // the reason for which it is a dead letter; "" if it is none

	Lost uint64 `json:"-"` // number of events of the sink that were lost before this one; Append adds it to State.Dropped
}

// Sink identifies a sink of a tenant.
type Sink struct {
	Tenant string
	Name   string
}

// cloudEvent is the JSON form of an event, by CloudEvents 1.0 and its extension sequence.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        string          `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Sequence    string          `json:"sequence"`
	Dropped     string          `json:"dropped,omitempty"`
	Data        json.RawMessage `json:"data"`
}

// AppendJSON appends the event as CloudEvents 1.0 in JSON. dropped is the number of events that the sink lost before it.
func (r *Record) AppendJSON(dst []byte, dropped uint64) ([]byte, error) {
	e := cloudEvent{SpecVersion: "1.0", ID: r.ID, Source: "/tenants/" + r.Sink.Tenant, Type: "moot." + r.Kind,
		Time: time.UnixMilli(r.At).UTC().Format("2006-01-02T15:04:05.000Z"), ContentType: "application/json",
		Sequence: fmt.Sprintf("%016d", r.Sequence), Data: r.Data}
	if r.Room != "" {
		e.Subject = "rooms/" + url.PathEscape(r.Room)
	}
	if dropped > 0 {
		e.Dropped = fmt.Sprint(dropped)
	}
	b, err := json.Marshal(e)
	return append(dst, b...), err
}
