package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// scope is what a key reaches.
type scope struct {
	tenant string // "": everything
}

// may says whether the scope has the tenant.
func (s scope) may(tenant string) bool { return s.tenant == "" || s.tenant == tenant }

// String is how the log calls who asked.
func (s scope) String() string {
	if s.tenant == "" {
		return "admin"
	}
	return "tenant:" + s.tenant
}

// key is kept as a digest: keys of every length compare alike, and no dump of
// the process's structures shows one.
type key struct {
	digest [sha256.Size]byte
	scope  scope
	pace   *rate.Limiter
	busy   *atomic.Int32 // listings under way
}

type keyring []key

func newKeyring(admin string, tenants map[string]string, perSecond int) keyring {
	k := keyring{newKey(admin, scope{}, perSecond)}
	for tenant, text := range tenants {
		k = append(k, newKey(text, scope{tenant}, perSecond))
	}
	return k
}

func newKey(text string, s scope, perSecond int) key {
	return key{sha256.Sum256([]byte(text)), s, rate.NewLimiter(rate.Limit(perSecond), 2*perSecond), new(atomic.Int32)}
}

// find takes the same time for every text of one length, right or wrong.
func (k keyring) find(text string) (found *key) {
	if text == "" {
		return nil // also where a key is empty
	}
	digest := sha256.Sum256([]byte(text))
	for i := range k {
		if subtle.ConstantTimeCompare(digest[:], k[i].digest[:]) == 1 {
			found = &k[i]
		}
	}
	return found
}

// pay takes so many requests from what the key may ask; else it says how long to wait.
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
