package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// holdScript takes the node's name for a process, or keeps it. It answers with the process that
// has the name, and the remaining time.
//
//	KEYS lease inbox
//	ARGV process lease
var holdScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {holder, redis.call('PTTL', KEYS[1])} end
if not holder then redis.call('DEL', KEYS[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('PEXPIRE', KEYS[2], 3 * ARGV[2])
return {ARGV[1], tonumber(ARGV[2])}`)

// beatScript renews a process's lease. It answers with: 1 if the process was recorded, how often
// its members were handed to others, the generation, the name of the data (another name means
// that Redis has lost its data), 1 if the generation is unsettled, the number of sessions that
// must end, the time by Redis' clock, the end of the next lease, the rooms with users that have waited longer than
// unannouncedTime to be announced, and the processes whose leases have ended.
//
// While Redis does not answer, no node can renew its lease. The first beat after half a lease
// without a beat of any node begins a grace of one lease, in which no process counts as dead. A
// single survivor may be so slow that each of its beats begins a grace: therefore three graces in
// a row are followed by three leases without one.
//
// If Redis' clock goes back, as in a failover to a server whose clock is behind, the leases of all
// processes end one lease from then. Dead processes would otherwise live for that time longer.
//
//	KEYS alive taken gen settling data ends beat grace graces ua
//	ARGV process lease name
var beatScript = redis.NewScript(luaNow + luaGeneration + `
local gen = generation(KEYS[3], KEYS[4], now, false)
local lease = redis.call('ZSCORE', KEYS[1], ARGV[1])
local last = redis.call('GET', KEYS[7])
if last and math.abs(now - last) > ARGV[2] / 2 then
  local count = redis.call('INCR', KEYS[9])
  if count <= 3 then
    redis.call('SET', KEYS[8], 1, 'PX', ARGV[2])
    redis.call('PEXPIRE', KEYS[9], 4 * ARGV[2])
  end
end
if last and now < tonumber(last) then
  for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now + ARGV[2]), '+inf')) do
    redis.call('ZADD', KEYS[1], now + ARGV[2], process)
  end
end
redis.call('SET', KEYS[7], string.format('%.0f', now), 'PX', 86400000)
redis.call('SET', KEYS[5], ARGV[3], 'NX')
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local ended = {}
if redis.call('EXISTS', KEYS[8]) == 0 then ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100) end
local next = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
return {lease and 1 or 0, redis.call('GET', KEYS[2]) or '0', gen, redis.call('GET', KEYS[5]), redis.call('EXISTS', KEYS[4]),
  #redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', now, 'LIMIT', 0, 1), now, tonumber(next),
  table.concat(redis.call('ZRANGEBYSCORE', KEYS[10], '-inf', now - ` + unannouncedTime + `, 'LIMIT', 0, 100), '\n'), unpack(ended)}`)

// register takes the node's name and puts the node on the list of living nodes.
func (n *Node) register(ctx context.Context) error {
	// One second more than a lease, because the process that has the name may renew it late.
	for late := time.Now().Add(n.cfg.Lease + time.Second); ; {
		holder, err := n.hold(ctx)
		if err == nil && holder == n.process {
			break
		}
		if err != nil && !isPassing(err) {
			return fmt.Errorf("start node: %w", err)
		}
		if err == nil && time.Now().After(late) {
			return fmt.Errorf("a node named %q is running", n.cfg.Node)
		}
		if b := (backoff{wait: 100 * time.Millisecond}); !b.pause(ctx) {
			return ctx.Err()
		}
	}
	for _, p := range n.parts {
		if err := n.ask(ctx, "begin", func(ctx context.Context) error {
			found, err := p.beat(ctx)
			p.generation, p.data, p.publisher.gen = found.generation, found.data, found.generation
			p.setGeneration(found.generation, true)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) hold(ctx context.Context) (holder string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	k := nodeKeys(n.cfg.Prefix, n.cfg.Node)
	v, err := holdScript.Run(ctx, n.client, []string{k.of("lease"), k.of("in")}, n.process, n.cfg.Lease.Milliseconds()).Slice()
	if err != nil {
		return "", err
	}
	if len(v) > 0 {
		holder, _ = v[0].(string)
	}
	if !strings.HasPrefix(holder, n.cfg.Node+"#") { // not an answer of the script: the name may still be the node's
		return "", errValues
	}
	return holder, nil
}

// beatResult is the answer of beatScript.
type beatResult struct {
	known      bool          // the process was recorded before
	taken      string        // how often its members were handed to others; "0": never
	generation string        // generation of the partition
	data       string        // name of the data
	unsettled  bool          // the generation is unsettled
	ending     bool          // there are sessions that must end
	next       time.Duration // time until the next lease ends
	silent     []string      // keys of rooms with users that no node has announced in time
	ended      []string      // the processes whose leases have ended
}

// beat renews the lease in a partition.
func (p *partition) beat(ctx context.Context) (found beatResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	k := p.keys
	keys := []string{k.of("alive"), k.of("taken", p.n.process), k.of("gen"), k.of("settling"), k.of("data"), k.of("ends"), k.of("beat"), k.of("grace"), k.of("graces"), k.of("ua")}
	v, err := beatScript.Run(ctx, p.n.client, keys, p.n.process, p.n.cfg.Lease.Milliseconds(), token()).Slice()
	if err != nil {
		return found, err
	}
	if found, err = p.parseBeat(v); err == nil {
		p.beaten.Store(p.n.now().UnixNano())
	}
	return found, err
}

func (p *partition) parseBeat(v values) (beatResult, error) {
	known, err1 := v.number(0)
	unsettled, err2 := v.number(4)
	ending, err3 := v.number(5)
	now, err4 := v.number(6)
	next, err5 := v.number(7)
	ended, err6 := v.texts(8)
	if err6 == nil && len(ended) == 0 {
		err6 = errValues
	}
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return beatResult{}, err
	}
	texts, err := v[1:4].texts(0)
	if err != nil {
		return beatResult{}, err
	}
	p.n.skew.Store(now - p.n.now().UnixMilli())
	silent := strings.FieldsFunc(ended[0], func(r rune) bool { return r == '\n' })
	return beatResult{known == 1, texts[0], texts[1], texts[2], unsettled != 0, ending != 0, time.Duration(next-now) * time.Millisecond, silent, ended[1:]}, nil
}

// beatEvery is the interval of beats.
func (c *Config) beatEvery() time.Duration { return min(time.Second, c.Lease/4) }

// keepName keeps the node's name until the node stops or another process has the name.
func (n *Node) keepName() {
	ticks := time.NewTicker(n.cfg.beatEvery())
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-n.life.Done():
			return
		}
		holder, err := n.hold(n.life)
		if err == nil && holder != n.process {
			n.stop(fmt.Errorf("another node is named %q", n.cfg.Node))
			return
		}
		if err != nil {
			reload(n.life, n.client)
		}
	}
}

// keepLease renews the lease in the partition until the node stops. If a lease of another node
// ends before the next beat is due, the beat is sent at that time.
func (p *partition) keepLease() {
	n := p.n
	every := n.cfg.beatEvery()
	for timer := time.NewTimer(every); ; {
		select {
		case <-timer.C:
		case <-n.life.Done():
			timer.Stop()
			return
		}
		timer.Reset(min(every, p.renew(n.life, every)))
	}
}

// renew renews the lease and returns the time until the next lease ends, but not more than most.
func (p *partition) renew(ctx context.Context, most time.Duration) time.Duration {
	p.publisher.tidy(time.Now())
	p.removals.expire(time.Now().Add(-p.n.cfg.Heal.For))
	found, err := p.beat(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.n.cfg.Log.Warn("cannot renew the lease of this node", "error", err)
		}
		return most
	}
	p.setGeneration(found.generation, found.unsettled)
	p.offer(found)
	p.offerUnannounced(found.silent)
	p.restoreRecord(found)
	return min(most, max(found.next+time.Millisecond, 10*time.Millisecond))
}

// quitScript ends a process's lease. Members of dead nodes that the process was handed and has not removed become
// members of the process, so that others remove them.
//
//	KEYS alive nr lv pt
//	ARGV process base (connection room)*
var quitScript = redis.NewScript(luaNow + luaUsers + `
for i = 3, #ARGV, 2 do
  local room = ARGV[i + 1]
  local record = redis.call('HGET', KEYS[3], 'm' .. ARGV[i] .. '/' .. room)
  if record then
    local own = ARGV[1] .. ':' .. room
    redis.call('HSET', ARGV[2] .. 'rm:' .. own, ARGV[i], record)
    redis.call('ZADD', ARGV[2] .. 'ri:' .. own, 0, ARGV[i])
    redis.call('HSET', ARGV[2] .. 'rn:' .. room, ARGV[1], redis.call('HLEN', ARGV[2] .. 'rm:' .. own))
    redis.call('SADD', KEYS[2], room)
    local user = userOf(record)
    if user then userIn(ARGV[2], room, user, '') end
  end
