package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// takeScript moves some members of a dead process from the record to the list of members
// that the taker removes: no other process gets them, and no listing has them any
// more. Asked again under the same number it answers the same. The answer is what became
// of it, of how many members the dead one may have run leave when it died, and triples
// of connection, room and record. That some were handed over is noted, for the dead one
// to find if it is not dead. While Redis was away, and for a lease after it, nobody is
// dead; while the generation is unsettled nobody is handed over (see removals).
//
// KEYS alive nr-dead lv-dead lv-own pt-dead taken-dead ending-dead beat grace settling
// ARGV dead own seq limit base takenTTL lease
var takeScript = redis.NewScript(luaNow + `
local function answer(what, unknown)
  local out = {what, unknown}
  local h = redis.call('HGETALL', KEYS[4])
  for i = 1, #h, 2 do
    local id, room = string.match(h[i], '^m([^/]*)/(.*)$')
    if id then
      out[#out + 1] = id
      out[#out + 1] = room
      out[#out + 1] = h[i + 1]
    end
  end
  return out
end
local own, dead = redis.call('ZSCORE', KEYS[1], ARGV[2]), redis.call('ZSCORE', KEYS[1], ARGV[1])
if not own or tonumber(own) <= now then return {'lapsed', 0} end
if redis.call('HGET', KEYS[4], '#seq') == ARGV[3] then return answer('some', 0) end
redis.call('DEL', KEYS[4])
if dead and tonumber(dead) > now then return {'alive', 0} end
local last = redis.call('GET', KEYS[8])
if redis.call('EXISTS', KEYS[9], KEYS[10]) > 0 or last and math.abs(now - last) > ARGV[7] / 2 then return {'alive', 0} end
if dead and tonumber(dead) ~= 0 then redis.call('ZADD', KEYS[1], 0, ARGV[1]) end
local unknown = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
  if string.sub(field, 1, 1) == 'm' then unknown = unknown + 1 end
end
redis.call('DEL', KEYS[3])
redis.call('INCR', KEYS[6])
redis.call('PEXPIRE', KEYS[6], ARGV[6])
local left, found = tonumber(ARGV[4]), false
while left > 0 do
  local room = redis.call('SRANDMEMBER', KEYS[2])
  if not room then break end
  found = true
  local rm, ri = ARGV[5] .. 'rm:' .. ARGV[1] .. ':' .. room, ARGV[5] .. 'ri:' .. ARGV[1] .. ':' .. room
  local ids = redis.call('ZRANGE', ri, 0, left - 1)
  for _, id in ipairs(ids) do
    local record = redis.call('HGET', rm, id)
    if redis.call('SREM', KEYS[5], id .. '/' .. room) == 1 then
      unknown = unknown + 1
    elseif record then
      redis.call('HSET', KEYS[4], 'm' .. id .. '/' .. room, record)
    end
    redis.call('HDEL', rm, id)
  end
  redis.call('ZREMRANGEBYRANK', ri, 0, left - 1)
  local rest = redis.call('ZCARD', ri)
  if rest == 0 then
    redis.call('UNLINK', rm, ri)
    redis.call('HDEL', ARGV[5] .. 'rn:' .. room, ARGV[1])
    redis.call('SREM', KEYS[2], room)
  else
    redis.call('HSET', ARGV[5] .. 'rn:' .. room, ARGV[1], rest)
  end
  left = left - math.max(1, #ids)
end
if not found then
  redis.call('ZREM', KEYS[1], ARGV[1])
  unknown = unknown + redis.call('SCARD', KEYS[7])
  redis.call('DEL', KEYS[5], KEYS[7])
  return {'none', unknown}
end
redis.call('HSET', KEYS[4], '#seq', ARGV[3])
return answer('some', unknown)`)

const (
	takeCount = 200       // members that are taken at once
	takenTTL  = time.Hour // within which a node that was taken for dead learns that it was
	letCount  = 16        // members in one call of Lost, and number of concurrent calls
)

// offer hands what has ended to the reaper, if it is not at work; what waits is
// offered with every beat.
func (p *partition) offer(found beatResult) {
	if len(found.ended) == 0 && !found.ending {
		return
	}
	select {
	case p.ended <- found:
	default:
	}
}

