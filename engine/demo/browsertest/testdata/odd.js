// A rule that writes what no sane one does: the page shows it all the same.
moot.declare({ name: "odd", reads: ["message"] });

// The names are those of properties that forms in browsers have.
moot.action("survey", { inputs: { querySelector: {}, onsubmit: {}, append: {}, elements: {} } },
  (event) => moot.reply({ heard: event.params }));
moot.action("after", { inputs: { last: { required: true } } }, (event) => moot.reply({ last: event.params.last }));

moot.on("onSayReceive", (event) => {
  if (event.message === "late") return moot.rewrite({ sentAt: 9e15 });
});
