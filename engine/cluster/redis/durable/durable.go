// Package durable runs Redis scripts whose writes must survive a failover.
package durable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Wait is the number of replicas that must have a write before it succeeds. The zero Wait waits for none; then a
// failover may lose the last writes.
type Wait struct {
	Replicas int
	For      time.Duration // at most; then the call fails, although the write may last
}

// ErrNotReplicated is the error of a write that the master has, but too few replicas.
var ErrNotReplicated = errors.New("too few replicas have the write: a failover may lose it")

// Run runs a script that changes keys, and waits for replicas. The error is that of the wait; the command has that of
// the script. WAIT covers the writes of its own connection, so both use the same one.
func (w Wait) Run(ctx context.Context, client redis.UniversalClient, script *redis.Script, keys []string, args ...any) (*redis.Cmd, error) {
	if w.Replicas == 0 {
		return script.Run(ctx, client, keys, args...), nil
	}
	master, err := masterOf(ctx, client, keys[0])
	if err != nil {
		return nil, err
	}
	conn := master.Conn()
	defer conn.Close()
	cmd := script.Run(ctx, conn, keys, args...)
	if cmd.Err() != nil {
		return cmd, nil
	}
	n, err := conn.Wait(ctx, w.Replicas, max(w.For, time.Millisecond)).Result()
	if err != nil {
		return cmd, fmt.Errorf("%w: %w", ErrNotReplicated, err)
	}
	if n < int64(w.Replicas) {
		return cmd, fmt.Errorf("%w: %d of %d have it after %v", ErrNotReplicated, n, w.Replicas, w.For)
	}
	return cmd, nil
}

// masterOf returns a client of the server that has a key.
func masterOf(ctx context.Context, client redis.UniversalClient, key string) (*redis.Client, error) {
	switch c := client.(type) {
	case *redis.Client:
		return c, nil
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, key)
	}
	return nil, fmt.Errorf("a client of type %T cannot wait for replicas", client)
}
