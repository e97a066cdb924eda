-- Shadowban is a Moot rule: messages of a banned user are delivered to that user only. See README.md.
--
-- The hook onSayReceive reads the list once per message, and adds a mark to the message of a banned user. The hook say removes
-- the mark, on every node and for history too, so that it does not need the list for each receiver.
local names <const> = { type = "array", items = { type = "string" } }
moot.declare({
  name = "shadowban",
  version = "1.0.0",
  reads = { "message", "from", "id", "user", "fingerprint", "remoteIP" },
  capabilities = { "kv" },
  config = { type = "object", additionalProperties = false, properties = { users = names, fingerprints = names, addresses = names } },
})

local mark <const> = "\1shadow\1" -- a client that sends the mark itself reaches only itself
local kinds <const> = { "user", "fingerprint", "remoteIP" }

local listed = {}
for key, kind in pairs({ users = "user", fingerprints = "fingerprint", addresses = "remoteIP" }) do
  for _, name in ipairs(moot.config[key] or {}) do listed[kind .. ":" .. name] = true end
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
