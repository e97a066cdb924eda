package engine

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/wire"
)

// verbResult is the result of a verb.
type verbResult int

const (
	verbOK      verbResult = iota
	verbError              // caused by the request or a rule
	verbFailed             // caused by the node, its modules or the cluster
	verbLimited            // over the rate limit; the verb did not run
	verbResults            // the number of results
)

var verbResultNames = [verbResults]string{"ok", "error", "failed", "limited"}

// resultOf returns the result of a verb that was answered with err.
func resultOf(err error) verbResult {
	if err == nil {
		return verbOK
	}
	if _, limited := errors.AsType[*LimitError](err); limited {
		return verbLimited
	}
	if errors.Is(err, errMiddleware) || errors.Is(err, errRetry) || !IsRefusal(err) {
		return verbFailed
	}
	return verbError
}

// IsRefusal reports whether err refuses a request because of the client or a rule, for
// example because a room does not exist. Other errors are faults of the node or of the
// cluster.
func IsRefusal(err error) bool {
	if _, ok := errors.AsType[*VerbError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*LimitError](err); ok {
		return true
	}
	if _, ok := errors.AsType[Close](err); ok {
		return true
	}
	return slices.ContainsFunc([]error{cluster.ErrNoRoom, cluster.ErrRoomExists, cluster.ErrNoSession, cluster.ErrCursor, context.Canceled}, func(known error) bool { return errors.Is(err, known) })
}

// otherVerb is the name under which requests for unknown verbs are counted, so that clients
// cannot add names.
const otherVerb = "other"

// verbStats counts verbs by name and result, and measures those that ran. It has a row for
// each row of wire.Verbs, and one for otherVerb. A group of verbs uses the row of its first
// verb.
type verbStats [len(wire.Verbs) + 1]struct {
	limited   atomic.Uint64
	durations [verbLimited]histogram.Histogram
}

// verbRow returns the index of the row that counts a verb.
func verbRow(name string) int {
	v := wire.FindVerb(name)
	if v == nil {
		return len(wire.Verbs)
	}
	row := 0
	for wire.Verbs[row].Counted() != v.Counted() {
		row++
	}
	return row
}

// countedName returns the name of a row.
func countedName(row int) string {
	if row == len(wire.Verbs) {
		return otherVerb
	}
	return wire.Verbs[row].Counted()
}

// limit counts a verb that was over the rate limit.
func (s *verbStats) limit(name string) { s[verbRow(name)].limited.Add(1) }

// observe counts a verb that was answered with err.
func (s *verbStats) observe(name string, err error, took time.Duration) {
	result := resultOf(err)
	if result == verbLimited { // the rate limit of the tenant
		s.limit(name)
		return
	}
	s[verbRow(name)].durations[result].Observe(took)
}

// VerbStats counts the verbs of one name and one result.
type VerbStats struct {
	Verb string
	// Result is "ok", "error" (because of the client's request or a rule), "failed"
	// (because of the node, its modules or the cluster) or "limited" (over the rate limit).
	Result string
	Count  uint64
	// Durations are measured from the start of the verb until its answer is queued. They
	// are empty for "limited".
	Durations histogram.Snapshot
}

// snapshot returns the verbs and results with a count, those of otherVerb last.
func (s *verbStats) snapshot() (all []VerbStats) {
	for i := range s {
		for result := range verbLimited {
			durations := s[i].durations[result].Snapshot()
			if n := durations.Total(); n > 0 {
				all = append(all, VerbStats{countedName(i), verbResultNames[result], n, durations})
			}
		}
		if n := s[i].limited.Load(); n > 0 {
			all = append(all, VerbStats{Verb: countedName(i), Result: verbResultNames[verbLimited], Count: n})
		}
	}
	return all
}
