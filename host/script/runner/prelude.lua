-- What scripts find as the global moot. native is the runner's own side, see lua.c.
local native = ...
local hooks = { "connect", "join", "onSayReceive", "say", "leave", "disconnect", "action" }
local slots = { code = 32, reason = 36, message = 44, kind = 52, extra = 56, room = 64, from = 72, reply = 88, ask = 112, body = 120, state = 128 }
local failures = { [-1] = "there is no such thing", [-3] = "too many, or too often",
  [-4] = "not a text or JSON that the host takes", [-5] = "too large", [-6] = "unavailable" }
local number_of, handlers, actions, declared, live = {}, {}, {}, {}, true
for n, name in ipairs(hooks) do number_of[name] = n end

-- JSON. null is moot.null, an empty table is an object unless moot.array made it.
local null = setmetatable({}, { __name = "moot.null", __tostring = function() return "null" end })
local is_array = {}
local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local function quote(s)
  return '"' .. s:gsub('[%c"\\]', function(c) return escapes[c] or string.format("\\u%04x", c:byte()) end) .. '"'
end
local function encode(v, depth)
  depth = depth or 0
  if depth > 100 then error("JSON: nested too deep", 0) end
  local kind = type(v)
  if v == null or v == nil then return "null" end
  if kind == "string" then return quote(v) end
  if kind == "boolean" then return tostring(v) end
  if kind == "number" then
    if v ~= v or v == math.huge or v == -math.huge then error("JSON has no number " .. tostring(v), 0) end
    return math.type(v) == "integer" and tostring(v) or string.format("%.17g", v)
  end
  if kind ~= "table" then error("JSON has no " .. kind, 0) end
  local parts = {}
  if #v > 0 or getmetatable(v) == is_array then
    for i, item in ipairs(v) do parts[i] = encode(item, depth + 1) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, item in pairs(v) do
    if type(key) ~= "string" then error("JSON has no key " .. tostring(key), 0) end
    parts[#parts + 1] = quote(key) .. ":" .. encode(item, depth + 1)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end
local unescapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local value_at -- of what the host gives, which is JSON
local function string_at(s, i)
  local stop = i + 1
  while true do
    stop = s:find('["\\]', stop)
    if s:sub(stop, stop) == '"' then break end
    stop = stop + 2
  end
  local text = s:sub(i + 1, stop - 1)
  text = text:gsub("\\(.)(%x?%x?%x?%x?)", function(c, hex)
    if c ~= "u" then return (unescapes[c] or c) .. hex end
    return utf8.char(tonumber(hex, 16))
  end)
  text = text:gsub("\xED([\xA0-\xAF])([\x80-\xBF])\xED([\xB0-\xBF])([\x80-\xBF])", function(a, b, c, d) -- two surrogates
    local high, low = (a:byte() & 15) << 6 | b:byte() & 63, (c:byte() & 15) << 6 | d:byte() & 63
    return utf8.char(0x10000 + (high << 10) + low)
  end)
  return text, stop + 1
end
local function list_at(s, i, close, item)
  i = s:find("%S", i + 1)
  while s:sub(i, i) ~= close do
    i = s:find("%S", item(i))
    if s:sub(i, i) == "," then i = s:find("%S", i + 1) end
  end
  return i + 1
end
function value_at(s, i)
  i = s:find("%S", i)
  local c = s:sub(i, i)
  if c == '"' then return string_at(s, i) end
  if c == "{" then
    local object = {}
    return object, list_at(s, i, "}", function(at)
      local key, value
      key, at = string_at(s, at)
      value, at = value_at(s, s:find(":", at, true) + 1)
      object[key] = value
      return at
    end)
  end
  if c == "[" then
    local array = setmetatable({}, is_array)
    return array, list_at(s, i, "]", function(at)
      local value
      value, at = value_at(s, at)
      array[#array + 1] = value
      return at
    end)
  end
  local word = s:match("^[%w+.-]+", i)
  local constants = { ["true"] = true, ["false"] = false, null = null }
  local value = constants[word]
  if value == nil then value = tonumber(word) end
  return value, i + #word
end
local function decode(s) return s and (value_at(s, 1)) end

-- check fails if a host function has failed. capability is the one that it needs; default: the first word of what.
local function check(what, n, capability)
  if n == -2 then
    error(what .. ": not granted: declare and grant " .. (capability or what:match("^%w+")) .. "; say and the start of a script cannot change anything", 3)
  end
  if type(n) == "number" and n < 0 then error(what .. ": " .. failures[n], 3) end
  return n
end
local function text(what, value)
  if type(value) ~= "string" then error(what .. " must be a string, not " .. type(value), 3) end
  return value
end
local function ms(value) return math.max(0, math.floor(value or 0)) end

local fields = { id = 0, fingerprint = 1, user = 2, transport = 3, remoteIP = 4, tenant = 5, locale = 6 }
local methods = {}
function methods.property(c, name) return decode(native.property(rawget(c, "conn"), text("a property's name", name))) end
function methods.setProperty(c, name, value)
  if rawget(c, "conn") ~= 0 then error("properties of receivers cannot be set", 2) end
  check("property " .. name, native.setProperty(text("a property's name", name), value == nil and "" or encode(value)), "properties:" .. name)
end
local Connection = { __index = function(c, key)
  if fields[key] then return native.field(rawget(c, "blob"), fields[key]) end
  if key == "connectedAt" then return native.time(rawget(c, "blob"), 8) end
  if key == "joinedAt" then return native.time(rawget(c, "blob"), 16) end
  return methods[key]
end }
local function connection_of(blob, conn) return setmetatable({ blob = blob, conn = conn }, Connection) end

local event_fields = { room = 0, tenant = 1, from = 2, context = 4, cause = 5, action = 6, messageId = 8, edits = 9 }
local event = setmetatable({}, { __index = function(_, key)
  if event_fields[key] then return native.field(0, event_fields[key]) end
  if key == "message" then
    local message = native.field(0, 3)
    if native.isJSON() then return decode(message) end
    return message
  end
  if key == "params" then return decode(native.field(0, 7)) or {} end
  if key == "hook" then return hooks[native.hook()] end
  if key == "sentAt" then return native.time(0, 8) end
  if key == "sequence" then return native.time(0, 16) end
  if key == "roomSize" then return check("roomSize", native.roomSize()) end
end })
local connection = connection_of(1, 0)

local answer = setmetatable({}, { __index = function(_, key)
  if key == "name" then return native.field(-1, 0) end
  if key == "json" then return decode(native.field(-1, 1)) end
  if key == "state" then return decode(native.field(-1, 2)) end
  if key == "status" then return native.time(-1, 8) end
  if key == "number" then return native.time(-1, 16) end
end })

local Verdict = {}
local function verdict(answer, what) return setmetatable({ answer = answer, what = what or {} }, Verdict) end
local allowed = verdict(0)
local function verdict_of(answer)
  if answer == nil then return allowed end
  if getmetatable(answer) ~= Verdict then error("a handler must give a verdict, such as moot.deny(reason), or nothing", 0) end
  return answer
end
local function kind_of(message) return message == nil and 0 or type(message) == "string" and 1 or 2 end
local function encoded(message) return message == nil and "" or type(message) == "string" and message or encode(message) end

-- put writes a verdict into the result slots and is what the hook returns.
local function put(v)
  local what = v.what
  for _, name in ipairs({ "reason", "room", "from", "ask" }) do if what[name] ~= nil then native.put(slots[name], text(name, what[name])) end end
  for _, name in ipairs({ "extra", "reply", "body", "state" }) do if what[name] ~= nil then native.put(slots[name], encode(what[name])) end end
  if what.code then native.putNumber(slots.code, what.code) end
  if what.message ~= nil then
    native.put(slots.message, encoded(what.message))
    native.putNumber(slots.kind, kind_of(what.message))
  end
  if what.sentAt then native.putTime(ms(what.sentAt)) end
  if what.ttl then native.putTTL(ms(math.min(what.ttl, 1 << 53))) end
  return v.answer
end

-- say asks about each receiver. Equal rewrites share a variant.
local function say(handler)
  local count, variants, list, bytes, same = native.receivers(), {}, {}, {}, true
  if count == 0 then return put(verdict_of(handler(event, nil))) end
  local first
  for i = 1, count do
    local v = verdict_of(handler(event, connection_of(1 + i, i)))
    local byte = 0
    if v.answer == 6 then error("moot.hold is for onSayReceive", 0) end
    if v.answer == 7 then error("moot.ask is for connect, join, onSayReceive and actions", 0) end
    if v.answer == 1 or v.answer == 5 then
      byte = 1
    elseif v.answer == 2 then
      local kind, message, extra = kind_of(v.what.message), encoded(v.what.message), v.what.extra and encode(v.what.extra) or ""
      local key = kind .. "\0" .. extra .. "\0" .. message
      if not variants[key] then
        list[#list + 1] = { kind, message, extra }
        variants[key] = #list - 1
        if #list > 253 then error("more than 253 different rewrites of one message", 0) end
      end
      byte = 2 + variants[key]
    end
    bytes[i] = byte
    first = first or v
    same = same and byte == bytes[1] and v.answer == first.answer
  end
  if same then return put(verdict(first.answer, { reason = first.what.reason, message = first.what.message, extra = first.what.extra })) end
  for _, variant in ipairs(list) do native.variant(table.unpack(variant)) end
  for i, byte in ipairs(bytes) do native.verdict(i - 1, byte) end
  return 3
end

moot = { config = {}, null = null, kv = {}, rate = {}, rooms = {}, sanctions = {}, members = {}, identity = {}, amend = {} }
function moot.array(list) return setmetatable(list or {}, is_array) end
function moot.declare(what)
  if not live then error("moot.declare belongs at the top of the script", 2) end
  local known = { name = true, version = true, reads = true, vary = true, pure = true, capabilities = true, config = true, denials = true, asks = true }
  for name, value in pairs(what) do
    if not known[name] then error("moot.declare: there is no " .. tostring(name), 2) end
    declared[name] = value
  end
  -- If the script fails because of its config, the host has the schema, which explains it.
  if declared.config ~= nil then native.declare(encode({ name = "script", config = declared.config })) end
end
function moot.on(hook, handler)
  if not live then error("moot.on belongs at the top of the script", 2) end
  if hook ~= "answer" and not number_of[hook] or hook == "action" then
    error("moot.on: there is no hook " .. tostring(hook) .. "; there are " .. table.concat(hooks, ", ", 1, 6), 2)
  end
  if type(handler) ~= "function" then error("moot.on(" .. quote(hook) .. ") needs a function", 2) end
  if handlers[hook] then error("moot.on(" .. quote(hook) .. ") was called before", 2) end
  handlers[hook] = handler
end
function moot.action(name, spec, handler)
  if not live then error("moot.action belongs at the top of the script", 2) end
  if not handler then spec, handler = {}, spec end
  if type(handler) ~= "function" then error("moot.action(" .. quote(name) .. ") needs a function", 2) end
  actions[#actions + 1] = { name = text("an action's name", name), spec = spec, handler = handler }
end
function moot.allow() return allowed end
function moot.allowEnd() return verdict(4) end
function moot.deny(reason, code) return verdict(1, { reason = reason or "", code = code }) end
function moot.drop() return verdict(5) end
function moot.hold(reason, options) return verdict(6, { reason = reason or "", ttl = options and options.ttl }) end
function moot.ask(name, body, options) return verdict(7, { ask = name, body = body, state = options and options.state }) end
function moot.rewrite(what) return verdict(2, type(what) == "string" and { message = what } or what) end
function moot.reply(reply) return verdict(0, { reply = reply }) end
local function found(what, n) if n ~= -1 then return check(what, n) end end
function moot.kv.get(key) return found("kv.get", native.kvGet(text("a key", key))) end
function moot.kv.set(key, value, ttl) check("kv.set", native.kvSet(text("a key", key), text("a value", value), ms(ttl))) end
function moot.kv.delete(key) return check("kv.delete", native.kvDel(text("a key", key))) == 1 end
function moot.kv.add(key, delta, ttl)
  local n, sum = native.kvAdd(text("a key", key), delta or 1, ms(ttl))
  check("kv.add", n)
  return sum
end
function moot.kv.swap(key, old, value, ttl)
  return check("kv.swap", native.kvSwap(text("a key", key), old or "", text("a value", value), ms(ttl))) == 1
end
function moot.rate.take(key, bucket)
  return check("rate.take", native.take(text("a key", key), bucket.tokens or 1, ms(bucket.per), bucket.burst))
end
function moot.rooms.get(name)
  local room = found("rooms.get", native.roomGet(text("a room's name", name)))
  return decode(room)
end
function moot.rooms.create(name) check("rooms.create", native.roomCreate(text("a room's name", name))) end
function moot.rooms.destroy(name) check("rooms.destroy", native.roomDestroy(text("a room's name", name))) end
function moot.emit(m)
  local kind = (kind_of(m.message) == 2 and 1 or 0) + (m.user and 4 or m.connection and 2 or 0)
  check("emit", native.emit(kind, text("a room, connection or user", m.user or m.connection or m.room), encoded(m.message)))
end
function moot.sanctions.set(what) check("sanctions.set", native.sanctionSet(encode(what))) end
function moot.sanctions.pardon(what) check("sanctions.pardon", native.sanctionPardon(encode(what))) end
function moot.members.remove(what)
  check("members.remove", native.memberRemove(text("a connection", what.connection), text("a room's name", what.room), text("a reason", what.reason or "")))
end
function moot.members.close(what)
  check("members.close", native.connectionClose(text("a connection", what.connection), text("a reason", what.reason or "")))
end
function moot.identity.setUser(user)
  local n = native.userSet(text("a user", user))
  if n == -2 then error("identity.setUser: not granted, or not at connect or an action, or the connection has another user: see the log", 2) end
  check("identity.setUser", n)
end
function moot.amend.retract(m)
  check("amend.retract", native.messageRetract(text("a room's name", m.room), text("the id of a message", m.id)))
end
function moot.amend.edit(m)
  check("amend.edit", native.messageEdit(kind_of(m.message) == 2 and 1 or 0, text("a room's name", m.room), text("the id of a message", m.id), encoded(m.message)))
end
function moot.count(metric, delta) check("count", native.count(text("a metric's name", metric), delta or 1)) end
function moot.now() return native.now() end
function moot.log(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
  native.log(1, table.concat(words, " "))
end
print = moot.log

-- Lua seeds its generator with the time in seconds, which is the same for all instances that start together. Therefore
-- the host gives the seed, when the first number is drawn, unless the script seeds the generator itself.
local random, set_seed, seeded = math.random, math.randomseed, false
function math.randomseed(...)
  seeded = true
  if select("#", ...) > 0 then return set_seed(...) end
  return set_seed(native.random(), native.random())
end
function math.random(...)
  if not seeded then math.randomseed() end
  return random(...)
end

local api = {}
-- begin gives the script its config, before it runs.
function api.begin(config)
  for key, value in pairs(config == "" and {} or decode(config)) do moot.config[key] = value end
end
-- manifest is asked when the script has run.
function api.manifest(name)
  live = false
  local has, list, reads = {}, {}, declared.reads
  for _, hook in ipairs(hooks) do if handlers[hook] or hook == "action" and #actions > 0 then has[#has + 1] = hook end end
  if #has == 0 then error("the script has no handler: call moot.on(hook, handler) or moot.action(name, handler)", 0) end
  if (declared.asks == nil) ~= (handlers.answer == nil) then error('moot.declare({ asks = {...} }) and moot.on("answer", handler) belong together', 0) end
  for i, action in ipairs(actions) do list[i] = { name = action.name, description = action.spec.description, speech = action.spec.speech, inputs = action.spec.inputs } end
  if reads then
    reads = moot.array(table.move(reads, 1, #reads, 1, {}))
    if #actions > 0 then table.move({ "action", "params" }, 1, 2, #reads + 1, reads) end
  end
  return encode({ name = declared.name or name, version = declared.version, pure = declared.pure, denials = declared.denials, asks = declared.asks and moot.array(declared.asks), hooks = has, reads = reads or null,
    vary = declared.vary and moot.array(declared.vary) or null, capabilities = moot.array(declared.capabilities), actions = moot.array(list), config = declared.config })
end
function api.ask()
  local hook = hooks[native.hook()]
  if hook == "say" then return say(handlers.say) end
  local handler = handlers[hook]
  if hook == "action" then
    for _, action in ipairs(actions) do if action.name == event.action then handler = action.handler end end
  end
  if not handler then return 0 end
  return put(verdict_of(handler(event, native.connected() and connection or nil)))
end
-- answer is asked about the answer to an ask.
function api.answer()
  if not handlers.answer then return -1 end
  return put(verdict_of(handlers.answer(event, answer, native.connected() and connection or nil)))
end
return api
