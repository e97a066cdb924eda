// Names the user of a connection by a code: the action login. Guests, who have no user, read the hall and may not write.

/// <reference path="../../sdk/script/moot.d.ts" />

moot.declare({
  name: "login",
  reads: ["user", "remoteIP", "params"],
  capabilities: ["identity", "rate"],
  config: {
    type: "object", additionalProperties: false, required: ["codes"],
    properties: { codes: { type: "object", additionalProperties: { type: "string" } } },
  },
});
const { codes } = moot.config;

moot.action("login", { description: "names the user of the connection", inputs: { code: { required: true } } }, (event, connection) => {
  if (moot.rate.take(connection.remoteIP, { burst: 10, per: 60_000 }) > 0) return moot.deny("too many codes from your address: try later");
  const { code } = event.params;
  if (typeof code !== "string" || !Object.prototype.hasOwnProperty.call(codes, code)) return moot.deny("this code is not known");
  const user = codes[code];
  if (connection.user !== undefined && connection.user !== user) return moot.deny("you are " + connection.user + ": connect again to be somebody else");
  moot.identity.setUser(user); // once for each connection, for all rules and on all nodes
  return moot.reply({ user });
});

moot.on("onSayReceive", (event, connection) => {
  if (connection && connection.user === undefined) return moot.deny("log in first: run the action login with your code");
});
