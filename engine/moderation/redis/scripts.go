package redis

import "github.com/redis/go-redis/v9"

// luaTenant is the common part of the scripts that change a tenant's sanctions. Each of them removes up to
// 100 sanctions that have ended, and the marks of removals that are older than restorable.
//
// KEYS sanctions order ends removals counters   ARGV tenant channel ...
const luaTenant = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function drop(id)
  local record = redis.call('HGET', KEYS[1], id)
  if not record then return false end
  local source, subject = record:match('^(%a)%d+%z([^%z]*)%z')
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], subject .. '\0' .. id)
  redis.call('ZREM', KEYS[3], id)
  if source == 'm' then redis.call('HINCRBY', KEYS[5], 'modules', -1) end
  return true
end
local last = tonumber(redis.call('HGET', KEYS[5], 'revision') or '0')
local function publish(change, revision)
  redis.call('HSET', KEYS[5], 'revision', revision)
  redis.call('PUBLISH', ARGV[2], ARGV[1] .. ' ' .. string.format('%.0f', last) .. ' ' .. revision .. ' ' .. change)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 100)) do drop(id) end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - 120000)
-- stamp returns the time of a change, in ms; it is later than that of every other change of the tenant.
local function stamp() return string.format('%.0f', math.max(now, last + 1)) end
local function set(id, source, subject, until_, data, at, revision)
  drop(id)
  if source == 'm' then redis.call('HINCRBY', KEYS[5], 'modules', 1) end
  local record = source .. at .. '\0' .. subject .. '\0' .. data
  redis.call('HSET', KEYS[1], id, record)
  redis.call('ZADD', KEYS[2], 0, subject .. '\0' .. id)
  if until_ ~= '0' then redis.call('ZADD', KEYS[3], until_, id) end
  redis.call('ZREM', KEYS[4], id)
  publish('s' .. id .. ' ' .. record, revision)
end
local function remove(id, at, revision)
  local had = drop(id)
  redis.call('ZADD', KEYS[4], at, id)
  if had then publish('r' .. id, revision) end
  return had
end
`

// setScript returns the revision before and the time of the change as one text, or "full", "modules", "subject".
// ARGV ... id source subject until data max maxOfModules maxOfSubject
var setScript = redis.NewScript(luaTenant + `
if redis.call('HEXISTS', KEYS[1], ARGV[3]) == 0 then
  if ARGV[4] == 'm' and tonumber(redis.call('HGET', KEYS[5], 'modules') or '0') >= tonumber(ARGV[9]) then return 'modules' end
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[8]) then return 'full' end
  if redis.call('ZLEXCOUNT', KEYS[2], '[' .. ARGV[5] .. '\0', '(' .. ARGV[5] .. '\1') >= tonumber(ARGV[10]) then return 'subject' end
end
local at = stamp()
set(ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], at, at)
return string.format('%.0f', last) .. ' ' .. at`)

// removeScript returns the revision before and the time of the removal as texts, and 1 if the sanction existed. ARGV ... id
var removeScript = redis.NewScript(luaTenant + `
local at = stamp()
return {string.format('%.0f', last), at, remove(ARGV[3], at, at) and 1 or 0}`)

// restoreScript makes a change again that a failover has lost. It does nothing if the sanction has a later change, or if
// it may have had a later removal whose mark has expired. It returns 1 if it changed something. ARGV ... id source subject until data at; data is ""
// for a removal
var restoreScript = redis.NewScript(luaTenant + `
local at = tonumber(ARGV[8])
if now - at >= 120000 then return 0 end
local record = redis.call('HGET', KEYS[1], ARGV[3])
if record and tonumber(record:match('^%a(%d+)')) >= at then return 0 end
local removed = redis.call('ZSCORE', KEYS[4], ARGV[3])
if removed and tonumber(removed) >= at then return 0 end
local revision = at > last and ARGV[8] or stamp()
if ARGV[7] == '' then return remove(ARGV[3], ARGV[8], revision) and 1 or 0 end
if ARGV[6] ~= '0' and tonumber(ARGV[6]) <= now then return 0 end
set(ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], revision)
return 1`)

// listScript returns the tenant's revision, the cursor of the next page ("" after the last), and the records
// of the page, each after its ID. Sanctions that have ended count for the limit but are not returned.
//
// KEYS sanctions order ends counters   ARGV min max limit
var listScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local limit = tonumber(ARGV[3])
local places = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, limit + 1)
local out = {redis.call('HGET', KEYS[4], 'revision') or '0', ''}
if #places > limit then
  places[#places] = nil
  out[2] = places[limit]
end
for _, place in ipairs(places) do
  local id = place:match('([^%z]*)$')
  local ends = redis.call('ZSCORE', KEYS[3], id)
  if not ends or tonumber(ends) > now then
    out[#out + 1] = id
    out[#out + 1] = redis.call('HGET', KEYS[1], id)
  end
end
return out`)
