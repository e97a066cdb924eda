package redis

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// removals are the members of dead nodes and the parked sessions that this node has removed from
// a partition within the last Heal.For, and the users that it has announced in that time. A failover may lose them: the node
// repeats them before it reports to the new generation. No node takes members or sessions until all nodes have
// reported, so that leave does not run twice for a membership. The methods of removals may be
// called concurrently.
type removals struct {
	mu       sync.Mutex
	members  []removedMember
	sessions []removedSession
	users    []announced
}

// removedMember is a member of a dead process that was handed to this node.
type removedMember struct {
	at     time.Time
	dead   string // the dead process
	room   cluster.RoomID
	member cluster.MemberRecord
}

// removedSession is a parked session that this node has ended or resumed.
type removedSession struct {
	at  time.Time
	key string
}

func (r *removals) addMembers(now time.Time, dead string, members map[cluster.RoomID][]cluster.MemberRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for room, list := range members {
		for _, m := range list {
			r.members = append(r.members, removedMember{now, dead, room, m})
		}
	}
}

func (r *removals) addSession(now time.Time, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions = append(r.sessions, removedSession{now, key})
}

// expire drops removals before a time.
func (r *removals) expire(before time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = slices.DeleteFunc(r.members, func(m removedMember) bool { return m.at.Before(before) })
	r.sessions = slices.DeleteFunc(r.sessions, func(s removedSession) bool { return s.at.Before(before) })
	r.users = slices.DeleteFunc(r.users, func(a announced) bool { return !a.publishing && a.at.Before(before) })
}

// list returns the members by process, and the keys of the sessions.
func (r *removals) list() (members map[string][]removedMember, sessions []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	members = map[string][]removedMember{}
	for _, m := range r.members {
		members[m.dead] = append(members[m.dead], m)
	}
	for _, s := range r.sessions {
		sessions = append(sessions, s.key)
	}
	return members, sessions
}

// removeAgainScript removes members of a dead process that a failover has put back. Members
// whose leave is still running become members that the taker removes, as in takeScript. An
// empty record means that leave has run.
//
//	KEYS nr-dead pt-dead taken-dead lv-own
//	ARGV dead base takenTTL (connection room record)*
var removeAgainScript = redis.NewScript(luaNow + luaUsers + `
local back = 0
for i = 4, #ARGV, 3 do
  local id, room, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local own, rn = ARGV[1] .. ':' .. room, ARGV[2] .. 'rn:' .. room
  local had = redis.call('HGET', ARGV[2] .. 'rm:' .. own, id)
  if had then
    redis.call('HDEL', ARGV[2] .. 'rm:' .. own, id)
    local user = userOf(had)
    if user then userOut(ARGV[2], room, user) end
    back = back + 1
    redis.call('ZREM', ARGV[2] .. 'ri:' .. own, id)
    redis.call('SREM', KEYS[2], id .. '/' .. room)
    if redis.call('HINCRBY', rn, ARGV[1], -1) <= 0 then
      redis.call('HDEL', rn, ARGV[1])
      redis.call('SREM', KEYS[1], room)
    end
  end
  if record == '' then
    redis.call('HDEL', KEYS[4], 'm' .. id .. '/' .. room)
  else
    redis.call('HSET', KEYS[4], 'm' .. id .. '/' .. room, record)
  end
end
if back > 0 then
  redis.call('INCR', KEYS[3])
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
return back`)

// removeAgain repeats the removals and the announcements that a failover has lost.
func (p *partition) removeAgain(ctx context.Context) error {
	if err := p.announceAgain(ctx); err != nil {
		return err
	}
	members, sessions := p.removals.list()
	back := int64(0)
	for dead, all := range members {
		for some := range slices.Chunk(all, takeCount) {
			n, err := p.removeMembersAgain(ctx, dead, some)
			if err != nil {
				return err
			}
			back += n
		}
	}
	if back > 0 {
		p.n.cfg.Log.Warn("a failover lost the removal of members of a dead node: they are removed again", "members", back)
	}
	for some := range slices.Chunk(sessions, takeCount) {
		ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
		pipe := p.n.client.Pipeline()
		pipe.ZRem(ctx, p.keys.of("ends"), anys(some)...)
		pipe.HDel(ctx, p.keys.of("parked"), some...)
		_, err := pipe.Exec(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *partition) removeMembersAgain(ctx context.Context, dead string, some []removedMember) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	k := p.keys
	keys := []string{k.of("nr", dead), k.of("pt", dead), k.of("taken", dead), k.of("lv", p.n.process)}
	args := []any{dead, k.base(), takenTTL.Milliseconds()}
	for _, m := range some {
		text := ""
		if p.n.roster.isLetting(m.room, m.member.ID) {
			text = record(m.member)
		}
		args = append(args, m.member.ID, roomKey(m.room), text)
	}
	return removeAgainScript.Run(ctx, p.n.client, keys, args...).Int64()
}

func anys(texts []string) (out []any) {
	for _, t := range texts {
		out = append(out, t)
	}
	return out
}
