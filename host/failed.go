package host

import (
	"fmt"
	"sync"
	"time"
)

const (
	// retryStart is the time after which a start that has exceeded the limit is repeated.
	retryStart = 5 * time.Minute

	// maxFailed is the number of failed starts that are remembered.
	maxFailed = 1000
)

// failedStarts are the starts that have exceeded [Config.StartTimeout], with their errors. Each of them takes seconds, so
// loads do not repeat it before retryStart has passed, unless the module, the config, the grants or the memory limit change. A
// start belongs to a tenant, because it may depend on the tenant's data. The zero value is empty.
type failedStarts struct {
	mu    sync.Mutex
	known map[failedKey]*failedStart
}

type failedKey struct {
	tenant string
	start  acceptedKey
}

type failedStart struct {
	errs  []error
	until int64 // on the host's clock
	used  bool  // by the current load
}

// find returns the errors of a start that must not be repeated yet; nil if it may run.
func (f *failedStarts) find(g *generation) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) == 0 {
		return nil
	}
	s := f.known[failedKey{g.binding.tenant, g.startKey()}]
	if s == nil || now() >= s.until {
		return nil
	}
	s.used = true
	return s.errs
}

// add remembers a failed start, unless there are too many. It returns the errors of the start, with the time of its next try.
func (f *failedStarts) add(g *generation, errs []error) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) >= maxFailed {
		return errs
	}
	s := &failedStart{until: now() + int64(retryStart), used: true}
	at := time.Now().Add(retryStart).UTC().Format(time.RFC3339)
	for _, err := range errs {
		if exceeds([]error{err}) {
			err = fmt.Errorf("%w; it is started again after %s, or when its module, config, grants or memory change", err, at)
		}
		s.errs = append(s.errs, err)
	}
	if f.known == nil {
		f.known = make(map[failedKey]*failedStart)
	}
	f.known[failedKey{g.binding.tenant, g.startKey()}] = s
	return s.errs
}

// forget removes the starts that the current load has not used. It is called at the end of each complete load.
func (f *failedStarts) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, s := range f.known {
		if !s.used {
			delete(f.known, key)
		}
		s.used = false
	}
}