end
redis.call('DEL', KEYS[3], KEYS[4])
if redis.call('SCARD', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], 'XX', 0, ARGV[1]) end
return 1`)

// freeScript frees the node's name.
//
//	KEYS lease inbox
//	ARGV process
var freeScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2]) end
return 1`)

// deregisterTimeout bounds deregister. After it, others remove the members when the lease has
// ended.
const deregisterTimeout = 2 * time.Second

// deregister takes the node off the list. Other nodes then remove its members.
func (n *Node) deregister() {
	ctx, cancel := context.WithTimeout(context.Background(), deregisterTimeout)
	defer cancel()
	left := n.roster.unfinished()
	for _, p := range n.parts {
		args := []any{n.process, p.keys.base()}
		for _, at := range left {
			if q, key := n.at(at.room); q == p {
				args = append(args, at.id, key)
			}
		}
		keys := []string{p.keys.of("alive"), p.keys.of("nr", n.process), p.keys.of("lv", n.process), p.keys.of("pt", n.process)}
		if err := quitScript.Run(ctx, n.client, keys, args...).Err(); err != nil {
			n.cfg.Log.Warn("cannot remove this node from the list of nodes: its members leave when its lease ends", "error", err)
			return
		}
	}
	k := nodeKeys(n.cfg.Prefix, n.cfg.Node)
	if err := freeScript.Run(ctx, n.client, []string{k.of("lease"), k.of("in")}, n.process).Err(); err != nil {
		n.cfg.Log.Warn("cannot free the name of this node: it stays taken until the lease has ended", "error", err)
	}
}

// listNodes returns the nodes whose lease has not ended.
func (n *Node) listNodes(ctx context.Context) (names []string, err error) {
	p := n.parts[0]
	err = n.read(ctx, "list nodes", func(ctx context.Context) error {
		processes, err := aliveScript.Run(ctx, n.via(ctx), []string{p.keys.of("alive")}).StringSlice()
		names = names[:0]
		for _, t := range processes {
			node, _, _ := strings.Cut(t, "#")
			names = append(names, node)
		}
		return err
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

// aliveScript lists the processes whose lease has not ended.
//
//	KEYS alive
var aliveScript = redis.NewScript(luaNow + `
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')`)
