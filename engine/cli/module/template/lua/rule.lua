-- {{.Name}} is a Moot module.
local mark = moot.config.mark or "!"

moot.on("onSayReceive", function(event)
  local message = tostring(event.message)
  if message:match("^%s*$") then return moot.deny("say something") end
  return moot.rewrite(message .. mark)
end)
