package web

import (
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/mootchat/moot/engine/ask"
)

// tenant has what the services of a tenant share. A service that is forgotten keeps it.
type tenant struct {
	client   *Client
	name     string
	limits   atomic.Pointer[TenantLimits]
	requests atomic.Int64 // under way
	conns    atomic.Int64 // open or being opened
	sharing  atomic.Int64 // askers that wait for requests of others
	rate     *rate.Limiter
	cache    cache

	mu         sync.Mutex
	services   []*service
	counters   []*counters
	transport  *http.Transport // of services that are not restricted; nil: no request was sent
	restricted *http.Transport // of those that are
	networks   []netip.Prefix  // for which both were made
}

func newTenant(c *Client, name string) *tenant {
	l := TenantLimits{}.withDefaults()
	t := &tenant{client: c, name: name, rate: limiter(l.Rate)}
	t.limits.Store(&l)
	t.cache.tenant = t
	return t
}

func limiter(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(2*perSecond)))
}

func (t *tenant) service(name string, k key, spec Spec) *service {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.services, func(s *service) bool { return s.key == k }); i >= 0 {
		return t.services[i]
	}
	i := slices.IndexFunc(t.counters, func(c *counters) bool { return c.name == name })
	if i < 0 {
		i, t.counters = len(t.counters), append(t.counters, &counters{name: name})
	}
	s := newService(k, t, spec, t.counters[i])
	t.services = append(t.services, s)
	return s
}

// use puts limits and services into use, also those that were forgotten, and forgets all others.
func (t *tenant) use(l TenantLimits, services []ask.Service) {
	if old := t.limits.Swap(&l); old.Rate != l.Rate {
		t.rate.SetLimit(rate.Limit(l.Rate))
		t.rate.SetBurst(max(1, int(2*l.Rate)))
	}
	used, counted := make(map[*service]bool, len(services)), make(map[*counters]bool, len(services))
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.services
	t.services, t.counters = nil, nil
	for _, one := range services {
		s := one.(*service)
		if !used[s] {
			used[s] = true
			s.used.Store(true)
			t.services = append(t.services, s)
		}
		if !counted[s.counters] {
			counted[s.counters] = true
			t.counters = append(t.counters, s.counters)
		}
	}
	for _, s := range before {
		if !used[s] {
			s.used.Store(false)
			t.cache.drop(s)
		}
	}
}

// forget forgets all services, closes unused connections and empties the cache.
func (t *tenant) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.services {
		s.used.Store(false)
	}
	t.services, t.counters = nil, nil
	t.cache.clear()
	t.closeIdle()
}

// admit counts a request of s, unless there are too many. The caller calls leave afterwards.
func (t *tenant) admit(s *service) *ask.BusyError {
	own, all, mine := t.requests.Add(1), t.client.requests.Add(1), s.requests.Add(1)
	limit, node := int64(t.limits.Load().Requests), int64(t.client.limits.Load().Requests)
	busy := busyTime(s.spec.Timeout)
	if mine <= int64(s.spec.Requests) && own <= limit && own <= max(1, node-all) {
		if busy = s.reserve(); busy == 0 {
			return nil
		}
	}
	t.leave(s)
	return &ask.BusyError{Wait: busy}
}

func (t *tenant) leave(s *service) {
	t.requests.Add(-1)
	t.client.requests.Add(-1)
	s.requests.Add(-1)
}

// sharers is the number of askers, for each request that is permitted at once, that may wait for requests of others.
const sharers = 16

// share counts an asker that waits for the request of another one, unless there are too many. The caller calls unshare afterwards.
func (t *tenant) share() bool {
	own, all := t.sharing.Add(1), t.client.sharing.Add(1)
	limit, node := sharers*int64(t.limits.Load().Requests), sharers*int64(t.client.limits.Load().Requests)
	if own <= limit && own <= max(1, node-all) {
		return true
	}
	t.unshare()
	return false
}

func (t *tenant) unshare() {
	t.sharing.Add(-1)
	t.client.sharing.Add(-1)
}

// busyTime returns the time after which a question that exceeds a limit of requests at once may be put again.
func busyTime(timeout time.Duration) time.Duration {
	return min(max(timeout/2, 100*time.Millisecond), time.Second)
}

// reserve takes a request from the rates of s and its tenant. It returns 0, or the time after which there is one.
func (s *service) reserve() time.Duration {
	now := time.Now()
	of := s.tenant.rate.ReserveN(now, 1)
	wait := of.DelayFrom(now)
	if wait > 0 {
		of.CancelAt(now)
		return wait
	}
	if s.rate == nil {
		return 0
	}
	own := s.rate.ReserveN(now, 1)
	if wait = own.DelayFrom(now); wait > 0 {
		own.CancelAt(now)
		of.CancelAt(now)
	}
	return wait
}
