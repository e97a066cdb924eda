package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Times of a subscription's connection.
const (
	pingEvery  = time.Second
	silence    = 2500 * time.Millisecond // longer than this and it is broken
	auditEvery = 15 * time.Second        // of quiet rooms, whose last message may have been the lost one
	chunk      = 256                     // channels of one SUBSCRIBE
)

// subscriber is one connection through which a partition's messages come. It ends at
// the first thing that looks wrong, since go-redis would mend it in silence, and
// nobody would know what was missed: an error, a silence, a confirmation that was
// not asked for, a probe that does not come back. The next one reads what was
// missed from history.
type subscriber struct {
	p          *partition
	ps         *redis.PubSub
	probe      string
	generation string // that was known when it began

	mu      sync.Mutex
	joining map[string]int      // confirmations under way, by channel
	parting map[string]int      // the same of those who leave
	first   map[string]struct{} // channels of the beginning that are not confirmed
	synced  chan struct{}       // closed when first is empty
	probed  time.Time           // when the probe was sent that has not come; zero: none is out
	err     error               // why it ended
}

// listen keeps a subscriber until the node's life ends.
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
		p.n.cfg.Log.Warn("subscriptions are made anew", "error", err)
		reload(ctx, p.n.client)
		if time.Since(began) > 2*time.Second {
			b.wait = 50 * time.Millisecond
		}
		b.wait = b.wait/2 + rand.N(b.wait) // all nodes lost the same server at the same moment
		b.pause(ctx)
	}
}

// subscribeOnce runs one subscriber and says why it ended.
func (p *partition) subscribeOnce(ctx context.Context) error {
	s := &subscriber{p: p, probe: p.keys.of("probe", p.n.cfg.Node), joining: map[string]int{}, parting: map[string]int{},
		first: map[string]struct{}{}, synced: make(chan struct{})}
	s.ps = p.n.client.Subscribe(ctx) // to nothing: it does not connect yet
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

// open subscribes to all that is wanted. What is wanted from then on comes through
// subscribe.
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

// end ends the subscriber, for the first reason that is given.
func (s *subscriber) end(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	_ = s.ps.Close() // a second time it says that it is closed
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

// receive reads until something is wrong. A time-out is: half a message may have
// been read by then, and the rest would be taken for another.
func (s *subscriber) receive(ctx context.Context) error {
	for {
		m, err := s.next(ctx)
		if err != nil {
			return err
		}
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

// next reads one thing. go-redis takes the form of what a server pushes for
// granted.
func (s *subscriber) next(ctx context.Context) (m any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the server pushed nonsense: %v", r)
		}
	}()
	return s.ps.ReceiveTimeout(ctx, silence)
}

// confirm takes a confirmation.
func (s *subscriber) confirm(kind, channel string) error {
	count := s.joining
	if kind == "unsubscribe" || kind == "sunsubscribe" {
		count = s.parting
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if count[channel] == 0 {
		return fmt.Errorf("%s that was not asked for: the connection or the partition moved", kind)
	}
	if count[channel]--; count[channel] > 0 {
		return nil // an older one; the one that counts is under way
	}
	delete(count, channel)
	if kind != "unsubscribe" && kind != "sunsubscribe" {
		s.p.confirmed(channel)
		s.settle(channel)
	}
	return nil
}

// settle notes that a channel of the beginning is confirmed. The lock is held.
func (s *subscriber) settle(channel string) {
	if _, ok := s.first[channel]; !ok {
		return
	}
	delete(s.first, channel)
	if len(s.first) == 0 {
		close(s.synced)
	}
}

// watch pings, and looks whether what should have come has.
func (s *subscriber) watch(ctx context.Context) {
	ticks := time.NewTicker(pingEvery)
	defer ticks.Stop()
	synced, audited := s.synced, time.Now()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-synced:
			synced, err = nil, s.p.audit(ctx, s.p.subscribed(0))
			if err == nil {
				s.p.heard.Store(time.Now().UnixNano())
				s.sendProbe(ctx)
			}
		case <-ticks.C:
			if err = s.ps.Ping(ctx); err == nil {
				err = s.late()
			}
			if err == nil && synced == nil {
				s.p.heard.Store(time.Now().UnixNano())
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

// sendProbe publishes to ourselves, by the way that messages take: a connection
// may be sound, and lead to a server that is no longer the one.
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
		s.sent(time.Time{}) // it is not under way; the next one tells more
	}
}

func (s *subscriber) sent(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probed = at
}

func (s *subscriber) late() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.probed.IsZero() && time.Since(s.probed) > silence {
		return errors.New("what we publish does not come back")
	}
	return nil
}

// subscribed gives the wanted rooms in which nothing came for that long.
func (p *partition) subscribed(quiet time.Duration) []*sub {
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.subs))
	p.mu.Unlock()
	now := time.Now()
	return slices.DeleteFunc(all, func(s *sub) bool { return !s.isWanted() || !s.isQuiet(now, quiet) })
}
