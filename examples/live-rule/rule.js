// What the hall hears: edit it and save it, and the next message is heard so.
moot.declare({ reads: ["message"] });

moot.on("onSayReceive", (event) => moot.rewrite(String(event.message).toUpperCase()));
