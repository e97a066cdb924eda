package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Times of a subscriber.
const (
	pingEvery   = time.Second
	silentPings = 2                       // pings without an answer after which the connection counts as broken
	probeTime   = 2500 * time.Millisecond // time in which a probe comes back
	auditEvery  = 15 * time.Second        // interval of audits of quiet rooms, which may have missed their last message
	chunk       = 256                     // channels of one SUBSCRIBE
)

// subscriber is one connection that receives a partition's messages. It ends with the first
// error, silence, unexpected confirmation or lost probe, because go-redis would open a new
// connection without notice, and messages would be missed. The next subscriber makes the rooms
// heal.
type subscriber struct {
	p          *partition
	ps         *redis.PubSub
	probe      string
	generation string // the generation at its start
	received   atomic.Uint64

	mu      sync.Mutex
	joining map[string]int      // expected confirmations of subscriptions, by channel
	parting map[string]int      // expected confirmations of unsubscriptions, by channel
	first   map[string]struct{} // channels of the start that are not confirmed yet
	synced  chan struct{}       // closed when first is empty
	probed  time.Time           // when the outstanding probe was sent; zero: there is none
	err     error               // the reason of the end
}

// listen runs one subscriber after the other until the node stops.
func (p *partition) listen() {
	ctx := p.n.life
	b := backoff{50 * time.Millisecond, time.Second}
	for ctx.Err() == nil {
		began := time.Now()
		err := p.subscribeOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		p.n.counters.Reopened.Add(1)
		p.n.cfg.Log.Warn("subscriptions are opened again", "error", err)
		reload(ctx, p.n.client)
		if time.Since(began) > 2*time.Second {
			b.wait = 50 * time.Millisecond
		}
		b.wait = b.wait/2 + rand.N(b.wait) // a random pause, because all nodes lost the same server at the same moment
		b.pause(ctx)
	}
}

// subscribeOnce runs one subscriber and returns the error that ended it.
func (p *partition) subscribeOnce(ctx context.Context) error {
	s := &subscriber{p: p, probe: p.keys.of("probe", p.n.cfg.Node), joining: map[string]int{}, parting: map[string]int{},
		first: map[string]struct{}{}, synced: make(chan struct{})}
	s.ps = p.n.client.Subscribe(ctx) // without a channel the client does not connect
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	defer stop()
	s.open()
	open, cancel := context.WithCancel(ctx)
	var tending sync.WaitGroup
	tending.Go(func() { s.watch(open) })
	s.end(s.receive(ctx))
	p.mu.Lock()
	p.subscriber = nil
	p.mu.Unlock()
	cancel()
	tending.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// open subscribes to all wanted rooms. subscribe adds later rooms.
func (s *subscriber) open() {
	p := s.p
	channels := []string{s.probe}
	p.mu.Lock()
	s.generation = p.current
	for channel, sub := range p.subs {
		if sub.isWanted() {
			channels = append(channels, channel)
		}
	}
	for _, c := range channels {
		s.first[c] = struct{}{}
	}
	p.subscriber = s
	p.mu.Unlock()
	for c := range slices.Chunk(channels, chunk) {
		s.subscribe(c...)
	}
}

// end ends the subscriber. The first error is the one that subscribeOnce returns.
func (s *subscriber) end(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	_ = s.ps.Close() // the second Close returns an error
}

func (s *subscriber) subscribe(channels ...string) {
	s.mu.Lock()
	for _, c := range channels {
		s.joining[c]++
	}
	s.mu.Unlock()
	send := s.ps.Subscribe
	if s.p.n.cfg.Mode == Cluster {
		send = s.ps.SSubscribe
	}
	if err := send(s.p.n.life, channels...); err != nil {
		s.end(fmt.Errorf("subscribe: %w", err))
	}
}

func (s *subscriber) unsubscribe(channel string) {
	s.mu.Lock()
	s.parting[channel]++
	s.mu.Unlock()
	send := s.ps.Unsubscribe
	if s.p.n.cfg.Mode == Cluster {
		send = s.ps.SUnsubscribe
	}
	if err := send(s.p.n.life, channel); err != nil {
		s.end(fmt.Errorf("unsubscribe: %w", err))
	}
}

// receive reads until an error. Only the first read sets a deadline of the connection, none; watch
// ends a silent subscriber. A deadline for each message would cost as much as reading it.
func (s *subscriber) receive(ctx context.Context) error {
	for timeout := time.Duration(0); ; timeout = -1 {
		m, err := s.next(ctx, timeout)
		if err != nil {
			return err
		}
		s.received.Add(1)
		switch m := m.(type) {
		case *redis.Subscription:
			if err := s.confirm(m.Kind, m.Channel); err != nil {
				return err
			}
		case *redis.Message:
			if m.Channel == s.probe {
				s.sent(time.Time{})
				continue
			}
			s.p.incoming(m.Channel, m.Payload)
		}
	}
}

// next reads one message. It recovers from a panic of go-redis on a push of an unexpected form.
func (s *subscriber) next(ctx context.Context, timeout time.Duration) (m any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the server sent a malformed push: %v", r)
		}
	}()
	return s.ps.ReceiveTimeout(ctx, timeout)
}

