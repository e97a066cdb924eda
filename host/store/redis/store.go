// Package redisstore keeps what modules keep in Redis, so that all nodes share it:
// a [store.Store].
//
// A namespace, of one tenant's module, has one hash tag, so that a script may touch
// all of it in a Redis Cluster too. Each call is one script, and one round trip:
//
//	moot:{kv:TENANT/MODULE}:v   hash: name -> value
//	moot:{kv:TENANT/MODULE}:x   zset: name -> its end, ms by Redis' clock, of those that have one
//	moot:{kv:TENANT/MODULE}:s   string: bytes of values and their names
//	moot:{kv:TENANT/MODULE}:n   zset: the names, all scores 0, so that a page of them costs a page
//	moot:{kv:TENANT/MODULE}:b   zset: name of a bucket -> when it is full again, us by Redis' clock
package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/host/store"
)

// Store is a [store.Store] in Redis. A call is not tried again: a module has little
// time, and who adds twice has added twice.
type Store struct {
	// Wait is for how many replicas a write waits. It is set before the first call.
	Wait Wait

	client redis.UniversalClient
	prefix string
	recent *recent
}

// Wait says how many replicas must have a write. The zero Wait waits for none: a failover
// may lose the last writes.
type Wait struct {
	Replicas int
	For      time.Duration // at most; then the call fails, and whether the write lasts is unknown
}

// ErrNotReplicated is the error of a write that the master has, and too few replicas.
var ErrNotReplicated = errors.New("the write is not on enough replicas: a failover may lose it")

// New makes a store whose keys begin with the prefix. The client stays the
// caller's; Close comes before its end.
func New(client redis.UniversalClient, prefix string) *Store {
	s := &Store{client: client, prefix: prefix, recent: new(recent)}
	s.recent.init(s.fetch)
	return s
}

// Through is the store by another client, such as one whose connections are for
// operators alone. It needs no Close, and ends with s.
func (s *Store) Through(client redis.UniversalClient) *Store {
	return &Store{Wait: s.Wait, client: client, prefix: s.prefix, recent: s.recent}
}

// Close waits for what reads copies. Recent gives no news after it.
func (s *Store) Close() error {
	s.recent.close()
	return nil
}

func (s *Store) keys(tenant, module string) []string {
	base := s.prefix + ":{kv:" + tenant + "/" + module + "}:"
	return []string{base + "v", base + "x", base + "s", base + "n"}
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, k store.Key) ([]byte, error) {
	turn := s.recent.seen(k)
	value, err := value(getScript.Run(ctx, s.client, s.keys(k.Tenant, k.Module), k.Name))
	if err == nil {
		s.recent.note(k, turn, value)
	}
	return value, err
}

