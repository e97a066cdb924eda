-- Does what the message asks for, so that a test sees all of the API.
moot.declare({
  version = "1.2.3",
  reads = { "room", "tenant", "from", "message", "cause", "messageId", "edits", "id", "user", "locale", "connectedAt", "joinedAt", "params", "properties.mood" },
  capabilities = moot.config.capabilities or { "kv", "rate", "emit", "rooms", "sanctions", "members", "identity", "amend", "properties:mood" },
})

local function words(...)
  local list = {}
  for i = 1, select("#", ...) do list[i] = tostring((select(i, ...))) end
  return table.concat(list, " ")
end

local commands = {
  allow = function() return moot.allow() end,
  nothing = function() end,
  ["end"] = function() return moot.allowEnd() end,
  deny = function(_, why) return moot.deny(why, 7) end,
  drop = function() return moot.drop() end,
  hold = function(_, why) if why == "" then return moot.hold() end; return moot.hold(why, { ttl = 60000.4 }) end,
  ever = function() return moot.hold("ever", { ttl = math.huge }) end,
  rewrite = function(_, text) return moot.rewrite(text:upper()) end,
  envelope = function() return moot.rewrite({ room = "other", from = "0", sentAt = 1234, extra = { lang = "de", n = { 1, 2.5, moot.null, true } } }) end,
  json = function() return moot.rewrite({ message = { a = { "ü", "\n" }, b = {} } }) end,
  fields = function(e) return moot.rewrite(words(e.hook, e.room, e.tenant, e.from, e.sentAt, e.sequence)) end,
  who = function(_, _, c) return moot.rewrite(words(c.id, c.user, c.locale, c.connectedAt, c:property("mood"), c:property("role") or "none")) end,
  config = function() return moot.rewrite({ message = moot.config.deep }) end,
  set = function(_, value, c) c:setProperty("mood", { value = value }) end,
  kv = function()
    local kv = moot.kv
    local seen = { kv.get("k") or "absent" }
    kv.set("k", "v", 60000)
    local function see(...) for i = 1, select("#", ...) do seen[#seen + 1] = tostring((select(i, ...))) end end
    see(kv.get("k"), kv.swap("k", "x", "y"), kv.swap("k", "v", "w"), kv.get("k"), kv.delete("k"), kv.delete("k"), kv.add("n"), kv.add("n", 41))
    return moot.rewrite(table.concat(seen, " "))
  end,
  long = function() moot.kv.set("long", ("x"):rep(5000)); return moot.rewrite(tostring(#moot.kv.get("long"))) end,
  rate = function()
    local function take() return moot.rate.take("b", { burst = 1, per = 60000 }) > 0 end
    return moot.rewrite(words(take(), take()))
  end,
  emit = function() moot.emit({ room = "r", message = "psst" }); moot.emit({ connection = "c1", message = { hint = 1 } }); moot.emit({ user = "ann", message = "hi" }) end,
  rooms = function() moot.rooms.create("made"); moot.rooms.destroy("gone"); return moot.rewrite(words(moot.rooms.get("nowhere") or "undefined")) end,
  count = function() moot.count("seen", 3) end,
  log = function(_, what) moot.log("told:", what) end,
  throw = function()
    error("on purpose")
  end,
  loop = function() while true do pcall(function() while true do end end) end end,
  hoard = function() local all = {}; while true do all[#all + 1] = ("x"):rep(1000) .. #all end end,
  recurse = function() local function f(n) return 1 + f(n + 1) end; return f(0) end,
  nonsense = function() return 42 end,
  moderate = function()
    moot.sanctions.set({ user = "ann", kind = "mute", ttl = 60000, reason = "be kind", note = "n" })
    moot.sanctions.pardon({ address = "192.0.2.7", kind = "ban", rooms = "r*" })
    moot.members.remove({ connection = "c1", room = "r", reason = "off topic" })
    moot.members.close({ connection = "c2" })
    return moot.deny("moderated")
  end,
  amend = function(e)
    moot.amend.retract({ room = "r", id = e.messageId })
    moot.amend.edit({ room = "q", id = e.edits, message = "better" })
    moot.amend.edit({ room = "q", id = "m3", message = { n = 1 } })
    return moot.deny(e.messageId .. " " .. e.edits)
  end,
  unamended = function() moot.amend.retract({ room = "r", id = "no id" }) end,
  wrong = function() moot.sanctions.set({ user = "ann", kind = "scold" }) end,
}

moot.on("onSayReceive", function(event, connection)
  local message = event.message
  if type(message) ~= "string" then return moot.rewrite({ message = { heard = message } }) end
  local command, rest = message:match("^(%S+) ?(.*)$")
  if commands[command] then return commands[command](event, rest, connection) end
end)
moot.on("join", function(_, connection)
  if connection.user == "mallory" then return moot.deny("members only") end
end)
moot.on("leave", function(event) moot.log("left by", event.cause) end)
moot.on("say", function(_, receiver)
  if receiver.locale == "xx" then return moot.drop() end
  if receiver.locale == "de" then return moot.rewrite({ message = "hallo", extra = { lang = "de" } }) end
end)
moot.action("greet", { description = "says hello", speech = true, inputs = { name = { required = true, description = "name" } } }, function(event)
  return moot.reply({ greeting = "hello " .. event.params.name, by = event.action })
end)
moot.action("login", function(event) moot.identity.setUser(event.params.name) end)
