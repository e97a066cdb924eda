package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// The scripts that record and remove members also count the members of each user in a room. When a count becomes zero, or
// is zero no more, they put the user on a list of the room. The node that announces takes users from the list, marks them
// as announced, and keeps the announcement in Redis until it is published. If the node dies, another one publishes it.
//
// A failover may lose the last of these steps. Therefore no node announces users for one lease after a failover. In that
// time all nodes record their members again, with the users that were announced (addScript), and each node repeats the
// marks of the announcements that it has published (announceAgain).

// luaUsers defines userOf, which returns the user in a record; userIn and userOut, which count a member of a user that
// joins or leaves; and userStays, for a member that is counted already. announce is empty if the user is not to be
// announced, 'new' if the user is to be announced, and 'known' if the user was announced before a failover. base is the
// beginning of the names of the keys.
const luaUsers = `
local function userOf(record) return string.match(record, '^%d+ {"moot.user":"(%x*)"') end
local function userChanged(base, room, user)
  redis.call('SADD', base .. 'ud:' .. room, user)
  redis.call('ZADD', base .. 'ua', 'NX', now, room)
end
local function userState(u, user)
  local v = redis.call('HGET', u, user) or '0'
  return tonumber(string.match(v, '^%d+')), string.match(v, '%+') or ''
end
local function userStays(base, room, user, announce)
  local u = base .. 'u:' .. room
  local n, mark = userState(u, user)
  if n == 0 then -- not counted by a node of an earlier version
    n = 1
    redis.call('HINCRBY', u, '', 1)
    redis.call('HSET', u, user, '1' .. mark)
  end
  if announce == 'known' then
    redis.call('HSET', u, user, string.format('%d', n) .. '+')
    redis.call('HSET', base .. 'ul:' .. room, 'j' .. user, 1)
    redis.call('PEXPIRE', base .. 'ul:' .. room, 60000)
  elseif announce == 'new' and mark == '' then
    userChanged(base, room, user)
  end
end
local function userIn(base, room, user, announce)
  local u = base .. 'u:' .. room
  if redis.call('EXISTS', base .. 'rn:' .. room, base .. 'ud:' .. room) == 0 then redis.call('DEL', u) end -- left by a node of an earlier version
  local n, mark = userState(u, user)
  if n == 0 then redis.call('HINCRBY', u, '', 1) end
  redis.call('HSET', u, user, string.format('%d', n + 1) .. mark)
  if announce ~= '' then userStays(base, room, user, announce) end
end
local function userOut(base, room, user)
  local u = base .. 'u:' .. room
  local n, mark = userState(u, user)
  if n > 1 then
    redis.call('HSET', u, user, string.format('%d', n - 1) .. mark)
  elseif n == 1 then
    local left = redis.call('HINCRBY', u, '', -1)
    if mark == '+' then
      redis.call('HSET', u, user, '0+')
      userChanged(base, room, user)
    else
      redis.call('HDEL', u, user)
      if left <= 0 and redis.call('HLEN', u) == 1 then redis.call('DEL', u) end
    end
  end
end
`

// unannouncedTime is the time in ms after which other nodes announce users that a node should have announced.
const unannouncedTime = "2000"

// mostAnnounced is the largest number of users in an announcement.
const mostAnnounced = 500

// announceMode returns the argument announce of addScript; see luaUsers.
func announceMode(m *cluster.MemberRecord, announced bool) string {
	switch {
	case !m.Announce || m.User == "":
		return ""
	case announced:
		return "known"
	}
	return "new"
}

