package redis

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/moderation"
)

const (
	pageSize   = 1000             // sanctions read by one script
	checkEvery = 10 * time.Second // time between comparisons of revisions, which find lost messages
	readTime   = 30 * time.Second // time to read the sanctions of a tenant
	maxPending = 1000             // changes that wait while a tenant is read; further ones make it be read again
	retryTime  = time.Second      // time between tries to read, or to subscribe
)

// follower is a call of Follow. Its revision is that of the last change it has received.
type follower struct {
	tenant string
	f      func(moderation.Change)

	mu       sync.Mutex
	stopped  bool
	loading  bool // f has to receive all sanctions first
	again    bool // and again afterwards
	revision int64
	pending  []message // changes that arrived while loading
}

// Follow implements [moderation.Store].
func (s *Store) Follow(ctx context.Context, tenant string, f func(moderation.Change)) (stop func(), err error) {
	if err := s.subscribe(ctx); err != nil {
		return nil, err
	}
	one := &follower{tenant: tenant, f: f, loading: true}
	s.mu.Lock()
	if s.followers[tenant] == nil {
		s.followers[tenant] = map[*follower]struct{}{}
	}
	s.followers[tenant][one] = struct{}{}
	s.mu.Unlock()
	stop = func() { s.unfollow(one) }
	if err := s.load(ctx, one); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

func (s *Store) unfollow(one *follower) {
	s.mu.Lock()
	delete(s.followers[one.tenant], one)
	if len(s.followers[one.tenant]) == 0 {
		delete(s.followers, one.tenant)
	}
	s.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	one.stopped, one.pending = true, nil
}

// subscribe waits until the subscription to changes is active. The first call starts it.
func (s *Store) subscribe(ctx context.Context) error {
	s.mu.Lock()
	if s.started == nil && s.ctx.Err() == nil {
		s.started = make(chan struct{})
		s.work.Go(s.run)
	}
	started := s.started
	s.mu.Unlock()
	select {
	case <-started:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run receives changes until Close.
func (s *Store) run() {
	sub := s.client.Subscribe(s.ctx, s.channel())
	defer sub.Close()
	stop := context.AfterFunc(s.ctx, func() { _ = sub.Close() })
	defer stop()
	active, checked := false, time.Now()
	for s.ctx.Err() == nil {
		if time.Since(checked) >= checkEvery {
			s.compare()
			checked = time.Now()
		}
		received, err := sub.ReceiveTimeout(s.ctx, checkEvery)
		switch m := received.(type) {
		case *redis.Message:
			s.receive(m.Payload)
		case *redis.Subscription:
			if !active {
				active = true
				close(s.started)
			}
			s.reconcile()
		default:
			if !isTimeout(err) {
				pause(s.ctx, retryTime)
			}
		}
	}
}

// receive passes a published change to its followers.
func (s *Store) receive(payload string) {
	m, err := parseMessage(payload)
	if err != nil {
		s.log.Warn("a published sanction is malformed", "tenant", m.tenant, "error", err)
		s.reload(m.tenant)
		return
	}
	for _, one := range s.of(m.tenant) {
		if !one.receive(m) {
			s.reloadOne(one)
		}
	}
}

// receive passes a change to f. It returns false if changes before it are missing.
func (one *follower) receive(m message) bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	switch {
	case one.stopped, !one.loading && m.revision <= one.revision:
		return true
	case one.loading && len(one.pending) >= maxPending:
		one.again = true
		return true
	case one.loading:
		one.pending = append(one.pending, m)
		return true
	case m.revision != one.revision+1:
		return false
	}
	one.revision = m.revision
	one.f(m.change)
	return true
}

func (s *Store) of(tenant string) (all []*follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.followers[tenant] {
		all = append(all, one)
	}
	return all
}

func (s *Store) tenants() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tenant := range s.followers {
		all = append(all, tenant)
	}
	return all
}

// reload reads the sanctions of a tenant again, for all its followers.
func (s *Store) reload(tenant string) {
	for _, one := range s.of(tenant) {
		s.reloadOne(one)
	}
}

// reloadOne reads the sanctions of a tenant again until that succeeds. It does not wait.
func (s *Store) reloadOne(one *follower) {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.stopped || one.loading {
		one.again = true
		return
	}
	one.loading = true
	s.work.Go(func() {
		for warned := false; s.ctx.Err() == nil; pause(s.ctx, retryTime) {
			ctx, cancel := context.WithTimeout(s.ctx, readTime)
			err := s.load(ctx, one)
			cancel()
			if err == nil {
				return
			}
			if !warned && s.ctx.Err() == nil {
				s.log.Warn("sanctions were not read from Redis: those in memory hold until they are", "tenant", one.tenant, "error", err)
				warned = true
			}
		}
	})
}

// load reads all sanctions of a tenant and passes them to f, and then the changes that arrived meanwhile.
func (s *Store) load(ctx context.Context, one *follower) error {
	for {
		all, revision, err := s.all(ctx, one.tenant)
		if err != nil {
			return err
		}
		if one.loaded(all, revision) {
			return nil
		}
	}
}

// all returns all sanctions of a tenant. Its revision may be older than some of them.
func (s *Store) all(ctx context.Context, tenant string) (all []moderation.Sanction, revision int64, err error) {
	low := "-"
	for first := true; ; first = false {
		p, err := s.page(ctx, tenant, low, "+", pageSize)
		if err != nil {
			return nil, 0, err
		}
		if first {
			revision = p.revision
		}
		all = append(all, p.sanctions...)
		if p.next == "" {
			return all, revision, nil
		}
		low = "(" + p.next
	}
}

// loaded passes all sanctions to f. It returns false if they must be read again.
func (one *follower) loaded(all []moderation.Sanction, revision int64) bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.stopped {
		return true
	}
	pending, again := one.pending, one.again
	one.pending, one.again = nil, false
	if again {
		return false
	}
	one.f(moderation.Change{All: true, Set: all})
	one.revision = revision
	for _, m := range pending {
		switch {
		case m.revision <= one.revision:
			continue
		case m.revision != one.revision+1:
			return false
		}
		one.revision = m.revision
		one.f(m.change)
	}
	one.loading = false
	return true
}

