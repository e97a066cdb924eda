package api

import (
	"context"
	"crypto/sha256"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// scope is what a key reaches.
type scope struct {
	tenant string // "": everything
}

// String is how the log calls who asked.
func (s scope) String() string {
	if s.tenant == "" {
		return "admin"
	}
	return "tenant:" + s.tenant
}

// key is who may ask, and how much.
type key struct {
	scope scope
	pace  *rate.Limiter
	busy  atomic.Int32 // listings under way
}

// keyring has the keys by their digests: no dump of the process's structures shows one.
type keyring map[[sha256.Size]byte]*key

func newKeyring(admin string, tenants map[string]string, perSecond int) keyring {
	k := make(keyring, 1+len(tenants))
	k.add(admin, scope{}, perSecond)
	for tenant, text := range tenants {
		k.add(text, scope{tenant}, perSecond) // of one text, the key that reaches less
	}
	return k
}

func (k keyring) add(text string, s scope, perSecond int) {
	k[sha256.Sum256([]byte(text))] = &key{scope: s, pace: rate.NewLimiter(rate.Limit(perSecond), 2*perSecond)}
}

// find costs the same however many keys there are. How long it takes tells a caller at
// most about digests, of which it cannot choose a part.
func (k keyring) find(text string) *key {
	if text == "" {
		return nil // also where a key is empty
	}
	return k[sha256.Sum256([]byte(text))]
}

// pay takes requests from the key's rate. It returns 0, or the time to wait.
func (k *key) pay(requests int) (wait time.Duration) {
	r := k.pace.ReserveN(time.Now(), requests)
	if wait = r.Delay(); wait > 0 {
		r.Cancel()
	}
	return wait
}

type keyKey struct{}

func withKey(ctx context.Context, k *key) context.Context {
	return context.WithValue(ctx, keyKey{}, k)
}

// keyIn is the key of who asks. Only what has passed the guard has one.
func keyIn(ctx context.Context) *key {
	k, _ := ctx.Value(keyKey{}).(*key)
	return k
}

// scopeOf is who asks.
func scopeOf(ctx context.Context) (s scope, ok bool) {
	if k := keyIn(ctx); k != nil {
		return k.scope, true
	}
	return scope{}, false
}
