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

// takeScript moves some members of a dead process to the list of members that the taker removes:
// no other process gets them, and listings no longer include them. A second call with the same
// number has the same answer. The answer is the outcome, the number of members for which the dead
// process may have run leave when it died, and triples of connection, room and record. A counter
// shows the dead process, if it lives, that members were taken. No process counts as dead in the
// grace after Redis did not answer, and no member is taken while the generation is unsettled (see
// removals).
//
//	KEYS alive nr-dead lv-dead lv-own pt-dead taken-dead ending-dead beat grace settling
//	ARGV dead own seq limit base takenTTL lease
var takeScript = redis.NewScript(luaNow + luaUsers + `
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
    local user = record and userOf(record)
    if user then userOut(ARGV[5], room, user) end
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
	takeCount     = 200       // members that one script takes
	takenTTL      = time.Hour // how long a node that was taken for dead can detect it
	handOverCount = 16        // members in one call of Lost, and number of concurrent calls
)

// offer passes processes and sessions that have ended to the reaper. It skips a busy reaper,
// because every beat finds them again.
func (p *partition) offer(found beatResult) {
	if len(found.ended) == 0 && !found.ending {
		return
	}
	select {
	case p.ended <- found:
	default:
	}
}

// reap removes the members of dead nodes until this node stops.
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

// reapSome removes some members of a dead process, and reports whether there may be more.
func (p *partition) reapSome(ctx context.Context, dead string, seq uint64) bool {
	n, generation := p.n, p.known()
	t, err := p.take(ctx, dead, seq)
	if err != nil {
		if ctx.Err() == nil {
			n.cfg.Log.Warn("cannot take over the members of a dead node yet, trying again", "node", dead, "error", err)
		}
		return false
	}
	if t.unknown > 0 {
		n.counters.LeaveUnknown.Add(t.unknown)
		n.cfg.Log.Warn("a node died while it ran leave: it is unknown whether leave has run", "node", dead, "members", t.unknown)
	}
	if t.what != "some" {
		return false
	}
	n.roster.let(t.members)
	p.removals.addMembers(time.Now(), dead, t.members)
	if p.known() != generation { // the node may have reported before this answer arrived
		if err := p.removeAgain(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("cannot repeat removals after a failover: leave may run twice", "node", dead, "error", err)
		}
	}
	p.handOver(ctx, dead, t.members)
	return ctx.Err() == nil
}

// handOver passes members to the handler, in several concurrent calls.
func (p *partition) handOver(ctx context.Context, dead string, members map[cluster.RoomID][]cluster.MemberRecord) {
	n := p.n
	var all sync.WaitGroup
	places := make(chan struct{}, handOverCount)
	for room, list := range members {
		n.cfg.Log.Info("removing members of a dead node", "node", dead, "room", room.Room, "members", len(list))
		for some := range slices.Chunk(list, handOverCount) {
			places <- struct{}{}
			all.Go(func() {
				defer func() { <-places }()
				n.handler.Lost(ctx, room, some)
			})
		}
	}
	all.Wait()
}

// takeAnswer is the answer of takeScript.
type takeAnswer struct {
	what    string // some, none, alive or lapsed
	unknown int64
	members map[cluster.RoomID][]cluster.MemberRecord
}

func (p *partition) take(ctx context.Context, dead string, seq uint64) (t takeAnswer, err error) {
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
	return p.parseTakeAnswer(v)
}

func (p *partition) parseTakeAnswer(v values) (t takeAnswer, err error) {
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
			continue
		}
		if some := p.n.memberRecords(triples[i+1], []string{triples[i], triples[i+2]}); len(some) > 0 {
			t.members[room] = append(t.members[room], some...)
		}
	}
	return t, nil
}
