import { at, get } from "./api.js";

const kept = 300; // points of a series: ten minutes
const roles = ["viewer", "moderator", "author", "operator"];

// Feed has the latest answers of the server and the data of the charts. A round costs the same with any number of
// tenants: lists of tenants are requested by pages, by the views that show them.
export class Feed {
  nodes = [];
  usage = { nodes: [], tenants: [] }; // what the modules of each node use, with the tenants that cost most
  unreachable = [];
  key = {}; // name, role and tenants of the key
  whole = true; // the key reaches all tenants
  tenant; // the first one of the key, if it does not reach all
  modules = []; // of this tenant
  self = "";
  #before; // counters of the previous round

  constructor() {
    this.clear();
  }

  clear() {
    this.series = { rate: [[], [], []], latency: [[], [], []], connections: [[], []] };
    this.#before = undefined;
    this.whole = true;
  }

  // may reports whether the key has at least the role.
  may(role) {
    return roles.indexOf(this.key.role) >= roles.indexOf(role);
  }

  async round() {
    if (this.whole) await this.#all();
    if (!this.whole) await this.#own();
    this.#measure(performance.now() / 1000);
  }

  async #all() {
    try {
      ({ nodes: this.nodes, self: this.self } = await get("/api/nodes"));
    } catch (err) {
      if (err.status !== 403) throw err;
      this.whole = false;
      this.nodes = [];
      return;
    }
    this.usage = await get("/api/usage?top=10");
    this.unreachable = this.usage.unreachable ?? [];
  }

  async #own() {
    [this.tenant] = (await get("/api/tenants")).tenants;
    ({ modules: this.modules, unreachable: this.unreachable = [] } = await get(at("tenants", this.tenant.name, "modules")));
  }

  #measure(now) {
    const counted = {
      now,
      nodes: new Map(this.nodes.map((node) => [`${node.name} ${node.startedAt}`, node])),
      calls: new Map(this.whole ? this.usage.nodes.map((n) => [n.node, n.calls]) : this.modules.map((m) => [`${m.node} ${m.version}`, m.durations])),
    };
    const before = this.#before;
    this.#before = counted;
    const time = Date.now() / 1000;
    push(this.series.connections, time, this.whole ? this.nodes.reduce((sum, n) => sum + (n.connections ?? 0), 0) : this.tenant.connections);
    if (!before) return;
    const grown = (field) => [...counted.nodes].reduce((sum, [id, node]) => sum + Math.max(0, node[field] - (before.nodes.get(id)?.[field] ?? node[field])), 0) / (now - before.now);
    push(this.series.rate, time, grown("messages"), grown("deliveries"));
    const calls = difference(counted.calls, before.calls);
    push(this.series.latency, time, quantile(calls, 0.5), quantile(calls, 0.99));
  }
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
