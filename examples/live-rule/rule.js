// Changes every message of the hall. Edit and save this file: the next message is changed accordingly.
moot.declare({ reads: ["message"] });

moot.on("onSayReceive", (event) => moot.rewrite(String(event.message).toUpperCase()));
