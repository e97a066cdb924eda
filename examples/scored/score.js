// Asks a service how rude a message is, and holds it when the service is unsure.
moot.declare({ name: "score", reads: ["message"], asks: ["rudeness"] });

moot.on("onSayReceive", (event) => moot.ask("rudeness", { text: String(event.message) }));

moot.on("answer", (event, answer) => {
  const score = answer.json.score;
  if (score > 0.9) return moot.deny("that was rude");
  if (score > 0.4) return moot.hold(`rude? ${score}`);
  return moot.allow();
});
