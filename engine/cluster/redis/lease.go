package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine"
)

// A node is on record as a process, <node>#<random>, whose lease it renews in
// every partition. When it has been silent for longer, others let its members go;
// if it then turns out to live, it puts back on record whom they have let go,
// since they are still connected here. For those leave has run elsewhere; that
// join should run again is not told to the engine, only counted
// (Counters.Rejoined) and logged.

// roster is what this node has on record.
type roster struct {
	// settled is held for reading while Redis is told of one member, and for
	// writing while it is told of many again: so that nobody who leaves meanwhile
	// is put back. It is the one lock that is held over calls of Redis; each is
	// bounded in time.
	settled sync.RWMutex

	mu      sync.Mutex
	members map[engine.RoomID]map[string]engine.Presentee

	letting map[string]struct{} // whom Lost was given and has not removed
	room    engine.RoomID       // theirs
}

// add returns false if the member is there.
func (r *roster) add(room engine.RoomID, m engine.Presentee) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[room] == nil {
		r.members[room] = map[string]engine.Presentee{}
	}
	if _, ok := r.members[room][m.ID]; ok {
		return false
	}
	r.members[room][m.ID] = m
	return true
}

func (r *roster) remove(room engine.RoomID, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members[room], id)
	if len(r.members[room]) == 0 {
		delete(r.members, room)
	}
}

// release notes that Lost has done with a member; false if it was not given him.
func (r *roster) release(room engine.RoomID, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.letting[id]
	if ok && r.room == room {
		delete(r.letting, id)
	}
	return ok && r.room == room
}

// seat is a member and his room.
type seat struct {
	room   engine.RoomID
	member engine.Presentee
}

// in gives the members of the partition's rooms.
func (r *roster) in(p *partition) []seat {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []seat
	for room, members := range r.members {
		if q, _ := p.n.at(room); q != p {
			continue
		}
		for _, m := range members {
			all = append(all, seat{room, m})
		}
	}
	return all
}

func (r *roster) has(s seat) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.members[s.room][s.member.ID]
	return ok
}

