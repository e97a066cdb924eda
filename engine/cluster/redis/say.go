package redis

// luaSay defines say, which gives a message its position in its room and publishes it, and done,
// which records the positions of the batch's rooms and returns the answer.
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
// The messages of history have the time of their arrival. They are the last messages without a
// gap: k is the offset of the first.
const luaSay = `
local function sayer(base, gen, command, token, window, roomBytes, tenantBytes, allBytes)
  local rooms, order = {}, {}
  local fewest, quiet, metaTTL = 256, 300000, 86400000

  -- What was said in the last span. The slots before are read only where this one is full enough for it.
  local function spent(key, span, delta, budget)
    local slot = math.floor(now * 4 / span)
    local sum = redis.call('HINCRBY', key, slot, delta)
    if sum == delta then redis.call('PEXPIRE', key, 2 * span) end
    if sum * 8 <= budget then return sum end
    local h = redis.call('HGETALL', key)
    sum = 0
    for i = 1, #h, 2 do
      if tonumber(h[i]) < slot - 4 then redis.call('HDEL', key, h[i]) else sum = sum + tonumber(h[i + 1]) end
    end
    return sum
  end

  local function mark(r, share, calm)
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
    elseif calm then
      local old = dropTo(now - quiet, roomBytes)
      if low > r.o - fewest then low = math.max(old, math.min(low, r.o - fewest)) end
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
    r.least, r.began = 0, r.b
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
  end

  -- The part of what was said in a window that its tenant, and all, may keep, and whether
  -- rooms may keep it for longer than a window.
  local function shares()
    local said, sum, out = {}, 0, {}
    for _, r in ipairs(order) do
      r.tenant = string.match(r.name, '^[^/]*')
      said[r.tenant] = (said[r.tenant] or 0) + r.b - r.began
      sum = sum + r.b - r.began
    end
    local all = allBytes / math.max(spent(base .. 'said', window, sum, allBytes), 1)
    local calm = spent(base .. 'saidlong', quiet, sum, allBytes) <= allBytes
    for tenant, bytes in pairs(said) do
      local mine = tenantBytes / math.max(spent(base .. 'said:' .. tenant, window, bytes, tenantBytes), 1)
      local long = spent(base .. 'saidlong:' .. tenant, quiet, bytes, tenantBytes)
      out[tenant] = {math.min(1, all, mine), calm and long <= tenantBytes}
    end
    return out
  end

  -- Keys live a little longer than they need, so that not each message must say so.
  local function done()
    local out = shares()
    for _, r in ipairs(order) do
      local share, calm = out[r.tenant][1], out[r.tenant][2]
      if now - r.a >= window * share / 8 and (r.o - r.ao >= 16 or share < 1) or r.b - r.c >= roomBytes / 8 then mark(r, share, calm) end
      local ttl = calm and r.ttl or math.min(r.ttl, window)
      ttl = math.max(math.ceil(math.min(ttl, math.max(share < 1 and window * share or ttl, 1000))), r.least)
      local slack = math.min(ttl, 30000)
      if r.ends < now + ttl or r.ends > now + 2 * (ttl + slack) then
        r.ends = now + ttl + slack
        redis.call('PEXPIRE', r.h, ttl + slack)
        redis.call('PEXPIRE', r.m, math.max(metaTTL, r.least) + 30000)
      end
      redis.call('HSET', r.m, 'o', r.o, 'w', struct.pack('>ddddddd', r.b, r.l, r.a, r.c, r.ao, r.ttl, r.ends))
    end
    return gen .. ' ' .. t[1] .. string.format('%06d', t[2])
  end
  return say, done
end
`
