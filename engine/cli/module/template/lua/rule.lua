-- {{.Name}} is a Moot module.
moot.declare({
  reads = { "message" },
  config = { type = "object", additionalProperties = false, properties = { mark = { type = "string", default = "!" } } },
})
local mark = moot.config.mark or "!"

moot.on("onSayReceive", function(event)
  local message = tostring(event.message)
  if message:match("^%s*$") then return moot.deny("say something") end
  return moot.rewrite(message .. mark)
end)
