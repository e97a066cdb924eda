import { ask, at, get } from "../api.js";
import { ago, bytes, duration, h, moment, note, number, span, table, words } from "../html.js";
import { query } from "../lists.js";
import { actions, confirmed } from "../panel.js";
import { facts } from "./connection.js";
import { stateOf } from "./events.js";

const size = 20; // dead letters on a page

// sinkPanel shows a sink in the panel of a split: its state, a test, and its dead letters. changed is called after an action.
export function sinkPanel(place, changed) {
  const result = actions();
  let tenant;
  let name; // undefined: the panel is closed
  let cursors = [""]; // of the pages of dead letters
  let turn = 0;
  const path = (...more) => at("tenants", tenant, "sinks", name, ...more);

  // update shows the sink among the sinks of the tenant.
  async function update(sinks) {
    if (!name) return;
    const mine = ++turn;
    const sink = sinks.find((s) => s.name === name);
    if (!sink) return place.open(`Sink ${name}`, result.element, note("The sink does not exist any more."));
    try {
      const page = sink.dead || cursors.length > 1 ? await get(`${path("dead")}?${query({ limit: size, cursor: cursors.at(-1) })}`) : { dead: [] };
      if (mine === turn) draw(sink, page);
    } catch (err) {
      if (mine === turn) place.open(`Sink ${name}`, result.element, note(err.message));
    }
  }

  async function test() {
    await result.run("Sending a test event", ({ ok, status, error, answer, took }) => [
      h("span", { class: ok ? "good" : "bad" }, ok ? `The sink accepted a test event: ${status}, in ${duration(took)}.` : `The sink did not accept a test event: ${error ?? status}.`),
      answer ? h("pre", {}, answer) : "",
    ], () => ask("POST", path("test")));
    changed();
  }

  // all repeats a request until no dead letter is left, because one request changes a limited number.
  async function all(action) {
    let moved = 0;
    for (let n = 1; n > 0; moved += n) ({ moved: n } = await ask("POST", path("dead", action), {}));
    return moved;
  }

  async function move(action, letter) {
    const [doing, done] = action === "retry" ? ["Delivering again", ["is delivered again", "are delivered again"]] : ["Dropping", ["is dropped", "are dropped"]];
    const what = letter ? `event ${letter.id}` : "all dead letters";
    if (action === "drop" && !await confirmed(`Drop ${what}?`, "The sink never receives dropped events.", "Drop")) return;
    await result.run(doing, (n) => `${number(n)} ${n === 1 ? "event" : "events"} ${n === 1 ? done[0] : done[1]}.`, () => (letter ? ask("POST", path("dead", action), { places: [letter.place] }).then(({ moved }) => moved) : all(action)));
    cursors = [""];
    changed();
  }

  function draw(s, { dead, cursor }) {
    const turnTo = (change) => () => { change(); changed(); };
    place.open(`Sink ${name}`,
      facts(["State", stateOf(s)], ["Last error", s.error && words(s.error)], ["Waiting", `${number(s.events)} ${s.events === 1 ? "event" : "events"}, ${bytes(s.bytes)}`], ["Oldest", s.oldestAt ? `${ago(s.oldestAt)} ago` : ""],
        ["Next try", s.nextAt ? (s.nextAt > Date.now() ? `in ${span((s.nextAt - Date.now()) / 1000)}` : "now") : ""], ["Dropped", s.dropped ? `${number(s.dropped)} events since the last delivery` : ""]),
      s.configured ? "" : h("p", { class: "faint", "data-key": "gone" }, "The node that answered has no such sink in its configuration. The events of the sink wait until they are too old."),
      h("div", { class: "row", "data-key": "actions" }, h("button", { type: "button", disabled: !s.configured, onclick: test }, "Send a test event"),
        h("button", { type: "button", disabled: !s.dead, onclick: () => move("retry") }, "Deliver all dead letters again"), h("button", { type: "button", class: "danger", disabled: !s.dead, onclick: () => move("drop") }, "Drop all dead letters")),
      result.element,
      h("div", { class: "fields", "data-key": "dead" }, h("h3", {}, `Dead letters: ${number(s.dead)}`), table("Dead letters", [
        ["event", (d) => [d.kind, h("div", { class: "faint" }, moment(d.at)), d.room ? h("div", {}, words(d.room)) : "", d.user ? h("div", {}, words(d.user)) : ""], "words"],
        ["error", (d) => [words(d.error), h("details", {}, h("summary", {}, "Data"), h("pre", {}, words(JSON.stringify(d.data, null, 1))))], "words"],
        ["action", (d) => [h("button", { type: "button", "aria-label": `Deliver ${d.id} again`, onclick: () => move("retry", d) }, "Retry"), " ", h("button", { type: "button", class: "danger", "aria-label": `Drop ${d.id}`, onclick: () => move("drop", d) }, "Drop")]],
      ], dead, "There are no dead letters.", { key: (d) => d.place }),
      h("div", { class: "row" }, cursors.length > 1 && h("button", { type: "button", "data-key": "back", onclick: turnTo(() => cursors.pop()) }, "Previous"),
        cursor && h("button", { type: "button", "data-key": "on", onclick: turnTo(() => cursors.push(cursor)) }, "Next"))));
  }

  return {
    update,
    name: () => name,
    show(of, sink) {
      if (!sink) {
        name = undefined;
        turn++;
        return place.close();
      }
      if (sink !== name || of !== tenant) {
        result.element.replaceChildren();
        cursors = [""];
      }
      [tenant, name] = [of, sink];
    },
  };
}
