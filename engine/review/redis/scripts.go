package redis

import "github.com/redis/go-redis/v9"

// luaTenant is the common part of the scripts that change a tenant's items.
//
// KEYS items waiting decided subjects dues unique owners counters removed own
const luaTenant = `
local call = redis.call
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- parse returns revision, kind, state, size, due, owner, subject and unique of a record.
local function parse(record)
  return record:match('^(%d+) (%a) (%a) (%d+) (%d+)%z([^%z]*)%z([^%z]*)%z([^%z]*)%z')
end
-- order returns the part of a revision that counts the changes of an item.
local function order(revision) return math.floor(tonumber(revision) / 1048576) end
local function drop(id)
  local record = call('HGET', KEYS[1], id)
  if not record then return false end
  local _, kind, state, size, _, owner, subject, unique = parse(record)
  call('HDEL', KEYS[1], id)
  call('ZREM', KEYS[4], subject .. '\0' .. id)
  call('ZREM', KEYS[5], id)
  if unique ~= '' and call('HGET', KEYS[6], unique) == id then call('HDEL', KEYS[6], unique) end
  if state == 'd' then
    call('ZREM', KEYS[3], id)
    kind = 'd'
  else
    call('ZREM', KEYS[2], kind .. id)
    if call('HINCRBY', KEYS[7], kind .. owner, -1) <= 0 then call('HDEL', KEYS[7], kind .. owner) end
  end
  call('HINCRBY', KEYS[8], kind .. 'n', -1)
  call('HINCRBY', KEYS[8], kind .. 'b', -size)
  return true
end
local function set(id, record)
  local _, kind, state, size, due, owner, subject, unique = parse(record)
  drop(id)
  call('HSET', KEYS[1], id, record)
  call('ZADD', KEYS[4], 0, subject .. '\0' .. id)
  if due ~= '0' then call('ZADD', KEYS[5], due, id) end
  if unique ~= '' then call('HSET', KEYS[6], unique, id) end
  if state == 'd' then
    call('ZADD', KEYS[3], 0, id)
    kind = 'd'
  else
    call('ZADD', KEYS[2], 0, kind .. id)
    call('HINCRBY', KEYS[7], kind .. owner, 1)
  end
  call('HINCRBY', KEYS[8], kind .. 'n', 1)
  call('HINCRBY', KEYS[8], kind .. 'b', size)
end
local function count(field) return tonumber(call('HGET', KEYS[8], field) or '0') end
-- changed increases the version of the tenant. The version is a time or higher, so that it does not go back after the counters
-- of a tenant without items were deleted.
local function changed()
  if call('EXISTS', KEYS[1]) == 0 then
    call('DEL', KEYS[8])
    return
  end
  call('HSET', KEYS[8], 'version', string.format('%.0f', math.max(now, count('version') + 1)))
end
-- own counts a change of the process, and returns the number of its changes.
local function own()
  local n = call('INCR', KEYS[10])
  call('PEXPIRE', KEYS[10], 600000)
  return n
end
`

// putScript returns a word, and a second value for two words: "ok" and the number of the process's changes, "exists" and the
// record of the item that exists.
// ARGV id revision record items bytes ofOwner
var putScript = redis.NewScript(luaTenant + `
local id, record = ARGV[1], ARGV[3]
local old = call('HGET', KEYS[1], id)
if old and ARGV[2] == '0' then return {'exists', old} end
if not old and ARGV[2] ~= '0' then return {'none'} end
local was = 'd'
if old then
  local revision, _, state = parse(old)
  if revision ~= ARGV[2] then return {'conflict'} end
  was = state
end
local _, kind, state, size, _, owner, _, unique = parse(record)
local other = unique ~= '' and call('HGET', KEYS[6], unique)
if other and other ~= id then return {'exists', call('HGET', KEYS[1], other)} end
local most, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
if state == 'o' and was == 'd' then
  if count(kind .. 'n') >= most then return {'full'} end
  if count(kind .. 'b') + size > bytes then return {'bytes'} end
  if tonumber(call('HGET', KEYS[7], kind .. owner) or '0') >= tonumber(ARGV[6]) then return {'owner'} end
end
set(id, record)
for _ = 1, 100 do
  local n = count('dn')
  if n <= most and (count('db') <= bytes or n <= 1) then break end
  drop(call('ZRANGE', KEYS[3], 0, 0)[1])
  call('HINCRBY', KEYS[8], 'dropped', 1)
end
changed()
return {'ok', own()}`)

