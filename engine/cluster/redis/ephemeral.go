package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

func (n *Node) publishCommand() string {
	if n.cfg.Mode == Cluster {
		return "spublish"
	}
	return "publish"
}

// onceEphemeral is a script that publishes an ephemeral message of PublishOnce if its id is new, and keeps the id for a day.
//
//	KEYS once
//	ARGV command channel message
const onceEphemeral = `
if redis.call('SET', KEYS[1], '', 'NX', 'PX', 86400000) then redis.call(ARGV[1], ARGV[2], ARGV[3]) end
return 1`

// publishEphemeral publishes a batch of ephemeral messages in one pipeline. It tries again only
// if certainly no message was published.
func (l *publisher) publishEphemeral(ctx context.Context, batch []*queuedMessage) {
	last := slices.MaxFunc(batch, func(a, b *queuedMessage) int { return a.deadline.Compare(b.deadline) }).deadline
	ctx, cancel := context.WithDeadline(ctx, last)
	defer cancel()
	for b := (backoff{10 * time.Millisecond, 200 * time.Millisecond}); ; {
		errs, err := l.publishEphemeralOnce(ctx, batch)
		if err != nil && isRefusal(err) && !slices.ContainsFunc(errs, func(e error) bool { return e == nil }) && b.pause(ctx) {
			reload(ctx, l.p.n.client)
			continue
		}
		for i, item := range batch {
			item.done <- ephemeralError(errs[i])
		}
		return
	}
}

// publishEphemeralOnce returns the error of each message, and the first error.
func (l *publisher) publishEphemeralOnce(ctx context.Context, batch []*queuedMessage) ([]error, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	pipe := l.p.n.client.Pipeline()
	command := l.p.n.publishCommand()
	for _, item := range batch {
		channel := l.p.keys.of("c", item.room)
		if item.once != "" {
			pipe.Eval(ctx, onceEphemeral, []string{l.p.keys.once(item.room, item.once)}, command, channel, ephemeralMark+item.entry)
			continue
		}
		pipe.Do(ctx, command, channel, ephemeralMark+item.entry)
	}
	cmds, err := pipe.Exec(ctx)
	errs := make([]error, len(batch))
	for i := range batch {
		switch {
		case i < len(cmds):
			errs[i] = cmds[i].Err()
		case err != nil:
			errs[i] = err
		default:
			errs[i] = errValues
		}
	}
	return errs, err
}

func ephemeralError(err error) error {
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		return nil
	case isRefusal(err):
		return fmt.Errorf("publish: %w: %w", cluster.ErrUnavailable, err)
	}
	return fmt.Errorf("publish: %w: %w", cluster.ErrUnknown, err)
}
