package engine

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

const (
	maxKeyBytes = 64              // maximum length of an idempotency key
	keyTime     = 2 * time.Minute // the time for which a key is remembered
	maxKeys     = 10_000          // keys of one connection; beyond it the oldest are forgotten early
	minKeys     = 100             // keys of one connection if the node has no room for more
	maxNodeKeys = 2 << 20         // keys of all connections; a tenant has at most as many as are left
)

var errKey = &VerbError{"key must be at most 64 bytes"}

// keys holds the idempotency keys that a connection has used. A timer removes expired keys,
// so that a connection that says nothing more does not hold them.
type keys struct {
	ofNode, ofTenant *atomic.Int64 // numbers of keys; keys changes them

	mu       sync.Mutex
	outcomes map[string]usedKey
	order    []usedKey
	timer    *time.Timer // nil: no key was remembered
}

// usedKey is a key and the time of its use.
type usedKey struct {
	Key     string    `json:"key"`
	At      time.Time `json:"at"`
	Unknown bool      `json:"unknown,omitempty"` // the message was possibly published
	ID      string    `json:"id,omitempty"`      // of the message; "": it has none, or it is unknown
	Held    string    `json:"held,omitempty"`    // the id under which the message is held; "": it is not held
}

// usedKeys returns the keys of the connection. Only Do may call it.
func (c *Connection) usedKeys() *keys {
	if c.keys == nil {
		c.keys = &keys{ofNode: &c.engine.keys, ofTenant: &c.tenant.keys}
	}
	return c.keys
}

// once calls f, which publishes a message, unless the key was used before. The key may be
// used again if f fails, except if the outcome is unknown. The verbs of a connection run one
// after the other, so there is one call at a time.
func (k *keys) once(key string, f func() (accepted, error)) (accepted, error) {
	if len(key) > maxKeyBytes {
		return accepted{}, errKey
	}
	if u, ok := k.find(key); ok {
		if u.Unknown {
			return accepted{}, cluster.ErrUnknown
		}
		return accepted{id: u.ID, held: u.Held, again: true}, nil
	}
	a, err := f()
	if unknown := errors.Is(err, cluster.ErrUnknown); err == nil || unknown {
		k.remember(usedKey{key, time.Now(), unknown, a.id, a.held})
	}
	return a, err
}

func (k *keys) find(key string) (u usedKey, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(time.Now(), maxKeys)
	u, ok = k.outcomes[key]
	return u, ok
}

func (k *keys) remember(u usedKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	most := maxKeys
	if k.ofTenant.Load() >= maxNodeKeys-k.ofNode.Load() {
		most = minKeys
	}
	k.forget(u.At, most-1)
	if k.outcomes == nil {
		k.outcomes = map[string]usedKey{}
	}
	k.outcomes[u.Key] = u
	k.order = append(k.order, u)
	k.count(1)
	switch {
	case k.timer == nil:
		k.timer = time.AfterFunc(keyTime, k.expire)
	case len(k.order) == 1:
		k.timer.Reset(keyTime)
	}
}

// expire runs keyTime after the first key, and then again for the keys that are left.
func (k *keys) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(time.Now(), maxKeys)
	if len(k.order) > 0 {
		k.timer.Reset(keyTime)
	}
}

// all returns the keys in the order of their use. A nil k has none.
func (k *keys) all() []usedKey {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.order)
}

// clear forgets all keys. A nil k has none.
func (k *keys) clear() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(time.Now(), 0)
	if k.timer != nil {
		k.timer.Stop()
	}
}

// forget removes expired keys, and the oldest keys if there are more than most. The caller
// holds mu.
func (k *keys) forget(now time.Time, most int) {
	old := 0
	for old < len(k.order) && (now.Sub(k.order[old].At) >= keyTime || len(k.order)-old > most) {
		delete(k.outcomes, k.order[old].Key)
		old++
	}
	k.count(-old)
	if k.order = k.order[old:]; len(k.order) == 0 {
		k.order, k.outcomes = nil, nil // a map does not shrink
	}
}

func (k *keys) count(n int) {
	k.ofNode.Add(int64(n))
	k.ofTenant.Add(int64(n))
}