// confirm handles a confirmation of Redis.
func (s *subscriber) confirm(kind, channel string) error {
	count := s.joining
	if kind == "unsubscribe" || kind == "sunsubscribe" {
		count = s.parting
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if count[channel] == 0 {
		return fmt.Errorf("unexpected %s: the connection was replaced or the partition moved", kind)
	}
	if count[channel]--; count[channel] > 0 {
		return nil // another confirmation is expected
	}
	delete(count, channel)
	if kind != "unsubscribe" && kind != "sunsubscribe" {
		s.p.confirmed(channel)
		s.settle(channel)
	}
	return nil
}

// settle records that a channel of the start is confirmed. The lock is held.
func (s *subscriber) settle(channel string) {
	if _, ok := s.first[channel]; !ok {
		return
	}
	delete(s.first, channel)
	if len(s.first) == 0 {
		close(s.synced)
	}
}

// watch pings the server, ends a silent subscriber, sends probes, and audits rooms.
func (s *subscriber) watch(ctx context.Context) {
	ticks := time.NewTicker(pingEvery)
	defer ticks.Stop()
	synced, audited, received, silent := s.synced, time.Now(), uint64(0), 0
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-synced:
			synced, err = nil, s.p.audit(ctx, s.p.subscribed(0))
			if err == nil {
				s.p.receiving.Store(s.p.n.now().UnixNano())
				s.sendProbe(ctx)
			}
		case <-ticks.C:
			silent++
			if n := s.received.Load(); n != received {
				received, silent = n, 0
			}
			if err = s.ps.Ping(ctx); err == nil {
				err = s.late(silent)
			}
			if err == nil && synced == nil {
				s.p.receiving.Store(s.p.n.now().UnixNano())
			}
			if err == nil && synced == nil && time.Since(audited) > auditEvery {
				audited = time.Now()
				s.sendProbe(ctx)
				err = s.p.audit(ctx, s.p.subscribed(auditEvery))
			}
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// sendProbe publishes a message to this node, in the same way as chat messages, because a working
// connection may lead to a server that is no longer the master.
func (s *subscriber) sendProbe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	s.sent(time.Now())
	var err error
	if s.p.n.cfg.Mode == Cluster {
		err = s.p.n.client.SPublish(ctx, s.probe, "").Err()
	} else {
		err = s.p.n.client.Publish(ctx, s.probe, "").Err()
	}
	if err != nil {
		s.sent(time.Time{}) // the probe was not sent
	}
}

func (s *subscriber) sent(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probed = at
}

// late returns an error if the server is silent. silent is the number of pings, one after the
// other, that nothing followed.
func (s *subscriber) late(silent int) error {
	if silent >= silentPings {
		return errors.New("the server did not answer to pings")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.probed.IsZero() && time.Since(s.probed) > probeTime {
		return errors.New("a probe did not come back: the subscriptions lead to another server than publishing")
	}
	return nil
}

// subscribed returns the wanted rooms without a message for the time quiet.
func (p *partition) subscribed(quiet time.Duration) []*sub {
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.subs))
	p.mu.Unlock()
	now := time.Now()
	return slices.DeleteFunc(all, func(s *sub) bool { return !s.isWanted() || !s.isQuiet(now, quiet) })
}
