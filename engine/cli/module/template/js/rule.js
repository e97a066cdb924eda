/// <reference path="moot.d.ts" />
// {{.Name}} is a Moot module.
moot.declare({
  reads: ["message"],
  config: { type: "object", additionalProperties: false, properties: { mark: { type: "string", default: "!" } } },
});
const mark = moot.config.mark ?? "!";

moot.on("onSayReceive", (event) => {
  const message = String(event.message);
  if (message.trim() === "") return moot.deny("say something");
  return moot.rewrite(message + mark);
});
