package engine

import (
	"errors"
	"sync/atomic"
)

// countedVerbs are the names under which verbs are counted: clients can make up no
// others.
var countedVerbs = [...]string{"other", "roomAdd", "roomLeave", "roomView", "roomHistory", "say", "detailsView", "documentation", "auth", "action", "params"}

// verbResults are how verbs end.
var verbResults = [...]string{"ok", "error", "limited"}

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

// verbStats counts verbs by name and result.
type verbStats [len(countedVerbs)][len(verbResults)]atomic.Uint64

func (s *verbStats) count(name string, err error) {
	result := 0
	if err != nil {
		result = 1
		if _, limited := errors.AsType[*LimitError](err); limited {
			result = 2
		}
	}
	s[verbIndex(name)][result].Add(1)
}

// VerbCount is how often a verb ended so.
type VerbCount struct {
	Verb, Result string // Result: ok, error or limited
	Count        uint64
}

// snapshot has all verbs that were asked for.
func (s *verbStats) snapshot() (all []VerbCount) {
	for i := range s {
		for j := range s[i] {
			if n := s[i][j].Load(); n > 0 {
				all = append(all, VerbCount{countedVerbs[i], verbResults[j], n})
			}
		}
	}
	return all
}
