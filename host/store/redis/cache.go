package redis

import (
	"context"
	"sync"
	"time"

	"github.com/mootchat/moot/host/store"
)

// Limits of the copies in this node's memory, and of reading them.
const (
	cacheEntries = 50_000   // of each of two generations
	cacheBytes   = 32 << 20 // of each of two generations
	maxAge       = time.Second
	fetchKeys    = 256 // in one pipeline
	fetchTimeout = time.Second
)

// cache holds copies of values for hooks that must not wait. If an old copy is requested, it is read again in
// the background, by one goroutine that runs while there are keys to read. Copies that are not requested are
// dropped: when the young generation is full, it becomes the old one, and the previous old one is dropped.
type cache struct {
	fetch  func(ctx context.Context, keys []store.Key) ([][]byte, error)
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu         sync.Mutex
	young, old map[store.Key]*entry
	bytes      int // of names and values in young
	queue      []store.Key
	fetching   bool
}

type entry struct {
	value   []byte // nil: there is no key, or it was never read
	readAt  time.Time
	queued  bool   // in cache.queue, or being read
	version uint64 // incremented with each change that this node knows of
}

func (r *cache) init(fetch func(context.Context, []store.Key) ([][]byte, error)) {
	r.fetch = fetch
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.young = map[store.Key]*entry{}
}

func (r *cache) close() {
	r.cancel()
	r.mu.Lock()
	r.fetching = true // so that get starts no other run
	r.mu.Unlock()
	r.work.Wait()
}

// get returns the copy, and queues the key if the copy is old.
func (r *cache) get(k store.Key) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.at(k)
	if !c.queued && time.Since(c.readAt) > maxAge && len(r.queue) < cacheEntries { // with a full queue the next get queues it
		c.queued = true
		r.queue = append(r.queue, k)
		if !r.fetching {
			r.fetching = true
			r.work.Go(r.run)
		}
	}
	return c.value
}

// at returns the entry of a key in young. It adds one if there is none. The caller holds the lock.
func (r *cache) at(k store.Key) *entry {
	c := r.young[k]
	if c != nil {
		return c
	}
	if c = r.old[k]; c == nil {
		c = &entry{}
	}
	if len(r.young) >= cacheEntries || r.bytes >= cacheBytes {
		r.old, r.young, r.bytes = r.young, map[store.Key]*entry{}, 0
	}
	r.young[k] = c
	r.bytes += len(k.Name) + len(c.value)
	return c
}

// version returns the version of a key, for put: the caller calls it before it asks Redis.
func (r *cache) version(k store.Key) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at(k).version
}

// knownVersion is version without adding an entry, for reads.
func (r *cache) knownVersion(k store.Key) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.find(k); c != nil {
		return c.version
	}
	return 0 // the version of a new entry
}

// find returns the entry of a key, or nil if there is none. The caller holds the lock.
func (r *cache) find(k store.Key) *entry {
	if c := r.young[k]; c != nil {
		return c
	}
	return r.old[k]
}

// put stores the result of a change. If another call of this node has changed the key since version, the
// order of the two is unknown, so the key is read again.
func (r *cache) put(k store.Key, version uint64, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.at(k)
	overtaken := c.version != version
	r.set(k, value)
	if overtaken {
		c.readAt = time.Time{}
	}
}

// set stores a value. The caller holds the lock.
func (r *cache) set(k store.Key, value []byte) {
	c := r.at(k)
	r.bytes += len(value) - len(c.value)
	c.value, c.readAt = value, time.Now()
	c.version++
}

// note stores a value that was read, unless this node has changed the key since version.
func (r *cache) note(k store.Key, version uint64, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if value == nil && r.find(k) == nil {
		return // Cached was not called for it
	}
	if r.at(k).version == version {
		r.set(k, value)
	}
}

// forget makes the copy old, so that the next get queues the key.
func (r *cache) forget(k store.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.at(k)
	c.readAt = time.Time{}
	c.version++
}

// run reads keys until the queue is empty.
func (r *cache) run() {
	for {
		keys, versions := r.next()
		if len(keys) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(r.ctx, fetchTimeout)
		values, err := r.fetch(ctx, keys)
		cancel()
		r.read(keys, versions, values, err)
	}
}

// next takes keys from the queue, with their versions.
func (r *cache) next() (keys []store.Key, versions []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil || len(r.queue) == 0 {
		r.fetching = r.ctx.Err() != nil
		return nil, nil
	}
	n := min(len(r.queue), fetchKeys)
	keys = append(keys, r.queue[:n]...)
	r.queue = append(r.queue[:0:0], r.queue[n:]...)
	for _, k := range keys {
		versions = append(versions, r.at(k).version)
	}
	return keys, versions
}

// read stores the values that it reads, except for keys that this node has changed since. After an error the
// old copies stay for another maxAge.
func (r *cache) read(keys []store.Key, versions []uint64, values [][]byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, k := range keys {
		c := r.at(k)
		c.queued = false
		switch {
		case err != nil:
			c.readAt = time.Now()
		case c.version == versions[i]:
			r.set(k, values[i])
		}
	}
}
