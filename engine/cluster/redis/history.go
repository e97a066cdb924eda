package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// readScript reads history after a position: the epoch, the offset of the room's last message, 1
// if messages are missing, the former epochs with their last offsets, and pairs of offset and entry; see amend.go. If a
// room has no position, it begins an epoch. A binary search finds the first message that is young enough: later offsets
// have later times, and an offset without an entry counts as the next one.
//
// It answers ? while the generation is unsettled, because lost messages may be published again.
//
//	KEYS gen state history settling am rt
//	ARGV epoch offset limit keep keepFor newEpoch stateTTL
var readScript = redis.NewScript(luaNow + luaState + luaAmendments + `
if redis.call('EXISTS', KEYS[4]) == 1 then return {'?'} end
local top, k, e, _, former = state(redis.call('GET', KEYS[2]))
if not top then
  top, k, e, former = 0, 0, ARGV[6], ''
  redis.call('SET', KEYS[2], newState(now, e, redis.call('GET', KEYS[1]) or string.rep('-', 20)))
  redis.call('DEL', KEYS[3], KEYS[5], KEYS[6])
end
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[7]) then redis.call('PEXPIRE', KEYS[2], ARGV[7]) end
local after, limit, keep = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if e ~= ARGV[1] or after > top then return {e, tostring(top), 1, former} end
local first = top + 1
if k > 0 and keep > 0 then first = math.max(k, firstOf(KEYS[5], top, keep)) end
local from = math.max(after + 1, first)
local missing = from > after + 1
local function at(offset)
  return redis.call('XRANGE', KEYS[3], '0-' .. offset, '0-' .. top, 'COUNT', 1)[1]
end
local oldest = now - tonumber(ARGV[5])
local function young(x) return x and x[2][4] and tonumber(x[2][4]) >= oldest end
if from <= top and not young(at(from)) then
  missing = true
  local low, high = from + 1, top + 1
  while low < high do
    local mid = math.floor((low + high) / 2)
    if young(at(mid)) then high = mid else low = mid + 1 end
  end
  from = low
end
local out = {e, tostring(top), missing and 1 or 0, former}
if from > top or limit == 0 then return out end
local some = redis.call('XRANGE', KEYS[3], '0-' .. from, '0-' .. top, 'COUNT', limit)
if #some == 0 then return out end
local gone, edited = amendments(KEYS[5], from, tonumber(string.sub(some[#some][1], 3)))
local next = from
for _, x in ipairs(some) do
  local offset = string.sub(x[1], 3)
  local n = tonumber(offset)
  while gone and next < n and gone[next] do next = next + 1 end
  if n ~= next then out[3] = 1 end
  next = n + 1
  out[#out + 1] = offset
  out[#out + 1] = edited and edited[n] and current(KEYS[3], x[2][2], edited[n]) or x[2][2]
end
return out`)

// readPage is the number of messages that one script reads.
const readPage = 200

// Read implements cluster.History.
func (n *Node) Read(ctx context.Context, room cluster.RoomID, after cluster.Position, limit int, keep cluster.Retention) (cluster.Page, error) {
	if limit < 0 {
		return cluster.Page{}, fmt.Errorf("history: limit %d: must be 0 or more", limit)
	}
	if err := n.up(ctx); err != nil {
		return cluster.Page{}, err
	}
	if len(after.Epoch) > maxEpoch || after.Offset > maxOffset {
		after = cluster.Position{} // no room has an epoch of this length
	}
	all, err := n.readOnce(ctx, room, after, min(limit, readPage), keep)
	for err == nil && len(all.Messages) > 0 && len(all.Messages)%readPage == 0 && len(all.Messages) < limit {
		var more cluster.Page
		after = cluster.Position{Epoch: all.Top.Epoch, Offset: all.Messages[len(all.Messages)-1].Offset}
		if more, err = n.readOnce(ctx, room, after, min(limit-len(all.Messages), readPage), keep); err != nil {
			break
		}
		all.Missing = all.Missing || more.Missing
		if len(more.Messages) == 0 {
			break
		}
		all.Messages = append(all.Messages, more.Messages...)
		all.Top, all.Former = more.Top, more.Former
	}
	return all, err
}

func (n *Node) readOnce(ctx context.Context, room cluster.RoomID, after cluster.Position, limit int, keep cluster.Retention) (cluster.Page, error) {
	p, key := n.at(room)
	keys := []string{p.keys.of("gen"), p.keys.of("m", key), p.keys.of("h", key), p.keys.of("settling"), p.keys.of("am", key), p.keys.of("rt", key)}
	var v values
	err := n.read(ctx, "history", func(ctx context.Context) (err error) {
		v, err = readScript.Run(ctx, n.client, keys, after.Epoch, after.Offset, limit, max(keep.Messages, 0),
			max(keep.For.Milliseconds(), 0), token(), max(stateTTL, keep.For).Milliseconds()).Slice()
		if err == nil && len(v) == 1 {
			p.publisher.settleSoon()
			err = errUnsettled
		}
		return err
	})
	if err != nil {
		return cluster.Page{}, err
	}
	page, bad, err := parseHistory(v)
	if bad != nil {
		n.malformed(key, bad)
	}
	return page, err
}

// parseHistory parses the answer of readScript. It omits malformed entries: then page.Missing is
// true, and bad is the error of one of them.
func parseHistory(v values) (page cluster.Page, bad, err error) {
	missing, err := v.number(2)
	if err != nil || len(v)%2 != 0 {
		return page, nil, fmt.Errorf("history: %w", errValues)
	}
	texts, err := append(v[:2:2], v[3:]...).texts(0)
	if err != nil || texts[0] == "" || len(texts[0]) > maxEpoch {
		return page, nil, fmt.Errorf("history: %w", errValues)
	}
	page.Top.Epoch, page.Missing = texts[0], missing != 0
	if page.Top.Offset, err = parseOffset(texts[1]); err != nil {
		return page, nil, fmt.Errorf("history: %w", err)
	}
	former, err := parseFormer(texts[2])
	if err != nil {
		return page, nil, fmt.Errorf("history: %w", err)
	}
	for _, f := range former {
		page.Former = append(page.Former, cluster.Position{Epoch: f.epoch, Offset: f.offset})
	}
	last := uint64(0)
	for i := 3; i+1 < len(texts); i += 2 {
		offset, err := parseOffset(texts[i])
		if err != nil || offset <= last || offset > page.Top.Offset {
			return cluster.Page{}, nil, fmt.Errorf("history: offset %.20q does not follow", texts[i])
		}
		last = offset
		e, err := parseEntry(texts[i+1])
		if err != nil {
			page.Missing = true
			if !errors.Is(err, errVersion) {
				bad = err
			}
			continue
		}
		if e.gap {
			page.Missing = true
			continue
		}
		page.Messages = append(page.Messages, cluster.StoredMessage{Offset: offset, Payload: []byte(e.payload), Amends: e.amends, Retract: e.retract})
	}
	return page, bad, nil
}
