package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cli/bench"
)

// row is a line of the table: the same load on two servers.
type row struct {
	name       string
	load       bench.Options
	base, moot server
	of         figure
	most       float64 // limit of the ratio of moot to base
}

// figure is the measured value that a row compares.
type figure struct {
	format string
	of     func(*bench.Result) float64
}

var (
	cpu  = figure{"%.2f s", func(r *bench.Result) float64 { return r.Server.CPUPerMillion }}
	rss  = figure{"%.1f KiB", func(r *bench.Result) float64 { return r.Server.RSSPerConn / 1024 }}
	join = figure{"%.0f us", func(r *bench.Result) float64 { return r.Server.JoinCPU }}
)

// rows are the lines of the table.
func rows() []row {
	load := func(rooms, members, window int, rate float64) bench.Options {
		return bench.Options{Prefix: "r", Rooms: rooms, Members: members, Senders: 1, Window: window, Rate: rate,
			Size: 128, Warmup: time.Second, MaxMessages: 1e7}
	}
	silent := load(1, 19_500, 0, 1)
	silent.Settle, silent.Warmup = 6*time.Second, 0
	small := load(100, 10, 0, 3000)
	return []row{
		{"1 room of 1000, 16 on their way", load(1, 1000, 16, 0), floor, moot, cpu, 1.4},
		{"1 room of 100, 16 on their way", load(1, 100, 16, 0), floor, moot, cpu, 1.5},
		{"1 room of 1000, one at a time", load(1, 1000, 1, 0), floor, moot, cpu, 1.2},
		{"1 room of 5000, one at a time", load(1, 5000, 1, 0), floor, moot, cpu, 1.2},
		{"1 room of 5000, 16 on their way", load(1, 5000, 16, 0), floor, moot, cpu, 2},
		{"100 rooms of 10, 3000 messages a second", small, floor, moot, cpu, 1.2},
		{"the same, with blocklist, against Moot without", small, moot, filtered, cpu, 1.06},
		{"the same, with blocklist and a rule in Go at say, against Moot without", small, moot, ruled, cpu, 1.15},
		{"memory of a silent connection, of 19,500", silent, floor, moot, rss, 1},
		{"the same, a goroutine for each", silent, floor, waiting, rss, 1.4},
		{"connect and join, of 19,500", silent, floor, moot, join, 2.2},
	}
}

const tableHead = `| | against | Moot | ratio | at most | p50 | p99 | frames per write |
| --- | --- | --- | --- | --- | --- | --- | --- |
`

// print writes the row. It returns an error if the ratio is above its limit.
func (r row) print(w io.Writer, base, moot []*bench.Result) error {
	b, m := median(base, r.of.of), median(moot, r.of.of)
	both := func(format string, of func(*bench.Result) float64) string {
		return fmt.Sprintf(format+" / "+format, median(base, of), median(moot, of))
	}
	fmt.Fprintf(w, "| %s | "+r.of.format+" | "+r.of.format+" | %.2f | %.2f | %s | %s | %s |\n", r.name, b, m, m/b, r.most,
		both("%.1f ms", func(r *bench.Result) float64 { return r.Latency.P50 }),
		both("%.1f ms", func(r *bench.Result) float64 { return r.Latency.P99 }),
		strings.ReplaceAll(both("%.1f", func(r *bench.Result) float64 { return r.Server.PerWrite }), "0.0", "-")) // of a server with io_uring it is unknown
	if m > b*r.most {
		return fmt.Errorf("%s: %.2f times as much, want at most %.2f", r.name, m/b, r.most)
	}
	return nil
}

func median(results []*bench.Result, of func(*bench.Result) float64) float64 {
	var all []float64
	for _, r := range results {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