// reconcile runs after each begin of the subscription: it makes changes of this node again that are lost, and
// reads all followed tenants.
func (s *Store) reconcile() {
	s.mu.Lock()
	s.forgetOld()
	recent := s.recent
	s.mu.Unlock()
	for _, c := range recent {
		ctx, cancel := context.WithTimeout(s.ctx, readTime)
		err := restoreScript.Run(ctx, s.client, s.keys(c.tenant), c.tenant, s.channel(), c.id, c.source, c.subject, c.until, c.data, c.at).Err()
		cancel()
		if err != nil {
			s.log.Warn("a sanction that a failover may have lost was not set again", "tenant", c.tenant, "sanction", c.id, "error", err)
		}
	}
	for _, tenant := range s.tenants() {
		s.reload(tenant)
	}
}

// compare reads the tenants whose revision in Redis is not that of their followers.
func (s *Store) compare() {
	tenants := s.tenants()
	if len(tenants) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, readTime)
	defer cancel()
	pipe := s.client.Pipeline()
	revisions := make([]*redis.StringCmd, len(tenants))
	for i, tenant := range tenants {
		revisions[i] = pipe.HGet(ctx, s.key(tenant, "c"), "revision")
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, tenant := range tenants {
		text, err := revisions[i].Result()
		if err != nil && err != redis.Nil {
			continue
		}
		n, _ := strconv.ParseInt(text, 10, 64)
		for _, one := range s.of(tenant) {
			if !one.isAt(n) {
				s.reloadOne(one)
			}
		}
	}
}

func (one *follower) isAt(revision int64) bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.loading || one.revision == revision
}

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
