// The page with its key, views and updates.
import { Fault, get, key, remember } from "./api.js";
import { Feed } from "./feed.js";
import { showTroubles } from "./troubles.js";
import { connections } from "./views/connections.js";
import { decisions } from "./views/decisions.js";
import { desk } from "./views/desk.js";
import { events } from "./views/events.js";
import { modules } from "./views/modules.js";
import { overview } from "./views/overview.js";
import { playground } from "./views/playground.js";
import { rooms } from "./views/rooms.js";

// Each view is a function of its place, the feed and the parameters of the address. It returns update(), which is called after
// each round; end(), before another view; and go(parameters), when only these change. end and go may be missing.
const views = { overview, desk, modules, rooms, connections, decisions, events, playground };
const period = 2000; // ms between two updates

const element = (id) => document.getElementById(id);
const main = element("view");
const feed = new Feed();
let name; // of the current view
let shown; // the current view
let timer;

const parameters = () => new URLSearchParams(location.hash.split("?")[1]);
const titles = () => [...element("nav").querySelectorAll("a")];

function route() {
  const asked = location.hash.slice(1).split("?")[0];
  const links = titles();
  const open = links.some((link) => link.hash === `#${asked}` && !link.hidden) ? asked : "overview";
  if (open === name && shown?.go) return shown.go(parameters());
  for (const link of links) {
    if (link.hash === `#${open}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shown?.end?.();
  main.replaceChildren();
  name = open;
  document.title = `${links.find((link) => link.hash === `#${open}`).textContent} · Moot console`;
  shown = views[open](main, feed, parameters());
  shown.update();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

// state shows a text and the time at which the data of the page arrived. Screen readers announce a change of the text, but not of
// the clock.
function state(text) {
  if (element("scope").textContent !== text) element("scope").textContent = text;
  element("clock").textContent = feed.at ? new Date(feed.at).toLocaleTimeString("en-GB") : "";
}

async function round() {
  clearTimeout(timer);
  try {
    await feed.round();
  } catch { // the server does not accept the key
    return login("The server does not accept this key any more.");
  }
  const scope = feed.whole ? "all tenants" : `tenant ${feed.tenant?.name ?? ""}`;
  state(feed.fault ? feed.fault.message : scope);
  document.body.classList.toggle("stale", Boolean(feed.fault));
  showTroubles(element("troubles"), feed);
  shown?.update();
  timer = setTimeout(round, document.hidden ? period * 5 : period);
}

function login(why = "") {
  clearTimeout(timer);
  shown?.end?.();
  shown = name = undefined;
  remember("");
  feed.clear();
  feed.at = 0;
  main.replaceChildren();
  element("troubles").replaceChildren();
  document.body.classList.remove("stale");
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
    if (!(err instanceof Fault) || err.status === 401) return login(key ? "This key is not known. Keys are in config.yaml: admin.key, admin.keys and admin.tenantKeys." : "");
    return login(`The key could not be checked: ${err.message}`);
  }
  element("login").hidden = true;
  for (const id of ["nav", "leave"]) element(id).hidden = false;
  for (const link of element("nav").querySelectorAll("[data-role]")) link.hidden = !feed.may(link.dataset.role);
  feed.clear();
  await round();
  if (element("login").hidden) route();
}

element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  remember(element("key").value.trim());
  enter();
});
element("leave").addEventListener("click", () => login());
element("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is that of the view
  main.focus();
});
addEventListener("hashchange", () => {
  if (key && element("login").hidden) route();
});
addEventListener("unhandledrejection", (event) => state(String(event.reason?.message ?? event.reason)));

if (key) enter();
else {
  element("login").hidden = false;
  element("key").focus();
}
