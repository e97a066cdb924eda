package redis

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/moderation"
)

const (
	pageSize   = 1000             // sanctions read by one script
	checkEvery = 10 * time.Second // time between comparisons of revisions, which find lost messages
	echoTime   = time.Second      // time between two messages of a subscription to itself
	lostEchoes = 2                // messages that did not come back, after which the subscription counts as broken
	passTime   = time.Second      // maximum wait for the followers of this node
	readTime   = 30 * time.Second // time to read the sanctions of a tenant
	maxPending = 1000             // changes that wait while a tenant is read; further ones make it be read again
	retryTime  = time.Second      // time between tries to read

	resubscribeTime = 200 * time.Millisecond // time between tries to subscribe
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
	changed  chan struct{} // closed and replaced with each change of revision
	pending  []message     // changes that arrived while loading
}

// Follow implements [moderation.Store].
func (s *Store) Follow(ctx context.Context, tenant string, f func(moderation.Change)) (stop func(), err error) {
	if err := s.subscribe(ctx); err != nil {
		return nil, err
	}
	one := &follower{tenant: tenant, f: f, loading: true, changed: make(chan struct{})}
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
	one.moved(one.revision) // wakes await
}

// begin starts to receive changes. Only the first call has an effect.
func (s *Store) begin() (started <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started == nil && s.ctx.Err() == nil {
		s.started = make(chan struct{})
		s.work.Go(s.run)
	}
	return s.started
}

// subscribe waits until the subscription to changes is active. The first call starts it.
func (s *Store) subscribe(ctx context.Context) error {
	select {
	case <-s.begin():
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run receives changes until Close.
func (s *Store) run() {
	active := sync.OnceFunc(func() { close(s.started) })
	for s.ctx.Err() == nil {
		s.receiveAll(active)
		pause(s.ctx, resubscribeTime)
	}
}

// receiveAll subscribes, calls active, and receives changes until the subscription breaks. Every echoTime it publishes
// a message that only itself receives: if the message does not come back although Redis has taken it, the subscription is
// at a server that has gone, or is no longer the master.
func (s *Store) receiveAll(active func()) {
	echo := s.channel() + ":" + rand.Text()
	sub := s.client.Subscribe(s.ctx, s.channel(), echo)
	defer sub.Close()
	stop := context.AfterFunc(s.ctx, func() { _ = sub.Close() })
	defer stop()
	sent, checked := 0, time.Now()
	for tick := time.Now().Add(echoTime); s.ctx.Err() == nil; {
		received, err := sub.ReceiveTimeout(s.ctx, max(time.Until(tick), time.Millisecond))
		switch m := received.(type) {
		case *redis.Message:
			if m.Channel == echo {
				sent = 0
			} else {
				s.receive(m.Payload)
			}
		case *redis.Subscription:
			if m.Channel == echo { // the other one is active as well
				active()
				s.compare()
				checked = time.Now()
			}
		default:
			if !isTimeout(err) {
				return
			}
		}
		if time.Now().Before(tick) {
			continue
		}
		tick = time.Now().Add(echoTime)
		if time.Since(checked) >= checkEvery {
			s.compare()
			checked = time.Now()
		}
		if sent >= lostEchoes {
			return
		}
		ctx, cancel := context.WithTimeout(s.ctx, echoTime)
		if s.client.Publish(ctx, echo, "").Err() == nil {
			sent++
		}
		cancel()
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
	followers := s.of(m.tenant)
	if len(followers) > 0 {
		for _, c := range m.changes() {
			s.note(c)
		}
	}
	for _, one := range followers {
		if !one.receive(m) {
			s.reloadOne(one)
		}
	}
}

// pass passes a change of this node to its followers, and waits until they have it, at most passTime.
func (s *Store) pass(ctx context.Context, m message) {
	ctx, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	for _, one := range s.of(m.tenant) {
		if one.receive(m); !one.await(ctx, m.revision) { // receive does nothing if changes before m are on their way
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
	case m.before != one.revision:
		return false
	}
	one.f(m.change)
	one.moved(m.revision)
	return true
}

// moved sets the revision. The caller holds mu.
func (one *follower) moved(to int64) {
	one.revision = to
	close(one.changed)
	one.changed = make(chan struct{})
}

// await waits until the follower has the change of a revision. It returns false if ctx ends first.
func (one *follower) await(ctx context.Context, revision int64) bool {
	for {
		one.mu.Lock()
		has, changed := one.stopped || !one.loading && one.revision >= revision, one.changed
		one.mu.Unlock()
		if has {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (s *Store) of(tenant string) (all []*follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.followers[tenant] {
		all = append(all, one)
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

// load reads all sanctions of a tenant and passes them to f, and then the changes that arrived meanwhile. It first makes
// changes again that Redis has lost.
func (s *Store) load(ctx context.Context, one *follower) error {
	for {
		all, revision, err := s.all(ctx, one.tenant)
		if err != nil {
			return err
		}
		if n, err := s.restore(ctx, s.lostIn(one.tenant, all)); err != nil {
			return err
		} else if n == 0 && one.loaded(all, revision) {
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
	for _, m := range pending {
		switch {
		case m.revision <= revision:
			continue
		case m.before != revision:
			return false
		}
		revision = m.revision
		one.f(m.change)
	}
	one.loading = false
	one.moved(revision)
	return true
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
