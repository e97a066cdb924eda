package redis

// luaSay defines say, which gives a message its place in its room and publishes it, and
// done, which writes down how far the rooms are and answers with what the batch is told.
//
// A room's stream holds what nodes heal by: what was said in the last ARGV.window ms, at
// least 256 messages of the last 5 minutes, and what history is to have. It is trimmed
// at marks: now and then a room notes the time, its offset, and the bytes said in it so
// far; l is the offset at or below which everything may go. A mark is made after 16
// messages and an eighth of the window, or after an eighth of the room's bytes: a
// message costs no more for it. A stream of more than 1 MiB in which nothing is said any
// more goes after two windows, others after 5 minutes. A room whose bytes exceed its budget forgets sooner, and
// so do all rooms of a tenant, and of the partition, whose last window exceeds theirs.
//
// The messages that history is to have know when they came, and are the last ones
// without a gap: k is the offset of the first.
const luaSay = `
local function sayer(base, gen, command, token, window, roomBytes, tenantBytes, allBytes)
  local rooms, order = {}, {}
  local fewest, quiet, metaTTL = 256, 300000, 86400000

  local function spent(key, span, delta)
    local slot = math.floor(now * 4 / span)
    redis.call('HINCRBY', key, slot, delta)
    redis.call('PEXPIRE', key, 2 * span)
    local h, sum = redis.call('HGETALL', key), 0
    for i = 1, #h, 2 do
      if tonumber(h[i]) < slot - 4 then redis.call('HDEL', key, h[i]) else sum = sum + tonumber(h[i + 1]) end
    end
    return sum
  end

  local function mark(r)
    local tenant, delta = string.match(r.name, '^[^/]*'), r.b - r.c
    local mine = spent(base .. 'said:' .. tenant, window, delta)
    local all = spent(base .. 'said', window, delta)
    local long = spent(base .. 'saidlong:' .. tenant, quiet, delta)
    local share = math.min(1, tenantBytes / math.max(mine, 1), allBytes / math.max(all, 1))
    local marks = {}
    for t, o, b in string.gmatch(redis.call('HGET', r.m, 'mk') or '', '(%d+),(%d+),(%d+)') do
      marks[#marks + 1] = {tonumber(t), tonumber(o), tonumber(b)}
    end
    marks[#marks + 1] = {now, r.o, r.b}
    local function dropTo(horizon, most)
      local first, low = 1, r.l
      while first <= #marks and (marks[first][1] <= horizon or r.b - marks[first][3] > most) do
        low = math.max(low, marks[first][2])
        first = first + 1
      end
      return low, first
    end
    local low, first = dropTo(now - window, roomBytes)
    if share < 1 then
      local held = r.b - marks[math.max(first - 1, 1)][3]
      low, first = dropTo(now - window, math.min(roomBytes, held * share))
    elseif long <= tenantBytes then
      local calm = dropTo(now - quiet, roomBytes)
      if low > r.o - fewest then low = math.max(calm, math.min(low, r.o - fewest)) end
    end
    local kept = {}
    for i = math.max(1, math.min(first, #marks - 24)), #marks do
      kept[#kept + 1] = string.format('%.0f,%.0f,%.0f', marks[i][1], marks[i][2], marks[i][3])
    end
    r.a, r.c, r.ao, r.l = now, r.b, r.o, math.max(low, r.l)
    r.ttl = r.b - marks[math.max(first - 1, 1)][3] > 1048576 and 2 * window or quiet
    redis.call('HSET', r.m, 'mk', table.concat(kept, ';'))
  end

  local function open(name)
    local m = base .. 'm:' .. name
    local v = redis.call('HMGET', m, 'e', 'o', 'g', 'k', 'w')
    local r = {name = name, m = m, h = base .. 'h:' .. name, channel = base .. 'c:' .. name, e = v[1], o = tonumber(v[2] or 0), k = v[4]}
    if v[5] then
      r.b, r.l, r.a, r.c, r.ao, r.ttl, r.ends = struct.unpack('>ddddddd', v[5])
    else
      r.b, r.l, r.a, r.c, r.ao, r.ttl, r.ends = 0, 0, now, 0, r.o, quiet, 0
    end
    r.least = 0
    if not r.e or v[3] ~= gen then
      local past = {}
      if r.e then
        past[1] = r.e .. ':' .. r.o
        for epoch in string.gmatch(redis.call('HGET', m, 'q') or '', '%S+') do
          if #past < 8 then past[#past + 1] = epoch end
        end
      end
      r.e = token
      redis.call('HSET', m, 'e', token, 'g', gen, 's', r.o, 'q', table.concat(past, ' '))
      if r.o == 0 then redis.call('DEL', r.h) end
    end
    rooms[name] = r
    order[#order + 1] = r
    return r
  end

  local function say(name, entry, keep, keepFor)
    local r = rooms[name] or open(name)
    r.o, r.b = r.o + 1, r.b + #entry
    keep = tonumber(keep)
    local low = r.l
    if keep == 0 then
      if r.k then redis.call('HDEL', r.m, 'k') r.k = nil end
      if low > 0 then
        redis.call('XADD', r.h, 'MINID', '~', '0-' .. low + 1, '0-' .. r.o, 'd', entry)
      else
        redis.call('XADD', r.h, '0-' .. r.o, 'd', entry)
      end
    else
      if not r.k then redis.call('HSET', r.m, 'k', r.o) r.k = r.o end
      r.least = math.max(r.least, tonumber(keepFor))
      low = math.min(low, r.o - keep)
      if low > 0 then
        redis.call('XADD', r.h, 'MINID', '~', '0-' .. low + 1, '0-' .. r.o, 'd', entry, 't', now)
      else
        redis.call('XADD', r.h, '0-' .. r.o, 'd', entry, 't', now)
      end
    end
    redis.call(command, r.channel, r.e .. ':' .. r.o .. ':' .. entry)
    if r.o - r.ao >= 16 and now - r.a >= window / 8 or r.b - r.c >= roomBytes / 8 then mark(r) end
  end

  -- Keys live a little longer than they need, so that not each message must say so.
  local function done()
    for _, r in ipairs(order) do
      local ttl = math.max(r.ttl, r.least)
      if r.ends < now + ttl or r.ends > now + 2 * ttl + 60000 then
        r.ends = now + ttl + 30000
        redis.call('PEXPIRE', r.h, ttl + 30000)
        redis.call('PEXPIRE', r.m, math.max(metaTTL, r.least) + 30000)
      end
      redis.call('HSET', r.m, 'o', r.o, 'w', struct.pack('>ddddddd', r.b, r.l, r.a, r.c, r.ao, r.ttl, r.ends))
    end
    return gen .. ' ' .. t[1] .. string.format('%06d', t[2])
  end
  return say, done
end
`
