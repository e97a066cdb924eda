package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-analyze/charts"
)

// Format is an image format.
type Format string

// The formats.
const (
	PNG Format = "png"
	SVG Format = "svg"
)

// FormatOf returns the format of a file by its extension.
func FormatOf(file string) (Format, error) {
	for _, f := range []Format{PNG, SVG} {
		if strings.HasSuffix(strings.ToLower(file), "."+string(f)) {
			return f, nil
		}
	}
	return "", fmt.Errorf("--plot: %q ends neither in .png nor in .svg", file)
}

// Plot writes a histogram of the latencies. Both axes are logarithmic, so that a few slow deliveries are visible.
func (r *Result) Plot(w io.Writer, f Format) error {
	if r.latencies.TotalCount() == 0 {
		return errors.New("plot: there were no deliveries")
	}
	bars := r.bars()
	o := charts.NewBarChartOptionWithData(bars.heights)
	o.Title = charts.TitleOption{Text: fmt.Sprintf("%s deliveries/s: %s; %s", grouped(r.DeliveriesPerSecond), r.pace(), r.setting())}
	o.Legend = charts.LegendOption{SeriesNames: bars.names, Offset: charts.OffsetStr{Left: charts.PositionLeft, Top: "30"}}
	o.StackSeries = charts.Ptr(true)
	o.BarMargin = charts.Ptr(0.0)
	o.CategoryAxis.Labels = bars.labels
	o.CategoryAxis.LabelCount = len(bars.labels)/barsPerLabel + 1
	o.CategoryAxis.Title = "latency"
	o.ValueAxis[0].Title = "deliveries"
	o.ValueAxis[0].Min = charts.Ptr(0.0)
	o.ValueAxis[0].ValueFormatter = func(height float64) string {
		if height < 1 {
			return ""
		}
		return grouped(math.Pow(10, height-1))
	}
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: string(f), Width: 1000, Height: 560})
	if err := p.BarChart(o); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	picture, err := p.Bytes()
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	_, err = w.Write(picture)
	return err
}

// Each decade of latencies, such as 1 ms to 10 ms, has bars of equal width on a
// logarithmic axis. Every half decade has a label.
const (
	barsPerDecade = 20
	barsPerLabel  = barsPerDecade / 2
)

// barOf returns the bar of a latency in microseconds. The bar of 1 us is 0.
func barOf(us int64) int { return int(math.Log10(float64(max(us, 1))) * barsPerDecade) }

// bars is the histogram as stacked series. The color of a bar shows its range of percentiles.
type bars struct {
	names   []string    // of the series
	heights [][]float64 // of the bars, by series: 0, or 1 + log10 of the deliveries
	labels  []string    // of the bars
}

func (r *Result) bars() bars {
	h := r.latencies
	first := barOf(h.Min()) / barsPerLabel * barsPerLabel
	n := (barOf(h.Max())-first)/barsPerLabel*barsPerLabel + barsPerLabel + 1
	counts, labels := make([]int64, n), make([]string, n)
	for _, b := range h.Distribution() {
		if b.Count > 0 {
			counts[barOf(b.From)-first] += b.Count
		}
	}
	for i := range n - 1 { // the last label would overlap the one before it
		labels[i] = label(first + i)
	}
	l := r.Latency
	b := bars{labels: labels, heights: make([][]float64, 4),
		names: []string{"half: up to " + millis(l.P50), "90%: up to " + millis(l.P90), "99%: up to " + millis(l.P99), "all: up to " + millis(l.Max)}}
	ends := []int{barOf(h.ValueAtPercentile(50)), barOf(h.ValueAtPercentile(90)), barOf(h.ValueAtPercentile(99)), first + n}
	for i := range b.heights {
		b.heights[i] = make([]float64, n)
	}
	for i, count := range counts {
		if count > 0 {
			part := slices.IndexFunc(ends, func(end int) bool { return first+i <= end })
			b.heights[part][i] = 1 + math.Log10(float64(count))
		}
	}
	return b
}

// label returns the latency at the beginning of a bar, with two digits.
func label(bar int) string {
	ms := math.Pow(10, float64(bar)/barsPerDecade) / 1000
	unit := math.Pow(10, 1-math.Floor(float64(bar)/barsPerDecade-3)) // rounds to two digits
	return strconv.FormatFloat(math.Round(ms*unit)/unit, 'f', -1, 64) + " ms"
}
