-- Shadowban is a Moot rule: messages of a banned user are delivered to that user only. See README.md.
--
-- The list is read once, when a message is received. The message then carries a mark, which the say hook removes on every
-- node, for history too. So nodes do not need the list, and it is not read for each receiver.
moot.declare({
  name = "shadowban",
  version = "1.0.0",
  reads = { "message", "from", "id", "user", "fingerprint", "remoteIP" },
  capabilities = { "kv" },
})

local mark <const> = "\1shadow\1" -- no client's text begins with it: JSON could, and would be heard by its author alone
local kinds <const> = { "user", "fingerprint", "remoteIP" }

local listed = {}
for key, list in pairs(moot.config) do
  local known = key == "users" and "user" or key == "fingerprints" and "fingerprint" or key == "addresses" and "remoteIP"
  if not known then error("unknown setting " .. key .. ": use users, fingerprints or addresses", 0) end
  for i, name in ipairs(list) do
    if type(name) ~= "string" then error(key .. "[" .. i .. "] must be a string", 0) end
    listed[known .. ":" .. name] = true
  end
end

local function banned(connection)
  for _, kind in ipairs(kinds) do
    local name = connection[kind]
    if name and name ~= "" and (listed[kind .. ":" .. name] or moot.kv.get(kind .. ":" .. name)) then return true end
  end
  return false
end

moot.on("onSayReceive", function(event, connection)
  if not connection or not banned(connection) then return end
  moot.count("messages")
  if type(event.message) == "string" then return moot.rewrite(mark .. event.message) end
  return moot.rewrite({ message = { [mark] = event.message } })
end)

moot.on("say", function(event, receiver)
  local message, unmarked = event.message, nil
  if type(message) == "string" then
    if message:sub(1, #mark) ~= mark then return end
    unmarked = message:sub(#mark + 1)
  else
    if type(message) ~= "table" or message[mark] == nil then return end
    unmarked = message[mark]
  end
  if receiver and receiver.id == event.from then return moot.rewrite({ message = unmarked }) end
  return moot.drop()
end)
