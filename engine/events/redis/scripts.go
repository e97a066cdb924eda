package redis

import "github.com/redis/go-redis/v9"

// luaCommon is the common part of the scripts.
//
// KEYS due   ARGV base ageOrLimits... ; base is the common beginning of the keys of a partition
const luaCommon = `
local base = ARGV[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local function size(entry)
  local n = 150
  for i = 2, #entry, 2 do n = n + #entry[i] end
  return n
end
local function count(kind, tenant, sink, n)
  if redis.call('HINCRBY', base .. ':u', kind .. '/' .. tenant, n) <= 0 then redis.call('HDEL', base .. ':u', kind .. '/' .. tenant) end
  redis.call('HINCRBY', base .. ':u', kind, n)
  redis.call('HINCRBY', base .. ':s:' .. tenant .. '/' .. sink, kind == 'e' and 'bytes' or 'dead', n)
end
-- tally counts events that leave the store without a delivery: aged, crowded or dropped.
local function tally(what, n) redis.call('HINCRBY', base .. ':u', what, n) end
local function used(kind) return tonumber(redis.call('HGET', base .. ':u', kind) or '0') end
local function put(kind, tenant, sink, entry)
  redis.call('XADD', base .. ':' .. kind .. ':' .. tenant .. '/' .. sink, '*', unpack(entry))
  count(kind, tenant, sink, size(entry))
end
-- take removes an entry and returns its fields, or nil.
local function take(kind, tenant, sink, id)
  local key = base .. ':' .. kind .. ':' .. tenant .. '/' .. sink
  local found = redis.call('XRANGE', key, id, id)
  if #found == 0 then return nil end
  redis.call('XDEL', key, id)
  if redis.call('XLEN', key) == 0 then redis.call('DEL', key) end
  count(kind, tenant, sink, -size(found[1][2]))
  return found[1][2]
end
local function first(kind, tenant, sink)
  local found = redis.call('XRANGE', base .. ':' .. kind .. ':' .. tenant .. '/' .. sink, '-', '+', 'COUNT', 1)
  return found[1] and found[1][1]
end
local function since(id) return tonumber(id:match('^%d+')) end
-- fullest returns the tenant and the name of the sink that has to give up its oldest entry: the one with most bytes, of the tenant if that
-- has too many, or of the tenant with most if all together have. It returns nil if there are not too many.
local function fullest(kind, tenant, ofTenant, total)
  if used(kind) > total then
    local all, most = redis.call('HGETALL', base .. ':u'), -1
    for i = 1, #all, 2 do
      if all[i]:sub(1, 2) == kind .. '/' and tonumber(all[i + 1]) > most then tenant, most = all[i]:sub(3), tonumber(all[i + 1]) end
    end
  elseif used(kind .. '/' .. tenant) <= ofTenant then
    return nil
  end
  local name, most = nil, 0
  for _, sink in ipairs(redis.call('SMEMBERS', base .. ':t:' .. tenant)) do
    local n = tonumber(redis.call('HGET', base .. ':s:' .. tenant .. '/' .. sink, kind == 'e' and 'bytes' or 'dead') or '0')
    if n > most then name, most = sink, n end
  end
  if not name then return nil end
  return tenant, name
end
local function drop(tenant, sink, id)
  take('d', tenant, sink, id)
  redis.call('HINCRBY', base .. ':s:' .. tenant .. '/' .. sink, 'dropped', 1)
  tally('dropped', 1)
end
local function kill(tenant, sink, id, why, ofTenant, total)
  local entry = take('e', tenant, sink, id)
  if not entry then return end
  entry[#entry + 1] = 'e'
  entry[#entry + 1] = why
  put('d', tenant, sink, entry)
  while true do
    local t, s = fullest('d', tenant, ofTenant, total)
    local oldest = t and first('d', t, s)
    if not oldest then return end
    drop(t, s, oldest)
  end
end
-- schedule sets when the sink is due: at the time next, or when its oldest dead letter is dropped.
local function schedule(tenant, sink, next, age)
  local name = tenant .. '/' .. sink
  if redis.call('EXISTS', base .. ':e:' .. name) == 1 then
    redis.call('ZADD', KEYS[1], text(next), name)
    return
  end
  local oldest = first('d', tenant, sink)
  if oldest then
    redis.call('ZADD', KEYS[1], text(since(oldest) + age), name)
    return
  end
  redis.call('ZREM', KEYS[1], name)
  redis.call('SREM', base .. ':t:' .. tenant, sink)
  if redis.call('HEXISTS', base .. ':s:' .. name, 'dropped') == 1 then
    redis.call('PEXPIRE', base .. ':s:' .. name, 604800000)
  else
    redis.call('DEL', base .. ':s:' .. name)
  end
end
`

