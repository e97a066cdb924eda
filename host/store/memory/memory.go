// Package memory is module storage in the memory of one node. It is lost with the process.
package memory

import (
	"bytes"
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/mootchat/moot/host/store"
)

// Store is a [store.Store] in memory. All methods may be called concurrently.
type Store struct {
	now        func() time.Time
	mu         sync.Mutex // protects the map, not the namespaces; never held while a namespace's is taken
	namespaces map[namespaceID]*namespace
}

// namespaceID names the namespace of a module.
type namespaceID struct{ tenant, module string }

// namespace holds the values and buckets of one module.
type namespace struct {
	mu      sync.Mutex
	keys    map[string]value
	names   btree.Set[string]    // the names of keys in order, for List
	size    int                  // bytes of values and their names
	buckets map[string]time.Time // by name: the time at which the bucket is full
	swept   time.Time
}

type value struct {
	data    []byte    // not nil, never changed
	expires time.Time // zero: never
}

func (v value) expired(now time.Time) bool { return !v.expires.IsZero() && !now.Before(v.expires) }

// sweepInterval is the least time between two sweeps of a full namespace.
const sweepInterval = time.Second

// New returns an empty store.
func New() *Store { return NewAt(time.Now) }

// NewAt is New with a clock of the caller.
func NewAt(now func() time.Time) *Store {
	return &Store{now: now, namespaces: make(map[namespaceID]*namespace)}
}

// find returns the namespace of a key, locked, or nil if there is none. Reads and removals use it: they must
// not create a namespace, because any client can cause reads of keys that do not exist.
func (m *Store) find(k store.Key) *namespace {
	m.mu.Lock()
	s := m.namespaces[namespaceID{k.Tenant, k.Module}]
	m.mu.Unlock()
	if s != nil {
		s.mu.Lock()
	}
	return s
}

// lock returns the namespace of a key, locked. It creates the namespace if there is none.
func (m *Store) lock(k store.Key) *namespace {
	m.mu.Lock()
	s := m.namespaces[namespaceID{k.Tenant, k.Module}]
	if s == nil {
		s = &namespace{keys: make(map[string]value), buckets: make(map[string]time.Time)}
		m.namespaces[namespaceID{k.Tenant, k.Module}] = s
	}
	m.mu.Unlock()
	s.mu.Lock()
	return s
}

// forSet is lock for setting a value, and find for removing one.
func (m *Store) forSet(k store.Key, data []byte) *namespace {
	if data == nil {
		return m.find(k)
	}
	return m.lock(k)
}

// Get implements [store.Store].
func (m *Store) Get(_ context.Context, k store.Key) ([]byte, error) { return m.Cached(k), nil }

// Cached implements [store.Store].
func (m *Store) Cached(k store.Key) []byte {
	s := m.find(k)
	if s == nil {
		return nil
	}
	defer s.mu.Unlock()
	v, _ := s.get(k.Name, m.now())
	return v.data
}

// Set implements [store.Store].
func (m *Store) Set(_ context.Context, k store.Key, data []byte, ttl time.Duration) (had bool, err error) {
	s := m.forSet(k, data)
	if s == nil {
		return false, nil
	}
	defer s.mu.Unlock()
	now := m.now()
	_, had = s.get(k.Name, now)
	return had, s.put(k.Name, data, expiry(now, ttl), now)
}

// Swap implements [store.Store].
func (m *Store) Swap(_ context.Context, k store.Key, old, data []byte, ttl time.Duration) (done bool, err error) {
	s := m.find(k)
	if s == nil {
		if old != nil || data == nil {
			return old == nil, nil
		}
		s = m.lock(k)
	}
	defer s.mu.Unlock()
	now := m.now()
	v, had := s.get(k.Name, now)
	if had != (old != nil) || !bytes.Equal(v.data, old) {
		return false, nil
	}
	err = s.put(k.Name, data, expiry(now, ttl), now)
	return err == nil, err
}

