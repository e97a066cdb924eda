package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// EndTime is the time that a node may take to end, beyond drainDelay and drain. Its parts have
// less time.
const EndTime = 5 * time.Second

// shutdown bounds the time that a node takes to end, even if a file system, Redis, a module or a
// collector of traces does not answer. It has the names of the running parts, for its error.
type shutdown struct {
	begun chan struct{} // closed when the node starts to end before its context has ended

	mu      sync.Mutex
	once    bool
	running []string
	drain   func() time.Duration // nil: no client has been served yet
}

func newShutdown() *shutdown { return &shutdown{begun: make(chan struct{})} }

// track adds a name to the running parts, until the returned function is called.
func (s *shutdown) track(name string) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = append(s.running, name)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := slices.Index(s.running, name)
		s.running = slices.Delete(s.running, i, i+1)
	}
}

// serving records that clients are served from now on. drain returns the time to close them.
func (s *shutdown) serving(drain func() time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain = drain
}

// served reports whether clients were ever served.
func (s *shutdown) served() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drain != nil
}

// begin starts the time of the shutdown, unless the end of the context has started it.
func (s *shutdown) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.once {
		s.once = true
		close(s.begun)
	}
}

// limit returns the time that the node may take to end from now on.
func (s *shutdown) limit() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drain == nil {
		return EndTime
	}
	return s.drain() + EndTime
}

func (s *shutdown) stillRunning() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.running, ", ")
}

// bound calls serve and waits until it returns, at most for limit after ctx has ended or begin was
// called. If serve does not return in time, the error has the names of the running parts. serve then
// continues, and the caller must end the process.
func (s *shutdown) bound(ctx context.Context, serve func() error) error {
	done := make(chan error, 1)
	go func() { done <- serve() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-s.begun:
	}
	limit := s.limit()
	over := time.NewTimer(limit)
	defer over.Stop()
	select {
	case err := <-done:
		return err
	case <-over.C:
		return fmt.Errorf("the shutdown did not finish within %v, the process ends without it; still running: %s", limit, s.stillRunning())
	}
}
