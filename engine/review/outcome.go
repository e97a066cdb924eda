package review

import (
	"time"

	"github.com/mootchat/moot/engine/histogram"
)

// Outcome is the outcome of a held message or a report.
type Outcome string

// The outcomes.
const (
	Waiting   Outcome = "waiting" // for a decision
	Released  Outcome = "released"
	Rejected  Outcome = "rejected"
	Withdrawn Outcome = "withdrawn"
	Expired   Outcome = "expired" // nobody has decided in time, and the message was not released

	Dismissed  Outcome = "dismissed"
	Retracted  Outcome = "retracted"  // the reported message was retracted
	Sanctioned Outcome = "sanctioned" // a sanction of its author was set
)

// Outcome returns the outcome of a held message or a report.
func (i *Item) Outcome() Outcome {
	if i.State != Decided {
		return Waiting
	}
	switch d := i.Decision; {
	case d.Action == Release, d.Action == Expire && d.To != "":
		return Released
	case d.Action == Withdraw:
		return Withdrawn
	case d.Action == Expire:
		return Expired
	case d.Action == Dismiss:
		return Dismissed
	case d.Action == Retract:
		return Retracted
	case d.Action == Sanction:
		return Sanctioned
	}
	return Rejected
}

// Stats counts what happened to held messages on a node since it started.
type Stats struct {
	Held    uint64 // messages that rules held
	Refused uint64 // messages that were refused because too many were held
	Failed  uint64 // releases that a rule, the room or a sanction refused

	Decided map[Outcome]uint64 // messages by outcome: released, rejected, withdrawn, expired
	Waited  histogram.Snapshot // time from the say to the decision, divided by WaitScale
}

// ReportStats counts reports on a node since it started.
type ReportStats struct {
	Made    uint64 // reports by members; one for each member and target
	Refused uint64 // reports that were refused because too many wait
	Decided map[Outcome]uint64
}

// WaitScale divides the times of Stats.Waited: the histogram has times up to 17 s, and thus stands for up to 19 hours.
const WaitScale = 4096

// Wait returns the time from the say to the decision. The item must have a Decision.
func (i *Item) Wait() time.Duration { return time.Duration(i.Decision.At-i.At) * time.Millisecond }
