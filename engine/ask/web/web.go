// Package web puts the questions of rules to HTTP services. It implements [ask.Service].
//
// A [Client] bounds the questions of all tenants of a node. An answer is at most 64 KiB. A service that fails is not asked
// for five seconds. The services of a tenant share connections, a limit of requests and a cache.
package web

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/histogram"
)

// Limits bound the questions of all tenants.
type Limits struct {
	Requests   int            // requests at once; a tenant has as many as are left for all others; 0: 1024
	CacheBytes int64          // of all caches; a tenant has as much as is left for all others; 0: 64 MiB
	Networks   []netip.Prefix // private networks that services may be in
}

// TenantLimits bound the questions of one tenant.
type TenantLimits struct {
	Requests   int     // requests at once; 0: 64
	Rate       float64 // requests in a second; a burst may be twice that; 0: 500
	CacheBytes int64   // of the cache; 0: 1 MiB
}

func (l Limits) withDefaults() Limits {
	l.Requests, l.CacheBytes = cmp.Or(l.Requests, 1024), cmp.Or(l.CacheBytes, 64<<20)
	return l
}

func (l TenantLimits) withDefaults() TenantLimits {
	l.Requests, l.Rate, l.CacheBytes = cmp.Or(l.Requests, 64), cmp.Or(l.Rate, 500), cmp.Or(l.CacheBytes, 1<<20)
	return l
}

// Client makes the services of all tenants of a node. Its methods may be called concurrently. Without services it takes no memory for a
// tenant. The zero Client is not valid.
type Client struct {
	limits   atomic.Pointer[Limits]
	requests atomic.Int64 // under way
	conns    atomic.Int64 // open or being opened
	sharing  atomic.Int64 // askers that wait for requests of others
	cached   atomic.Int64 // bytes of all caches
	took     histogram.Histogram
	work     sync.WaitGroup // flights

	connect func(ctx context.Context, network, address string) (net.Conn, error) // in place of a guarded connection, for tests; nil: none

	mu      sync.Mutex
	tenants map[string]*tenant
}

// New returns a client. The caller calls Close.
func New(limits Limits) *Client {
	c := &Client{tenants: map[string]*tenant{}}
	limits = limits.withDefaults()
	c.limits.Store(&limits)
	return c
}

// Service returns the service that answers the asks of one name in one chain entry of a module. If a service with the same spec is in use,
// Service returns that one, with its breaker, cache and rate. The error describes what is wrong with the spec, without a secret.
func (c *Client) Service(tenant, module, name string, spec Spec) (ask.Service, error) {
	spec = spec.withDefaults()
	key, err := spec.key(module, name)
	if err != nil {
		return nil, err
	}
	return c.tenant(tenant).service(name, key, spec), nil
}

func (c *Client) tenant(name string) *tenant {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tenants[name]
	if t == nil {
		t = newTenant(c, name)
		c.tenants[name] = t
	}
	return t
}

// Use is the part of a configuration for one tenant.
type Use struct {
	Limits   TenantLimits
	Services []ask.Service // returned by Client.Service, all before the tenant was forgotten or all after that
}

// Configure puts limits and services into use, and forgets all other services and tenants. A forgotten service still answers, but its answers are
// not kept. It may be put into use again.
func (c *Client) Configure(limits Limits, tenants map[string]Use) {
	limits = limits.withDefaults()
	c.limits.Store(&limits)
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, t := range c.tenants {
		if use := tenants[name]; len(use.Services) == 0 || use.Services[0].(*service).tenant != t {
			delete(c.tenants, name)
			t.forget()
		}
	}
	for name, use := range tenants {
		if len(use.Services) > 0 {
			t := use.Services[0].(*service).tenant
			c.tenants[name] = t
			t.use(use.Limits.withDefaults(), use.Services)
		}
	}
}

// Close closes unused connections, and returns when no request for several askers is under way. The caller ends the contexts of all
// questions first.
func (c *Client) Close() {
	c.work.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tenants {
		t.forget()
	}
	clear(c.tenants)
}

// all returns the tenants.
func (c *Client) all() (all []*tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tenants {
		all = append(all, t)
	}
	return all
}

const (
	maxHeader = 16 << 10         // limit of the header of an answer with all interim responses, in bytes
	idleTime  = 30 * time.Second // an unused connection is closed after it
)
