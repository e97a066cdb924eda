package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// Subscribe implements cluster.Broker. It returns when Redis has confirmed the subscription and,
// after that, the room's position was read.
func (n *Node) Subscribe(ctx context.Context, room cluster.RoomID) error {
	if err := n.up(ctx); err != nil {
		return err
	}
	p, key := n.at(room)
	s, life, confirmed := p.want(room, key)
	if confirmed == nil {
		return nil
	}
	err := p.await(ctx, confirmed)
	if err == nil {
		var pos position
		var seeds []seed
		if pos, seeds, err = p.beginning(ctx, s); err == nil {
			s.start(life, pos, seeds)
		}
	}
	if err != nil {
		p.unwant(s.channel)
	}
	return err
}

// Unsubscribe implements cluster.Broker. It does not wait for Redis: the node drops further
// messages of the room.
func (n *Node) Unsubscribe(_ context.Context, room cluster.RoomID) error {
	p, key := n.at(room)
	p.unwant(p.keys.of("c", key))
	return nil
}

// want subscribes to a room. confirmed is closed when Redis has confirmed the subscription; it is
// nil if the room was subscribed before.
func (p *partition) want(room cluster.RoomID, key string) (s *sub, life uint64, confirmed <-chan struct{}) {
	channel := p.keys.of("c", key)
	p.mu.Lock()
	s = p.subs[channel]
	if s == nil {
		s = &sub{p: p, room: room, key: key, channel: channel}
		p.subs[channel] = s
	}
	life, confirmed = s.want()
	subscriber := p.subscriber
	p.mu.Unlock()
	// Without a subscriber, the next one subscribes to all wanted rooms.
	if confirmed != nil && subscriber != nil {
		subscriber.subscribe(channel)
	}
	return s, life, confirmed
}

func (p *partition) unwant(channel string) {
	p.mu.Lock()
	s, subscriber := p.subs[channel], p.subscriber
	was := s != nil && s.unwant()
	p.sweep(s)
	p.mu.Unlock()
	if was && subscriber != nil {
		subscriber.unsubscribe(channel)
	}
}

// sweep deletes a sub that is not wanted and delivers nothing. The lock is held.
func (p *partition) sweep(s *sub) {
	if s != nil && s.idle() && p.subs[s.channel] == s {
		delete(p.subs, s.channel)
	}
}

func (p *partition) await(ctx context.Context, confirmed <-chan struct{}) error {
	late := time.NewTimer(p.n.cfg.PublishTimeout)
	defer late.Stop()
	select {
	case <-confirmed:
		return nil
	case <-late.C:
		return fmt.Errorf("subscribe: %w: not confirmed in %v", cluster.ErrUnavailable, p.n.cfg.PublishTimeout)
	case <-p.n.life.Done():
		return p.n.errStopped()
	case <-ctx.Done():
		return fmt.Errorf("subscribe: %w: %w", cluster.ErrUnavailable, ctx.Err())
	}
}

// beginScript reads the position of a room's last message, and pairs of a process that recently
// published in the partition and the number of its last message. A failover may publish these
// messages again, at later positions.
//
// It answers ? while the generation is unsettled, because lost messages may be published again.
//
//	KEYS state alive settling
//	ARGV base window lastByte
var beginScript = redis.NewScript(luaNow + `
if redis.call('EXISTS', KEYS[3]) == 1 then return {'?'} end
local out = {redis.call('GETRANGE', KEYS[1], 0, ARGV[3])}
for _, process in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local at, number = string.match(redis.call('GET', ARGV[1] .. 'pub:' .. process) or '', '^%d+|%S+ (%d+) (%d+)$')
  if at and at / 1000 > now - ARGV[2] then
    out[#out + 1] = process
    out[#out + 1] = number
  end
end
return out`)

// beginning reads the position at which a subscription begins.
func (p *partition) beginning(ctx context.Context, s *sub) (pos position, seeds []seed, err error) {
	err = p.n.read(ctx, "subscribe", func(ctx context.Context) error {
		keys := []string{p.keys.of("m", s.key), p.keys.of("alive"), p.keys.of("settling")}
		v, err := beginScript.Run(ctx, p.n.client, keys, p.keys.base(), 2*p.n.cfg.Heal.For.Milliseconds(), stateTop-1).StringSlice()
		switch {
		case err == nil && len(v) == 1 && v[0] == "?":
			p.publisher.settleSoon()
			err = errUnsettled
		case err == nil:
			pos, seeds, err = parseBeginning(v)
		}
		return err
	})
	return pos, seeds, err
}

func parseBeginning(v []string) (pos position, seeds []seed, err error) {
	if len(v)%2 != 1 {
		return pos, nil, fmt.Errorf("beginning of a subscription: %w", errValues)
	}
	if pos, err = parseState(v[0]); err != nil {
		return pos, nil, err
	}
	for i := 1; i < len(v); i += 2 {
		number, err := strconv.ParseUint(v[i+1], 10, 64)
		if err != nil {
			return pos, nil, fmt.Errorf("beginning of a subscription: number %.20q: %w", v[i+1], errValues)
		}
		seeds = append(seeds, seed{v[i], number})
	}
	return pos, seeds, nil
}

// position reads the position of the room's last message.
func (p *partition) position(ctx context.Context, s *sub) (pos position, err error) {
	err = p.n.read(ctx, "subscribe", func(ctx context.Context) error {
		w, err := p.n.client.GetRange(ctx, p.keys.of("m", s.key), 0, stateTop-1).Result()
		if err == nil {
			pos, err = parseState(w)
		}
		return err
	})
	return pos, err
}

// incoming passes a message of a channel to its room.
func (p *partition) incoming(channel, text string) {
	p.mu.Lock()
	s := p.subs[channel]
	p.mu.Unlock()
	if s == nil {
		return // the room was unsubscribed
	}
	e, err := parseEnvelope(text)
	if err != nil {
		p.n.malformed(channel, err)
		return
	}
	s.push(e)
}

// confirmed records that Redis has confirmed a subscription.
func (p *partition) confirmed(channel string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.subs[channel]; s != nil {
		s.confirm()
	}
}

// audit compares the positions of rooms with those in Redis, and makes rooms heal that lack
// messages.
func (p *partition) audit(ctx context.Context, subs []*sub) error {
	for len(subs) > 0 {
		page := subs[:min(len(subs), auditPage)]
		subs = subs[len(page):]
		tops, err := p.lastPositions(ctx, page)
		if err != nil {
			return err
		}
		for i, s := range page {
			s.noteTop(tops[i])
		}
	}
	return nil
}

// auditPage is the number of rooms in one read of positions.
const auditPage = 100

func (p *partition) lastPositions(ctx context.Context, subs []*sub) ([]position, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	pipe := p.n.client.Pipeline()
	for _, s := range subs {
		pipe.GetRange(ctx, p.keys.of("m", s.key), 0, stateTop-1)
	}
	cmds, err := pipe.Exec(ctx)
	if err != nil {
		return nil, err
	}
	tops := make([]position, len(cmds))
	for i, cmd := range cmds {
		w, ok := cmd.(*redis.StringCmd)
		if !ok {
			return nil, fmt.Errorf("positions: %T", cmd)
		}
		if tops[i], err = parseState(w.Val()); err != nil {
			p.n.malformed(subs[i].key, err)
		}
	}
	return tops, nil
}
