import { at, get } from "./api.js";

const kept = 300; // points of a series: ten minutes
const sinkRounds = 5; // rounds between two requests of sinks
const fewTenants = 10; // at most this many: the sinks of all tenants are read
const roles = ["viewer", "moderator", "author", "operator"];

// Feed has the latest answers of the server. A round costs the same with any number of tenants: lists of tenants are
// requested by pages, by the views that show them.
export class Feed {
  nodes = [];
  usage = { nodes: [], tenants: [] }; // what the modules of each node use, with the tenants that cost most
  unreachable = [];
  key = {}; // name, role and tenants of the key
  whole = true; // the key reaches all tenants
  tenant; // the first one of the key, if it does not reach all
  modules = []; // of this tenant
  self = "";
  opened = []; // the latest decisions about breakers that opened
  sinks = []; // each with its tenant; see #readSinks
  at = 0; // time of the latest answers
  fault; // the error of the latest round; undefined: it succeeded
  checks = {}; // of /health/ready, if the round failed and the server answers
  #before; // counters of the previous round
  #rounds = 0;
  #watched; // the tenant of the view of sinks

  constructor() {
    this.clear();
  }

  clear() {
    this.series = { latency: [[], [], []], connections: [[], []] }; // with the key of a tenant
    this.#before = undefined;
    this.whole = true;
    this.nodes = [];
    this.modules = [];
    this.usage = { nodes: [], tenants: [] };
    this.fault = undefined;
    this.sinks = [];
    this.#rounds = 0;
    this.#watched = undefined;
  }

  // watch makes the feed read the sinks of a tenant.
  watch(tenant) {
    if (tenant !== this.#watched) this.#rounds = 0;
    this.#watched = tenant;
  }

  // may reports whether the key has at least the role.
  may(role) {
    return roles.indexOf(this.key.role) >= roles.indexOf(role);
  }

  // round requests the data from the server. If a request fails, the data of the previous round stays.
  async round() {
    try {
      if (this.whole) await this.#all();
      if (!this.whole) await this.#own();
      await this.#breakers();
      if (this.#rounds++ % sinkRounds === 0) await this.#readSinks();
      this.at = Date.now();
      this.fault = undefined;
    } catch (err) {
      if (err.status === 401) throw err;
      this.fault = err;
      this.checks = err.status > 0 ? await health() : {};
    }
    if (!this.whole) this.#measure();
  }

  // #all requests nodes and usage at the same time, because each request takes some seconds if a node does not answer.
  async #all() {
    const asked = get("/api/usage?top=10");
    asked.catch(() => {}); // the first error is enough
    try {
      ({ nodes: this.nodes, self: this.self } = await get("/api/nodes"));
    } catch (err) {
      if (err.status !== 403) throw err;
      this.whole = false;
      this.nodes = [];
      return;
    }
    this.usage = await asked;
    this.unreachable = this.usage.unreachable ?? [];
  }

  async #own() {
    [this.tenant] = (await get("/api/tenants")).tenants;
    ({ modules: this.modules, unreachable: this.unreachable = [] } = await get(at("tenants", this.tenant.name, "modules")));
  }

  // #breakers reads why breakers opened, if any is open and the key may read decisions.
  async #breakers() {
    const open = this.whole ? this.usage.nodes.some((n) => n.openBreakers > 0) : this.modules.some((m) => m.openBreakers > 0);
    this.opened = [];
    if (!open || !this.may("moderator")) return;
    const path = this.whole ? "/api/decisions" : at("tenants", this.tenant.name, "decisions");
    this.opened = (await get(`${path}?verdict=opened&limit=50`).catch(() => ({ decisions: [] }))).decisions;
  }

  // #readSinks reads the sinks of all tenants that the key reaches, or of the watched tenant if there are many. The API answers 404
  // if the server has no events.
  async #readSinks() {
    if (!this.may("operator")) return;
    const { tenants, cursor } = await get(`/api/tenants?limit=${fewTenants}`);
    const names = cursor ? [this.#watched].filter(Boolean) : tenants.map(({ name }) => name);
    const all = [];
    for (const tenant of names) {
      const { sinks } = await get(at("tenants", tenant, "sinks")).catch(() => ({ sinks: [] }));
      all.push(...sinks.map((s) => ({ ...s, tenant })));
    }
    this.sinks = all;
  }

  // failing returns the modules with open breakers, each with its node and the cause if it is known.
  failing() {
    const all = this.whole
      ? this.usage.nodes.flatMap((n) => (n.failing ?? []).map((f) => ({ ...f, node: n.node })))
      : this.modules.filter((m) => m.openBreakers > 0).map((m) => ({ module: m.name, tenant: m.tenant, node: m.node }));
    return all.map((f) => {
      const cause = this.opened.find((d) => d.tenant === f.tenant && d.node === f.node && d.module.startsWith(`${f.module.split("@")[0]}@`));
      return { ...f, module: f.module.split("@")[0], cause };
    });
  }

  // #measure adds to the series of a tenant. Without an answer of the server they have a gap.
  #measure() {
    const time = Date.now() / 1000;
    if (this.fault || !this.tenant) {
      push(this.series.connections, time, null);
      push(this.series.latency, time, null, null);
      this.#before = undefined;
      return;
    }
    const counted = new Map(this.modules.map((m) => [`${m.node} ${m.version}`, m.durations]));
    const before = this.#before;
    this.#before = counted;
    push(this.series.connections, time, this.tenant.connections);
    if (!before) return;
    const calls = difference(counted, before);
    push(this.series.latency, time, quantile(calls, 0.5), quantile(calls, 0.99));
  }
}

// health returns the checks of /health/ready, with details.
async function health() {
  const answer = await get("/health/ready", [503]).catch(() => undefined);
  return answer?.checks ?? {};
}

function push(series, ...values) {
  values.forEach((value, i) => {
    series[i].push(value);
    if (series[i].length > kept) series[i].shift();
  });
}

// difference returns the histogram of the calls of all modules between two rounds.
function difference(now, before) {
  let bounds = [];
  const counts = [];
  for (const [id, durations] of now) {
    if (!durations?.bounds) continue;
    bounds = durations.bounds;
    durations.counts.forEach((count, i) => { counts[i] = (counts[i] ?? 0) + Math.max(0, count - (before.get(id)?.counts[i] ?? 0)); });
  }
  return { bounds, counts };
}

// quantile returns the quantile of the durations, in ms. It assumes that the calls of a bucket are spread evenly. Without
// calls it returns null, so that the chart has a gap.
export function quantile({ bounds, counts }, share) {
  const all = counts.reduce((a, b) => a + b, 0);
  if (all === 0) return null;
  let left = all * share;
  for (let i = 0; i < counts.length; i++) {
    if (left <= counts[i]) {
      const low = i === 0 ? 0 : bounds[i - 1];
      const high = bounds[i] ?? bounds.at(-1);
      return low + (high - low) * (left / counts[i]);
    }
    left -= counts[i];
  }
  return bounds.at(-1);
}
