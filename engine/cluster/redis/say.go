package redis

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mootchat/moot/engine/cluster"
)

// The state of a room is one string, because it is read and written with each message:
//
//	bytes 1-72    9 numbers: offset of the last message, offset of the first message of history (0: none), bytes so
//	              far, offset up to which to trim, time, bytes and offset of the last mark, TTL of the stream, its end
//	bytes 73-88   epoch
//	bytes 89-108  generation
//	then          former epochs and their last offsets, a line feed, and marks
const stateTop = 88 // bytes of a state up to the end of the epoch

// luaState defines state, which returns the offset of the last message, the offset of the first
// message of history, the epoch, the generation and the former epochs of a room's state.
// Without a state it returns nothing. newState returns the state of a room without messages. A state
// has less than 2 KiB. A longer one is damaged, and is treated as missing: to search it could take
// minutes, in which Redis serves nobody.
const luaState = `
local numbers, maxState, onceTTL = '>ddddddddd', 4096, 86400000
local function newState(now, epoch, gen)
  return struct.pack(numbers, 0, 0, 0, 0, now, 0, 0, 300000, 0) .. epoch .. gen .. '\n'
end
local function state(w)
  if not w or #w > maxState then return end
  local o, k = struct.unpack('>dd', w)
  return o, k, string.sub(w, 73, 88), string.sub(w, 89, 108), string.match(w, '^[^\n]*', 109)
end
`

// parseState returns the position in the first stateTop bytes of a state; "" is the state of a
// room without messages.
func parseState(w string) (position, error) {
	if w == "" {
		return position{}, nil
	}
	if len(w) < stateTop {
		return position{}, fmt.Errorf("%q is not the state of a room", w)
	}
	offset := math.Float64frombits(binary.BigEndian.Uint64([]byte(w[:8])))
	if !(offset >= 0 && offset <= maxOffset) {
		return position{}, fmt.Errorf("%q is not the state of a room: offset %v", w, offset)
	}
	return position{w[stateTop-16 : stateTop], uint64(offset)}, nil
}

