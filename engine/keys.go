package engine

import (
	"errors"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
)

const (
	maxKeyBytes = 64              // maximum length of an idempotency key
	keyTime     = 2 * time.Minute // the time for which a key is remembered
	maxKeys     = 10_000          // keys of one connection; beyond it the oldest are forgotten early
)

var errKey = &VerbError{"key must be at most 64 bytes"}

// keys holds the idempotency keys that a connection has used. Only the connection's verbs
// use it, and they run one after the other.
type keys struct {
	outcomes map[string]error // nil: published; ErrUnknown: possibly published
	order    []keyed
}

// keyed is a key and the time of its use.
type keyed struct {
	Key     string    `json:"key"`
	At      time.Time `json:"at"`
	Unknown bool      `json:"unknown,omitempty"`
}

// once calls f, which publishes a message, unless the key was used before. The key may be
// used again if f fails, except if the outcome is unknown.
func (k *keys) once(key string, f func() ([]hook.Effect, error)) ([]hook.Effect, error) {
	if key == "" {
		return f()
	}
	if len(key) > maxKeyBytes {
		return nil, errKey
	}
	k.forget(time.Now(), maxKeys)
	if outcome, ok := k.outcomes[key]; ok {
		return nil, outcome
	}
	effects, err := f()
	if unknown := errors.Is(err, cluster.ErrUnknown); err == nil || unknown {
		k.remember(keyed{key, time.Now(), unknown})
	}
	return effects, err
}

func (k *keys) remember(u keyed) {
	k.forget(u.At, maxKeys-1)
	if k.outcomes == nil {
		k.outcomes = map[string]error{}
	}
	k.outcomes[u.Key] = nil
	if u.Unknown {
		k.outcomes[u.Key] = cluster.ErrUnknown
	}
	k.order = append(k.order, u)
}

// forget removes expired keys, and the oldest keys if there are more than most.
func (k *keys) forget(now time.Time, most int) {
	old := 0
	for old < len(k.order) && (now.Sub(k.order[old].At) >= keyTime || len(k.order)-old > most) {
		delete(k.outcomes, k.order[old].Key)
		old++
	}
	k.order = k.order[old:]
}
