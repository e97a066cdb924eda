package web

import (
	"net/http"
	"net/netip"
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
	rate     *rate.Limiter
	cache    cache

	mu        sync.Mutex
	services  map[key]*service
	counters  map[string]*counters // by the name of the ask
	transport *http.Transport      // nil: no request was sent
	networks  []netip.Prefix       // for which transport was made
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

func (t *tenant) service(name string, k key, spec Spec) (*service, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.services[k]; s != nil {
		return s, nil
	}
	if t.services == nil {
		t.services, t.counters = map[key]*service{}, map[string]*counters{}
	}
	if t.counters[name] == nil {
		t.counters[name] = new(counters)
	}
	s, err := newService(t, spec, t.counters[name])
	if err == nil {
		t.services[k] = s
	}
	return s, err
}

// use puts limits into use, and forgets all services but these.
func (t *tenant) use(l TenantLimits, services []ask.Service) {
	if old := t.limits.Swap(&l); old.Rate != l.Rate {
		t.rate.SetLimit(rate.Limit(l.Rate))
		t.rate.SetBurst(max(1, int(2*l.Rate)))
	}
	used := make(map[*service]bool, len(services))
	for _, s := range services {
		used[s.(*service)] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, s := range t.services {
		if !used[s] {
			delete(t.services, k)
			t.cache.drop(s)
		}
	}
	t.prune()
}

// prune forgets the counters of asks that no service has. The caller holds t.mu.
func (t *tenant) prune() {
	used := make(map[*counters]bool, len(t.services))
	for _, s := range t.services {
		used[s.counters] = true
	}
	for name, c := range t.counters {
		if !used[c] {
			delete(t.counters, name)
		}
	}
}

// forget closes unused connections and empties the cache.
func (t *tenant) forget() {
	t.cache.clear()
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.services)
	clear(t.counters)
	if t.transport != nil {
		t.transport.CloseIdleConnections()
	}
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
