// The page: rooms, what is said in them, and actions. All text from outside is set
// as textContent.
import { Connection } from "./client.js";

const $ = (id) => document.getElementById(id);
const fill = (template) => $(template).content.firstElementChild.cloneNode(true);
const longestLog = 500; // messages kept of a room
const known = new Set(["message", "room", "from", "context", "sentAt", "offset", "epoch"]);

const connection = new Connection(new URL("ws", document.baseURI.replace(/^http/, "ws")));
const rooms = new Map(); // name -> room
let current = null; // the room that is shown

// ---- the connection

connection.addEventListener("state", ({ detail: { state, reason, delay } }) => {
  const words = { connecting: "connecting", connected: "connected", closed: "closed", waiting: `trying again in ${Math.ceil(delay / 1000)} s` };
  $("state").textContent = words[state] + (reason ? `: ${reason}` : "");
  $("state").dataset.state = state;
  $("connection-id").textContent = connection.id;
  $("reconnect").hidden = state !== "waiting" && state !== "closed";
  for (const room of rooms.values()) {
    room.joined = false;
    render(room);
  }
  if (state === "connected") arrive();
});

// arrive joins again what was joined before: to the server this is a new connection.
function arrive() {
  showActions();
  for (const room of rooms.values()) {
    if (!room.wanted) continue;
    note(room, "connected again; what was said meanwhile is not shown");
    enter(room);
  }
}

connection.addEventListener("frame", ({ detail }) => {
  if (typeof detail.room !== "string" || detail.message === undefined) return;
  const room = roomOf(detail.room);
  hear(room, detail);
  if (detail.from === "0") count(room);
});

$("reconnect").onclick = () => connection.open();
addEventListener("online", () => $("state").dataset.state === "waiting" && connection.open());
setInterval(() => !document.hidden && current && count(current), 15_000);

// ---- rooms

function roomOf(name) {
  if (rooms.has(name)) return rooms.get(name);
  const row = fill("room-template"), log = document.createElement("div");
  const room = { name, row, log, joined: false, wanted: false, unread: 0, members: null, said: [] };
  const [open, toggle] = row.querySelectorAll("button");
  row.dataset.testid = `room-${name}`;
  row.querySelector(".name").textContent = name;
  open.onclick = () => show(room);
  toggle.onclick = () => (room.joined ? leave(room) : join(room));
  Object.assign(log, { hidden: true, tabIndex: 0, role: "log", ariaLive: "polite", ariaLabel: `Messages in ${name}` });
  log.dataset.testid = `log-${name}`;
  $("rooms").append(row);
  $("logs").append(log);
  rooms.set(name, room);
  render(room);
  return room;
}

async function join(room) {
  await enter(room);
  if (room.joined) show(room);
}

async function enter(room) {
  await attempt(room, async () => {
    await connection.request("roomAdd", { room: room.name });
    room.joined = room.wanted = true;
  });
  count(room);
}

async function leave(room) {
  room.wanted = false;
  await attempt(room, async () => {
    await connection.request("roomLeave", { room: room.name });
    room.joined = false;
  });
  room.wanted = room.joined;
}

// attempt shows a refusal beside the room it was about.
async function attempt(room, act) {
  complain(room.row.querySelector(".error"), "");
  try {
    await act();
  } catch (err) {
    complain(room.row.querySelector(".error"), `${room.name}: ${err.message}`);
  }
  render(room);
}

function complain(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

function show(room) {
  if (current) current.log.hidden = true;
  const before = current;
  current = room;
  room.unread = 0;
  room.log.hidden = false;
  room.log.scrollTop = room.log.scrollHeight;
  if (before) render(before);
  render(room);
  complain($("say-error"), "");
  if (room.joined) $("say-text").focus();
}

function render(room) {
  const [open, toggle] = room.row.querySelectorAll("button"), unread = room.row.querySelector(".unread");
  open.ariaCurrent = String(room === current);
  unread.hidden = !room.unread;
  unread.textContent = room.unread;
  unread.ariaLabel = `${room.unread} unread`;
  toggle.textContent = room.joined ? "Leave" : "Join";
  toggle.ariaLabel = `${toggle.textContent} ${room.name}`;
  toggle.disabled = !connection.id;
  room.row.classList.toggle("joined", room.joined);
  if (room !== current) return;
  $("room-title").textContent = room.name;
  $("empty").hidden = room.joined || room.log.childElementCount > 0;
  $("members").hidden = !room.joined || !room.members;
  $("say-text").disabled = $("say-button").disabled = !room.joined;
  $("say-text").placeholder = room.joined ? `say something in ${room.name}` : "join the room to say something";
  if ($("members").hidden) return;
  const ids = Object.keys(room.members.members);
  $("members-count").textContent = `${room.members.membersCount} ${room.members.membersCount === 1 ? "member" : "members"}`;
  $("members-list").replaceChildren(...ids.map((id) => {
    const item = document.createElement("li");
    item.textContent = nameOf(id);
    item.title = id;
    return item;
  }));
}

// count asks who is there. That it cannot be asked is no news: the state says it.
async function count(room) {
  if (!room.joined) return;
  const view = await connection.request("roomView", { room: room.name }).catch(() => null);
  room.members = view?.data;
  render(room);
}

$("join").onsubmit = (event) => {
  event.preventDefault();
  join(roomOf($("join-room").value.trim()));
  event.target.reset();
};

// ---- what is said

$("say").onsubmit = async (event) => {
  event.preventDefault();
  const room = current, message = $("say-text").value;
  $("say-text").value = "";
  complain($("say-error"), "");
  room.said.push(message);
  try {
    await connection.request("say", { room: room.name, message });
  } catch (err) {
    room.said = room.said.filter((text) => text !== message);
    complain($("say-error"), `${room.name}: ${err.message}`);
    if (!$("say-text").value) $("say-text").value = message;
  }
};

// Rules and operators write any JSON into from and sentAt: neither is trusted to be
// an id or a time.
const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value ?? null));
const nameOf = (id) => (id === "0" ? "system" : id === connection.id ? "you" : id === undefined ? "unknown" : textOf(id).slice(-6));
const listed = (entries) => entries.map(([key, value]) => `${key}: ${textOf(value)}`).join("; ");

