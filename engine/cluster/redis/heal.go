package redis

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// healPage is how many messages are read from history at once.
const (
	healPage  = 64
	healBytes = 512 << 10 // and their bytes, unless the first alone has more
)

// sinceScript reads what a room has after a position: its epoch, the offset of its last
// message, that of the first one to be read, and pairs of offset and entry.
//
// The reader tells the last position that it has in each of its latest epochs, the
// newest first. The first of them that the room's past knows says where the two part:
// after it a new master may have had less than was heard, or something else. Where the
// past knows none of them, the reader's epochs are lost, with a master or because the data
// is older than they are. Offsets go on from epoch to epoch: the epochs that end at or
// before the reader's offset are older than its own, and it reads what is after them. An
// epoch of this generation is newer.
//
// KEYS meta history gen   ARGV limit bytes (epoch offset)*
var sinceScript = redis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'e', 'o', 'q', 'g')
if not m[1] then return {'', '0', '0'} end
local top, from, ends = tonumber(m[2]), nil, {[m[1]] = tonumber(m[2])}
for epoch, last in string.gmatch(m[3] or '', '(%S+):(%d+)') do ends[epoch] = ends[epoch] or tonumber(last) end
for i = 3, #ARGV, 2 do
  local last = ends[ARGV[i]]
  if last then
    from = math.min(last, tonumber(ARGV[i + 1])) + 1
    break
  end
end
if not from then
  from = 1
  if m[4] == redis.call('GET', KEYS[3]) then ends[m[1]] = nil end
  for _, last in pairs(ends) do
    if last <= tonumber(ARGV[4]) then from = math.max(from, last + 1) end
  end
end
local out, bytes = {m[1], m[2], tostring(from)}, 0
if from > top then return out end
for _, x in ipairs(redis.call('XRANGE', KEYS[2], '0-' .. from, '0-' .. top, 'COUNT', ARGV[1])) do
  bytes = bytes + #x[2][2]
  if bytes > tonumber(ARGV[2]) and #out > 3 then break end
  out[#out + 1] = string.sub(x[1], 3)
  out[#out + 1] = x[2][2]
end
return out`)

// heal hands over all that history has after the room's position.
func (s *sub) heal(ctx context.Context, life uint64) error {
	for {
		page, err := s.p.since(ctx, s.key, s.places())
		if err != nil {
			s.again(life)
			return err
		}
		if page.epoch == "" {
			return nil // nothing is known of the room: what comes next will tell
		}
		if !s.follow(ctx, life, page) || page.full(page.top) {
			return nil
		}
	}
}

// page is a part of a room's history.
type page struct {
	position        // where the room is: its epoch, its last offset
	from     uint64 // where the page begins
	messages []envelope
	top      uint64 // offset
}

// full says whether the page's end is the room's.
func (g *page) full(top uint64) bool {
	return g.from > top || len(g.messages) == 0 || g.messages[len(g.messages)-1].offset >= top
}

// follow hands a page over; false if the room was unsubscribed meanwhile.
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

// missed notes that messages from one offset up to another were forgotten before they
// were read.
func (s *sub) missed(ctx context.Context, from, to uint64) {
	if to <= from {
		return
	}
	s.lost(ctx, to-from, "the room had forgotten them (cluster.heal)", "from", from, "to", to-1)
}

// paceBytes is how much is handed over at once of what was said earlier.
const paceBytes = 64 << 10

// pace waits for the room's members, of what comes faster than it was said.
func (s *sub) pace(ctx context.Context, bytes int) {
	if s.unpaced += bytes; s.unpaced > paceBytes {
		s.unpaced = bytes
		s.p.n.handler.Pace(ctx, s.room)
	}
}

func (p *partition) since(ctx context.Context, room string, places []position) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	keys := []string{p.keys.of("m", room), p.keys.of("h", room), p.keys.of("gen")}
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
	if len(v) < 3 || len(v)%2 != 1 || len(v[0]) > maxEpoch {
		return page{}, fmt.Errorf("%d values are no page of history", len(v))
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
	next := g.from
	for i := 3; i < len(v); i += 2 {
		offset, err := parseOffset(v[i])
		if err != nil || offset < next || offset > g.top {
			return page{}, fmt.Errorf("offset %.20q does not follow", v[i])
		}
		next = offset + 1
		g.messages = append(g.messages, envelope{position: position{g.epoch, offset}, entry: v[i+1]})
	}
	return g, nil
}