// luaSay defines publish, which gives messages their positions in their rooms, publishes them and
// returns the answer.
//
// items are the messages, from index at: "@BYTES TENANT" begins the rooms of a tenant and has the
// bytes of its messages, "=KEEP KEEPFOR KEEPBYTES" sets the retention of the rooms that follow, ":ROOM"
// begins the messages of a room, "^ID" precedes an entry of PublishOnce, and other items are entries.
// total is the bytes of all entries.
//
// A room's stream has the messages with which nodes heal: those of the last window ms, at least
// 256 of the last 5 minutes, and the room's history. The stream is trimmed at marks. A mark has a
// time, an offset, and the bytes of the room's messages until then; l is the offset up to which
// messages may be dropped. A room makes a mark after 16 messages and an eighth of the window, or
// after an eighth of the room's bytes. The stream of a silent room expires: after two windows if
// it has more than 1 MiB, otherwise after 5 minutes. A room that exceeds its budget of bytes
// drops messages sooner.
//
// Each batch counts the bytes of its tenants. If the bytes of a tenant, or of a partition, in the
// last window exceed the budget, its rooms keep only their share: busy rooms make marks sooner,
// and streams of silent rooms expire after that share of the window. If the bytes of the last 5
// minutes exceed the budget, streams expire after a window.
//
// The messages of history have the time of their arrival, and the bytes of the room's messages
// before them. They are the last messages without a gap: k is the offset of the first. Whenever a
// room has a further eighth of its KEEPBYTES, k becomes the first of the messages that need at most
// seven eighths.
//
// amend publishes the entries of amendments; see luaAmend.
//
// Strings cost a script more than commands do, because Lua hashes each of them. A room's numbers
// are therefore one string, and a stream is trimmed once in 16 messages.
const luaSay = luaState + luaAmendments + `
local function publish(items, at, total, base, gen, command, token, window, roomBytes, tenantBytes, allBytes)
  local call, sub, byte, format, match, pack, max, min = redis.call, string.sub, string.byte, string.format, string.match, struct.pack, math.max, math.min
  local fewest, quiet, stateTTL = 256, 300000, 86400000
  local stamp = format('%.0f', now)
  -- Of a tenant: the part of its messages that rooms may keep, and whether they may keep it for longer than a window.
  local share, calm = 1, true
  -- Of a room: its retention, keys, epoch and numbers.
  local keep, keepFor, keepBytes, m, h, am, rt, channel, epoch = 0, 0, 0
  local o, k, b, l, a, c, ao, ttl, ends, began
  -- Of an entry of PublishOnce: the key of its id.
  local once

  -- What was said in the last span. The slots before are read only where this one is full enough for it.
  local function spent(key, span, delta, budget)
    local slot = math.floor(now * 4 / span)
    local sum = call('HINCRBY', key, slot, delta)
    if sum == delta then call('PEXPIRE', key, 2 * span) end
    if sum * 8 <= budget then return sum end
    local slots = call('HGETALL', key)
    sum = 0
    for i = 1, #slots, 2 do
      if tonumber(slots[i]) < slot - 4 then call('HDEL', key, slots[i]) else sum = sum + tonumber(slots[i + 1]) end
    end
    return sum
  end

  local allShare = allBytes / max(spent(base .. 'said', window, total, allBytes), 1)
  local allCalm = spent(base .. 'saidlong', quiet, total, allBytes) <= allBytes

  local function beginTenant(item)
    local bytes, tenant = match(item, '^@(%d+) (.*)$')
    bytes = tonumber(bytes)
    share = min(1, allShare, tenantBytes / max(spent(base .. 'said:' .. tenant, window, bytes, tenantBytes), 1))
    calm = spent(base .. 'saidlong:' .. tenant, quiet, bytes, tenantBytes) <= tenantBytes and allCalm
  end

  local function mark()
    local w, marks = call('GET', m), {}
    if #w > maxState then w = sub(w, 1, 108) .. '\n' end -- damaged
    for t, o, b in string.gmatch(match(w, '\n.*', 109) or '', '(%d+),(%d+),(%d+)') do
      marks[#marks + 1] = {min(tonumber(t), now), tonumber(o), tonumber(b)} -- the clock may have gone back
    end
    marks[#marks + 1] = {now, o, b}
    local function dropTo(horizon, most)
      local first, low = 1, l
      while first <= #marks and (marks[first][1] <= horizon or b - marks[first][3] > most) do
        low = max(low, marks[first][2])
        first = first + 1
      end
      return low, first
    end
    local low, first = dropTo(now - window, roomBytes)
    if share < 1 then
      local held = b - marks[max(first - 1, 1)][3]
      low, first = dropTo(now - window, min(roomBytes, held * share))
    elseif calm then
      local old = dropTo(now - quiet, roomBytes)
      if low > o - fewest then low = max(old, min(low, o - fewest)) end
    end
    local kept = {}
    for i = max(1, min(first, #marks - 24)), #marks do
      kept[#kept + 1] = format('%.0f,%.0f,%.0f', marks[i][1], marks[i][2], marks[i][3])
    end
    a, c, ao, l = now, b, o, max(low, l)
    ttl = b - marks[max(first - 1, 1)][3] > 1048576 and 2 * window or quiet
    call('SET', m, sub(w, 1, 108) .. match(w, '^[^\n]*', 109) .. '\n' .. table.concat(kept, ';'), 'KEEPTTL')
  end

  local function beginEpoch()
    local w, past = call('GET', m), {}
    local top, _, e, _, former = state(w)
    if top then
      past[1] = e .. ':' .. format('%.0f', top)
      for old in string.gmatch(former, '%S+') do
        if #past < 8 then past[#past + 1] = old end
      end
      w = sub(w, 1, 72) .. token .. gen .. table.concat(past, ' ') .. match(w, '\n.*', 109)
    else
      w = newState(now, token, gen)
    end
    call('SET', m, w, 'KEEPTTL')
    if not top or top == 0 then call('DEL', h, am, rt) end
    return w
  end

  local function beginRoom(item)
    m, h, channel = base .. 'm' .. item, base .. 'h' .. item, base .. 'c' .. item
    am, rt = base .. 'am' .. item, base .. 'rt' .. item
    local w = call('GETRANGE', m, 0, 107)
    if sub(w, 89, 108) ~= gen then w = beginEpoch() end
    o, k, b, l, a, c, ao, ttl, ends = struct.unpack(numbers, w)
    a, epoch, began = min(a, now), sub(w, 73, 88) .. ':', b
  end

  local function trim(low)
    if call('EXISTS', am) == 0 then
      call('XTRIM', h, 'MINID', '~', format('0-%d', low + 1))
      return
    end
    if keep > 0 then low = min(l, max(firstOf(am, o, keep), k) - 1) end
    if low > 0 then call('XTRIM', h, 'MINID', '~', format('0-%d', low + 1)) end
    local x = call('XRANGE', h, '-', '+', 'COUNT', 1)[1]
    local first = x and sub(x[1], 3)
    if first then call('ZREMRANGEBYSCORE', am, '(-' .. first, '(' .. first) end
  end

  local function say(entry)
    local first = once
    if first then
      once = nil
      if call('EXISTS', first) == 1 then return end
    end
    o, b = o + 1, b + #entry
    local offset, low = format('%d', o), l
    if first then call('SET', first, epoch .. offset, 'PX', onceTTL) end
    if keep == 0 then
      k = 0
      call('XADD', h, '0-' .. offset, 'd', entry)
    else
      if k == 0 then k = o end
      low = min(low, max(o - keep, k - 1))
      call('XADD', h, '0-' .. offset, 'd', entry, 't', stamp, 'b', format('%.0f', b - #entry))
    end
    if low > 0 and (o % 16 == 0 or #entry > 1024) then trim(low) end
    call(command, channel, epoch .. offset .. ':' .. entry)
  end
` + luaAmend + `
  local function boundHistory()
    local step = keepBytes / 8
    if keep == 0 or keepBytes == 0 or math.floor(b / step) == math.floor(began / step) then return end
    local low, high = k, o
    for _ = 1, 53 do -- enough for all offsets; numbers that are damaged have no end
      if low >= high then break end
      local mid = math.floor((low + high) / 2)
      local x = call('XRANGE', h, '0-' .. format('%d', mid), '0-' .. format('%d', o), 'COUNT', 1)[1]
      local before = x and tonumber(x[2][6])
      if before and b - before <= keepBytes - step then high = mid else low = mid + 1 end
    end
    k = low
  end

  -- Keys live a little longer than they need, so that not each message must say so.
  local function endRoom()
    if not m then return end
    boundHistory()
    if now - a >= window * share / 8 and (o - ao >= 16 or share < 1) or b - c >= roomBytes / 8 then mark() end
    local least = keep > 0 and keepFor or 0
    local life = calm and ttl or min(ttl, window)
    life = max(math.ceil(min(life, max(share < 1 and window * share or life, 1000))), least)
    local slack = min(life, 30000)
    if ends < now + life or ends > now + 2 * (life + slack) then
      ends = now + life + slack
      call('PEXPIRE', h, life + slack)
      call('PEXPIRE', m, max(stateTTL, least) + 30000)
      call('PEXPIRE', am, max(stateTTL, least) + 60000)
      call('PEXPIRE', rt, max(stateTTL, least) + 60000)
    end
    call('SETRANGE', m, 0, pack(numbers, o, k, b, l, a, c, ao, ttl, ends))
    m = nil
  end

  for i = at, #items do
    local item = items[i]
    local kind = byte(item)
    if kind == 49 then -- 1
      say(item)
    elseif kind == 58 then -- :
      endRoom()
      beginRoom(item)
    elseif kind == 61 then -- =
      endRoom()
      keep, keepFor, keepBytes = match(item, '^=(%d+) (%d+) (%d+)$')
      keep, keepFor, keepBytes = tonumber(keep), tonumber(keepFor), tonumber(keepBytes)
    elseif kind == 64 then -- @
      endRoom()
      beginTenant(item)
    elseif kind == 94 then -- ^
      once = base .. 'o' .. sub(m, #base + 2) .. ' ' .. sub(item, 2)
    else
      number = number + 1
      if kind == 97 then amend(item) else say(item) end -- a
    end
  end
  endRoom()
  return gen .. refused .. ' ' .. t[1] .. format('%06d', t[2])
end
`

