package moderation

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"
)

// shards is the number of maps of a table. A change copies one map.
const shards = 64

var seed = maphash.MakeSeed()

// table maps subjects to their entries. get may run concurrently with one change. Maps and
// slices are immutable once they are stored.
type table[K comparable] struct {
	shards [shards]atomic.Pointer[map[K][]*entry]
}

func (t *table[K]) shard(key K) *atomic.Pointer[map[K][]*entry] {
	return &t.shards[maphash.Comparable(seed, key)%shards]
}

func (t *table[K]) get(key K) []*entry {
	m := t.shard(key).Load()
	if m == nil {
		return nil
	}
	return (*m)[key]
}

func (t *table[K]) add(key K, e *entry) {
	t.set(key, append(slices.Clone(t.get(key)), e))
}

func (t *table[K]) remove(key K, e *entry) {
	t.set(key, slices.DeleteFunc(slices.Clone(t.get(key)), func(other *entry) bool { return other == e }))
}

func (t *table[K]) replace(key K, old, e *entry) {
	entries := slices.Clone(t.get(key))
	entries[slices.Index(entries, old)] = e
	t.set(key, entries)
}

func (t *table[K]) set(key K, entries []*entry) {
	shard := t.shard(key)
	next := map[K][]*entry{}
	if m := shard.Load(); m != nil {
		next = maps.Clone(*m)
	}
	if len(entries) == 0 {
		delete(next, key)
	} else {
		next[key] = entries
	}
	if len(next) == 0 {
		shard.Store(nil)
		return
	}
	shard.Store(&next)
}

// setAll makes the entries of all those of the table.
func (t *table[K]) setAll(all map[K][]*entry) {
	var next [shards]map[K][]*entry
	for key, entries := range all {
		i := maphash.Comparable(seed, key) % shards
		if next[i] == nil {
			next[i] = map[K][]*entry{}
		}
		next[i][key] = entries
	}
	for i := range next {
		if next[i] == nil {
			t.shards[i].Store(nil)
			continue
		}
		t.shards[i].Store(&next[i])
	}
}