// removeScript returns the number of the process's changes, and 1 if the item existed. A removed item is not restored for 2
// minutes. ARGV id
var removeScript = redis.NewScript(luaTenant + `
local had = drop(ARGV[1])
call('ZREMRANGEBYSCORE', KEYS[9], '-inf', now - 120000)
call('ZADD', KEYS[9], now, ARGV[1])
call('PEXPIRE', KEYS[9], 120000)
if had then changed() end
return {own(), had and 1 or 0}`)

// restoreScript makes a change again that a failover has lost: it sets the item unless the item in Redis has at least as many
// changes, or was removed. It returns a word, and the number of the process's changes. ARGV id record
var restoreScript = redis.NewScript(luaTenant + `
local id, record = ARGV[1], ARGV[2]
local old = call('HGET', KEYS[1], id)
if old == record then return {'same', own()} end
if call('ZSCORE', KEYS[9], id) then return {'removed', own()} end
local revision, _, _, _, _, _, _, unique = parse(record)
local other = unique ~= '' and call('HGET', KEYS[6], unique)
if old and order((parse(old))) >= order(revision) or other and other ~= id then return {'conflict', own()} end
set(id, record)
changed()
return {'restored', own()}`)

// dueScript returns the records of the items that are due and not decided, each after its ID. It removes the decided items that
// are due.
// ARGV now limit scanned
var dueScript = redis.NewScript(luaTenant + `
local out, ended = {}, false
for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[5], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
  local record = call('HGET', KEYS[1], id)
  local _, _, state = parse(record)
  if state == 'd' then
    ended = drop(id)
  elseif #out < 2 * tonumber(ARGV[2]) then
    out[#out + 1] = id
    out[#out + 1] = record
  end
end
if ended then changed() end
return out`)

// listScript returns the cursor of the next page, "" on the last page, and the records of the page, each after its ID.
//
// KEYS items waiting decided subjects   ARGV decided kind room subject cursor limit scanned
var listScript = redis.NewScript(`
local call, state, kind, room, subject, cursor = redis.call, ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local limit, most = tonumber(ARGV[6]), tonumber(ARGV[7])
local n = (room == '' and subject == '') and math.min(limit, most) + 1 or most + 1
local ids = {}
if subject ~= '' then
  local before = subject .. '\0'
  for _, place in ipairs(call('ZRANGEBYLEX', KEYS[4], '(' .. before .. cursor, '(' .. subject .. '\1', 'LIMIT', 0, n)) do
    ids[#ids + 1] = string.sub(place, #before + 1)
  end
elseif state == 'd' then
  n = kind == '' and n or most + 1
  ids = call('ZRANGEBYLEX', KEYS[3], cursor == '' and '-' or '(' .. cursor, '+', 'LIMIT', 0, n)
else
  for _, letter in ipairs(kind == '' and {'h', 'r'} or {kind}) do
    for _, place in ipairs(call('ZRANGEBYLEX', KEYS[2], '(' .. letter .. cursor, '(' .. letter .. '~', 'LIMIT', 0, n)) do
      ids[#ids + 1] = string.sub(place, 2)
    end
  end
  table.sort(ids)
end
local out, last, scanned, found = {''}, '', 0, 0
for _, id in ipairs(ids) do
  if found == limit or scanned == most then
    out[1] = last
    break
  end
  last, scanned = id, scanned + 1
  local record = call('HGET', KEYS[1], id)
  local k, s, r = string.match(record, '^%d+ (%a) (%a) %d+ %d+%z[^%z]*%z[^%z]*%z[^%z]*%z([^%z]*)%z')
  if s == state and (kind == '' or k == kind) and (room == '' or r == room) then
    found = found + 1
    out[#out + 1] = id
    out[#out + 1] = record
  end
end
return out`)

// forgetScript removes a tenant from the index unless it was registered lately. KEYS tenants   ARGV tenant before
var forgetScript = redis.NewScript(`
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if at and tonumber(at) < tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 1`)
