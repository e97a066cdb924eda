package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine"
)

// takeScript takes some members of a dead process in one room off record and puts
// them with those whom the taker is letting go: no other will be given them, and
// nobody reads them any more. Asked again under the same number it answers the
// same. The answer is what became of it, of how many members the dead one may have
// run leave when it died, the room, and pairs of connection and record. That some
// were handed over is noted, for the dead one to find if it is not dead.
//
// KEYS alive nr-dead lv-dead lv-own pt-dead taken-dead ending-dead
// ARGV dead own seq limit base takenTTL
var takeScript = redis.NewScript(luaNow + `
local function answer(what, unknown)
  local out = {what, unknown, redis.call('HGET', KEYS[4], '#room') or ''}
  local h = redis.call('HGETALL', KEYS[4])
  for i = 1, #h, 2 do
    if string.sub(h[i], 1, 1) == 'm' then
      out[#out + 1] = string.sub(h[i], 2)
      out[#out + 1] = h[i + 1]
    end
  end
  return out
end
local own, dead = redis.call('ZSCORE', KEYS[1], ARGV[2]), redis.call('ZSCORE', KEYS[1], ARGV[1])
if not own or tonumber(own) <= now then return {'lapsed', 0, ''} end
if redis.call('HGET', KEYS[4], '#seq') == ARGV[3] then return answer('some', 0) end
redis.call('DEL', KEYS[4])
if dead and tonumber(dead) > now then return {'alive', 0, ''} end
if dead and tonumber(dead) ~= 0 then redis.call('ZADD', KEYS[1], 0, ARGV[1]) end
local unknown = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
  if string.sub(field, 1, 1) == 'm' then unknown = unknown + 1 end
end
redis.call('DEL', KEYS[3])
redis.call('INCR', KEYS[6])
redis.call('PEXPIRE', KEYS[6], ARGV[6])
local room = redis.call('SRANDMEMBER', KEYS[2])
if not room then
  redis.call('ZREM', KEYS[1], ARGV[1])
  unknown = unknown + redis.call('SCARD', KEYS[7])
  redis.call('DEL', KEYS[5], KEYS[7])
  return {'none', unknown, ''}
end
local rm, ri = ARGV[5] .. 'rm:' .. ARGV[1] .. ':' .. room, ARGV[5] .. 'ri:' .. ARGV[1] .. ':' .. room
local ids = redis.call('ZRANGE', ri, 0, ARGV[4] - 1)
redis.call('HSET', KEYS[4], '#seq', ARGV[3], '#room', room)
for _, id in ipairs(ids) do
  local record = redis.call('HGET', rm, id)
  if redis.call('SREM', KEYS[5], id .. '/' .. room) == 1 then
    unknown = unknown + 1
  elseif record then
    redis.call('HSET', KEYS[4], 'm' .. id, record)
  end
  redis.call('HDEL', rm, id)
end
redis.call('ZREMRANGEBYRANK', ri, 0, ARGV[4] - 1)
local left = redis.call('ZCARD', ri)
if left == 0 then
  redis.call('UNLINK', rm, ri)
  redis.call('HDEL', ARGV[5] .. 'rn:' .. room, ARGV[1])
  redis.call('SREM', KEYS[2], room)
else
  redis.call('HSET', ARGV[5] .. 'rn:' .. room, ARGV[1], left)
end
return answer('some', unknown)`)

const (
	takeCount = 200       // members whom Lost is given at once
	takenTTL  = time.Hour // within which a node that was taken for dead learns that it was
)

// offer hands what has ended to the reaper, if it is not at work; what waits is
// offered with every beat.
func (n *Node) offer(p *partition, found pulse) {
	if len(found.ended) == 0 && !found.ending {
		return
	}
	select {
	case n.ended <- deaths{p, found.ended, found.ending}:
	default:
	}
}

// deaths are processes whose leases have ended in a partition, and whether there
// are sessions whose time is over.
type deaths struct {
	p         *partition
	processes []string
	sessions  bool
}

// reap lets go the members of dead nodes, until the node's life ends.
func (n *Node) reap() {
	for seq := uint64(0); ; {
		select {
		case d := <-n.ended:
			if d.sessions {
				d.p.endSessions(n.life)
			}
			for _, dead := range d.processes {
				for more := true; more; {
					seq++
					more = d.p.reapSome(n.life, dead, seq)
				}
			}
		case <-n.life.Done():
			return
		}
	}
}

// reapSome lets some members of a dead process go, and says whether there may be
// more. The life's end comes before the first of them, or waits for the handler.
func (p *partition) reapSome(ctx context.Context, dead string, seq uint64) bool {
	n := p.n
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
	if len(t.members) > 0 {
		n.cfg.Log.Info("letting members of a dead node go", "node", dead, "room", t.room.Room, "members", len(t.members))
		n.roster.let(t.room, t.members)
		n.handler.Lost(ctx, t.room, t.members)
	}
	return ctx.Err() == nil
}

// taking is what takeScript answered.
type taking struct {
	what    string // some, none, alive or lapsed
	unknown int64
	room    engine.RoomID
	members []engine.Presentee
}

func (p *partition) take(ctx context.Context, dead string, seq uint64) (t taking, err error) {
	k := p.keys
	keys := []string{k.of("alive"), k.of("nr", dead), k.of("lv", dead), k.of("lv", p.n.process), k.of("pt", dead), k.of("taken", dead), k.of("ending", dead)}
	var v values
	err = p.n.ask(ctx, "take", func(ctx context.Context) (err error) {
		v, err = takeScript.Run(ctx, p.n.client, keys, dead, p.n.process, strconv.FormatUint(seq, 10), takeCount, k.base(), takenTTL.Milliseconds()).Slice()
		return err
	})
	if err != nil {
		return t, err
	}
	return p.parseTaking(v)
}

func (p *partition) parseTaking(v values) (t taking, err error) {
	if len(v) < 3 || len(v)%2 != 1 {
		return t, errValues
	}
	var head, pairs []string
	t.unknown, err = v.number(1)
	v = slices.Delete(slices.Clone(v), 1, 2)
	texts, err2 := v.texts(0)
	if err := errors.Join(err, err2); err != nil {
		return t, err
	}
	head, pairs = texts[:2], texts[2:]
	if t.what = head[0]; t.what != "some" {
		return t, nil
	}
	if t.room, err = parseRoomKey(head[1]); err != nil {
		p.n.malformed(p.keys.of("nr"), err)
		return t, nil // the room is off the list by now
	}
	t.members = p.n.presentees(head[1], pairs)
	return t, nil
}
