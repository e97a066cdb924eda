// The first rule of config.yaml: it sees each message before the other rules. Edit and save this file: the next message is
// changed accordingly. sdk/script/README.md describes what a rule can do.
moot.declare({ reads: ["message"] });

moot.on("onSayReceive", (event) => {
  const text = String(event.message);
  if (text === "!shrug") return moot.rewrite("¯\\_(ツ)_/¯");
  return moot.allow();
});
