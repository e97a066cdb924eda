package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// The script that publishes a message records the id of PublishOnce in the same step (see luaSay). So does the script that
// publishes lost messages again, because the id is a part of the entry. A failover therefore loses the message and the id
// together, or neither.

// once returns the key for an id of PublishOnce.
func (k keys) once(room, id string) string { return k.of("o", room) + " " + id }

// PublishOnce implements cluster.Broker. It takes one more command than Publish, which reads the position.
func (n *Node) PublishOnce(ctx context.Context, room cluster.RoomID, id string, payload []byte, keep cluster.Retention) (at cluster.Position, err error) {
	if err := cluster.CheckOnce(id); err != nil {
		return at, err
	}
	if err := n.up(ctx); err != nil {
		return at, err
	}
	if err := n.publish(ctx, room, form{version: entryVersion, once: id}, payload, keep); err != nil || keep.Ephemeral {
		return at, err
	}
	p, key := n.at(room)
	var text string
	err = n.read(ctx, "publish once", func(ctx context.Context) (err error) {
		text, err = n.client.Get(ctx, p.keys.once(key, id)).Result()
		if errors.Is(err, redis.Nil) {
			return nil // a failover has lost it
		}
		return err
	})
	if err != nil {
		return at, fmt.Errorf("publish once: the position was not read: %w: %v", cluster.ErrUnknown, err)
	}
	if text == "" {
		return at, nil
	}
	e, err := parseEnvelope(text + ":")
	if err != nil {
		n.malformed(key, err)
		return at, nil
	}
	return cluster.Position{Epoch: e.epoch, Offset: e.offset}, nil
}
