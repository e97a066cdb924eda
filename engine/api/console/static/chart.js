/* global uPlot */
import { h } from "./html.js";

// resolved returns a colour for a canvas, which does not support light-dark().
function resolved(name) {
  const probe = document.body.appendChild(h("span"));
  probe.style.color = `var(${name})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const whole = [...Array(13).keys()].flatMap((n) => [10 ** n, 2 * 10 ** n, 5 * 10 ** n]);
const binary = [...Array(42).keys()].map((n) => 2 ** n);
const height = 170;

// Chart shows series over a span of time. Each series is [name, color, show(value)].
export class Chart {
  #plot;
  #values;
  #size;
  #long = false; // the span is longer than an hour: the axis has no seconds

  // step is the smallest distance between two ticks of the axis, such as 1 for counts. Distances of bytes are powers of two.
  constructor(title, series, step = 1) {
    this.#values = series.map(() => h("b", {}, "–"));
    const legend = h("p", { class: "legend" }, series.map(([name], i) => h("span", {}, name, " ", this.#values[i])));
    const place = h("div", { class: "chart", role: "img", "aria-label": `Chart: ${title}` });
    this.element = h("section", { class: "card", "aria-label": title }, h("h2", {}, title), legend, place);
    this.show = series.map(([, , show]) => show);
    const axis = { stroke: resolved("--faint"), grid: { stroke: resolved("--line"), width: 1 }, ticks: { stroke: resolved("--line") } };
    const time = (t) => new Date(t * 1000).toLocaleTimeString("en-GB", this.#long ? { hour: "2-digit", minute: "2-digit" } : {});
    this.#plot = new uPlot({
      width: 400, height, legend: { show: false }, cursor: { y: false, points: { size: 6 } },
      scales: { y: { range: (_, low, high) => [0, Math.max((high ?? 0) * 1.1, 4 * step)] } },
      axes: [{ ...axis, size: 30, values: (_, ticks) => ticks.map(time), space: 80 },
        { ...axis, size: 74, values: (_, ticks) => ticks.map(series[0][2]), incrs: step >= 1024 ? binary.filter((n) => n >= step) : whole.map((n) => n * step) }],
      series: [{}, ...series.map(([label, name]) => ({ label, stroke: resolved(name), width: 2, spanGaps: false, points: { show: (u, i) => alone(u.data[i]), size: 4, fill: resolved(name) } }))],
    }, [[0], ...series.map(() => [null])], place);
    this.#size = new ResizeObserver(() => place.clientWidth > 0 && this.#plot.setSize({ width: place.clientWidth, height }));
    this.#size.observe(place);
  }

  // set replaces the data: [times in s, values...]. A value null is a gap.
  set(data) {
    this.#long = data[0].at(-1) - data[0][0] > 3600;
    this.#plot.setData(data);
    data.slice(1).forEach((values, i) => {
      const last = values.findLast((value, k) => value !== null && k >= values.length - 3);
      const text = last === undefined ? "–" : this.show[i](last);
      if (this.#values[i].textContent !== text) this.#values[i].textContent = text;
    });
  }

  end() {
    this.#size.disconnect();
    this.#plot.destroy();
  }
}

// alone reports whether a series has a value between two gaps, which a line does not show.
const alone = (values) => values.some((v, i) => v !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null);
