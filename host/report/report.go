// Package report has the decisions and counters of modules. The host creates these values, and the
// server API returns them unchanged.
package report

import (
	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/millis"
)

// Verdicts of a Decision.
const (
	Allow   = "allow"
	Rewrite = "rewrite"
	Deny    = "deny"
	Drop    = "drop"
	Hold    = "hold"
	Asked   = "ask" // of a shadow that may not ask: it would ask an external service
	Error   = "error"
	Opened  = "opened" // the breaker of the entry opened: the module is not called
	Closed  = "closed" // the breaker closed again
)

// Decision is the answer of one module to one event or, at say, for some of the receivers of a
// message.
type Decision struct {
	At        millis.Time     `json:"at" format:"unix-ms" doc:"No two decisions of a node have the same."`
	Tenant    string          `json:"tenant"`
	Room      string          `json:"room,omitempty"`
	Hook      string          `json:"hook"`
	Module    string          `json:"module" doc:"module@sha256#revision"`
	Verdict   string          `json:"verdict" doc:"allow, rewrite, deny, drop, hold or error; ask of a shadow that would ask an external service and may not; opened and closed where the breaker of the entry opened or closed."`
	Reason    string          `json:"reason,omitempty" doc:"The reason that the module gave, or the kind of the error."`
	Code      uint32          `json:"code,omitempty" doc:"The code that the module gave for a deny, which the client receives."`
	Effects   []string        `json:"effects,omitempty" doc:"The sanctions and removals that the module requested, such as mute user:ann in * for 10m0s."`
	Asks      []Ask           `json:"asks,omitempty" doc:"The external services that the module has asked before the verdict, in order."`
	Error     string          `json:"error,omitempty" doc:"What failed, as in the log; for a script its file, line and column. About 512 bytes at most."`
	Took      millis.Duration `json:"took" format:"duration-ms" doc:"The time of the call; for closed, the time that the breaker was open."`
	Refused   int             `json:"refused,omitempty" doc:"For opened and closed: the calls that the breaker has refused by now. They are not listed."`
	Receivers int             `json:"count,omitempty" doc:"At say: the number of receivers."`
	Shadow    bool            `json:"shadow,omitempty" doc:"The module is in shadow mode: the verdict was not applied."`
	Done      string          `json:"done,omitempty" doc:"The verdict that was applied in place of a shadow's."`
	DoneBy    string          `json:"doneBy,omitempty" doc:"The module that denied, dropped, held or failed in place of a shadow."`
	Text      string          `json:"text,omitempty" doc:"The text of the message, at most 4 KiB, where decisions.text is true."`
	User      string          `json:"user,omitempty" doc:"The user of the connection of the event, where decisions.text is true; missing: it has none."`
}

// Ask is a question to an external service.
type Ask struct {
	Name   string          `json:"name" doc:"As in the module's manifest and under asks of its entry."`
	Took   millis.Duration `json:"took" format:"duration-ms"`
	Status int             `json:"status,omitempty" doc:"The HTTP status of the answer."`
	Error  string          `json:"error,omitempty" doc:"timeout, unreachable, open, status or badAnswer: the ask's onError decided; busy: the event was refused."`
	Cached bool            `json:"cached,omitempty" doc:"No request was sent: an equal question has the same answer."`
}

// DecisionFilter selects decisions. A zero field selects all.
type DecisionFilter struct {
	Tenant  string      `json:"tenant,omitempty"`
	Room    string      `json:"room,omitempty" query:"room" maxLength:"200"`
	User    string      `json:"user,omitempty" query:"user" maxLength:"256" doc:"Only decisions about events of this user. Those recorded while decisions.text was false have no user."`
	Hook    string      `json:"hook,omitempty" query:"hook" enum:"connect,join,onSayReceive,say,leave,disconnect,action"`
	Module  string      `json:"module,omitempty" query:"module" maxLength:"63" doc:"The name of a module."`
	Verdict string      `json:"verdict,omitempty" query:"verdict" enum:"allow,rewrite,deny,drop,hold,ask,error,opened,closed"`
	Shadow  bool        `json:"shadow,omitempty" query:"shadow" doc:"Only decisions of modules in shadow mode."`
	Since   millis.Time `json:"since,omitempty" query:"since" minimum:"0" format:"unix-ms" doc:"Only decisions after this time."`
	Before  millis.Time `json:"before,omitempty" query:"before" minimum:"0" format:"unix-ms" doc:"Only decisions before this time."`
	Limit   int         `json:"limit,omitempty" query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Maximum number of decisions; the latest are returned."`
}