// holdScript takes the node's name for a process, or keeps it. It answers with
// whoever has it, and for how long. KEYS lease inbox   ARGV process lease
var holdScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {holder, redis.call('PTTL', KEYS[1])} end
if not holder then redis.call('DEL', KEYS[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('PEXPIRE', KEYS[2], 3 * ARGV[2])
return {ARGV[1], tonumber(ARGV[2])}`)

// beatScript renews a process's lease, and says whether that had run on: 1, or
// others may have let its members go: 0. The time by Redis' clock follows, and the
// processes whose leases have ended. KEYS alive   ARGV process lease
var beatScript = redis.NewScript(luaNow + `
local lease = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return {(lease and tonumber(lease) ~= 0) and 1 or 0, now, unpack(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100))}`)

// arrive takes the node's name and puts it on the list of those alive.
func (n *Node) arrive(ctx context.Context) error {
	// One more second, since the one who had the name may renew late.
	for late := time.Now().Add(n.cfg.Lease + time.Second); ; {
		holder, err := n.hold(ctx)
		if err == nil && holder == n.process {
			break
		}
		if err != nil && !isPassing(err) {
			return fmt.Errorf("begin: %w", err)
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
			_, _, err := p.beat(ctx)
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
	return holder, nil
}

// beat renews the lease in a partition. known is false if it had been given up.
func (p *partition) beat(ctx context.Context) (known bool, ended []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	v, err := beatScript.Run(ctx, p.n.client, []string{p.keys.of("alive")}, p.n.process, p.n.cfg.Lease.Milliseconds()).Slice()
	if err != nil {
		return false, nil, err
	}
	is, err1 := values(v).number(0)
	now, err2 := values(v).number(1)
	ended, err3 := values(v).texts(2)
	if err := errors.Join(err1, err2, err3); err != nil {
		return false, nil, err
	}
	p.n.skew.Store(now - time.Now().UnixMilli())
	return is == 1, ended, nil
}

// keepLease renews the leases until the node's life ends, or another has its name.
func (n *Node) keepLease() {
	ticks := time.NewTicker(min(time.Second, n.cfg.Lease/4))
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
		n.beatAll(n.life)
	}
}

func (n *Node) beatAll(ctx context.Context) {
	for _, p := range n.parts {
		known, ended, err := p.beat(ctx)
		if err != nil {
			if ctx.Err() == nil {
				n.cfg.Log.Warn("the lease is not renewed", "error", err)
			}
			continue
		}
		p.missing = p.missing || !known
		n.offer(p, ended)
		if p.missing {
			p.missing = !p.comeBack(ctx)
		}
	}
}

// comeBack puts the node's members back on record, and returns false if it is to
// be tried again.
func (p *partition) comeBack(ctx context.Context) bool {
	n := p.n
	var back, failed int
	for some := range slices.Chunk(n.roster.in(p), 200) {
		b, f, err := n.putBack(ctx, some)
		if err != nil {
			n.cfg.Log.Warn("the node was taken for dead, and cannot come back yet", "error", err)
			return false
		}
		back, failed = back+b, failed+f
	}
	n.counters.Rejoined.Add(int64(back))
	n.cfg.Log.Warn("the node was taken for dead and is back", "rejoined", back, "roomless", failed)
	return true
}

// putBack records members again, and says how many were not on record, and how
// many cannot be since their room is gone.
func (n *Node) putBack(ctx context.Context, some []seat) (back, roomless int, err error) {
	n.roster.settled.Lock()
	defer n.roster.settled.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*readTimeout)
	defer cancel()
	pipe := n.client.Pipeline()
	for _, s := range some {
		if n.roster.has(s) {
			keys, args := n.addition(s.room, s.member)
			addScript.Eval(ctx, pipe, keys, args...)
		}
	}
	cmds, err := pipe.Exec(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, cmd := range cmds {
		switch answer, err := cmd.(*redis.Cmd).Int(); {
		case err != nil:
			return 0, 0, err
		case answer == lapsed:
			return 0, 0, errors.New("the lease ended again")
		case answer == added:
			back++
		case answer == noRoom:
			roomless++
		}
	}
	return back, roomless, nil
}

// quitScript takes a process off the list: whom it was letting go and has not, it leaves as
// members of its own; its lease ends. KEYS alive nr lv   ARGV process base connection*
var quitScript = redis.NewScript(`
local room = redis.call('HGET', KEYS[3], '#room')
for i = 3, #ARGV do
  local record = redis.call('HGET', KEYS[3], 'm' .. ARGV[i])
  if room and record then
    local own = ARGV[1] .. ':' .. room
    redis.call('HSET', ARGV[2] .. 'rm:' .. own, ARGV[i], record)
    redis.call('ZADD', ARGV[2] .. 'ri:' .. own, 0, ARGV[i])
    redis.call('HSET', ARGV[2] .. 'rn:' .. room, ARGV[1], redis.call('HLEN', ARGV[2] .. 'rm:' .. own))
    redis.call('SADD', KEYS[2], room)
  end
end
redis.call('DEL', KEYS[3])
if redis.call('SCARD', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], 'XX', 0, ARGV[1]) end
return 1`)

// freeScript gives up the node's name. KEYS lease inbox   ARGV process
var freeScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2]) end
return 1`)

// departTimeout bounds the farewell. What it does not get done the others do when
// the lease has ended.
const departTimeout = 2 * time.Second

// depart takes the node off the list; its members are for the others.
func (n *Node) depart() {
	ctx, cancel := context.WithTimeout(context.Background(), departTimeout)
	defer cancel()
	left, room := n.roster.unfinished()
	for _, p := range n.parts {
		args := []any{n.process, p.keys.base()}
		if q, _ := n.at(room); q == p {
			args = append(args, left...)
		}
		keys := []string{p.keys.of("alive"), p.keys.of("nr", n.process), p.keys.of("lv", n.process)}
		if err := quitScript.Run(ctx, n.client, keys, args...).Err(); err != nil {
			n.cfg.Log.Warn("the node goes without a word", "error", err)
			return
		}
	}
	k := nodeKeys(n.cfg.Prefix, n.cfg.Node)
	if err := freeScript.Run(ctx, n.client, []string{k.of("lease"), k.of("in")}, n.process).Err(); err != nil {
		n.cfg.Log.Warn("the node's name stays taken until its lease ends", "error", err)
	}
}

// unfinished gives those whom Lost was given and has not removed.
func (r *roster) unfinished() (ids []any, room engine.RoomID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.letting {
		ids = append(ids, id)
	}
	return ids, r.room
}

// listNodes gives those whose lease runs.
func (n *Node) listNodes(ctx context.Context) (names []string, err error) {
	p := n.parts[0]
	err = n.read(ctx, "list nodes", func(ctx context.Context) error {
		processes, err := aliveScript.Run(ctx, n.client, []string{p.keys.of("alive")}).StringSlice()
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

// aliveScript lists the processes whose lease runs. KEYS alive
var aliveScript = redis.NewScript(luaNow + `
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')`)