function hear(room, payload) {
  const item = fill("message-template");
  const text = textOf(payload.message), own = payload.from === connection.id;
  const extra = Object.entries(payload).filter(([key]) => !known.has(key));
  const said = own ? wroteOtherwise(room, text) : "";
  if (said) extra.unshift(["changed by a rule; you wrote", said]);
  item.classList.toggle("system", payload.from === "0");
  item.classList.toggle("own", own);
  item.querySelector(".from").textContent = nameOf(payload.from);
  item.querySelector(".from").title = textOf(payload.from ?? "");
  item.querySelector(".text").textContent = text;
  showTime(item.querySelector("time"), payload.sentAt);
  complain(item.querySelector(".note"), listed(extra));
  append(room, item);
  if (room === current) return;
  room.unread++;
  render(room);
}

// showTime leaves the time out where sentAt is none that a Date can hold.
function showTime(time, sentAt) {
  const sent = new Date(typeof sentAt === "number" ? sentAt : NaN);
  time.hidden = Number.isNaN(sent.getTime());
  if (time.hidden) return;
  time.textContent = sent.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  time.dateTime = sent.toISOString();
}

// wroteOtherwise is what was typed where the room heard something else, as far as
// it can be told: messages come back in order, but a rule may have dropped some.
function wroteOtherwise(room, text) {
  const at = room.said.indexOf(text);
  const said = at < 0 && room.said.length === 1 ? room.said[0] : "";
  room.said = at < 0 ? [] : room.said.slice(at + 1);
  return said;
}

function note(room, text) {
  const item = document.createElement("div");
  item.className = "divider faint";
  item.textContent = text;
  append(room, item);
}

// append keeps the end in sight of who was reading there.
function append(room, item) {
  const { log } = room, atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  if (log.childElementCount > longestLog) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
  if (room === current) $("empty").hidden = true;
}

// ---- actions

async function showActions() {
  const answer = await connection.request("documentation").catch(() => null);
  const actions = Object.values(answer?.data?.actions ?? {});
  $("actions").replaceChildren(...actions.map(actionForm));
  $("actions").hidden = !actions.length;
  $("actions-note").textContent = actions.length ? "The modules of this server declare these." : "The modules of this server declare no actions.";
}

let fields = 0; // made so far: each has an id of its own

// actionForm is the form of an action. Modules choose the names of inputs, and a field
// whose name is that of a property of forms, such as querySelector, hides it: fields
// have no names here.
function actionForm({ name, description, inputs }) {
  const form = fill("action-template"), output = form.querySelector("output"), params = new Map(); // input -> field
  form.dataset.testid = `action-${name}`;
  form.querySelector(".name").textContent = name;
  form.querySelector(".description").textContent = description;
  form.querySelector("button").textContent = `Run ${name}`;
  for (const [input, { required, description }] of Object.entries(inputs)) {
    const row = fill("input-template"), [label, field] = row.children;
    label.textContent = input + (required ? "" : " (optional)");
    label.htmlFor = field.id = `field-${++fields}`;
    params.set(input, field);
    field.placeholder = description ?? "";
    form.querySelector(".inputs").append(row);
  }
  form.onsubmit = async (event) => {
    event.preventDefault();
    const given = [...params].map(([input, field]) => [input, field.value]).filter(([, value]) => value !== "");
    try {
      const { context, messageId, ...reply } = await connection.request("action", { params: Object.fromEntries([...given, ["action", name]]) });
      complain(output, listed(Object.entries(reply)) || "done");
      output.className = "";
    } catch (err) {
      complain(output, err.message);
      output.className = "error";
    }
  };
  return form;
}

// listRooms shows the rooms of the configuration. Without them a room is joined by name.
async function listRooms() {
  const answer = await fetch(new URL("rooms.json", document.baseURI)).catch(() => null);
  const names = answer?.ok ? await answer.json().catch(() => []) : [];
  for (const name of names) roomOf(name);
  $("rooms-note").hidden = rooms.size > 0;
}

listRooms();
connection.open();