// Matches reports whether d is selected. It ignores the filter's module and tenant.
func (f *DecisionFilter) Matches(d *Decision) bool {
	return (f.Room == "" || f.Room == d.Room) && (f.User == "" || f.User == d.User) && (f.Hook == "" || f.Hook == d.Hook) &&
		(f.Verdict == "" || f.Verdict == d.Verdict) && (!f.Shadow || d.Shadow) &&
		(f.Since == 0 || d.At > f.Since) && (f.Before == 0 || d.At < f.Before)
}

// Module has the counters of one module in one tenant since the process began, or since the
// tenant's chain first named it. Entries in shadow mode have their own counters: their name ends in
// "+shadow".
type Module struct {
	Tenant       string `json:"tenant"`
	Name         string `json:"name"`
	Version      string `json:"version" doc:"module@sha256#revision"`
	OpenBreakers int    `json:"openBreakers" doc:"Entries whose breaker is open: they are not called now."`
	Instances    int    `json:"instances"`
	Counters
	Errors  map[string]uint64 `json:"errors" doc:"By kind."`
	P50     millis.Duration   `json:"p50" format:"duration-ms" doc:"Half of the calls took at most this time, about."`
	P99     millis.Duration   `json:"p99" format:"duration-ms" doc:"99 of 100 calls took at most this time, about."`
	Metrics map[string]int64  `json:"metrics" doc:"The metrics that the module counts itself."`

	Durations Histogram `json:"durations" doc:"Of the calls."`
}

// Counters are the counters of a module that never decrease.
type Counters struct {
	Calls          uint64 `json:"calls" doc:"Calls of the guest; many receivers of a message are one call."`
	Allowed        uint64 `json:"allowed" doc:"Verdicts; at say one for each receiver."`
	Rewritten      uint64 `json:"rewritten"`
	Denied         uint64 `json:"denied"`
	Dropped        uint64 `json:"dropped"`
	Held           uint64 `json:"held"`
	EffectsDropped uint64 `json:"effectsDropped" doc:"Effects that were not applied, because an effect of a module had caused the event."`
	LogsDropped    uint64 `json:"logsDropped" doc:"Log lines beyond the rate of a module."`
}

// ByName returns the counters by their names in JSON, as pointers through which they may be
// changed.
func (c *Counters) ByName() map[string]*uint64 {
	return map[string]*uint64{"calls": &c.Calls, "allowed": &c.Allowed, "rewritten": &c.Rewritten, "denied": &c.Denied,
		"dropped": &c.Dropped, "held": &c.Held, "effectsDropped": &c.EffectsDropped, "logsDropped": &c.LogsDropped}
}

// Histogram counts calls by duration.
type Histogram struct {
	Bounds []millis.Duration `json:"bounds" format:"duration-ms" doc:"The upper bounds of all buckets but the last, ascending."`
	Counts []uint64          `json:"counts"`
	Sum    millis.Duration   `json:"sum" format:"duration-ms"`
}

// HistogramOf returns a snapshot in the form of the API.
func HistogramOf(s *histogram.Snapshot) Histogram {
	h := Histogram{Sum: millis.DurationOf(s.Sum), Counts: s.Counts[:]}
	for i := range histogram.Buckets - 1 {
		h.Bounds = append(h.Bounds, millis.DurationOf(histogram.Bound(i)))
	}
	return h
}

// Snapshot returns the counts in the form of package histogram. Buckets that it does not have are left out.
func (h *Histogram) Snapshot() (s histogram.Snapshot) {
	copy(s.Counts[:], h.Counts)
	s.Sum = h.Sum.Std()
	return s
}
