package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mootchat/moot/engine/cluster"
)

// node is one engine's handle: its Broker, History, Presence, Sessions and Nodes.
type node struct {
	hub     *Hub
	name    string
	process atomic.Pointer[process] // nil before Run
	started chan struct{}           // closed when Run has begun
}

// process is one run of a node.
type process struct {
	name    string
	ctx     context.Context // ctx of all calls of handler; it ends with Run
	stop    context.CancelCauseFunc
	handler cluster.Handler
	wake    chan struct{} // one slot; a value means that there may be losses to take

	mu    sync.RWMutex
	over  bool
	calls sync.WaitGroup // calls of handler by other goroutines; none begins after over is set
}

// Run implements cluster.Nodes. It returns when all calls of h have returned.
func (n *node) Run(ctx context.Context, h cluster.Handler) error {
	life, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := &process{name: n.name, ctx: life, stop: stop, handler: h, wake: make(chan struct{}, 1)}
	if err := n.begin(s); err != nil {
		return err
	}
	s.serve(n.hub)
	n.hub.leave(s)
	s.calls.Wait()
	if ctx.Err() == nil {
		return context.Cause(life)
	}
	return nil
}

func (n *node) begin(s *process) error {
	if !n.process.CompareAndSwap(nil, s) {
		return fmt.Errorf("node %q has run already: a handle runs once", n.name)
	}
	defer close(n.started)
	if err := n.hub.join(s); err != nil {
		s.stop(err)
		return err
	}
	return nil
}

// serve takes losses until the process ends.
func (s *process) serve(h *Hub) {
	for {
		for s.ctx.Err() == nil {
			l, ok := h.take()
			if !ok {
				break
			}
			if l.session != nil {
				s.handler.Expired(s.ctx, l.session)
				continue
			}
			if l.unannounced {
				s.handler.Unannounced(s.ctx, l.room)
				continue
			}
			s.handler.Lost(s.ctx, l.room, l.members)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		}
	}
}

// Self implements cluster.Nodes.
func (n *node) Self() string { return n.name }

// List implements cluster.Nodes, sorted by name.
func (n *node) List(ctx context.Context) ([]string, error) {
	if err := n.awaitStart(ctx); err != nil {
		return nil, err
	}
	return n.hub.names(), nil
}

// Call implements cluster.Nodes. It returns the text of the handler's error, like a call to
// another machine.
func (n *node) Call(ctx context.Context, to string, call []byte) ([]byte, error) {
	if _, err := n.up(ctx); err != nil {
		return nil, err
	}
	s := n.hub.find(to)
	if s == nil || !s.enter() {
		return nil, fmt.Errorf("call node %q: %w", to, cluster.ErrNoNode)
	}
	working, cancel := context.WithCancel(s.ctx)
	defer cancel()
	answer := s.answer(working, bytes.Clone(call)) // the handler may use it after this call has returned
	select {
	case a := <-answer:
		return a.bytes, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("call node %q: %w", to, ctx.Err())
	}
}

type answer struct {
	bytes []byte
	err   error
}

// answer calls the handler in a goroutine, so that the caller need not wait for a slow answer.
// Run waits for the goroutine.
func (s *process) answer(ctx context.Context, call []byte) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		defer s.calls.Done()
		b, err := s.handler.Answer(ctx, call)
		if err != nil {
			err = errors.New(err.Error())
		}
		done <- answer{b, err}
	}()
	return done
}

// up waits for the node's run to begin and returns it.
func (n *node) up(ctx context.Context) (*process, error) {
	if err := n.awaitStart(ctx); err != nil {
		return nil, err
	}
	s := n.process.Load()
	if s.ctx.Err() != nil {
		return nil, s.errStopped()
	}
	return s, nil
}

// awaitStart waits until Run has put the node on the list or has failed.
func (n *node) awaitStart(ctx context.Context) error {
	select {
	case <-n.started:
		return nil
	default: // a started node counts even if ctx has ended
	}
	select {
	case <-n.started:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("node %q has not started: %w: %w", n.name, cluster.ErrUnavailable, ctx.Err())
	}
}

func (s *process) errStopped() error {
	return fmt.Errorf("node %q has stopped: %w", s.name, cluster.ErrUnavailable)
}

// enter begins a call of the handler, which calls.Done ends. It reports false if the process is
// over.
func (s *process) enter() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.over {
		s.calls.Add(1)
	}
	return !s.over
}

func (s *process) markOver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}
