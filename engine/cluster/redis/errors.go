package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// passing are the errors of a Redis in a temporary state: the command was not carried out, and
// may succeed later or on another server.
var passing = []string{"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "MOVED", "ASK", "BUSY", "NOREPLICAS", "MISCONF", "OOM", "ERR max number of clients"}

// isPassing reports whether the command may be sent again.
func isPassing(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return !errors.Is(err, redis.ErrClosed)
	}
	for _, p := range passing {
		if strings.HasPrefix(reply.Error(), p) {
			return true
		}
	}
	return false
}

// isRefusal reports whether the command was certainly not carried out, because no server was
// reached or the server refused the command.
func isRefusal(err error) bool {
	var reply redis.Error
	if errors.As(err, &reply) {
		return isPassing(err) || strings.HasPrefix(reply.Error(), "NOPERM") || strings.HasPrefix(reply.Error(), "NOAUTH")
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrClosed)
}

// backoff is the time of the next pause, which doubles each time, up to most.
type backoff struct{ wait, most time.Duration }

// pause waits. It reports false if ctx ends.
func (b *backoff) pause(ctx context.Context) bool {
	t := time.NewTimer(b.wait)
	defer t.Stop()
	b.wait = min(2*b.wait, b.most)
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ask calls f until Redis answers, for at most Config.PublishTimeout. f must be idempotent.
// Errors: cluster.ErrUnavailable; cluster.ErrUnknown if an attempt may have succeeded but its
// answer was lost; the error that Redis answered.
func (n *Node) ask(ctx context.Context, what string, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.PublishTimeout)
	defer cancel()
	outcome := cluster.ErrUnavailable
	for b := (backoff{10 * time.Millisecond, 500 * time.Millisecond}); ; {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if !isPassing(err) && n.alive() {
			return fmt.Errorf("%s: %w", what, err)
		}
		if !isRefusal(err) {
			outcome = cluster.ErrUnknown
		}
		reload(ctx, n.client)
		if !n.alive() || !b.pause(ctx) {
			return fmt.Errorf("%s: %w: %w", what, outcome, err)
		}
	}
}

// read is like ask, for commands that change nothing: their outcome is never unknown.
func (n *Node) read(ctx context.Context, what string, f func(ctx context.Context) error) error {
	err := n.ask(ctx, what, f)
	if errors.Is(err, cluster.ErrUnknown) {
		return fmt.Errorf("%w: %s", cluster.ErrUnavailable, err)
	}
	return err
}
