package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// luaNow defines now, the time by Redis' clock in ms: the clocks of nodes may differ.
const luaNow = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`

// The answers of addScript.
const (
	added = iota
	thereAlready
	noRoom
	lapsed // the lease of the process has ended
)

// addScript records a member, or unmarks one that is leaving. If a member has another user than
// its record, it replaces the record, except for the time of the join. announce is that of luaUsers.
//
//	KEYS rooms rn rm ri nr alive pt
//	ARGV process connection record roomKey roomName base announce
var addScript = redis.NewScript(luaNow + luaUsers + `
local lease = redis.call('ZSCORE', KEYS[6], ARGV[1])
if not lease or tonumber(lease) <= now then return 3 end
local had = redis.call('HGET', KEYS[3], ARGV[2])
local user = userOf(ARGV[3])
if had then
  local was = userOf(had)
  if user and was ~= user then
    redis.call('HSET', KEYS[3], ARGV[2], (string.match(had, '^%d+') or '0') .. string.match(ARGV[3], ' .*$'))
    userIn(ARGV[6], ARGV[4], user, ARGV[7])
    if was then userOut(ARGV[6], ARGV[4], was) end
  elseif user and ARGV[7] ~= '' then
    userStays(ARGV[6], ARGV[4], user, ARGV[7])
  end
  redis.call('SREM', KEYS[7], ARGV[2] .. '/' .. ARGV[4])
  return 1
end
if redis.call('HEXISTS', KEYS[1], ARGV[5]) == 0 then return 2 end
if user then userIn(ARGV[6], ARGV[4], user, ARGV[7]) end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[4], 0, ARGV[2])
redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
redis.call('SADD', KEYS[5], ARGV[4])
return 0`)

// partScript marks a member as leaving: takeScript then does not hand it over. It answers 1 if
// the member was handed over already. A member that Redis has lost with its data was not handed
// over.
//
//	KEYS rm pt taken
//	ARGV connection roomKey
var partScript = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('EXISTS', KEYS[3]) == 1 then return 1 end
redis.call('SADD', KEYS[2], ARGV[1] .. '/' .. ARGV[2])
return 0`)

// removeScript removes a member of the process, or a member that the process was handed.
//
//	KEYS rn rm ri nr lv pt
//	ARGV process connection roomKey base
var removeScript = redis.NewScript(luaNow + luaUsers + `
redis.call('SREM', KEYS[6], ARGV[2] .. '/' .. ARGV[3])
local had = redis.call('HGET', KEYS[2], ARGV[2])
if had then
  redis.call('HDEL', KEYS[2], ARGV[2])
  local user = userOf(had)
  if user then userOut(ARGV[4], ARGV[3], user) end
  redis.call('ZREM', KEYS[3], ARGV[2])
  if redis.call('HINCRBY', KEYS[1], ARGV[1], -1) <= 0 then
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('SREM', KEYS[4], ARGV[3])
  end
  return 1
end
redis.call('HDEL', KEYS[5], 'm' .. ARGV[2] .. '/' .. ARGV[3])
return 0`)

// membersScript reads a page: 1 if others follow, the process, and pairs of connection and record
// with the user and without the profile. A page has members of one process. An empty page is the last one. The keys
// that the script builds have the tag of its KEYS.
//
//	KEYS rn alive
//	ARGV base roomKey afterProcess afterConnection limit
var membersScript = redis.NewScript(luaNow + `
local h, names = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #h, 2 do
  local lease = redis.call('ZSCORE', KEYS[2], h[i])
  if h[i] >= ARGV[3] and lease and tonumber(lease) > now then names[#names + 1] = h[i] end
end
table.sort(names)
local limit = tonumber(ARGV[5])
for k, name in ipairs(names) do
  local after = '-'
  if name == ARGV[3] then after = '(' .. ARGV[4] end
  local ids = redis.call('ZRANGEBYLEX', ARGV[1] .. 'ri:' .. name .. ':' .. ARGV[2], after, '+', 'LIMIT', 0, limit + 1)
  if #ids > 0 then
    local more = k < #names and 1 or 0
    if #ids > limit then ids[#ids], more = nil, 1 end
    local records = redis.call('HMGET', ARGV[1] .. 'rm:' .. name .. ':' .. ARGV[2], unpack(ids))
    local out = {more, name}
    for i, id in ipairs(ids) do
      out[#out + 1] = id
      local record = records[i] or ''
      out[#out + 1] = string.match(record, '^%d+ {"moot.user":"%x*"') or string.match(record, '^%d+ ') or ''
    end
    return out
  end
end
return {0, ''}`)

// mostOfPage is the largest number of members or names that one script reads.
const mostOfPage = 500

// Add implements cluster.Presence. If this node's lease has ended, Add waits until the lease is
// renewed.
func (n *Node) Add(ctx context.Context, room cluster.RoomID, m cluster.MemberRecord) error {
	if err := n.up(ctx); err != nil {
		return err
	}
	fresh := n.roster.add(room, m)
	answer, err := n.add(ctx, room, m)
	if err == nil && answer != noRoom && m.Announce {
		n.roster.markRecorded(room, m.ID)
	}
	if err == nil && answer == noRoom {
		err = fmt.Errorf("add to %q: %w", room.Room, cluster.ErrNoRoom)
	}
	switch {
	case err != nil && (fresh || errors.Is(err, cluster.ErrNoRoom)):
		n.roster.remove(room, m.ID)
	case err != nil:
		n.roster.markStale(room, m.ID)
	}
	return err
}