// announceScript ends the announcement with the id done, if done is not empty, and answers with the next one: the word
// some, its id, number and text. It answers none if there is none, and wait if another process is announcing or the
// cluster recovers from a failover. The text of an announcement is <users>|<joined,...>|<left,...>; most is the largest
// number of users in it.
//
//	KEYS u ud ua un ul ug settling alive
//	ARGV process room id done most
var announceScript = redis.NewScript(luaNow + `
local last = redis.call('HMGET', KEYS[4], 'id', 'by', 'text', 'n', 'm')
if last[1] and last[1] == ARGV[4] then
  redis.call('HDEL', KEYS[4], 'id', 'by', 'text')
  last[1] = false
end
if redis.call('EXISTS', KEYS[6], KEYS[7]) > 0 then return {'wait'} end
if last[1] then
  local lease = last[2] ~= ARGV[1] and redis.call('ZSCORE', KEYS[8], last[2])
  if lease and tonumber(lease) > now then return {'wait'} end
  redis.call('HSET', KEYS[4], 'by', ARGV[1])
  return {'some', last[1], tonumber(last[4]), last[3]}
end
local joined, left = {}, {}
while #joined + #left < tonumber(ARGV[5]) do
  local user = redis.call('SRANDMEMBER', KEYS[2])
  if not user then break end
  redis.call('SREM', KEYS[2], user)
  local v = redis.call('HGET', KEYS[1], user)
  local n, mark = v and tonumber(string.match(v, '^%d+')) or 0, v and string.match(v, '%+')
  if n > 0 and not mark then
    redis.call('HSET', KEYS[1], user, v .. '+')
    redis.call('HDEL', KEYS[5], 'l' .. user)
    joined[#joined + 1] = user
  elseif n == 0 and mark then
    redis.call('HDEL', KEYS[1], user)
    local was = redis.call('HMGET', KEYS[5], 'l' .. user, 'j' .. user)
    if was[2] or not was[1] then left[#left + 1] = user end
  end
end
local users = tonumber(redis.call('HGET', KEYS[1], '') or 0)
if users <= 0 and redis.call('HLEN', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZREM', KEYS[3], ARGV[2]) end
if #joined + #left == 0 then return {'none'} end
local n = math.max(tonumber(last[4] or 0), tonumber(last[5] or 0)) + 1
local text = string.format('%d', users) .. '|' .. table.concat(joined, ',') .. '|' .. table.concat(left, ',')
redis.call('HDEL', KEYS[4], 'm')
redis.call('HSET', KEYS[4], 'id', ARGV[3], 'by', ARGV[1], 'text', text, 'n', string.format('%d', n))
redis.call('PEXPIRE', KEYS[4], 86400000)
redis.call('ZADD', KEYS[3], 'NX', now, ARGV[2])
return {'some', ARGV[3], n, text}`)

// announced is an announcement that this node has published, or is publishing.
type announced struct {
	at         time.Time
	room       cluster.RoomID
	id         string
	number     int64
	text       string
	publishing bool
}

// Announce implements cluster.Presence.
func (n *Node) Announce(ctx context.Context, room cluster.RoomID, publish func(context.Context, cluster.Announcement) error) (done bool, err error) {
	if err := n.up(ctx); err != nil {
		return false, err
	}
	seats := n.roster.unannounced(room)
	for last := ""; ; {
		a, err := n.nextAnnouncement(ctx, room, last)
		switch {
		case err != nil || a == nil:
			return false, err
		case a.id == "":
			n.roster.markAnnounced(seats)
			return true, nil
		}
		p, _ := n.at(room)
		p.removals.addUsers(*a)
		one, err := a.parse()
		if err != nil {
			n.malformed(p.keys.of("un"), err) // it is skipped
		} else if err := publish(ctx, one); err != nil {
			return false, err
		}
		p.removals.published(a.id)
		last = a.id
	}
}

// nextAnnouncement ends the announcement with the id last, and returns the next one. The result has no id if there is none.
// It is nil, without an error, if another node is announcing or the cluster recovers from a failover.
func (n *Node) nextAnnouncement(ctx context.Context, room cluster.RoomID, last string) (*announced, error) {
	p, key := n.at(room)
	k := p.keys
	keys := []string{k.of("u", key), k.of("ud", key), k.of("ua"), k.of("un", key), k.of("ul", key), k.of("ug"), k.of("settling"), k.of("alive")}
	var v values
	err := n.ask(ctx, "announce", func(ctx context.Context) (err error) {
		v, err = announceScript.Run(ctx, n.via(ctx), keys, n.process, key, rand.Text()[:20], last, mostAnnounced).Slice()
		return err
	})
	if err != nil {
		return nil, err
	}
	what, err := v.texts(0)
	switch {
	case err == nil && what[0] == "none":
		return &announced{}, nil
	case err == nil && what[0] == "wait":
		return nil, nil
	case len(v) != 4:
		return nil, fmt.Errorf("announce: %w", errValues)
	}
	number, err := v.number(2)
	texts, err2 := values{v[1], v[3]}.texts(0)
	if err != nil || err2 != nil {
		return nil, fmt.Errorf("announce: %w", errValues)
	}
	return &announced{at: time.Now(), room: room, id: texts[0], number: number, text: texts[1], publishing: true}, nil
}

func (a *announced) parse() (one cluster.Announcement, err error) {
	one.ID = a.id
	parts := strings.Split(a.text, "|")
	if len(parts) != 3 {
		return one, fmt.Errorf("%.80q is not an announcement", a.text)
	}
	if _, err := fmt.Sscan(parts[0], &one.Users); err != nil {
		return one, fmt.Errorf("%.80q is not an announcement: %w", a.text, err)
	}
	for i, list := range []*[]string{&one.Joined, &one.Left} {
		for digits := range strings.SplitSeq(parts[1+i], ",") {
			user, err := hex.DecodeString(digits)
			if err != nil {
				return one, fmt.Errorf("%.80q is not an announcement: %w", a.text, err)
			}
			if len(user) > 0 {
				*list = append(*list, string(user))
			}
		}
	}
	return one, nil
}

