package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// An amendment is an entry of its room's stream, and is published like a message. The script that
// publishes it also changes what the room's stream means to readers:
//
//   - A retraction deletes the message from the stream.
//   - The entry of an edit has the new version. The first version stays in the stream, at the offset of the
//     message; readers get the new version in its place.
//   - The previous amendment of the message is deleted from the stream.
//
// Readers find the amendments of a room in two sorted sets, which exist only if the room has amendments. Their keys
// expire after the stream.
//
//	am  offsets that are not messages: A<offset> of amendments and R<offset> of retracted messages, with their offset
//	    as the score; and E<offset> <last> of edited messages, with the offset of the last edit and -offset as the score
//	rt  the ids of the last 1,024 retracted messages, with the offsets of their retractions
//
// Nodes of earlier versions skip the entries of amendments. They cannot read a retracted message, because it is
// deleted, and take the gap in the offsets for missing messages.

// maxRetracted is the number of retractions that a room remembers.
const maxRetracted = "1024"

// luaAmendments defines three functions. firstOf returns the offset of the first of the room's last keep messages, at
// most 4*keep positions before top. amendments returns the offsets in a range that have no message, and the edited
// messages with the offsets of their last edits; nothing if the room has no amendments. current returns the entry of
// an edited message with the payload of its last edit.
const luaAmendments = `
local function firstOf(am, top, keep)
  if redis.call('EXISTS', am) == 0 then return top - keep + 1 end
  local low, high = math.max(1, top - 4 * keep + 1), math.max(1, top - keep + 1)
  while low < high do
    local mid = math.floor((low + high) / 2)
    if top - mid + 1 - redis.call('ZCOUNT', am, mid, top) > keep then low = mid + 1 else high = mid end
  end
  return low
end
local function amendments(am, from, to)
  if redis.call('EXISTS', am) == 0 then return end
  local gone, edited = {}, {}
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', am, from, to)) do gone[tonumber(string.sub(m, 2))] = true end
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', am, -to, -from)) do
    local offset, last = string.match(m, '^E(%d+) (%d+)$')
    if offset then edited[tonumber(offset)] = last end
  end
  return gone, edited
end
local function current(h, entry, last)
  local x = redis.call('XRANGE', h, '0-' .. last, '0-' .. last)[1]
  local payload = x and string.match(x[2][2], '^%S+ %S+ %S+ (.*)$')
  return payload and string.match(entry, '^%S+ %S+ ') .. payload or entry
end
`

// luaAmend is a part of luaSay: it defines amend, which publishes an amendment. amend ignores a second retraction of a
// message. It refuses an edit of a message that is not in history: it adds the number of the edit in the batch to refused.
//
// After a failover the message may have another offset. amend then searches the last messages for its id.
const luaAmend = `
  local refused, number = '', 0

  local function find(id, at)
    if at == 0 or keep == 0 or k == 0 then return end
    local mark = '"id":"' .. id .. '"'
    local function is(x) return x and byte(x[2][2]) == 49 and string.find(x[2][2], mark, 1, true) end
    local place = '0-' .. format('%d', at)
    if is(call('XRANGE', h, place, place)[1]) then return at end
    local last = o
    for _ = 1, 16 do
      if last < k then return end
      local some = call('XRANGE', h, '0-' .. format('%d', max(last - 127, 1)), '0-' .. format('%d', last))
      for i = #some, 1, -1 do
        if is(some[i]) then return tonumber(sub(some[i][1], 3)) end
      end
      last = last - 128
    end
  end

  local function amend(entry)
    local kind, id, at = match(entry, '^%S+ %S+ (%a):([%w_-]+):(%d+) ')
    if call('ZSCORE', rt, id) then
      if kind == 'E' then refused = refused .. '!' .. number end
      return
    end
    local target = find(id, tonumber(at))
    if kind == 'E' and not target then
      refused = refused .. '!' .. number
      return
    end
    say(entry)
    local offset = format('%d', o)
    if keep > 0 then call('ZADD', am, offset, 'A' .. offset) end
    if target then
      local place = format('%d', target)
      local before = call('ZRANGEBYSCORE', am, -target, -target)[1]
      if before then
        call('ZREM', am, before)
        call('XDEL', h, '0-' .. match(before, '%d+$'))
      end
      if kind == 'R' then
        call('XDEL', h, '0-' .. place)
        call('ZADD', am, place, 'R' .. place)
      else
        call('ZADD', am, '-' .. place, 'E' .. place .. ' ' .. offset)
      end
    end
    if kind == 'R' then
      call('ZADD', rt, offset, id)
      call('ZREMRANGEBYRANK', rt, 0, -1 - ` + maxRetracted + `)
    end
    local life = max(stateTTL, keep > 0 and keepFor or 0) + 60000
    call('PEXPIRE', am, life)
    call('PEXPIRE', rt, life)
  end
`