func (n *Node) add(ctx context.Context, room cluster.RoomID, m cluster.MemberRecord) (int, error) {
	deadline := time.Now().Add(n.cfg.PublishTimeout)
	for b := (backoff{10 * time.Millisecond, 200 * time.Millisecond}); ; {
		answer, err := n.addOnce(ctx, room, m)
		if err != nil || answer != lapsed {
			return answer, err
		}
		if time.Now().After(deadline) || !b.pause(ctx) || !n.alive() {
			return 0, fmt.Errorf("add to %q: this node's lease has ended: %w", room.Room, cluster.ErrUnavailable)
		}
	}
}

func (n *Node) addOnce(ctx context.Context, room cluster.RoomID, m cluster.MemberRecord) (answer int, err error) {
	n.roster.settled.RLock()
	defer n.roster.settled.RUnlock()
	err = n.ask(ctx, "add", func(ctx context.Context) (err error) {
		keys, args := n.addArguments(room, m, false)
		answer, err = addScript.Run(ctx, n.via(ctx), keys, args...).Int()
		return err
	})
	return answer, err
}

// addArguments returns the keys and arguments of addScript. announced reports that the user was announced.
func (n *Node) addArguments(room cluster.RoomID, m cluster.MemberRecord, announced bool) (keys []string, args []any) {
	p, key := n.at(room)
	k, process := p.keys, n.process
	return []string{p.roomsKey(room.Tenant), k.of("rn", key), k.of("rm", process, key), k.of("ri", process, key), k.of("nr", process), k.of("alive"), k.of("pt", process)},
		[]any{process, m.ID, record(m), key, room.Room, k.base(), announceMode(&m, announced)}
}

// BeginLeave implements cluster.Presence.
func (n *Node) BeginLeave(ctx context.Context, room cluster.RoomID, id string) (gone bool, err error) {
	if err := n.up(ctx); err != nil {
		return false, err
	}
	n.roster.part(room, id, true)
	p, key := n.at(room)
	keys := []string{p.keys.of("rm", n.process, key), p.keys.of("pt", n.process), p.keys.of("taken", n.process)}
	n.roster.settled.RLock()
	defer n.roster.settled.RUnlock()
	err = n.ask(ctx, "part", func(ctx context.Context) (err error) {
		gone, err = partScript.Run(ctx, n.via(ctx), keys, id, key).Bool()
		return err
	})
	if err != nil {
		n.roster.part(room, id, false)
		n.roster.markStale(room, id) // Redis may have marked the member
	}
	return gone, err
}

// Remove implements cluster.Presence. It removes a member of this node, or a member
// that Handler.Lost received here. After an error the removal is repeated when Redis answers
// again.
func (n *Node) Remove(ctx context.Context, room cluster.RoomID, id string) error {
	if n.roster.release(room, id) && !n.alive() {
		ctx = context.WithoutCancel(ctx)
	}
	n.roster.remove(room, id)
	n.roster.settled.RLock()
	defer n.roster.settled.RUnlock()
	err := n.ask(ctx, "remove", func(ctx context.Context) error {
		keys, args := n.removal(room, id)
		return removeScript.Run(ctx, n.via(ctx), keys, args...).Err()
	})
	if err != nil {
		n.roster.markStale(room, id)
	}
	return err
}

// removal returns the keys and arguments of removeScript.
func (n *Node) removal(room cluster.RoomID, id string) (keys []string, args []any) {
	p, key := n.at(room)
	k, process := p.keys, n.process
	return []string{k.of("rn", key), k.of("rm", process, key), k.of("ri", process, key), k.of("nr", process), k.of("lv", process), k.of("pt", process)},
		[]any{process, id, key, k.base()}
}

// Members implements cluster.Presence, ordered by node and then by id. A page may have fewer
// members than limit even if others follow, and has at most 500.
func (n *Node) Members(ctx context.Context, room cluster.RoomID, after string, limit int) ([]cluster.MemberRecord, string, error) {
	if limit < 1 {
		return nil, "", fmt.Errorf("members: limit %d: must be 1 or more", limit)
	}
	at, err := parseCursor(after)
	if err != nil {
		return nil, "", err
	}
	p, key := n.at(room)
	var v values
	err = n.read(ctx, "members", func(ctx context.Context) (err error) {
		v, err = membersScript.Run(ctx, n.via(ctx), []string{p.keys.of("rn", key), p.keys.of("alive")},
			p.keys.base(), key, at.process, at.id, min(limit, mostOfPage)).Slice()
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return n.parseMembers(key, v)
}

func (n *Node) parseMembers(key string, v values) ([]cluster.MemberRecord, string, error) {
	more, err := v.number(0)
	texts, err2 := v.texts(1)
	if err != nil || err2 != nil || len(texts)%2 != 1 {
		return nil, "", fmt.Errorf("members: %w", errValues)
	}
	process, pairs := texts[0], texts[1:]
	page := n.memberRecords(key, pairs)
	if more == 0 || len(pairs) == 0 {
		return page, "", nil
	}
	return page, cursor{process, pairs[len(pairs)-2]}.String(), nil
}

// memberRecords parses pairs of connection and record, and skips malformed records.
func (n *Node) memberRecords(key string, pairs []string) []cluster.MemberRecord {
	page := make([]cluster.MemberRecord, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		m, err := parseRecord(pairs[i], pairs[i+1])
		if err != nil {
			n.malformed(key, err)
			continue
		}
		page = append(page, m)
	}
	return page
}