// luaBound is the part of the scripts that add events.
const luaBound = `
-- bound makes events dead letters while there are too many.
local function bound(tenant, ofTenant, total, age)
  while true do
    local t, s = fullest('e', tenant, ofTenant, total)
    local oldest = t and first('e', t, s)
    if not oldest then return end
    kill(t, s, oldest, 'too many events waited', ofTenant, total)
    tally('crowded', 1)
    if redis.call('EXISTS', base .. ':e:' .. t .. '/' .. s) == 0 then schedule(t, s, now, age) end
  end
end
`

// appendScript adds events, and returns the number of the call. If Redis has an earlier number than calls, a failover has lost some: it adds
// nothing, and returns minus the number that it has.
// ARGV base node call calls age ofTenant total, and for each event: tenant sink room user lost data
var appendScript = redis.NewScript(luaCommon + luaBound + `
local age, ofTenant, total = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local counted = tonumber(redis.call('GET', base .. ':w:' .. ARGV[2]) or '0')
if counted < tonumber(ARGV[4]) then return -counted end
for i = 8, #ARGV, 6 do
  local tenant, sink, room, user, lost, data = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local name = tenant .. '/' .. sink
  local counter = base .. ':n:' .. name .. '/' .. room
  local n = redis.call('INCR', counter)
  redis.call('PEXPIRE', counter, 86400000)
  redis.call('PERSIST', base .. ':s:' .. name)
  redis.call('SADD', base .. ':t:' .. tenant, sink)
  local waits = redis.call('EXISTS', base .. ':e:' .. name) == 1
  put('e', tenant, sink, {'r', data, 'n', text(n), 'u', user})
  if not waits then redis.call('ZADD', KEYS[1], text(now), name) end
  if lost ~= '0' then
    redis.call('HINCRBY', base .. ':s:' .. name, 'dropped', lost)
    tally('dropped', lost)
  end
  bound(tenant, ofTenant, total, age)
end
redis.call('SET', base .. ':w:' .. ARGV[2], ARGV[3], 'PX', 86400000)
return tonumber(ARGV[3])`)

// claimScript returns nil, or the failures, the dropped events, and the place and the fields of each event.
// ARGV base tenant sink token limit lease age ofTenant total bytes
var claimScript = redis.NewScript(luaCommon + `
local tenant, sink, token = ARGV[2], ARGV[3], ARGV[4]
local age, ofTenant, total = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local name = tenant .. '/' .. sink
local state = base .. ':s:' .. name
local due = redis.call('ZSCORE', KEYS[1], name)
if not due or tonumber(due) > now then return nil end
for _, entry in ipairs(redis.call('XRANGE', base .. ':e:' .. name, '-', text(now - age), 'COUNT', 100)) do
  kill(tenant, sink, entry[1], 'the sink did not accept the event in time', ofTenant, total)
  tally('aged', 1)
end
for _, entry in ipairs(redis.call('XRANGE', base .. ':d:' .. name, '-', text(now - age), 'COUNT', 100)) do drop(tenant, sink, entry[1]) end
local found = redis.call('XRANGE', base .. ':e:' .. name, '-', '+', 'COUNT', ARGV[5])
if #found == 0 then
  schedule(tenant, sink, now, age)
  return nil
end
redis.call('HSET', state, 'token', token)
redis.call('ZADD', KEYS[1], text(now + tonumber(ARGV[6])), name)
local out = {redis.call('HGET', state, 'failures') or '0', redis.call('HGET', state, 'dropped') or '0'}
local bytes = 0
for i, entry in ipairs(found) do
  bytes = bytes + #entry[2][2]
  if i > 1 and bytes > tonumber(ARGV[10]) then break end
  out[#out + 1] = entry[1]
  out[#out + 1] = entry[2]
end
return out`)

// settleScript returns 1 if more events are due.
// ARGV base tenant sink token delivered dead dropped wait error age ofTenant total, and the places of the delivered and the dead events
var settleScript = redis.NewScript(luaCommon + `
local tenant, sink, token = ARGV[2], ARGV[3], ARGV[4]
local delivered, dead, dropped, wait = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local age, ofTenant, total = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local state = base .. ':s:' .. tenant .. '/' .. sink
if redis.call('HGET', state, 'token') ~= token then return 0 end
redis.call('HDEL', state, 'token')
for i = 1, delivered do take('e', tenant, sink, ARGV[12 + i]) end
for i = delivered + 1, delivered + dead do kill(tenant, sink, ARGV[12 + i], ARGV[9], ofTenant, total) end
if delivered > 0 and dropped > 0 and redis.call('HINCRBY', state, 'dropped', -dropped) <= 0 then redis.call('HDEL', state, 'dropped') end
if wait > 0 then
  redis.call('HINCRBY', state, 'failures', 1)
  redis.call('HSET', state, 'error', ARGV[9], 'next', text(now + wait))
elseif delivered + dead > 0 then
  redis.call('HDEL', state, 'failures', 'error', 'next')
end
schedule(tenant, sink, now + wait, age)
return wait == 0 and redis.call('EXISTS', base .. ':e:' .. tenant .. '/' .. sink) or 0`)