// Add implements [store.Store].
func (m *Store) Add(_ context.Context, k store.Key, delta int64, ttl time.Duration) (sum int64, err error) {
	s := m.lock(k)
	defer s.mu.Unlock()
	now := m.now()
	v, had := s.get(k.Name, now)
	expires := v.expires
	if !had {
		expires = expiry(now, ttl)
	} else if sum, err = strconv.ParseInt(string(v.data), 10, 64); err != nil || strconv.FormatInt(sum, 10) != string(v.data) {
		return 0, store.ErrNotNumber
	}
	if delta > 0 && sum > math.MaxInt64-delta || delta < 0 && sum < math.MinInt64-delta {
		return 0, store.ErrNotNumber
	}
	sum += delta
	return sum, s.put(k.Name, strconv.AppendInt(nil, sum, 10), expires, now)
}

// List implements [store.Store].
func (m *Store) List(_ context.Context, tenant, module, cursor string, limit int) (names []string, next string, err error) {
	s := m.find(store.Key{Tenant: tenant, Module: module})
	if s == nil {
		return nil, "", nil
	}
	defer s.mu.Unlock()
	now, seen, last := m.now(), 0, ""
	s.names.Ascend(cursor, func(name string) bool {
		switch {
		case name == cursor:
			return true
		case seen == max(1, limit):
			next = last
			return false
		}
		seen, last = seen+1, name
		if !s.keys[name].expired(now) {
			names = append(names, name)
		}
		return true
	})
	return names, next, nil
}

// Take implements [store.Store].
func (m *Store) Take(_ context.Context, k store.Key, tokens, burst int, per time.Duration) (wait time.Duration, err error) {
	s := m.lock(k)
	defer s.mu.Unlock()
	now := m.now()
	full, had := s.buckets[k.Name]
	if full.Before(now) {
		full = now
	}
	full = full.Add(time.Duration(tokens) * per)
	if over := full.Sub(now) - time.Duration(burst)*per; over > 0 {
		return over, nil
	}
	if !had && len(s.buckets) >= store.MaxKeys {
		if s.sweep(now); len(s.buckets) >= store.MaxKeys {
			return 0, store.ErrFull
		}
	}
	s.buckets[k.Name] = full
	return 0, nil
}

func expiry(now time.Time, ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return now.Add(ttl)
}

// get returns the value of a key that has not expired.
func (s *namespace) get(name string, now time.Time) (v value, ok bool) {
	v, ok = s.keys[name]
	if ok && v.expired(now) {
		s.remove(name)
		return value{}, false
	}
	return v, ok
}

// put sets a value to a copy of data, or removes it if data is nil.
func (s *namespace) put(name string, data []byte, expires, now time.Time) error {
	if data == nil {
		s.remove(name)
		return nil
	}
	old, had := s.keys[name]
	if !had && len(s.keys) >= store.MaxKeys {
		if s.sweep(now); len(s.keys) >= store.MaxKeys {
			return store.ErrFull
		}
	}
	size := s.size + len(data) - len(old.data)
	if !had {
		size += len(name)
	}
	if size > store.MaxNamespaceBytes {
		return store.ErrFull
	}
	if !had {
		s.names.Insert(name)
	}
	s.keys[name] = value{append([]byte{}, data...), expires}
	s.size = size
	return nil
}

func (s *namespace) remove(name string) {
	if v, ok := s.keys[name]; ok {
		s.size -= len(name) + len(v.data)
		delete(s.keys, name)
		s.names.Delete(name)
	}
}

// sweep removes expired values and full buckets; a full bucket is equal to a new one.
func (s *namespace) sweep(now time.Time) {
	if now.Sub(s.swept) < sweepInterval {
		return
	}
	s.swept = now
	for name, v := range s.keys {
		if v.expired(now) {
			s.remove(name)
		}
	}
	for name, full := range s.buckets {
		if !full.After(now) {
			delete(s.buckets, name)
		}
	}
}
