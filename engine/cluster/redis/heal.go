package redis

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Bounds of one read of missed messages.
const (
	healPage  = 64        // messages in one read
	healBytes = 512 << 10 // bytes in one read, unless the first message alone has more
)

// sinceScript reads the messages of a room after a position. It answers with the room's
// epoch, the offset of its last message, the offset at which the reader must go on, the former
// epochs with their last offsets, the latest first, the ids of messages that were retracted at or after the offset from
// which it reads, and pairs of offset and entry. The entry is empty if its message was retracted, or if a later amendment
// replaces it; see amend.go.
//
// The reader passes its last position in each of its latest epochs, the present one first. In an
// epoch that the room knows, the room and the reader agree up to the end of the epoch or the
// reader's position, whichever is first. The reader goes on after the last such offset. The
// present epoch of the reader need not be the newest one, because the reader may have been on a
// master with old data in between. If the room knows none of the epochs, the epochs were lost
// with a master, or the data is a backup. Offsets continue from epoch to epoch. Epochs that end
// at or before the reader's offset are therefore older than its own, and the reader goes on after
// them. The epoch of the present generation is newer.
//
//	KEYS state history gen am rt
//	ARGV limit bytes (epoch offset)*
var sinceScript = redis.NewScript(luaState + luaAmendments + `
local top, _, e, g, former = state(redis.call('GET', KEYS[1]))
if not top then return {'', '0', '0', '', ''} end
local from, ends = nil, {[e] = top}
for epoch, last in string.gmatch(former, '(%S+):(%d+)') do ends[epoch] = ends[epoch] or tonumber(last) end
for i = 3, #ARGV, 2 do
  local last = ends[ARGV[i]]
  if last then from = math.max(from or 0, math.min(last, tonumber(ARGV[i + 1])) + 1) end
end
if not from then
  from = 1
  if g == redis.call('GET', KEYS[3]) then ends[e] = nil end
  for _, last in pairs(ends) do
    if last <= tonumber(ARGV[4]) then from = math.max(from, last + 1) end
  end
end
local out, bytes = {e, tostring(top), tostring(from), former, table.concat(redis.call('ZRANGEBYSCORE', KEYS[5], from, '+inf'), ' ')}, 0
if from > top then return out end
local some = redis.call('XRANGE', KEYS[2], '0-' .. from, '0-' .. top, 'COUNT', ARGV[1])
if #some == 0 then return out end
local gone, edited = amendments(KEYS[4], from, tonumber(string.sub(some[#some][1], 3)))
local next = from
for _, x in ipairs(some) do
  local offset, entry = string.sub(x[1], 3), x[2][2]
  local n = tonumber(offset)
  if edited and edited[n] then entry = current(KEYS[2], entry, edited[n]) end
  bytes = bytes + #entry
  if bytes > tonumber(ARGV[2]) and #out > 5 then break end
  while gone and next < n and gone[next] do
    out[#out + 1] = string.format('%d', next)
    out[#out + 1] = ''
    next = next + 1
  end
  next = n + 1
  out[#out + 1] = offset
  out[#out + 1] = entry
end
return out`)

// heal delivers all messages that the room's stream has after the sub's position.
func (s *sub) heal(ctx context.Context, life uint64) error {
	for {
		page, err := s.p.since(ctx, s.key, s.places())
		if err != nil {
			s.healAgain(life)
			return err
		}
		if page.epoch == "" {
			return nil // the room has no messages yet
		}
		if !s.follow(ctx, life, page) || page.full(page.top) {
			return nil
		}
	}
}

// page is a part of a room's stream.
type page struct {
	position        // position of the room's last message
	from     uint64 // offset at which the reader goes on
	messages []envelope
	top      uint64 // offset of the last message of the room

	retracted map[string]bool // ids of messages that were retracted at or after from; nil: none
}

// full reports whether the page ends with the room's last message.
func (g *page) full(top uint64) bool {
	return g.from > top || len(g.messages) == 0 || g.messages[len(g.messages)-1].offset >= top
}

