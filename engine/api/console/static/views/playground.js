import { ask, at, Fault, get } from "../api.js";
import { bytes, duration, h, number, select } from "../html.js";
import { firstTenant, tenantInput } from "../lists.js";

const hooks = ["onSayReceive", "say", "join", "leave", "connect", "disconnect", "action"];
// The fields of an event besides its connection, by hook.
const fields = {
  onSayReceive: ["room", "message"], say: ["room", "message", "receivers"], join: ["room"], leave: ["room"], connect: [], disconnect: [], action: ["action", "params"],
};
const person = `{"id": "c1", "properties": {"role": "member", "name": "Ann"}}`;
const start = {
  room: "lobby", message: "hello", action: "vote", params: `{}`, connection: person,
  receivers: `[\n  {"id": "c2", "properties": {"role": "member"}},\n  {"id": "c3", "properties": {"role": "guest"}}\n]`,
};

function parsed(title, text) {
  try {
    return JSON.parse(text);
  } catch (err) {
    throw new Error(`${title}: ${err.message}`);
  }
}

export function playground(main, feed) {
  let tenant;
  let module;
  let hook = hooks[0];
  let trial = new AbortController(); // ends the trials of the module when another one is chosen
  const [tenantChoice, moduleChoice, hookChoice] = [h("span", { class: "choice" }), h("div"), h("div")];
  const inputs = Object.fromEntries(Object.entries(start).map(([name, value]) => [name, name === "room" || name === "message" || name === "action"
    ? h("input", { value, "data-testid": name }) : h("textarea", { value, spellcheck: "false", "data-testid": name })]));
  const config = h("textarea", { spellcheck: "false", "data-testid": "config" });
  const event = h("div", { class: "fields" });
  const answer = h("div", { class: "card", role: "status", "data-testid": "answer", hidden: true });
  const button = h("button", { class: "main" }, "Call the module");

  const label = (title, input) => h("label", {}, title, input);
  function arrange() {
    const mine = fields[hook].map((name) => label(`${name[0].toUpperCase()}${name.slice(1)}${name === "params" || name === "receivers" ? " (JSON)" : ""}`, inputs[name]));
    event.replaceChildren(...mine, label("Connection (JSON)", inputs.connection));
  }

  function question() {
    const out = { hook };
    for (const name of fields[hook]) out[name] = name === "params" || name === "receivers" ? parsed(name, inputs[name].value) : inputs[name].value;
    const connection = parsed("connection", inputs.connection.value);
    if (hook === "say") out.from = connection?.id ?? "";
    else out.connection = connection;
    return out;
  }

  const send = (body) => ask("POST", at("tenants", tenant, "modules", module, "trials"), body, { signal: trial.signal });

  // drop ends the trials of the module, so that the server has the time for others.
  function drop() {
    trial.abort();
    trial = new AbortController();
    module = undefined;
    button.disabled = true;
    answer.hidden = true;
  }

  // choose lists the modules of a tenant, and chooses the first one.
  async function choose(name) {
    drop();
    tenant = name;
    moduleChoice.replaceChildren();
    const { modules } = await get(at("tenants", name, "modules"));
    if (tenant !== name) return;
    const names = [...new Set(modules.map((m) => m.name))];
    if (names.length === 0) throw new Error(`Tenant ${name} has no module in its chain.`);
    moduleChoice.replaceChildren(select("Module", names.map((m) => [m, m]), names[0], meet));
    await meet(names[0]);
  }

  // meet chooses a module. A trial without an event returns its config and its hooks. The button is off until then.
  async function meet(name) {
    drop();
    module = name;
    config.value = "";
    wait(`Module ${name} starts.`);
    try {
      const its = await send({});
      config.value = JSON.stringify(its.config ?? null, null, 2);
      offer(hooks.filter((name) => its.hooks.includes(name)));
      answer.hidden = true;
      button.disabled = false;
    } catch (err) {
      fail(err, () => meet(name));
    }
  }

  function offer(names) {
    if (!names.includes(hook)) hook = names[0] ?? hooks[0];
    hookChoice.replaceChildren(select("Hook", names.map((name) => [name, name]), hook, (value) => { hook = value; arrange(); }));
    arrange();
  }

  function wait(text) {
    answer.hidden = false;
    answer.replaceChildren(h("p", { class: "faint" }, text));
  }

  // fail shows an error. If it is the server's, again repeats the request.
  function fail(err, again) {
    answer.hidden = false;
    answer.replaceChildren(h("p", { class: "note" }, err.message), again && err instanceof Fault ? repeat(again) : "");
  }

  const repeat = (again) => h("p", {}, h("button", { type: "button", onclick: again }, "Try again"));

  async function call() {
    button.disabled = true;
    try {
      const own = config.value.trim();
      const body = { event: question(), ...(own ? { config: parsed("config", own) } : {}) };
      wait(`Module ${module} is called.`);
      const tried = await send(body);
      show(answer, tried, tried.answer.kind === "deadline" && repeat(call));
    } catch (err) {
      fail(err, call);
    }
    button.disabled = false;
  }

  main.append(h("form", { class: "card", onsubmit: (event) => { event.preventDefault(); if (!button.disabled) call(); } },
    h("h2", {}, "Call a module"),
    h("p", { class: "faint" }, "The module runs in a new instance with an empty store, and its answer has no effect."),
    h("div", { class: "row" },
      tenantChoice, moduleChoice, hookChoice),
    h("div", { class: "grid" }, event, label("Config (JSON)", config)),
    button), answer);
  drop();
  offer(hooks);
  async function begin() {
    const first = await firstTenant(feed);
    tenantChoice.replaceChildren(tenantInput(feed, first, (name) => name && choose(name).catch(fail)));
    if (first) await choose(first);
  }
  begin().catch(fail);
  return { update() {}, end: () => trial.abort() };
}

const tone = { deny: "bad", drop: "bad", failed: "bad", hold: "" };

// show shows the result of a trial. again is a button that repeats a call that exceeded its time.
function show(place, { answer, took, fuel, memory, calls }, again) {
  const said = answer.message ?? (answer.json === undefined ? undefined : JSON.stringify(answer.json));
  place.hidden = false;
  place.replaceChildren(
    h("h2", {}, "Verdict: ", h("span", { class: tone[answer.verdict] ?? "good", "data-testid": "verdict" }, answer.verdict)),
    answer.reason ? h("p", {}, answer.reason) : "",
    answer.failure ? h("p", { class: "note" }, `${answer.kind}: ${answer.failure}`) : "",
    again ? h("p", {}, "The module had no answer within its time. A busy server is slow: a second call may answer.") : "",
    again || "",
    said === undefined ? "" : h("p", {}, "New message: ", h("b", { "data-testid": "rewritten" }, said)),
    h("p", { class: "faint", "data-testid": "cost" },
      `${duration(took)} · ${number(fuel)} units of fuel · ${bytes(memory)} of memory · ${number(calls)} ${calls === 1 ? "call" : "calls"}`),
    h("details", { open: true }, h("summary", {}, "Full answer"), h("pre", {}, JSON.stringify(answer, null, 2))));
}