// luaLastVersion defines lastVersion, which returns the entry that replaces a staged message or edit when it is published
// again: the same with the payload of the last staged edit. It returns nothing for a retracted message, and for an edit that
// a later amendment replaces. Thus no node receives a version that was replaced before.
const luaLastVersion = `
local function lastVersion(room, entry)
  local kind, id = string.match(entry, '^amend %S+ (%a):([%w_-]+):')
  if kind == 'R' then return entry end
  if not kind then id = string.match(entry, '^1 .*"sentAt":%-?%d+,"id":"([%w_-]+)"') end
  if not id then return entry end
  if redis.call('ZSCORE', ARGV[1] .. 'rt:' .. room, id) then return end
  local last = redis.call('HGET', KEYS[7], room .. '/' .. id)
  if not last then return entry end
  if last == 'R' then return end
  local payload = string.sub(last, 22)
  if kind then return string.match(entry, '^%S+ %S+ %S+ (.*)$') == payload and entry or nil end
  return string.match(entry, '^%S+ %S+ ') .. payload
end
`

// amendedIn returns the amendments in batches as pairs of arguments of stageScript.
func amendedIn(batches []sent) (out []any) {
	for i := range batches {
		for _, m := range batches[i].messages {
			if !strings.HasPrefix(m.entry, amendVersion+" ") {
				continue
			}
			e, err := parseEntry(m.entry)
			switch {
			case err != nil:
			case e.retract:
				out = append(out, m.room+"/"+e.amends, "R")
			default:
				out = append(out, m.room+"/"+e.amends, fmt.Sprintf("%020d %s", batches[i].order, e.payload))
			}
		}
	}
	return out
}

func amendHeader(message string, at uint64, retract bool) string {
	kind := "E:"
	if retract {
		kind = "R:"
	}
	return kind + message + ":" + strconv.FormatUint(at, 10)
}

// parseAmendment parses an amendment after its version and its id.
func parseAmendment(id, text string) (entry, error) {
	header, payload, ok := strings.Cut(text, " ")
	parts := strings.Split(header, ":")
	if !ok || len(parts) != 3 || parts[0] != "E" && parts[0] != "R" || parts[1] == "" {
		return entry{}, fmt.Errorf("%.60q is not an amendment", text)
	}
	at, err := parseOffset(parts[2])
	if err != nil {
		return entry{}, err
	}
	return entry{id: id, payload: payload, amends: parts[1], at: at, retract: parts[0] == "R"}, nil
}

// Amend implements cluster.Broker.
func (n *Node) Amend(ctx context.Context, room cluster.RoomID, a cluster.Amendment, keep cluster.Retention) error {
	if err := n.up(ctx); err != nil {
		return err
	}
	return n.publish(ctx, room, form{version: amendVersion, header: amendHeader(a.Message, a.At, a.Retract) + " "}, a.Payload, keep)
}

// amendment returns the entry as the handler receives it.
func (e *entry) amendment() cluster.Amendment {
	return cluster.Amendment{Message: e.amends, At: e.at, Retract: e.retract, Payload: []byte(e.payload)}
}

// refused parses the first word of an answer of luaSay, "<generation>!<number>...", and returns the numbers of the refused
// edits in the batch, from 1; nil: none.
func refused(word string) map[int]bool {
	_, list, ok := strings.Cut(word, "!")
	if !ok {
		return nil
	}
	out := map[int]bool{}
	for number := range strings.SplitSeq(list, "!") {
		if k, err := strconv.Atoi(number); err == nil {
			out[k] = true
		}
	}
	return out
}

// drops reports whether a message of the page was retracted later.
func (g *page) drops(m envelope) bool {
	if len(g.retracted) == 0 {
		return false
	}
	e, err := parseEntry(m.entry)
	return err == nil && e.amends == "" && g.retracted[wire.PayloadID([]byte(e.payload))]
}
