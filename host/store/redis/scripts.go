package redis

import "github.com/redis/go-redis/v9"

// luaSpace is what the scripts of a namespace have in common. A value whose time is
// over is none; some of those are swept with every change, so that a namespace
// which is used does not stay full of them.
//
// KEYS values ends size names   ARGV name maxKeys maxSpace ...
const luaSpace = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function remove(name)
  local had = redis.call('HEXISTS', KEYS[1], name)
  if had == 1 then
    redis.call('INCRBY', KEYS[3], -(#name + redis.call('HSTRLEN', KEYS[1], name)))
    redis.call('HDEL', KEYS[1], name)
  end
  redis.call('ZREM', KEYS[2], name)
  redis.call('ZREM', KEYS[4], name)
  if redis.call('HLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[3]) end
  return had
end
local function sweep()
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do remove(name) end
end
local function has(name)
  local ends = redis.call('ZSCORE', KEYS[2], name)
  if ends and tonumber(ends) <= now then remove(name) end
  return redis.call('HEXISTS', KEYS[1], name) == 1
end
-- put answers false if there is no place. ttl nil keeps the end that there is.
local function put(name, data, ttl)
  local had = has(name)
  if not had and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then return false end
  local more = #data - redis.call('HSTRLEN', KEYS[1], name)
  if not had then more = more + #name end
  if tonumber(redis.call('GET', KEYS[3]) or '0') + more > tonumber(ARGV[3]) then return false end
  redis.call('HSET', KEYS[1], name, data)
  if not had then redis.call('ZADD', KEYS[4], 0, name) end
  redis.call('INCRBY', KEYS[3], more)
  if ttl and tonumber(ttl) ~= 0 then redis.call('ZADD', KEYS[2], now + ttl, name) elseif ttl then redis.call('ZREM', KEYS[2], name) end
  return true
end
`

// KEYS values ends size   ARGV name
var getScript = redis.NewScript(`
local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
if ends then
  local t = redis.call('TIME')
  if tonumber(ends) <= t[1] * 1000 + math.floor(t[2] / 1000) then return false end
end
return redis.call('HGET', KEYS[1], ARGV[1])`)

// setScript answers 1 if the key was there. ARGV ... data present ttl
var setScript = redis.NewScript(luaSpace + `
sweep()
local had = has(ARGV[1])
if ARGV[5] == '0' then remove(ARGV[1]) elseif not put(ARGV[1], ARGV[4], ARGV[6]) then return -1 end
return had and 1 or 0`)

// swapScript answers 1 if the key had the old value. ARGV ... data present ttl old oldPresent
var swapScript = redis.NewScript(luaSpace + `
sweep()
local had = has(ARGV[1])
if had ~= (ARGV[8] == '1') or had and redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[7] then return 0 end
if ARGV[5] == '0' then remove(ARGV[1]) elseif not put(ARGV[1], ARGV[4], ARGV[6]) then return -1 end
return 1`)

// addScript answers with the sum as text: a number of Lua's is not exact. ARGV ... delta ttl
var addScript = redis.NewScript(luaSpace + `
sweep()
if not has(ARGV[1]) then return put(ARGV[1], ARGV[4], ARGV[5]) and ARGV[4] or 'full' end
local before = redis.call('HGET', KEYS[1], ARGV[1])
local sum = redis.pcall('HINCRBY', KEYS[1], ARGV[1], ARGV[4])
if type(sum) == 'table' then return 'none' end
local after = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('INCRBY', KEYS[3], #after - #before)
return after`)

// listScript answers with the cursor of the next page, "" at the end, and the names
// of the page. Names whose time is over count for the limit and are left out. A
// namespace written by versions without an index of names is given one by the first
// page, and again where they have written since: that costs as much as all its names.
//
// KEYS values ends size names   ARGV cursor limit
var listScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local limit = tonumber(ARGV[2])
local function index()
  redis.call('DEL', KEYS[4])
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do redis.call('ZADD', KEYS[4], 0, name) end
end
local function page()
  local names = redis.call('ZRANGEBYLEX', KEYS[4], ARGV[1] == '' and '-' or '(' .. ARGV[1], '+', 'LIMIT', 0, limit + 1)
  local out = {''}
  if #names > limit then
    names[#names] = nil
    out[1] = names[limit]
  end
  for _, name in ipairs(names) do
    if redis.call('HEXISTS', KEYS[1], name) == 0 then return nil end
    local ends = redis.call('ZSCORE', KEYS[2], name)
    if not ends or tonumber(ends) > now then out[#out + 1] = name end
  end
  return out
end
if redis.call('ZCARD', KEYS[4]) ~= redis.call('HLEN', KEYS[1]) then index() end
local out = page()
if not out then
  index()
  out = page()
end
return out`)

// takeScript answers with the us until the tokens are there, -1 if there is no place
// for another bucket. KEYS buckets   ARGV name tokens burst per maxKeys
var takeScript = redis.NewScript(`
local t = redis.call('TIME')
local now, per = t[1] * 1000000 + t[2], tonumber(ARGV[4])
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
local full = math.max(tonumber(at or '0'), now) + ARGV[2] * per
local over = full - now - ARGV[3] * per
if over > 0 then return over end
if not at and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then return -1 end
end
redis.call('ZADD', KEYS[1], string.format('%.0f', full), ARGV[1])
local ms = math.ceil((full - now) / 1000) + 1
if redis.call('PTTL', KEYS[1]) < ms then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ms)) end
return 0`)
