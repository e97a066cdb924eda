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
	session atomic.Pointer[session] // nil before Run
	started chan struct{}           // closed when Run has begun
}

// session is a node's life.
type session struct {
	name    string
	ctx     context.Context // of all calls of handler: they end with Run, not with who published
	stop    context.CancelCauseFunc
	handler cluster.Handler
	wake    chan struct{} // one slot: there may be losses to take

	mu    sync.RWMutex
	over  bool
	calls sync.WaitGroup // of handler, by other goroutines; none begins once over
}

// Run implements cluster.Nodes. It returns once no call of h runs any more.
func (n *node) Run(ctx context.Context, h cluster.Handler) error {
	life, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := &session{name: n.name, ctx: life, stop: stop, handler: h, wake: make(chan struct{}, 1)}
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

func (n *node) begin(s *session) error {
	if !n.session.CompareAndSwap(nil, s) {
		return fmt.Errorf("node %q has run: a handle runs once", n.name)
	}
	defer close(n.started)
	if err := n.hub.join(s); err != nil {
		s.stop(err)
		return err
	}
	return nil
}

// serve takes losses until the session ends.
func (s *session) serve(h *Hub) {
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

// List implements cluster.Nodes, in the order of the names.
func (n *node) List(ctx context.Context) ([]string, error) {
	if err := n.begun(ctx); err != nil {
		return nil, err
	}
	return n.hub.names(), nil
}

// Call implements cluster.Nodes. What the node answers as an error comes back as
// its text alone, as it would from another process.
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
	answer := s.answer(working, bytes.Clone(call)) // it may outlive this call
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

// answer lets the handler answer in a goroutine of its own, so that one which
// takes too long does not hold the caller. Run waits for it.
func (s *session) answer(ctx context.Context, call []byte) <-chan answer {
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

// up gives the node's session, and waits for it to begin.
func (n *node) up(ctx context.Context) (*session, error) {
	if err := n.begun(ctx); err != nil {
		return nil, err
	}
	s := n.session.Load()
	if s.ctx.Err() != nil {
		return nil, s.gone()
	}
	return s, nil
}

// begun waits for Run to have put the node on the list, or to have failed.
func (n *node) begun(ctx context.Context) error {
	select {
	case <-n.started:
		return nil
	default: // else an ended ctx would be as likely
	}
	select {
	case <-n.started:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("node %q does not run yet: %w: %w", n.name, cluster.ErrUnavailable, ctx.Err())
	}
}

func (s *session) gone() error {
	return fmt.Errorf("node %q runs no more: %w", s.name, cluster.ErrUnavailable)
}

// enter begins a call of the handler, false if the session is over. calls.Done
// ends it.
func (s *session) enter() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.over {
		s.calls.Add(1)
	}
	return !s.over
}

func (s *session) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}
