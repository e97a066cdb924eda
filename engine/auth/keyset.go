package auth

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mootchat/moot/engine"
)

const (
	freshFor      = 5 * time.Minute  // afterwards the set is fetched in the background while it is used
	staleAfter    = 15 * time.Minute // afterwards a lookup waits for a fetch
	retryInterval = 10 * time.Second // between the starts of two fetches of a set
	fetchTimeout  = 5 * time.Second
	maxBytes      = 256 << 10 // of a set
)

// KeySet is a set of public keys at an https address or in a file. It is fetched on
// demand: when a token arrives and the set is older than freshFor or does not have the
// token's key, at most once per retryInterval. If a fetch fails, the last good set
// stays in use.
type KeySet struct {
	name  string // for messages
	fetch func(ctx context.Context) ([]byte, error)
	log   *slog.Logger
	sets  *KeySets

	mu       sync.Mutex
	keys     keyring
	good     time.Time     // when keys was fetched; zero: never
	tried    time.Time     // when the last fetch started
	err      error         // of the last fetch
	fetching chan struct{} // closed at the end of the fetch under way; nil if there is none
}

// find implements keys.
func (s *KeySet) find(ctx context.Context, id, algorithm string) ([]key, error) {
	keys, age := s.now()
	found, err := keys.find(ctx, id, algorithm)
	switch {
	case err == nil && age < freshFor:
		return found, nil
	case err == nil && age < staleAfter:
		s.refresh(ctx)
		return found, nil
	}
	select {
	case <-s.refresh(ctx):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if keys, _ = s.now(); keys == nil {
		return nil, fmt.Errorf("%w: the key set %s is not available: %w", engine.ErrUnchecked, s.name, s.lastError())
	}
	return keys.find(ctx, id, algorithm)
}

// now returns the last good set and its age. The set is nil if no fetch has succeeded.
func (s *KeySet) now() (keyring, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, time.Since(s.good)
}

// lastError returns the error of the last fetch.
func (s *KeySet) lastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return engine.ErrUnchecked
	}
	return s.err
}

// refresh starts a fetch of the set, unless one is under way or started less than
// retryInterval ago. The returned channel is closed at the end of the fetch.
func (s *KeySet) refresh(ctx context.Context) <-chan struct{} {
	s.mu.Lock()
	done := s.fetching
	if done != nil {
		s.mu.Unlock()
		return done
	}
	done = make(chan struct{})
	if !s.tried.IsZero() && time.Since(s.tried) < retryInterval {
		s.mu.Unlock()
		close(done)
		return done
	}
	s.fetching, s.tried = done, time.Now()
	s.mu.Unlock()
	select {
	case s.sets.wanted <- s:
	case <-ctx.Done():
		s.undo()
	case <-s.sets.ended:
		s.undo()
	}
	return done
}

// undo resets the state of a fetch that did not start.
func (s *KeySet) undo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = time.Time{}
	close(s.fetching)
	s.fetching = nil
}

// load fetches the set.
func (s *KeySet) load(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	text, err := s.fetch(ctx)
	var keys keyring
	if err == nil {
		keys, err = parseSet(text)
	}
	s.done(keys, err)
}

func (s *KeySet) done(keys keyring, err error) {
	s.report(keys, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	if err == nil {
		s.keys, s.good = keys, time.Now()
	}
	close(s.fetching)
	s.fetching = nil
}

// report logs when fetches begin to fail and when they succeed again. It does not log
// each failure, because clients can cause many fetches.
func (s *KeySet) report(keys keyring, err error) {
	s.mu.Lock()
	before, had, since := s.err, s.keys != nil, s.good
	s.mu.Unlock()
	switch {
	case err != nil && before == nil && had:
		s.log.Warn("cannot fetch key set; the last good one stays in use", "keySet", s.name, "fetched", since, "error", err)
	case err != nil && before == nil:
		s.log.Warn("cannot fetch key set; tokens of its tenants are refused", "keySet", s.name, "error", err)
	case err == nil && before != nil:
		s.log.Info("key set is available again", "keySet", s.name, "keys", len(keys))
	}
}
