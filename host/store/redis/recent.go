package redis

import (
	"context"
	"sync"
	"time"

	"github.com/mootchat/moot/host/store"
)

// Bounds of the copies in this node's memory, and of how they are read.
const (
	recentCount = 50_000   // in each of two halves
	recentBytes = 32 << 20 // the same
	recentAge   = time.Second
	fetchCount  = 256 // at once
	fetchTime   = time.Second
)

// recent holds copies of values for hooks that wait for nothing. What is asked for,
// and is old, is read again meanwhile, by one goroutine that runs while there is
// something to read. Copies that nobody asks for go: when half of the place is
// full, that half becomes the old one, and what was old is dropped.
type recent struct {
	fetch func(ctx context.Context, keys []store.Key) ([][]byte, error)
	life  context.Context
	end   context.CancelFunc
	work  sync.WaitGroup

	mu       sync.Mutex
	now, old map[store.Key]*copied
	bytes    int // in now
	wanted   []store.Key
	fetching bool
}

type copied struct {
	value  []byte // nil: the key is absent, or was never read
	at     time.Time
	wanted bool // in recent.wanted, or being read
	turn   uint64
}

func (r *recent) init(fetch func(context.Context, []store.Key) ([][]byte, error)) {
	r.fetch = fetch
	r.life, r.end = context.WithCancel(context.Background())
	r.now = map[store.Key]*copied{}
}

func (r *recent) close() {
	r.end()
	r.mu.Lock()
	r.fetching = true // for ever
	r.mu.Unlock()
	r.work.Wait()
}

// get gives the copy, and has it read again if it is old.
func (r *recent) get(k store.Key) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.at(k)
	if !c.wanted && time.Since(c.at) > recentAge && len(r.wanted) < recentCount { // else Redis is behind: it is asked for again
		c.wanted = true
		r.wanted = append(r.wanted, k)
		if !r.fetching {
			r.fetching = true
			r.work.Go(r.run)
		}
	}
	return c.value
}

// at gives the entry of a key, which is made if there is none. The lock is held.
func (r *recent) at(k store.Key) *copied {
	c := r.now[k]
	if c != nil {
		return c
	}
	if c = r.old[k]; c == nil {
		c = &copied{}
	}
	if len(r.now) >= recentCount || r.bytes >= recentBytes {
		r.old, r.now, r.bytes = r.now, map[store.Key]*copied{}, 0
	}
	r.now[k] = c
	r.bytes += len(k.Name) + len(c.value)
	return c
}

// turn is to be given to put: what is asked of Redis begins now.
func (r *recent) turn(k store.Key) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at(k).turn
}

// seen is turn for what is only read: no entry is made of it.
func (r *recent) seen(k store.Key) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.find(k); c != nil {
		return c.turn
	}
	return 0 // as that of a new entry
}

// find gives the entry of a key; nil: there is none. The lock is held.
func (r *recent) find(k store.Key) *copied {
	if c := r.now[k]; c != nil {
		return c
	}
	return r.old[k]
}

// put notes what the key holds, as this node knows from Redis. If others of this node
// asked about the key meanwhile nobody knows whose word is the last: it is read again.
func (r *recent) put(k store.Key, turn uint64, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.at(k)
	overtaken := c.turn != turn
	r.set(k, value)
	if overtaken {
		c.at = time.Time{}
	}
}

func (r *recent) set(k store.Key, value []byte) {
	c := r.at(k)
	r.bytes += len(value) - len(c.value)
	c.value, c.at = value, time.Now()
	c.turn++
}

// note is put for what was only read: what this node has said since is newer.
func (r *recent) note(k store.Key, turn uint64, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if value == nil && r.find(k) == nil {
		return // nobody asks for it but who reads
	}
	if r.at(k).turn == turn {
		r.set(k, value)
	}
}

// forget has the key read again when it is asked for next.
func (r *recent) forget(k store.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.at(k)
	c.at = time.Time{}
	c.turn++
}

// run reads what is wanted until nothing is.
func (r *recent) run() {
	for {
		keys, turns := r.next()
		if len(keys) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(r.life, fetchTime)
		values, err := r.fetch(ctx, keys)
		cancel()
		r.read(keys, turns, values, err)
	}
}

func (r *recent) next() (keys []store.Key, turns []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.life.Err() != nil || len(r.wanted) == 0 {
		r.fetching = r.life.Err() != nil
		return nil, nil
	}
	n := min(len(r.wanted), fetchCount)
	keys = append(keys, r.wanted[:n]...)
	r.wanted = append(r.wanted[:0:0], r.wanted[n:]...)
	for _, k := range keys {
		turns = append(turns, r.at(k).turn)
	}
	return keys, turns
}

// read notes what was read, unless this node has changed it meanwhile. What could
// not be read keeps its old copy, for a second more.
func (r *recent) read(keys []store.Key, turns []uint64, values [][]byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, k := range keys {
		c := r.at(k)
		c.wanted = false
		switch {
		case err != nil:
			c.at = time.Now()
		case c.turn == turns[i]:
			r.set(k, values[i])
		}
	}
}
