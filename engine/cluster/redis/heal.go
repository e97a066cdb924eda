package redis

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// healPage is how many messages are read from history at once.
const healPage = 64

// sinceScript reads what a room has after a position: its epoch, the offset of its
// last message, that of the first one to be read, and pairs of offset and entry.
// In an epoch that began before the position it is read from its beginning: a new
// master may have had less than was heard.
//
// KEYS meta history   ARGV epoch offset limit
var sinceScript = redis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'e', 'o', 's')
if not m[1] then return {'', '0', '0'} end
local top, start, from = tonumber(m[2]), tonumber(m[3]), tonumber(ARGV[2]) + 1
if m[1] ~= ARGV[1] and start < from - 1 then from = start + 1 end
local out = {m[1], m[2], tostring(from)}
if from > top then return out end
for _, x in ipairs(redis.call('XRANGE', KEYS[2], '0-' .. from, '0-' .. top, 'COUNT', ARGV[3])) do
  out[#out + 1] = string.sub(x[1], 3)
  out[#out + 1] = x[2][2]
end
return out`)

// heal hands over all that history has after the room's position.
func (s *sub) heal(ctx context.Context, life uint64) error {
	for {
		s.mu.Lock()
		pos := s.pos
		s.mu.Unlock()
		page, err := s.p.since(ctx, s.key, pos)
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
		s.missed(next, m.offset)
		next = m.offset + 1
		if !s.advance(life, m.position) {
			return false
		}
		s.p.n.counters.Healed.Add(1)
		s.deliver(ctx, life, m)
	}
	if !g.full(g.top) {
		return true
	}
	s.missed(next, g.top+1)
	return s.advance(life, position{g.epoch, g.top})
}

// missed notes that messages from one offset up to another have left history
// before they were read.
func (s *sub) missed(from, to uint64) {
	if to > from {
		s.p.n.counters.Gaps.Add(int64(to - from))
		s.p.n.cfg.Log.Error("messages of a room were lost to this node", "room", s.key, "from", from, "to", to-1)
	}
}

func (p *partition) since(ctx context.Context, room string, pos position) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	keys := []string{p.keys.of("m", room), p.keys.of("h", room)}
	v, err := sinceScript.Run(ctx, p.n.client, keys, pos.epoch, pos.offset, healPage).StringSlice()
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
