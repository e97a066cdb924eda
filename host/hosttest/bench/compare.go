package bench

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Case is one of several cases that are compared.
type Case struct {
	Name  string
	Run   func(n int) // runs it n times
	Bound Bound
}

// Bound is the maximum cost of a case, as a multiple of the last case's cost; 0: none. A negative bound -N means that
// the case should cost at most 1/N of the last one.
type Bound float64

// Table collects the rows of all comparisons.
type Table struct{ rows []string }

// turn is the time that one case runs before the next one runs.
const turn = 4 * time.Millisecond

// Compare runs the cases alternately. It adds a row for each case but the last, which is the reference of the others.
// The table shows whether the bounds hold. They are not enforced, because the results depend on the machine.
func (t *Table) Compare(b *testing.B, cases ...Case) {
	times := make([]int, len(cases))
	for i, c := range cases {
		times[i] = timesIn(turn, c)
	}
	costs := make([][]float64, len(cases)) // ns, by round
	for b.Loop() {
		for i, c := range cases {
			runtime.GC()
			before := processorTime()
			c.Run(times[i])
			costs[i] = append(costs[i], float64(processorTime()-before)/float64(times[i]))
		}
	}
	last := len(cases) - 1
	for i := range last {
		ratio := t.add(cases[i], cases[last], costs[i], costs[last])
		b.ReportMetric(ratio, "x/"+strings.ReplaceAll(cases[i].Name, " ", "_"))
	}
}

// timesIn returns how many times the case runs in about d, after a warm-up. The first run may make an instance.
func timesIn(d time.Duration, c Case) int {
	c.Run(1)
	for n := 1; ; n *= 2 {
		before := processorTime()
		c.Run(n)
		if used := processorTime() - before; used > d {
			return max(1, int(float64(n)*float64(d)/float64(used)))
		}
	}
}

func (t *Table) add(c, base Case, costs, bases []float64) float64 {
	ratios := make([]float64, len(costs))
	for i := range costs {
		ratios[i] = costs[i] / bases[i]
		if c.Bound < 0 {
			ratios[i] = 1 / ratios[i]
		}
	}
	cost, costBase, ratio := quartiles(costs), quartiles(bases), quartiles(ratios)
	t.rows = append(t.rows, fmt.Sprintf("| %s | %s | %s | %s | %.2fx (%.2f-%.2f) | %s |\n",
		c.Name, nanoseconds(cost[1]), base.Name, nanoseconds(costBase[1]), ratio[1], ratio[0], ratio[2], c.Bound))
	return ratio[1]
}

// quartiles returns the quartiles of values, which it sorts.
func quartiles(values []float64) [3]float64 {
	slices.Sort(values)
	n := len(values)
	return [3]float64{values[n/4], values[n/2], values[n*3/4]}
}

func (b Bound) String() string {
	switch {
	case b > 0:
		return fmt.Sprintf("at most %gx", float64(b))
	case b < 0:
		return fmt.Sprintf("at least %gx", -float64(b))
	}
	return "-"
}

func nanoseconds(ns float64) string {
	switch {
	case ns < 100:
		return fmt.Sprintf("%.1f ns", ns)
	case ns < 1000:
		return fmt.Sprintf("%.0f ns", ns)
	}
	return fmt.Sprintf("%.2f us", ns/1000)
}

// String returns the table in Markdown; "" if it is empty.
func (t *Table) String() string {
	if len(t.rows) == 0 {
		return ""
	}
	return "\n| what | processor time | against | processor time | ratio (middle half) | bound |\n" +
		"| --- | --- | --- | --- | --- | --- |\n" + strings.Join(t.rows, "") + "\n"
}
