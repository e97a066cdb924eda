package api

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Key is a key of the server API.
type Key struct {
	Name    string   // in logs, and in sanctions that are set with the key; not empty, unique
	Text    string   // "": the key is never found
	Role    Role     // what it may do
	Tenants []string // that it reaches; empty: all tenants, and operations of no tenant
}

// key is a key with its limits. It does not contain the text of the key.
type key struct {
	name    string
	role    Role
	tenants []string // sorted
	pace    *rate.Limiter
	busy    atomic.Int32  // listings in progress
	tries   atomic.Int32  // trials in progress
	gone    chan struct{} // closed when the key is removed

	mu    sync.Mutex
	users [maxUsers]netip.Prefix // addresses that have sent the key
	next  int                    // the oldest of them
}

// maxUsers is the number of addresses of a key that are remembered.
const maxUsers = 16

// ofAll reports whether the key reaches all tenants, and operations of no tenant.
func (k *key) ofAll() bool { return len(k.tenants) == 0 }

// reaches reports whether the key reaches the tenant; "" stands for operations of no tenant.
func (k *key) reaches(tenant string) bool {
	_, found := slices.BinarySearch(k.tenants, tenant)
	return k.ofAll() || found
}

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

// keyring finds keys by their digests, so that a memory dump of it contains no key.
type keyring struct {
	perSecond int // requests of each key; the burst is twice that
	keys      atomic.Pointer[map[[sha256.Size]byte]*key]
}

func newKeyring(perSecond int, keys ...Key) *keyring {
	k := &keyring{perSecond: perSecond}
	k.use(keys)
	return k
}

// use replaces the keys. A key that is the same as before keeps its limits. Of two keys with the same text, which
// the configuration refuses, the one that may do less is used. Calls must not overlap.
func (r *keyring) use(keys []Key) {
	var before map[[sha256.Size]byte]*key
	if p := r.keys.Load(); p != nil {
		before = *p
	}
	next := make(map[[sha256.Size]byte]*key, len(keys))
	for _, one := range keys {
		digest := sha256.Sum256([]byte(one.Text))
		k := &key{name: one.Name, role: one.Role, tenants: slices.Compact(slices.Sorted(slices.Values(one.Tenants))), gone: make(chan struct{}),
			pace: rate.NewLimiter(rate.Limit(r.perSecond), 2*r.perSecond)}
		if other := next[digest]; other != nil && !k.mayLess(other) {
			continue
		}
		if old := before[digest]; old != nil && old.name == k.name && old.role == k.role && slices.Equal(old.tenants, k.tenants) {
			k = old
		}
		next[digest] = k
	}
	r.keys.Store(&next)
	for digest, old := range before {
		if next[digest] != old {
			close(old.gone)
		}
	}
}

// mayLess reports whether k may do less than other.
func (k *key) mayLess(other *key) bool {
	return other.ofAll() && !k.ofAll() || other.ofAll() == k.ofAll() && k.role.rank() < other.role.rank()
}

// find returns the key with this text, or nil. Its cost does not depend on the number of keys. Its time depends only on
// digests, so that a client cannot guess a key byte by byte.
func (r *keyring) find(text string) *key {
	if text == "" {
		return nil // even if an empty key is configured
	}
	return (*r.keys.Load())[sha256.Sum256([]byte(text))]
}

// pay takes a number of requests from the rate of the key. It returns 0, or the time to wait.
func (k *key) pay(requests int) (wait time.Duration) {
	r := k.pace.ReserveN(time.Now(), requests)
	if wait = r.Delay(); wait > 0 {
		r.Cancel()
	}
	return wait
}

// shown returns the names of the tenants for an error, a few if there are many.
func (k *key) shown() string {
	const most = 10
	if len(k.tenants) > most {
		return strings.Join(k.tenants[:most], ", ") + ", ..."
	}
	return strings.Join(k.tenants, ", ")
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

// SetKeys replaces the keys. Requests in progress go on, except recordings with a key that was removed, which end.
// Calls must not overlap.
func (s *Server) SetKeys(keys []Key) { s.keys.use(keys) }
