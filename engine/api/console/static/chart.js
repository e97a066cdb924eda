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

const whole = [...Array(10).keys()].flatMap((n) => [10 ** n, 2 * 10 ** n, 5 * 10 ** n]);

// Chart shows series over the last minutes. Each series is [name, color, show(value)].
export class Chart {
  #plot;
  #values;
  #size;

  // step is the smallest distance between two ticks of the axis, such as 1 for counts.
  constructor(title, series, step = 1) {
    const height = 180;
    this.#values = series.map(() => h("b", {}, "–"));
    const legend = h("p", { class: "legend" }, series.map(([name], i) => h("span", {}, name, " ", this.#values[i])));
    const place = h("div", { class: "chart", role: "img", "aria-label": title });
    this.element = h("section", { class: "card" }, h("h2", {}, title), legend, place);
    this.show = series.map(([, , show]) => show);
    const axis = { stroke: resolved("--faint"), grid: { stroke: resolved("--line"), width: 1 }, ticks: { stroke: resolved("--line") } };
    this.#plot = new uPlot({
      width: 400, height, legend: { show: false }, cursor: { y: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 4 * step)] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map((t) => new Date(t * 1000).toLocaleTimeString("en-GB")), space: 80 },
        { ...axis, size: 70, values: (_, ticks) => ticks.map(series[0][2]), incrs: whole.map((n) => n * step) }],
      series: [{}, ...series.map(([label, name]) => ({ label, stroke: resolved(name), width: 2, points: { show: false } }))],
    }, [[], ...series.map(() => [])], place);
    this.#size = new ResizeObserver(() => place.clientWidth > 0 && this.#plot.setSize({ width: place.clientWidth, height }));
    this.#size.observe(place);
  }

  // set replaces the data: [times in s, values...].
  set(data) {
    this.#plot.setData(data);
    data.slice(1).forEach((values, i) => { this.#values[i].textContent = Number.isFinite(values.at(-1)) ? this.show[i](values.at(-1)) : "–"; });
  }

  end() {
    this.#size.disconnect();
    this.#plot.destroy();
  }
}

