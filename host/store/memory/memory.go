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
	now    func() time.Time
	mu     sync.Mutex // protects the map, not the namespaces; never held while a namespace's is taken
	spaces map[space]*values
}

// space is a namespace.
type space struct{ tenant, module string }

// values are those of one namespace.
type values struct {
	mu      sync.Mutex
	keys    map[string]value
	names   btree.Set[string]    // of keys, for List
	size    int                  // bytes of keys and their names
	buckets map[string]time.Time // by name: when it is full again
	swept   time.Time
}

type value struct {
	data []byte    // not nil; it does not change
	ends time.Time // zero: never
}

func (v value) ended(now time.Time) bool { return !v.ends.IsZero() && !now.Before(v.ends) }

// sweepEvery is how often a full namespace is searched, at most.
const sweepEvery = time.Second

// New makes an empty store.
func New() *Store { return NewAt(time.Now) }

// NewAt makes an empty store that goes by a clock of the caller's.
func NewAt(now func() time.Time) *Store {
	return &Store{now: now, spaces: make(map[space]*values)}
}

// find gives the namespace of a key, locked; nil: there is none. What only reads or removes
// makes none: anybody may ask for what is not there.
func (m *Store) find(k store.Key) *values {
	m.mu.Lock()
	s := m.spaces[space{k.Tenant, k.Module}]
	m.mu.Unlock()
	if s != nil {
		s.mu.Lock()
	}
	return s
}

// lock gives the namespace of a key, locked, and makes it if there is none.
func (m *Store) lock(k store.Key) *values {
	m.mu.Lock()
	s := m.spaces[space{k.Tenant, k.Module}]
	if s == nil {
		s = &values{keys: make(map[string]value), buckets: make(map[string]time.Time)}
		m.spaces[space{k.Tenant, k.Module}] = s
	}
	m.mu.Unlock()
	s.mu.Lock()
	return s
}

// of is lock for what sets the key to data; where that removes it, it is find.
func (m *Store) of(k store.Key, data []byte) *values {
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
	s := m.of(k, data)
	if s == nil {
		return false, nil
	}
	defer s.mu.Unlock()
	now := m.now()
	_, had = s.get(k.Name, now)
	return had, s.put(k.Name, data, until(now, ttl), now)
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
	err = s.put(k.Name, data, until(now, ttl), now)
	return err == nil, err
}

// Add implements [store.Store].
func (m *Store) Add(_ context.Context, k store.Key, delta int64, ttl time.Duration) (sum int64, err error) {
	s := m.lock(k)
	defer s.mu.Unlock()
	now := m.now()
	v, had := s.get(k.Name, now)
	ends := v.ends
	if !had {
		ends = until(now, ttl)
	} else if sum, err = strconv.ParseInt(string(v.data), 10, 64); err != nil || strconv.FormatInt(sum, 10) != string(v.data) {
		return 0, store.ErrNotNumber
	}
	if delta > 0 && sum > math.MaxInt64-delta || delta < 0 && sum < math.MinInt64-delta {
		return 0, store.ErrNotNumber
	}
	sum += delta
	return sum, s.put(k.Name, strconv.AppendInt(nil, sum, 10), ends, now)
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
		if !s.keys[name].ended(now) {
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

func until(now time.Time, ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return now.Add(ttl)
}

// get is the value of a key that has not ended.
func (s *values) get(name string, now time.Time) (v value, ok bool) {
	v, ok = s.keys[name]
	if ok && v.ended(now) {
		s.remove(name)
		return value{}, false
	}
	return v, ok
}

// put sets a value to a copy of data; nil removes it.
func (s *values) put(name string, data []byte, ends, now time.Time) error {
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
	s.keys[name] = value{append([]byte{}, data...), ends}
	s.size = size
	return nil
}

func (s *values) remove(name string) {
	if v, ok := s.keys[name]; ok {
		s.size -= len(name) + len(v.data)
		delete(s.keys, name)
		s.names.Delete(name)
	}
}

// sweep removes what has ended, and buckets that are full: a new one is full too.
func (s *values) sweep(now time.Time) {
	if now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	for name, v := range s.keys {
		if v.ended(now) {
			s.remove(name)
		}
	}
	for name, full := range s.buckets {
		if !full.After(now) {
			delete(s.buckets, name)
		}
	}
}
