// The history of the nodes, which the server keeps, as data of charts.
import { get } from "./api.js";
import { query } from "./lists.js";

const spans = { "10m": [5, 600], "2h": [30, 7200], "24h": [300, 86_400] }; // step and span in s

export class Series {
  span = "10m";
  node = ""; // "": all
  names = [];
  #points = new Map(); // by node: a map of times in s to values by name
  #asked = 0; // number of the latest request

  choose(span) {
    this.span = span;
    this.#points.clear();
  }

  // update requests the points since the last ones.
  async update() {
    const mine = ++this.#asked;
    const known = [...this.#points.values()].map((points) => Math.max(...points.keys()));
    const since = known.length ? Math.min(...known) * 1000 : 0;
    const { nodes, spanTime } = await get(`/api/history?${query({ span: this.span, since })}`);
    if (mine !== this.#asked) return;
    const oldest = (Date.now() - spanTime) / 1000;
    this.names = nodes.map(({ node }) => node);
    for (const { node, at, ...rest } of nodes) {
      const lists = Object.fromEntries(Object.entries(rest).flatMap(([name, list]) => (Array.isArray(list) ? [[name, list]] : Object.entries(list).map(([quantile, values]) => [`${name}.${quantile}`, values]))));
      const points = this.#points.get(node) ?? new Map();
      at.forEach((ms, i) => points.set(ms / 1000, Object.fromEntries(Object.entries(lists).map(([name, values]) => [name, values[i]]))));
      for (const time of points.keys()) if (time < oldest) points.delete(time);
      if (points.size) this.#points.set(node, points);
      else this.#points.delete(node);
    }
  }

  // data returns the times of the span and the values of each name: the sum over the nodes, or the longest of their durations.
  // A time at which no node has a value is a gap.
  data(...names) {
    const [step, length] = spans[this.span];
    const last = Math.floor(Date.now() / 1000 / step) * step;
    const times = Array.from({ length: length / step + 1 }, (_, i) => last - length + i * step);
    const of = this.node ? [this.#points.get(this.node) ?? new Map()] : [...this.#points.values()];
    return [times, ...names.map((name) => {
      const combine = /\.p\d\d$/.test(name) ? Math.max : (a, b) => a + b;
      return times.map((time) => of.map((points) => points.get(time)?.[name] ?? null).filter((v) => v !== null).reduce((a, b) => (a === null ? b : combine(a, b)), null));
    })];
  }
}

// filled adds points without values at the beginning and the end of the span, so that the axis shows the whole span.
export function filled([times, ...lists]) {
  const now = Date.now() / 1000;
  return [[now - spans["10m"][1], ...times, now], ...lists.map((values) => [null, ...values, null])];
}
