package redis

import "github.com/redis/go-redis/v9"

// luaNamespace is the common part of the scripts of a namespace. An expired value counts as none. Each change
// removes up to 100 of them, so that a namespace in use does not fill with expired values.
//
// KEYS values expiries size names   ARGV name maxKeys maxBytes ...
const luaNamespace = `
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
  local expires = redis.call('ZSCORE', KEYS[2], name)
  if expires and tonumber(expires) <= now then remove(name) end
  return redis.call('HEXISTS', KEYS[1], name) == 1
end
-- put returns false if the namespace is full. A ttl of nil keeps the expiry.
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

// KEYS values expiries size   ARGV name
var getScript = redis.NewScript(`
local expires = redis.call('ZSCORE', KEYS[2], ARGV[1])
if expires then
  local t = redis.call('TIME')
  if tonumber(expires) <= t[1] * 1000 + math.floor(t[2] / 1000) then return false end
end
return redis.call('HGET', KEYS[1], ARGV[1])`)

// setScript returns 1 if the key was there. ARGV ... data present ttl
var setScript = redis.NewScript(luaNamespace + `
sweep()
local had = has(ARGV[1])
if ARGV[5] == '0' then remove(ARGV[1]) elseif not put(ARGV[1], ARGV[4], ARGV[6]) then return -1 end
return had and 1 or 0`)

// swapScript returns 1 if the key had the old value. ARGV ... data present ttl old oldPresent
var swapScript = redis.NewScript(luaNamespace + `
sweep()
local had = has(ARGV[1])
if had ~= (ARGV[8] == '1') or had and redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[7] then return 0 end
if ARGV[5] == '0' then remove(ARGV[1]) elseif not put(ARGV[1], ARGV[4], ARGV[6]) then return -1 end
return 1`)

// addScript returns the sum as text: Lua numbers are not exact. ARGV ... delta ttl
var addScript = redis.NewScript(luaNamespace + `
sweep()
if not has(ARGV[1]) then return put(ARGV[1], ARGV[4], ARGV[5]) and ARGV[4] or 'full' end
local before = redis.call('HGET', KEYS[1], ARGV[1])
local sum = redis.pcall('HINCRBY', KEYS[1], ARGV[1], ARGV[4])
if type(sum) == 'table' then return 'none' end
local after = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('INCRBY', KEYS[3], #after - #before)
return after`)

// listScript returns the cursor of the next page ("" after the last) and the names of the page. Expired names
// count for the limit but are not returned. If the index of names does not match the values, because a
// version without an index has written, it is made anew first, which costs O(names of the namespace).
//
// KEYS values expiries size names   ARGV cursor limit
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
    local expires = redis.call('ZSCORE', KEYS[2], name)
    if not expires or tonumber(expires) > now then out[#out + 1] = name end
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

// takeScript returns the us until the bucket has the tokens, 0 if it took them, and -1 if there are too many
// buckets.
//
// KEYS buckets   ARGV name tokens burst per maxKeys
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