// follow delivers a page. It reports false if the subscription has ended.
func (s *sub) follow(ctx context.Context, life uint64, g page) bool {
	next := g.from
	for _, m := range g.messages {
		if ctx.Err() != nil {
			return false
		}
		s.missed(ctx, next, m.offset)
		next = m.offset + 1
		if !s.advance(life, m.position) {
			return false
		}
		if m.entry == "" || g.drops(m) {
			continue
		}
		s.p.n.counters.Healed.Add(1)
		s.pace(ctx, len(m.entry))
		s.deliver(ctx, life, m)
	}
	if !g.full(g.top) {
		return true
	}
	s.missed(ctx, next, g.top+1)
	return s.advance(life, position{g.epoch, g.top})
}

// missed reports messages from one offset up to another as lost, because the stream no longer has
// them.
func (s *sub) missed(ctx context.Context, from, to uint64) {
	if to <= from {
		return
	}
	s.reportLost(ctx, to-from, "the room no longer keeps them (cluster.heal)", "from", from, "to", to-1)
}

// paceBytes is the number of bytes of missed messages between calls of Pace.
const paceBytes = 64 << 10

// pace waits for the room's members during the delivery of missed messages.
func (s *sub) pace(ctx context.Context, bytes int) {
	if s.unpaced += bytes; s.unpaced > paceBytes {
		s.unpaced = bytes
		s.p.n.handler.Pace(ctx, s.room)
	}
}

func (p *partition) since(ctx context.Context, room string, places []position) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	keys := []string{p.keys.of("m", room), p.keys.of("h", room), p.keys.of("gen"), p.keys.of("am", room), p.keys.of("rt", room)}
	args := []any{healPage, healBytes}
	for _, pos := range places {
		args = append(args, pos.epoch, pos.offset)
	}
	v, err := sinceScript.Run(ctx, p.n.client, keys, args...).StringSlice()
	if err != nil {
		return page{}, err
	}
	g, err := parsePage(v)
	if err != nil {
		p.n.malformed(room, err)
	}
	return g, err
}

func parsePage(v []string) (page, error) {
	if len(v) < 5 || len(v)%2 == 0 || len(v[0]) > maxEpoch {
		return page{}, fmt.Errorf("malformed page of history: %d values", len(v))
	}
	g := page{position: position{epoch: v[0]}}
	var err error
	if g.top, err = parseOffset(v[1]); err != nil {
		return page{}, err
	}
	g.offset = g.top
	if g.from, err = parseOffset(v[2]); err != nil {
		return page{}, err
	}
	former, err := parseFormer(v[3])
	if err != nil {
		return page{}, err
	}
	for _, id := range strings.Fields(v[4]) {
		if g.retracted == nil {
			g.retracted = map[string]bool{}
		}
		g.retracted[id] = true
	}
	next := g.from
	for i := 5; i < len(v); i += 2 {
		offset, err := parseOffset(v[i])
		if err != nil || offset < next || offset > g.top {
			return page{}, fmt.Errorf("offset %.20q does not follow", v[i])
		}
		next = offset + 1
		g.messages = append(g.messages, envelope{position: position{g.epochOf(offset, former), offset}, entry: v[i+1]})
	}
	return g, nil
}

// parseFormer parses former epochs and their last offsets, "EPOCH:OFFSET EPOCH:OFFSET", the latest first.
func parseFormer(text string) (former []position, err error) {
	for _, f := range strings.Fields(text) {
		epoch, last, _ := strings.Cut(f, ":")
		offset, err := parseOffset(last)
		if err != nil || epoch == "" || len(epoch) > maxEpoch {
			return nil, fmt.Errorf("%.40q is not a former epoch", f)
		}
		former = append(former, position{epoch, offset})
	}
	return former, nil
}

// epochOf returns the epoch of a message. Nodes that received the message when it was published
// know it by this epoch, and a client that read it from history has a position in this epoch.
func (g *page) epochOf(offset uint64, former []position) string {
	epoch := g.epoch
	for _, f := range former {
		if offset > f.offset {
			break
		}
		epoch = f.epoch
	}
	return epoch
}
