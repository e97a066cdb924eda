// The page with its key, views and updates.
import { Fault, get, key, remember } from "./api.js";
import { Feed } from "./feed.js";
import { refocus } from "./html.js";
import { decisions } from "./views/decisions.js";
import { modules } from "./views/modules.js";
import { overview } from "./views/overview.js";
import { playground } from "./views/playground.js";
import { rooms } from "./views/rooms.js";

const views = { overview, modules, rooms, decisions, playground };
const period = 2000; // ms between two updates

const element = (id) => document.getElementById(id);
const main = element("view");
const feed = new Feed();
let shown; // the current view: update() is called after each round, end() before the next view
let timer;

function state(text, bad = false) {
  element("state").textContent = text;
  element("state").className = bad ? "bad" : "";
}

function route() {
  const name = location.hash.slice(1).split("?")[0];
  const links = [...element("nav").querySelectorAll("a")];
  const open = links.some((link) => link.hash === `#${name}` && !link.hidden) ? name : "overview";
  for (const link of links) {
    if (link.hash === `#${open}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shown?.end?.();
  main.replaceChildren();
  document.title = `${open} · Moot console`;
  shown = views[open](main, feed, new URLSearchParams(location.hash.split("?")[1]));
  shown.update();
}

async function round() {
  try {
    await feed.round();
    state(`${feed.whole ? "all tenants" : `tenant ${feed.tenant.name}`} · ${new Date().toLocaleTimeString("en-GB")}`);
    if (shown) redraw();
  } catch (err) {
    if (err.status === 401) return login("The server does not accept the key any more.");
    state(err.message, true);
  }
  timer = setTimeout(round, document.hidden ? period * 5 : period);
}

const redraw = () => refocus(main, () => shown.update());

function login(why = "") {
  clearTimeout(timer);
  shown?.end?.();
  shown = undefined;
  remember("");
  main.replaceChildren();
  state("");
  element("login-error").textContent = why;
  for (const id of ["nav", "leave"]) element(id).hidden = true;
  element("login").hidden = false;
  element("key").value = "";
  element("key").focus();
}

async function enter() {
  try {
    feed.key = await get("/api/key");
  } catch (err) {
    if (!(err instanceof Fault) || err.status === 401) return login(key ? `Refused: ${err.message}` : "");
    return login(err.message);
  }
  element("login").hidden = true;
  for (const id of ["nav", "leave"]) element(id).hidden = false;
  for (const link of element("nav").querySelectorAll("[data-role]")) link.hidden = !feed.may(link.dataset.role);
  feed.clear();
  await round();
  if (!element("login").hidden) return;
  route();
  main.focus();
}

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  remember(element("key").value.trim());
  enter();
});
element("leave").addEventListener("click", () => login());
addEventListener("hashchange", () => {
  if (!key || !element("login").hidden) return;
  route();
  main.focus();
});
addEventListener("unhandledrejection", (event) => state(String(event.reason?.message ?? event.reason), true));

if (key) enter();
else {
  element("login").hidden = false;
  element("key").focus();
}
