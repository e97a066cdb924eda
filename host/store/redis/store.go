// Package redis is module storage in Redis, which all nodes share.
//
// The keys of a namespace have one hash tag, so that a script may access all of them on a Redis Cluster too.
// Each call is one script and one round trip:
//
//	moot:{kv:TENANT/MODULE}:v   hash: name -> value
//	moot:{kv:TENANT/MODULE}:x   sorted set: name of a value that expires -> ms by Redis' clock
//	moot:{kv:TENANT/MODULE}:s   string: bytes of values and their names
//	moot:{kv:TENANT/MODULE}:n   sorted set: the names, all with score 0: reading a page of them costs O(page)
//	moot:{kv:TENANT/MODULE}:b   sorted set: name of a bucket -> when it is full, us by Redis' clock
package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/durable"
	"github.com/mootchat/moot/host/store"
)

// Store is a [store.Store] in Redis. It does not retry: a module has little time, and a retried Add might add
// twice.
type Store struct {
	// Wait is the number of replicas that a write waits for. It must not be changed after the first call.
	Wait durable.Wait

	client redis.UniversalClient
	prefix string
	cache  *cache
}

// New returns a store whose Redis keys begin with prefix. The caller closes the client, after Close.
func New(client redis.UniversalClient, prefix string) *Store {
	s := &Store{client: client, prefix: prefix, cache: new(cache)}
	s.cache.init(s.fetch)
	return s
}

// WithClient returns the same store over another client, for example one with connections for operators only. It
// needs no Close; it must not be used after that of s.
func (s *Store) WithClient(client redis.UniversalClient) *Store {
	return &Store{Wait: s.Wait, client: client, prefix: s.prefix, cache: s.cache}
}

// Close ends the reads of copies for Cached. Afterwards Cached returns the last copies.
func (s *Store) Close() error {
	s.cache.close()
	return nil
}

func (s *Store) keys(tenant, module string) []string {
	base := s.prefix + ":{kv:" + tenant + "/" + module + "}:"
	return []string{base + "v", base + "x", base + "s", base + "n"}
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, k store.Key) ([]byte, error) {
	version := s.cache.knownVersion(k)
	value, err := value(getScript.Run(ctx, s.client, s.keys(k.Tenant, k.Module), k.Name))
	if err == nil {
		s.cache.note(k, version, value)
	}
	return value, err
}

// value decodes the answer of getScript.
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

// Cached implements [store.Store]. The copy is at most a second older than the last call of Cached for the key,
// or it is the last value that this node wrote. The first call for a key returns nil and starts to read it.
func (s *Store) Cached(k store.Key) []byte { return s.cache.get(k) }

// fetch reads the values of keys for Cached.
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
		s.cache.forget(k)
	}
	return n == 1, err
}

// full is the result of a script if the namespace is full.
const full = -1

// change runs a script that sets the value of a key, or removes it if data is nil.
func (s *Store) change(ctx context.Context, k store.Key, script *redis.Script, data []byte, args ...any) (int, error) {
	args = append([]any{k.Name, store.MaxKeys, store.MaxNamespaceBytes, data}, args...)
	version := s.cache.version(k)
	cmd, err := s.Wait.Run(ctx, s.client, script, s.keys(k.Tenant, k.Module), args...)
	if err != nil {
		s.cache.forget(k)
		return 0, err
	}
	n, err := cmd.Int()
	switch {
	case err != nil:
		s.cache.forget(k)
		return 0, err
	case n == full:
		return 0, store.ErrFull
	case n == 1 || script == setScript:
		s.cache.put(k, version, slices.Clone(data))
	}
	return n, nil
}

// Add implements [store.Store].
func (s *Store) Add(ctx context.Context, k store.Key, delta int64, ttl time.Duration) (sum int64, err error) {
	version := s.cache.version(k)
	cmd, err := s.Wait.Run(ctx, s.client, addScript, s.keys(k.Tenant, k.Module), k.Name, store.MaxKeys, store.MaxNamespaceBytes, delta, ms(ttl))
	if err != nil {
		s.cache.forget(k)
		return 0, err
	}
	text, err := cmd.Text()
	if err != nil {
		s.cache.forget(k)
		return 0, err
	}
	switch text {
	case "full":
		return 0, store.ErrFull
	case "none":
		return 0, store.ErrNotNumber
	}
	if sum, err = strconv.ParseInt(text, 10, 64); err != nil {
		return 0, fmt.Errorf("redis answered %.20q, want a sum", text)
	}
	s.cache.put(k, version, []byte(text))
	return sum, nil
}

// List implements [store.Store]. A page is one script, which takes about 1 us for each name.
func (s *Store) List(ctx context.Context, tenant, module, cursor string, limit int) (names []string, next string, err error) {
	page, err := listScript.Run(ctx, s.client, s.keys(tenant, module), cursor, max(1, limit)).StringSlice()
	if err != nil {
		return nil, "", err
	}
	if len(page) == 0 {
		return nil, "", errors.New("redis returned no cursor and names")
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

// ms returns a ttl in the form of the scripts, in ms and rounded up: 0 does not expire, a negative one has
// expired.
func ms(ttl time.Duration) int64 {
	if ttl > 0 {
		return max(ttl.Milliseconds(), 1)
	}
	return int64(ttl)
}

// present returns 1 for a value and 0 for none, because scripts cannot distinguish an empty value from none.
func present(data []byte) int {
	if data == nil {
		return 0
	}
	return 1
}
