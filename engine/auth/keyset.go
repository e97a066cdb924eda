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
	fresh     = 5 * time.Minute  // after which a set is fetched anew, while it is still used
	stale     = 15 * time.Minute // after which nothing is found in a set before it was tried to fetch it
	retry     = 10 * time.Second // between the beginnings of two fetches of a set
	fetchTime = 5 * time.Second  // that one may take
	mostBytes = 256 << 10        // of a set
)

// KeySet is public keys that are published somewhere and change there: at an
// https:// address or in a file. It is fetched when a token needs it: when it is
// older than some minutes, or lacks the token's key, but not more than once in ten
// seconds. One that cannot be fetched leaves the last good one in use.
type KeySet struct {
	name  string // for messages
	fetch func(ctx context.Context) ([]byte, error)
	log   *slog.Logger
	sets  *KeySets

	mu       sync.Mutex
	keys     keyring
	good     time.Time // when keys was fetched; zero: never
	tried    time.Time
	err      error         // of the last try
	fetching chan struct{} // closed when it is over; nil: nobody fetches
}

// find is keys's.
func (s *KeySet) find(ctx context.Context, id, algorithm string) ([]key, error) {
	keys, age := s.now()
	found, err := keys.find(ctx, id, algorithm)
	switch {
	case err == nil && age < fresh:
		return found, nil
	case err == nil && age < stale:
		s.refresh(ctx)
		return found, nil
	}
	select {
	case <-s.refresh(ctx):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if keys, _ = s.now(); keys == nil {
		return nil, fmt.Errorf("%w: the key set %s cannot be had: %w", engine.ErrUnchecked, s.name, s.why())
	}
	return keys.find(ctx, id, algorithm)
}

// now is the last good set, nil if there never was one, and its age.
func (s *KeySet) now() (keyring, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, time.Since(s.good)
}

// why the last fetch failed.
func (s *KeySet) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return engine.ErrUnchecked
	}
	return s.err
}

// refresh begins to fetch the set, unless somebody does or has just done so; the
// channel is closed when that is over.
func (s *KeySet) refresh(ctx context.Context) <-chan struct{} {
	s.mu.Lock()
	over := s.fetching
	if over != nil {
		s.mu.Unlock()
		return over
	}
	over = make(chan struct{})
	if !s.tried.IsZero() && time.Since(s.tried) < retry {
		s.mu.Unlock()
		close(over)
		return over
	}
	s.fetching, s.tried = over, time.Now()
	s.mu.Unlock()
	select {
	case s.sets.wanted <- s:
	case <-ctx.Done():
		s.undo()
	case <-s.sets.ended:
		s.undo()
	}
	return over
}

// undo is for a fetch that did not begin.
func (s *KeySet) undo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = time.Time{}
	close(s.fetching)
	s.fetching = nil
}

// load fetches the set.
func (s *KeySet) load(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
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

// report logs a change, once: clients can make a set be tried again and again.
func (s *KeySet) report(keys keyring, err error) {
	s.mu.Lock()
	before, had, since := s.err, s.keys != nil, s.good
	s.mu.Unlock()
	switch {
	case err != nil && before == nil && had:
		s.log.Warn("key set cannot be fetched, the last good one is used", "keySet", s.name, "of", since, "error", err)
	case err != nil && before == nil:
		s.log.Warn("key set cannot be fetched, its tenants' tokens cannot be checked", "keySet", s.name, "error", err)
	case err == nil && before != nil:
		s.log.Info("key set is there again", "keySet", s.name, "keys", len(keys))
	}
}