// addUsers notes an announcement, in place of the one with the same id.
func (r *removals) addUsers(a announced) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.users {
		if r.users[i].id == a.id {
			r.users[i] = a
			return
		}
	}
	r.users = append(r.users, a)
}

// published notes that an announcement was published.
func (r *removals) published(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.users {
		if r.users[i].id == id {
			r.users[i].publishing, r.users[i].at = false, time.Now()
		}
	}
}

func (r *removals) announcements() []announced {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]announced(nil), r.users...)
}

// announceAgainScript repeats the marks of an announcement that a failover has lost. If publishing is 1, it also records
// that the process is publishing the announcement.
//
//	KEYS u ud ua un ul
//	ARGV process room id number text publishing joined left
var announceAgainScript = redis.NewScript(luaNow + `
local last = redis.call('HMGET', KEYS[4], 'n', 'm')
if tonumber(ARGV[4]) <= tonumber(last[1] or 0) then return 0 end
if tonumber(ARGV[4]) > tonumber(last[2] or 0) then redis.call('HSET', KEYS[4], 'm', ARGV[4]) end
redis.call('PEXPIRE', KEYS[4], 86400000)
for user in string.gmatch(ARGV[7], '%x+') do
  local v = redis.call('HGET', KEYS[1], user) or '0'
  redis.call('HSET', KEYS[1], user, string.match(v, '^%d+') .. '+')
  redis.call('SADD', KEYS[2], user)
  redis.call('ZADD', KEYS[3], 'NX', now, ARGV[2])
end
for user in string.gmatch(ARGV[8], '%x+') do
  redis.call('HSET', KEYS[5], 'l' .. user, 1)
  redis.call('PEXPIRE', KEYS[5], 60000)
end
if ARGV[6] == '1' then redis.call('HSET', KEYS[4], 'id', ARGV[3], 'by', ARGV[1], 'text', ARGV[5]) end
return 1`)

// announceAgain keeps all nodes from announcing users for one lease, and repeats the marks of this node's announcements.
func (p *partition) announceAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*readTimeout)
	defer cancel()
	if err := p.n.client.Set(ctx, p.keys.of("ug"), 1, p.n.cfg.Lease).Err(); err != nil {
		return err
	}
	for _, a := range p.removals.announcements() {
		key, k, publishing := roomKey(a.room), p.keys, 0
		parts := strings.Split(a.text, "|")
		if a.publishing {
			publishing = 1
		}
		if len(parts) != 3 {
			continue
		}
		keys := []string{k.of("u", key), k.of("ud", key), k.of("ua"), k.of("un", key), k.of("ul", key)}
		if err := announceAgainScript.Run(ctx, p.n.client, keys, p.n.process, key, a.id, a.number, a.text, publishing, parts[1], parts[2]).Err(); err != nil {
			return err
		}
	}
	return nil
}

// offerUnannounced passes the rooms to Handler.Unannounced, each in a goroutine. rooms are keys of rooms.
func (p *partition) offerUnannounced(rooms []string) {
	for _, key := range rooms {
		room, err := parseRoomKey(key)
		if err != nil {
			p.n.malformed(p.keys.of("ua"), err)
			continue
		}
		if !p.n.begin() {
			return
		}
		go func() {
			defer p.n.tasks.Done()
			p.n.handler.Unannounced(p.n.life, room)
		}()
	}
}

// usersScript answers with the number of users in a room, and the values of some users: see u in keys.go.
//
//	KEYS u
//	ARGV user*
var usersScript = redis.NewScript(`return redis.call('HMGET', KEYS[1], '', unpack(ARGV))`)

// Users implements cluster.Presence.
func (n *Node) Users(ctx context.Context, room cluster.RoomID, names []string) (total int, members []int, err error) {
	p, key := n.at(room)
	members = make([]int, len(names))
	for from := 0; ; from += mostOfPage {
		some := names[min(from, len(names)):min(from+mostOfPage, len(names))]
		args := make([]any, len(some))
		for i, name := range some {
			args[i] = hex.EncodeToString([]byte(name))
		}
		var v values
		err := n.read(ctx, "users", func(ctx context.Context) (err error) {
			v, err = usersScript.Run(ctx, n.via(ctx), []string{p.keys.of("u", key)}, args...).Slice()
			return err
		})
		if err != nil || len(v) != 1+len(some) {
			return 0, nil, fmt.Errorf("users: %w", errorOr(err))
		}
		total = membersIn(v[0])
		for i := range some {
			members[from+i] = membersIn(v[1+i])
		}
		if from+mostOfPage >= len(names) {
			return max(0, total), members, nil
		}
	}
}

func errorOr(err error) error {
	if err == nil {
		return errValues
	}
	return err
}

// membersIn returns the number at the beginning of a value of u; 0 if there is none.
func membersIn(value any) (n int) {
	if s, ok := value.(string); ok {
		_, _ = fmt.Sscanf(s, "%d", &n) // a damaged value counts as 0
	}
	return n
}