// items appends the number of a batch's last message, the bytes of its entries, and its messages in
// the form of luaSay. It sorts the batch by room; the messages of a room keep their order.
func items(args []any, batch []*queuedMessage) []any {
	total, number := 0, uint64(0)
	for _, item := range batch {
		total += len(item.entry)
		number = max(number, item.number)
	}
	slices.SortStableFunc(batch, func(a, b *queuedMessage) int { return strings.Compare(a.room, b.room) })
	args = append(args, number, total)
	var last *message
	for i, item := range batch {
		m := &item.message
		if last == nil || !sameTenant(last.room, m.room) {
			args = append(args, tenantItem(batch[i:]))
		}
		keeps := last != nil && last.keep == m.keep
		if !keeps {
			args = append(args, keepItem(m.keep))
		}
		if !keeps || last.room != m.room {
			args = append(args, ":"+m.room)
		}
		if item.once != "" {
			args = append(args, "^"+item.once)
		}
		args = append(args, &m.entry)
		last = m
	}
	return args
}

// sameTenant reports whether two keys of rooms begin with the same tenant.
func sameTenant(a, b string) bool {
	n := strings.IndexByte(a, '/') + 1
	return len(b) >= n && a[:n] == b[:n]
}

// tenantItem returns the item that begins the tenant of the first message of a sorted batch.
func tenantItem(batch []*queuedMessage) string {
	first, bytes := batch[0].room, 0
	for _, item := range batch {
		if !sameTenant(first, item.room) {
			break
		}
		bytes += len(item.entry)
	}
	tenant, _, _ := strings.Cut(first, "/")
	return "@" + strconv.Itoa(bytes) + " " + tenant
}

func keepItem(keep cluster.Retention) string {
	return "=" + strconv.Itoa(max(keep.Messages, 0)) + " " + keepForBytes(keep)
}

// keepForBytes returns the KEEPFOR and KEEPBYTES of luaSay.
func keepForBytes(keep cluster.Retention) string {
	return fmt.Sprintf("%d %d", max(keep.For.Milliseconds(), 0), max(keep.Bytes, 0))
}
