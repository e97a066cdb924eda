package redis

import (
	"context"
	"fmt"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
)

// flush is a call of Flush that waits until a room's messages are delivered up to a position. If
// the room has no position, the call waits for a mark.
type flush struct {
	to   position
	mark string // "": wait for a position
	done chan struct{}
}

// Flush implements cluster.Broker. It reads the position of the room's last message, and waits
// until that message is delivered.
func (n *Node) Flush(ctx context.Context, room cluster.RoomID) error {
	if err := n.up(ctx); err != nil {
		return err
	}
	p, key := n.at(room)
	p.mu.Lock()
	s := p.subs[p.keys.of("c", key)]
	p.mu.Unlock()
	if s == nil || !s.isWanted() {
		return nil
	}
	to, err := p.position(ctx, s)
	if err != nil {
		return err
	}
	done := s.await(flush{to, "", make(chan struct{})})
	if to.offset == 0 {
		if done, err = p.marked(ctx, s); err != nil {
			return err
		}
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flush: %w: %w", cluster.ErrUnavailable, ctx.Err())
	case <-n.life.Done():
		return n.errStopped()
	}
}

// marked publishes a mark, and returns a channel that is closed when the node receives the mark.
func (p *partition) marked(ctx context.Context, s *sub) (<-chan struct{}, error) {
	f := flush{mark: token(), done: make(chan struct{})}
	done := s.await(f)
	err := p.n.read(ctx, "flush", func(ctx context.Context) error {
		return p.n.client.Do(ctx, p.n.publishCommand(), s.channel, flushMark+f.mark).Err()
	})
	return done, err
}

// await returns a channel that is closed when the flush has ended, or the room is unsubscribed.
func (s *sub) await(f flush) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushes = append(s.flushes, f)
	if s.wanted && f.mark == "" && f.to != s.pos {
		s.behind = true
		s.kick()
	}
	s.release()
	return f.done
}

// reached ends the flush that waits for the mark.
func (s *sub) reached(mark string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushes = slices.DeleteFunc(s.flushes, func(f flush) bool {
		if f.mark == mark {
			close(f.done)
		}
		return f.mark == mark
	})
}

// release ends the flushes whose position is delivered. A flush with a position of another epoch
// ends when no message waits. The lock is held.
func (s *sub) release() {
	s.flushes = slices.DeleteFunc(s.flushes, func(f flush) bool {
		handled := f.mark == "" && (s.handled.epoch == f.to.epoch && s.handled.offset >= f.to.offset ||
			s.handled.epoch != f.to.epoch && !s.behind && len(s.inbox) == 0 && !s.running)
		if handled || !s.wanted {
			close(f.done)
			return true
		}
		return false
	})
}
