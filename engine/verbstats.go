package engine

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/histogram"
)

// countedVerbs are the names under which verbs are counted: clients can make up no
// others.
var countedVerbs = [...]string{"other", "roomAdd", "roomLeave", "roomView", "roomHistory", "say", "detailsView", "documentation", "auth", "resume", "action", "params"}

// verbResult is how a verb ended.
type verbResult int

const (
	verbOK      verbResult = iota
	verbError              // the request or a rule is the reason
	verbFailed             // the node, its modules or the cluster is the reason
	verbLimited            // refused for its rate, and not carried out
	verbResults            // how many there are
)

var verbResultNames = [verbResults]string{"ok", "error", "failed", "limited"}

// resultOf tells how a verb that was answered with err ended.
func resultOf(err error) verbResult {
	if err == nil {
		return verbOK
	}
	if _, limited := errors.AsType[*LimitError](err); limited {
		return verbLimited
	}
	if errors.Is(err, errMiddleware) || errors.Is(err, errRetry) {
		return verbFailed
	}
	if _, refused := errors.AsType[*VerbError](err); refused {
		return verbError
	}
	if _, closed := errors.AsType[Close](err); closed {
		return verbError
	}
	if slices.ContainsFunc([]error{ErrNoRoom, ErrRoomExists, ErrNoSession, ErrCursor, context.Canceled}, func(known error) bool { return errors.Is(err, known) }) {
		return verbError
	}
	return verbFailed
}

func verbIndex(name string) int {
	for i := 1; i < len(countedVerbs)-1; i++ {
		if countedVerbs[i] == name {
			return i
		}
	}
	if paramVerbOf(name) != nil {
		return len(countedVerbs) - 1
	}
	return 0
}

// verbStats counts verbs by name and result, and how long those took that were carried
// out.
type verbStats [len(countedVerbs)]struct {
	limited   atomic.Uint64
	durations [verbLimited]histogram.Histogram
}

// limit counts a verb that was refused for its rate.
func (s *verbStats) limit(name string) { s[verbIndex(name)].limited.Add(1) }

// observe counts a verb that was carried out and answered with err.
func (s *verbStats) observe(name string, err error, took time.Duration) {
	result := resultOf(err)
	if result == verbLimited { // by the limit of its tenant
		s.limit(name)
		return
	}
	s[verbIndex(name)].durations[result].Observe(took)
}

// VerbStats are the verbs of one name that ended in one way.
type VerbStats struct {
	Verb string
	// Result is "ok"; "error": the client's request or a rule is the reason; "failed":
	// the node, its modules or the cluster is; "limited": refused for its rate.
	Result string
	Count  uint64
	// Durations are from the time the connection began to carry out the verb until its
	// answer was queued. Empty where Result is "limited".
	Durations histogram.Snapshot
}

// snapshot has all verbs that were asked for.
func (s *verbStats) snapshot() (all []VerbStats) {
	for i := range s {
		for result := range verbLimited {
			durations := s[i].durations[result].Snapshot()
			if n := durations.Total(); n > 0 {
				all = append(all, VerbStats{countedVerbs[i], verbResultNames[result], n, durations})
			}
		}
		if n := s[i].limited.Load(); n > 0 {
			all = append(all, VerbStats{Verb: countedVerbs[i], Result: verbResultNames[verbLimited], Count: n})
		}
	}
	return all
}