// value is what getScript answers.
func value(cmd *redis.Cmd) ([]byte, error) {
	text, err := cmd.Text()
	switch {
	case err == redis.Nil:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []byte(text), nil
}

// Recent implements [store.Store]. The copy is at most a second older than the last
// time that it was asked for, or this node's own last word. A key that was not asked
// for before has none: it is nil until it has been read.
func (s *Store) Cached(k store.Key) []byte { return s.recent.get(k) }

// fetch reads keys for Recent.
func (s *Store) fetch(ctx context.Context, keys []store.Key) (values [][]byte, err error) {
	pipe := s.client.Pipeline()
	cmds := make([]*redis.Cmd, len(keys))
	for i, k := range keys {
		cmds[i] = getScript.Eval(ctx, pipe, s.keys(k.Tenant, k.Module), k.Name)
	}
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil {
		return nil, err
	}
	for _, cmd := range cmds {
		v, err := value(cmd)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// Set implements [store.Store].
func (s *Store) Set(ctx context.Context, k store.Key, data []byte, ttl time.Duration) (had bool, err error) {
	n, err := s.change(ctx, k, setScript, data, present(data), ms(ttl))
	return n == 1, err
}

// Swap implements [store.Store].
func (s *Store) Swap(ctx context.Context, k store.Key, old, data []byte, ttl time.Duration) (done bool, err error) {
	n, err := s.change(ctx, k, swapScript, data, present(data), ms(ttl), old, present(old))
	if err == nil && n == 0 {
		s.recent.forget(k)
	}
	return n == 1, err
}

// full is what scripts answer when a namespace has no place.
const full = -1

// change runs a script that sets the key to data, nil to remove it.
func (s *Store) change(ctx context.Context, k store.Key, script *redis.Script, data []byte, args ...any) (int, error) {
	args = append([]any{k.Name, store.MaxKeys, store.MaxNamespaceBytes, data}, args...)
	turn := s.recent.turn(k)
	cmd, err := s.write(ctx, script, s.keys(k.Tenant, k.Module), args...)
	if err != nil {
		s.recent.forget(k)
		return 0, err
	}
	n, err := cmd.Int()
	switch {
	case err != nil:
		s.recent.forget(k)
		return 0, err
	case n == full:
		return 0, store.ErrFull
	case n == 1 || script == setScript:
		s.recent.put(k, turn, slices.Clone(data))
	}
	return n, nil
}

// write runs a script that changes something, and waits for replicas. WAIT is about the
// writes of its connection: both use one.
func (s *Store) write(ctx context.Context, script *redis.Script, keys []string, args ...any) (*redis.Cmd, error) {
	if s.Wait.Replicas == 0 {
		return script.Run(ctx, s.client, keys, args...), nil
	}
	master, err := s.master(ctx, keys[0])
	if err != nil {
		return nil, err
	}
	conn := master.Conn()
	defer conn.Close()
	cmd := script.Run(ctx, conn, keys, args...)
	if cmd.Err() != nil {
		return cmd, nil
	}
	n, err := conn.Wait(ctx, s.Wait.Replicas, max(s.Wait.For, time.Millisecond)).Result()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotReplicated, err)
	}
	if n < int64(s.Wait.Replicas) {
		return nil, fmt.Errorf("%w: %d of %d have it after %v", ErrNotReplicated, n, s.Wait.Replicas, s.Wait.For)
	}
	return cmd, nil
}

// master is the server that a key is on.
func (s *Store) master(ctx context.Context, key string) (*redis.Client, error) {
	switch c := s.client.(type) {
	case *redis.Client:
		return c, nil
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, key)
	}
	return nil, fmt.Errorf("redisstore: %T cannot wait for replicas", s.client)
}

// Add implements [store.Store].
func (s *Store) Add(ctx context.Context, k store.Key, delta int64, ttl time.Duration) (sum int64, err error) {
	turn := s.recent.turn(k)
	cmd, err := s.write(ctx, addScript, s.keys(k.Tenant, k.Module), k.Name, store.MaxKeys, store.MaxNamespaceBytes, delta, ms(ttl))
	if err != nil {
		s.recent.forget(k)
		return 0, err
	}
	text, err := cmd.Text()
	if err != nil {
		s.recent.forget(k)
		return 0, err
	}
	switch text {
	case "full":
		return 0, store.ErrFull
	case "none":
		return 0, store.ErrNotNumber
	}
	if sum, err = strconv.ParseInt(text, 10, 64); err != nil {
		return 0, fmt.Errorf("redis answered %.20q for a sum", text)
	}
	s.recent.put(k, turn, []byte(text))
	return sum, nil
}

// List implements [store.Store], in the order of the names' bytes. A page is one
// script of about 1 us for each name.
func (s *Store) List(ctx context.Context, tenant, module, cursor string, limit int) (names []string, next string, err error) {
	page, err := listScript.Run(ctx, s.client, s.keys(tenant, module), cursor, max(1, limit)).StringSlice()
	if err != nil {
		return nil, "", err
	}
	if len(page) == 0 {
		return nil, "", errors.New("redis answered a list of keys with nothing")
	}
	return page[1:], page[0], nil
}

// Take implements [store.Store].
func (s *Store) Take(ctx context.Context, k store.Key, tokens, burst int, per time.Duration) (wait time.Duration, err error) {
	bucket := s.prefix + ":{kv:" + k.Tenant + "/" + k.Module + "}:b"
	us, err := takeScript.Run(ctx, s.client, []string{bucket}, k.Name, tokens, burst, per.Microseconds(), store.MaxKeys).Int64()
	if err == nil && us == full {
		return 0, store.ErrFull
	}
	return time.Duration(us) * time.Microsecond, err
}

// ms is a ttl as scripts take it: 0 is no end, less than that is over.
func ms(ttl time.Duration) int64 {
	if ttl > 0 {
		return max(ttl.Milliseconds(), 1)
	}
	return int64(ttl)
}

// present tells an empty value from none.
func present(data []byte) int {
	if data == nil {
		return 0
	}
	return 1
}
