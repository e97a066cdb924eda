package web

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/ask"
)

// question is a body for a service.
type question struct {
	service *service
	body    [sha256.Size]byte
}

// cache has the answers of the services of a tenant. Above its limit the answers that were not used for the longest time are removed. Expired
// answers are removed by a timer, which runs only while there are answers.
type cache struct {
	tenant *tenant

	mu    sync.Mutex
	known map[question]*list.Element // of *cached
	order list.List                  // the most recently used first
	bytes int64
	sweep *time.Timer // nil: there are no answers
}

// cached is an answer in the cache.
type cached struct {
	question
	answer ask.Answer
	until  time.Time
}

// overhead is about what an answer takes in the cache beside its body, in bytes.
const overhead = 320

// sweepTime is the shortest time between two sweeps.
const sweepTime = time.Second

func (c *cached) size() int64 { return int64(len(c.answer.Body)) + overhead }

func (c *cache) get(q question) (answer ask.Answer, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.known[q]
	if e == nil {
		return answer, false
	}
	one := e.Value.(*cached)
	if !time.Now().Before(one.until) {
		c.remove(e)
		return answer, false
	}
	c.order.MoveToFront(e)
	return one.answer, true
}

// put adds an answer, unless its service was forgotten. It removes other answers of the tenant until the new one fits; if it does not fit
// then, put does not add it.
func (c *cache) put(q question, answer ask.Answer, ttl time.Duration) {
	one := &cached{q, answer, time.Now().Add(ttl)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !q.service.used.Load() {
		return
	}
	if e := c.known[q]; e != nil {
		c.remove(e)
	}
	for !c.fits(one.size()) {
		last := c.order.Back()
		if last == nil {
			return
		}
		c.remove(last)
	}
	if c.known == nil {
		c.known = map[question]*list.Element{}
	}
	c.known[q] = c.order.PushFront(one)
	c.grow(one.size())
	if c.sweep == nil {
		c.sweep = time.AfterFunc(max(ttl, sweepTime), c.expire)
	}
}

// fits reports whether n more bytes are within the limits of the tenant and of the node. A tenant may use as many bytes as are left for all
// others. The caller holds c.mu.
func (c *cache) fits(n int64) bool {
	own, all := c.bytes+n, c.tenant.client.cached.Load()+n
	return own <= c.tenant.limits.Load().CacheBytes && own <= c.tenant.client.limits.Load().CacheBytes-all
}

// grow adds n bytes. The caller holds c.mu.
func (c *cache) grow(n int64) {
	c.bytes += n
	c.tenant.client.cached.Add(n)
}

// remove removes an answer. The caller holds c.mu.
func (c *cache) remove(e *list.Element) {
	one := c.order.Remove(e).(*cached)
	delete(c.known, one.question)
	c.grow(-one.size())
}

// expire removes the expired answers.
func (c *cache) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sweep == nil {
		return
	}
	now := time.Now()
	next := time.Time{}
	for e := c.order.Front(); e != nil; {
		this := e
		e = e.Next()
		switch until := this.Value.(*cached).until; {
		case !now.Before(until):
			c.remove(this)
		case next.IsZero() || until.Before(next):
			next = until
		}
	}
	if next.IsZero() {
		c.sweep, c.known = nil, nil
		return
	}
	c.sweep.Reset(max(next.Sub(now), sweepTime))
}

// drop removes the answers of a service.
func (c *cache) drop(s *service) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Front(); e != nil; {
		this := e
		e = e.Next()
		if this.Value.(*cached).service == s {
			c.remove(this)
		}
	}
}

// clear removes all answers, and ends the timer.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Back(); e != nil; e = c.order.Back() {
		c.remove(e)
	}
	if c.sweep != nil {
		c.sweep.Stop()
		c.sweep, c.known = nil, nil
	}
}