// statesScript returns for each sink of a tenant: name, events, bytes, place of the oldest, dead letters, dropped, failures, error, next.
// ARGV base tenant
var statesScript = redis.NewScript(luaCommon + `
local tenant, out = ARGV[2], {}
for _, sink in ipairs(redis.call('SMEMBERS', base .. ':t:' .. tenant)) do
  local name = tenant .. '/' .. sink
  local s = redis.call('HMGET', base .. ':s:' .. name, 'bytes', 'dropped', 'failures', 'error', 'next')
  out[#out + 1] = {sink, text(redis.call('XLEN', base .. ':e:' .. name)), s[1] or '0', first('e', tenant, sink) or '0', text(redis.call('XLEN', base .. ':d:' .. name)),
    s[2] or '0', s[3] or '0', s[4] or '', s[5] or '0'}
end
return out`)

// usageScript returns bytes of events, bytes of dead letters, the place of the oldest event, and the counts aged, crowded and dropped.
// ARGV base most: the number of sinks that it reads
var usageScript = redis.NewScript(luaCommon + `
local oldest = '0'
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)) do
  local id = first('e', name:match('^[^/]*'), name:match('/(.*)$'))
  if id and (oldest == '0' or since(id) < since(oldest)) then oldest = id end
end
local u = redis.call('HMGET', base .. ':u', 'e', 'd', 'aged', 'crowded', 'dropped')
return {u[1] or '0', u[2] or '0', oldest, u[3] or '0', u[4] or '0', u[5] or '0'}`)

// moveScript retries dead letters (1) or drops them (0), and returns their number.
// ARGV base tenant sink retry max age ofTenant total, and their places; without places the oldest ones
var moveScript = redis.NewScript(luaCommon + luaBound + `
local tenant, sink, retry, most = ARGV[2], ARGV[3], ARGV[4] == '1', tonumber(ARGV[5])
local age, ofTenant, total = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local name = tenant .. '/' .. sink
local places = {}
for i = 9, #ARGV do places[#places + 1] = ARGV[i] end
if #places == 0 then
  for _, entry in ipairs(redis.call('XRANGE', base .. ':d:' .. name, '-', '+', 'COUNT', most)) do places[#places + 1] = entry[1] end
else
  table.sort(places, function(a, b)
    local x, y = since(a), since(b)
    if x ~= y then return x < y end
    return tonumber(a:match('%d+$')) < tonumber(b:match('%d+$'))
  end)
end
local moved = 0
for i = 1, math.min(#places, most) do
  local entry = take('d', tenant, sink, places[i])
  if entry then
    moved = moved + 1
    if retry then
      put('e', tenant, sink, {entry[1], entry[2], entry[3], entry[4], entry[5], entry[6]})
      bound(tenant, ofTenant, total, age)
    end
  end
end
if moved > 0 and not redis.call('HGET', base .. ':s:' .. name, 'token') then
  redis.call('HDEL', base .. ':s:' .. name, 'next')
  schedule(tenant, sink, now, age)
elseif moved > 0 and redis.call('EXISTS', base .. ':e:' .. name) == 0 then
  schedule(tenant, sink, now, age)
end
return moved`)

// eraseScript removes the entries of a user from a part of a stream, and returns the place of the last entry of the part ("" at the end), and
// the number of entries that it removed. ARGV base tenant sink kind user after limit age
var eraseScript = redis.NewScript(luaCommon + `
local tenant, sink, kind, user, limit = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[7])
local found = redis.call('XRANGE', base .. ':' .. kind .. ':' .. tenant .. '/' .. sink, ARGV[6], '+', 'COUNT', limit)
local erased = 0
for _, entry in ipairs(found) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'u' and entry[2][i + 1] == user then
      take(kind, tenant, sink, entry[1])
      erased = erased + 1
      break
    end
  end
end
if erased > 0 and redis.call('EXISTS', base .. ':' .. kind .. ':' .. tenant .. '/' .. sink) == 0 then schedule(tenant, sink, now, tonumber(ARGV[8])) end
return {#found == limit and found[limit][1] or '', erased}`)
