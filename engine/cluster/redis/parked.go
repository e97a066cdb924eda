package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// parkScript parks a session and answers 1, or 0 if another session has the key.
//
//	KEYS parked ends
//	ARGV key session ttl
var parkScript = redis.NewScript(luaNow + `
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] and 1 or 0
end
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
return 1`)

// takeSessionScript takes a session. The session stays under the token of its taker for a while,
// as "<end>|<session>", so that a second attempt finds it if the answer was lost. A request that
// arrives after giveBackScript takes nothing.
//
//	KEYS parked ends got
//	ARGV key ttl
var takeSessionScript = redis.NewScript(`
local got = redis.call('GET', KEYS[3])
if got then return got ~= '' and got or false end
local session = redis.call('HGET', KEYS[1], ARGV[1])
if not session then return false end
session = string.format('%.0f', redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0) .. '|' .. session
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SET', KEYS[3], session, 'PX', ARGV[2])
return session`)

// giveBackScript undoes takeSessionScript, which may arrive later.
//
//	KEYS parked ends got
//	ARGV key ttl
var giveBackScript = redis.NewScript(`
local got = redis.call('GET', KEYS[3])
redis.call('SET', KEYS[3], '', 'PX', ARGV[2])
if not got or got == '' then return 0 end
local bar = string.find(got, '|', 1, true)
if redis.call('HSETNX', KEYS[1], ARGV[1], string.sub(got, bar + 1)) == 1 then
  redis.call('ZADD', KEYS[2], string.sub(got, 1, bar - 1), ARGV[1])
end
return 1`)

// endScript takes sessions whose time is over, as pairs of key and session. It marks them until
// the process has ended them: if the process dies, they are counted as LeaveUnknown. While the
// generation is unsettled it takes none.
//
//	KEYS parked ends ending settling
//	ARGV limit
var endScript = redis.NewScript(luaNow + `
if redis.call('EXISTS', KEYS[4]) == 1 then return {} end
local out = {}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local session = redis.call('HGET', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
  if session then
    redis.call('HDEL', KEYS[1], key)
    redis.call('SADD', KEYS[3], key)
    out[#out + 1] = key
    out[#out + 1] = session
  end
end
return out`)

const (
	endCount = 50 // sessions that one script takes
	gotTTL   = 10 * time.Minute
)

// ofKey returns the partition of a session's key.
func (n *Node) ofKey(key string) *partition { return n.parts[partitionOf(key, len(n.parts))] }

// Park implements cluster.Sessions.
func (n *Node) Park(ctx context.Context, key string, session []byte, ttl time.Duration) error {
	if err := n.up(ctx); err != nil {
		return err
	}
	p, free := n.ofKey(key), false
	err := n.ask(ctx, "park", func(ctx context.Context) (err error) {
		free, err = parkScript.Run(ctx, n.client, []string{p.keys.of("parked"), p.keys.of("ends")}, key, session, max(ttl.Milliseconds(), 1)).Bool()
		return err
	})
	if err == nil && !free {
		err = fmt.Errorf("park a session: the key %.40q is taken", key)
	}
	return err
}

// Redirect implements cluster.Sessions. It is the same as Park, because Redis outlives the nodes.
func (n *Node) Redirect(ctx context.Context, key string, redirect []byte, ttl time.Duration) error {
	return n.Park(ctx, key, redirect, ttl)
}

// Take implements cluster.Sessions. If it is unknown whether the session was taken, Take parks it
// again: otherwise the session would end without leave.
func (n *Node) Take(ctx context.Context, key string) (session []byte, err error) {
	if err := n.up(ctx); err != nil {
		return nil, err
	}
	p := n.ofKey(key)
	keys := []string{p.keys.of("parked"), p.keys.of("ends"), p.keys.of("got", token())}
	none := false
	err = n.ask(ctx, "take", func(ctx context.Context) error {
		text, err := takeSessionScript.Run(ctx, n.client, keys, key, gotTTL.Milliseconds()).Text()
		if none = err == redis.Nil; none || err != nil {
			return noNil(err)
		}
		_, text, _ = strings.Cut(text, "|")
		session = []byte(text)
		return nil
	})
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		n.giveBack(keys, key)
	case err == nil && none:
		return nil, fmt.Errorf("take %.40q: %w", key, cluster.ErrNoSession)
	case err == nil:
		p.removals.addSession(time.Now(), key)
		_ = n.client.Unlink(ctx, keys[2]).Err() // without this the key expires
	}
	return session, err
}

// eachCount is the approximate number of sessions that Each reads at once.
const eachCount = 20

// Each implements cluster.Sessions.
func (n *Node) Each(ctx context.Context, f func(key string, session []byte)) error {
	if err := n.up(ctx); err != nil {
		return err
	}
	for _, p := range n.parts {
		for cursor := uint64(0); ; {
			var pairs []string
			err := n.ask(ctx, "list sessions", func(ctx context.Context) (err error) {
				pairs, cursor, err = n.client.HScan(ctx, p.keys.of("parked"), cursor, "", eachCount).Result()
				return err
			})
			if err != nil {
				return err
			}
			for i := 0; i+1 < len(pairs); i += 2 {
				f(pairs[i], []byte(pairs[i+1]))
			}
			if cursor == 0 {
				break
			}
		}
	}
	return nil
}

func noNil(err error) error {
	if err == redis.Nil {
		return nil
	}
	return err
}

// giveBack parks a session again that may have been taken, as soon as Redis answers.
func (n *Node) giveBack(keys []string, key string) {
	if !n.begin() {
		return
	}
	go func() {
		defer n.tasks.Done()
		for b := (backoff{50 * time.Millisecond, time.Second}); ; {
			ctx, cancel := context.WithTimeout(n.life, 2*readTimeout)
			err := giveBackScript.Run(ctx, n.client, keys, key, gotTTL.Milliseconds()).Err()
			cancel()
			if err == nil || !b.pause(n.life) {
				return
			}
			reload(n.life, n.client)
		}
	}()
}

// endSessions ends the sessions whose time is over.
func (p *partition) endSessions(ctx context.Context) {
	n, more := p.n, true
	for more && ctx.Err() == nil {
		keys := []string{p.keys.of("parked"), p.keys.of("ends"), p.keys.of("ending", n.process), p.keys.of("settling")}
		pairs, err := endScript.Run(ctx, n.client, keys, endCount).StringSlice()
		if err != nil || len(pairs)%2 != 0 {
			if ctx.Err() == nil {
				n.cfg.Log.Warn("cannot end parked sessions yet, trying again", "error", err)
			}
			return
		}
		for i := 0; i < len(pairs); i += 2 {
			p.removals.addSession(time.Now(), pairs[i])
		}
		for i := 0; i < len(pairs); i += 2 {
			n.handler.Expired(ctx, []byte(pairs[i+1]))
		}
		if len(pairs) > 0 && n.client.Del(ctx, keys[2]).Err() != nil {
			return // the sessions are counted as unknown if this node dies
		}
		more = len(pairs) == 2*endCount
	}
}
