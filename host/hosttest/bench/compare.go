package bench

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Case is one way to do what is measured.
type Case struct {
	Name  string
	Run   func(n int) // does it n times
	Bound Bound
}

// Bound is how many times the cost of the last case a case may have; 0: there is no bound.
// Negative, it is how many times cheaper than the last case it should be at least.
type Bound float64

// Table collects the rows of all comparisons, for [Table.String].
type Table struct{ rows []string }

// turn is how long one case runs before the next has its turn.
const turn = 4 * time.Millisecond

// Compare runs the cases by turns and adds a row for each of them but the last, which
// is what the others are measured by. Whether they keep their bounds is told and not
// enforced: that is for who reads the table, and knows the machine.
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

// timesIn is how often the case can be done in about d, once it is warm.
func timesIn(d time.Duration, c Case) int {
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

// quartiles sorts the values.
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

// String is the table in Markdown; "" if nothing was compared.
func (t *Table) String() string {
	if len(t.rows) == 0 {
		return ""
	}
	return "\n| what | processor time | against | processor time | ratio (middle half) | bound |\n" +
		"| --- | --- | --- | --- | --- | --- |\n" + strings.Join(t.rows, "") + "\n"
}
