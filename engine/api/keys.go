package api

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// scope is the reach of a key.
type scope struct {
	tenant string // "": everything
}

// String returns the name of the scope for logs.
func (s scope) String() string {
	if s.tenant == "" {
		return "admin"
	}
	return "tenant:" + s.tenant
}

// key is a key with its limits.
type key struct {
	scope scope
	pace  *rate.Limiter
	busy  atomic.Int32 // listings in progress
	tries atomic.Int32 // trials in progress

	mu    sync.Mutex
	users [maxUsers]netip.Prefix // addresses that have sent the key
	next  int                    // the oldest of them
}

// maxUsers is the number of addresses of a key that are remembered.
const maxUsers = 16

// usedBy remembers that an address has sent the key.
func (k *key) usedBy(a netip.Prefix) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.IsValid() && !slices.Contains(k.users[:], a) {
		k.users[k.next] = a
		k.next = (k.next + 1) % maxUsers
	}
}

// wasUsedBy reports whether the address has sent the key before.
func (k *key) wasUsedBy(a netip.Prefix) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return a.IsValid() && slices.Contains(k.users[:], a)
}

// keyring maps the digests of keys to keys, so that a memory dump of it contains no key.
type keyring map[[sha256.Size]byte]*key

func newKeyring(admin string, tenants map[string]string, perSecond int) keyring {
	k := make(keyring, 1+len(tenants))
	k.add(admin, scope{}, perSecond)
	for tenant, text := range tenants {
		k.add(text, scope{tenant}, perSecond) // replaces an equal key of the admin, because the scope of a tenant is narrower
	}
	return k
}

func (k keyring) add(text string, s scope, perSecond int) {
	k[sha256.Sum256([]byte(text))] = &key{scope: s, pace: rate.NewLimiter(rate.Limit(perSecond), 2*perSecond)}
}

// find returns the key with this text, or nil. Its cost does not depend on the number of keys. Its time depends only on
// digests, so that a client cannot guess a key byte by byte.
func (k keyring) find(text string) *key {
	if text == "" {
		return nil // even if an empty key is configured
	}
	return k[sha256.Sum256([]byte(text))]
}

// pay takes a number of requests from the rate of the key. It returns 0, or the time to wait.
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

// keyIn returns the key of a request that has passed the guard.
func keyIn(ctx context.Context) *key {
	k, _ := ctx.Value(keyKey{}).(*key)
	return k
}

// scopeOf returns the scope of a request.
func scopeOf(ctx context.Context) (s scope, ok bool) {
	if k := keyIn(ctx); k != nil {
		return k.scope, true
	}
	return scope{}, false
}