// reap lets go the members of dead nodes, until the node's life ends.
func (p *partition) reap() {
	ctx := p.n.life
	for seq := uint64(0); ; {
		select {
		case found := <-p.ended:
			if found.ending {
				p.endSessions(ctx)
			}
			for _, dead := range found.ended {
				for more := true; more; {
					seq++
					more = p.reapSome(ctx, dead, seq)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// reapSome lets some members of a dead process go, and says whether there may be
// more. The life's end comes before the first of them, or waits for the handler.
func (p *partition) reapSome(ctx context.Context, dead string, seq uint64) bool {
	n, generation := p.n, p.known()
	t, err := p.take(ctx, dead, seq)
	if err != nil {
		if ctx.Err() == nil {
			n.cfg.Log.Warn("members of a dead node cannot be let go yet", "node", dead, "error", err)
		}
		return false
	}
	if t.unknown > 0 {
		n.counters.LeaveUnknown.Add(t.unknown)
		n.cfg.Log.Warn("a node died while it let members go: whether leave ran is unknown", "node", dead, "members", t.unknown)
	}
	if t.what != "some" {
		return false
	}
	n.roster.let(t.members)
	p.removals.addMembers(time.Now(), dead, t.members)
	if p.known() != generation { // the node may have reported before it had the answer
		if err := p.removeAgain(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("removals are not repeated after a failover: leave may run twice", "node", dead, "error", err)
		}
	}
	p.handOver(ctx, dead, t.members)
	return ctx.Err() == nil
}

// handOver has the handler let members go, some at a time, several at once.
func (p *partition) handOver(ctx context.Context, dead string, members map[cluster.RoomID][]cluster.MemberRecord) {
	n := p.n
	var all sync.WaitGroup
	places := make(chan struct{}, letCount)
	for room, list := range members {
		n.cfg.Log.Info("letting members of a dead node go", "node", dead, "room", room.Room, "members", len(list))
		for some := range slices.Chunk(list, letCount) {
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				n.handler.Lost(ctx, room, some)
			})
		}
	}
	all.Wait()
}

// taking is what takeScript answered.
type taking struct {
	what    string // some, none, alive or lapsed
	unknown int64
	members map[cluster.RoomID][]cluster.MemberRecord
}

func (p *partition) take(ctx context.Context, dead string, seq uint64) (t taking, err error) {
	k := p.keys
	keys := []string{k.of("alive"), k.of("nr", dead), k.of("lv", dead), k.of("lv", p.n.process), k.of("pt", dead), k.of("taken", dead), k.of("ending", dead),
		k.of("beat"), k.of("grace"), k.of("settling")}
	var v values
	err = p.n.ask(ctx, "take", func(ctx context.Context) (err error) {
		v, err = takeScript.Run(ctx, p.n.client, keys, dead, p.n.process, strconv.FormatUint(seq, 10), takeCount, k.base(), takenTTL.Milliseconds(), p.n.cfg.Lease.Milliseconds()).Slice()
		return err
	})
	if err != nil {
		return t, err
	}
	return p.parseTaking(v)
}

func (p *partition) parseTaking(v values) (t taking, err error) {
	if len(v) < 2 || len(v)%3 != 2 {
		return t, errValues
	}
	t.unknown, err = v.number(1)
	triples, err2 := v.texts(2)
	what, isText := v[0].(string)
	if err := errors.Join(err, err2); err != nil || !isText {
		return t, errors.Join(err, errValues)
	}
	if t.what = what; what != "some" {
		return t, nil
	}
	t.members = map[cluster.RoomID][]cluster.MemberRecord{}
	for i := 0; i+2 < len(triples); i += 3 {
		room, err := parseRoomKey(triples[i+1])
		if err != nil {
			p.n.malformed(p.keys.of("nr"), err)
			continue // the room is off the list by now
		}
		if some := p.n.presentees(triples[i+1], []string{triples[i], triples[i+2]}); len(some) > 0 {
			t.members[room] = append(t.members[room], some...)
		}
	}
	return t, nil
}
