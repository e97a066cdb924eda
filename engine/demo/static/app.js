// The demo page: rooms, messages and actions. The page shows text from the server as
// textContent only.
import { Connection } from "./client.js";

const $ = (id) => document.getElementById(id);
const fill = (template) => $(template).content.firstElementChild.cloneNode(true);
const maxMessages = 500; // per room
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
  if (state === "connected") rejoin();
});

// rejoin joins the rooms again: after a break the server sees a new connection.
function rejoin() {
  showActions();
  for (const room of rooms.values()) {
    if (!room.wanted) continue;
    note(room, "connected again; messages of the meantime are not shown");
    enter(room);
  }
}

connection.addEventListener("frame", ({ detail }) => {
  if (typeof detail.room !== "string" || detail.message === undefined) return;
  const room = roomOf(detail.room);
  showMessage(room, detail);
  if (detail.from === "0") showMembers(room);
});

$("reconnect").onclick = () => connection.open();
addEventListener("online", () => $("state").dataset.state === "waiting" && connection.open());
setInterval(() => !document.hidden && current && showMembers(current), 15_000);

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
  showMembers(room);
}

async function leave(room) {
  room.wanted = false;
  await attempt(room, async () => {
    await connection.request("roomLeave", { room: room.name });
    room.joined = false;
  });
  room.wanted = room.joined;
}

// attempt calls act, and shows an error beside the room.
async function attempt(room, act) {
  showText(room.row.querySelector(".error"), "");
  try {
    await act();
  } catch (err) {
    showText(room.row.querySelector(".error"), `${room.name}: ${err.message}`);
  }
  render(room);
}

function showText(element, text) {
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
  showText($("say-error"), "");
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
  $("say-text").placeholder = room.joined ? `message to ${room.name}` : "join the room to send messages";
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

// showMembers asks for the members of a room. It ignores errors: the state shows that the
// connection is lost.
async function showMembers(room) {
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

// ---- messages

$("say").onsubmit = async (event) => {
  event.preventDefault();
  const room = current, message = $("say-text").value;
  $("say-text").value = "";
  showText($("say-error"), "");
  room.said.push(message);
  try {
    await connection.request("say", { room: room.name, message });
  } catch (err) {
    room.said = room.said.filter((text) => text !== message);
    showText($("say-error"), `${room.name}: ${err.message}`);
    if (!$("say-text").value) $("say-text").value = message;
  }
};

// from and sentAt may be any JSON, because modules and operators can set them.
const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value ?? null));
const nameOf = (id) => (id === "0" ? "system" : id === connection.id ? "you" : id === undefined ? "unknown" : textOf(id).slice(-6));
const listed = (entries) => entries.map(([key, value]) => `${key}: ${textOf(value)}`).join("; ");

function showMessage(room, payload) {
  const item = fill("message-template");
  const text = textOf(payload.message), own = payload.from === connection.id;
  const extra = Object.entries(payload).filter(([key]) => !known.has(key));
  const original = own ? originalOf(room, text) : "";
  if (original) extra.unshift(["changed by a rule; you wrote", original]);
  item.classList.toggle("system", payload.from === "0");
  item.classList.toggle("own", own);
  item.querySelector(".from").textContent = nameOf(payload.from);
  item.querySelector(".from").title = textOf(payload.from ?? "");
  item.querySelector(".text").textContent = text;
  showTime(item.querySelector("time"), payload.sentAt);
  showText(item.querySelector(".note"), listed(extra));
  append(room, item);
  if (room === current) return;
  room.unread++;
  render(room);
}

// showTime hides the time if sentAt is not a number that a Date can hold.
function showTime(time, sentAt) {
  const sent = new Date(typeof sentAt === "number" ? sentAt : NaN);
  time.hidden = Number.isNaN(sent.getTime());
  if (time.hidden) return;
  time.textContent = sent.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  time.dateTime = sent.toISOString();
}

// originalOf returns the text that the user typed if a rule changed it, and ""
// otherwise. It is an estimate: messages come back in order, but rules may have dropped
// some of them.
function originalOf(room, text) {
  const at = room.said.indexOf(text);
  const original = at < 0 && room.said.length === 1 ? room.said[0] : "";
  room.said = at < 0 ? [] : room.said.slice(at + 1);
  return original;
}

function note(room, text) {
  const item = document.createElement("div");
  item.className = "divider faint";
  item.textContent = text;
  append(room, item);
}

// append adds an item, and scrolls to it if the end of the log was visible.
function append(room, item) {
  const { log } = room, atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  if (log.childElementCount > maxMessages) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
  if (room === current) $("empty").hidden = true;
}

// ---- actions

async function showActions() {
  const answer = await connection.request("documentation").catch(() => null);
  const actions = Object.values(answer?.data?.actions ?? {});
  $("actions").replaceChildren(...actions.map(actionForm));
  $("actions").hidden = !actions.length;
  $("actions-note").textContent = actions.length ? "Actions of this server's modules." : "This server's modules have no actions.";
}

let fields = 0; // number of fields, for their ids

// actionForm returns the form of an action. The fields have no names: modules choose the
// names of inputs, and a name such as querySelector would hide a property of the form.
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
      showText(output, listed(Object.entries(reply)) || "done");
      output.className = "";
    } catch (err) {
      showText(output, err.message);
      output.className = "error";
    }
  };
  return form;
}

// listRooms shows the starting rooms. Other rooms are joined by name.
async function listRooms() {
  const answer = await fetch(new URL("rooms.json", document.baseURI)).catch(() => null);
  const names = answer?.ok ? await answer.json().catch(() => []) : [];
  for (const name of names) roomOf(name);
  $("rooms-note").hidden = rooms.size > 0;
}

listRooms();
connection.open();
