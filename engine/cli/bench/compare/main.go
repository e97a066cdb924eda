// Compare measures Moot and a minimal server, the floor, in turns and prints a table. Each
// run starts a new server. A row of the table has the median of the runs of each server,
// and the ratio of the two medians.
//
//	go run ./engine/cli/bench/compare
//
// It needs Linux, the source of Moot, and an otherwise idle machine.
// It exits with 1 when a ratio is above its limit.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"time"

	"github.com/mootchat/moot/engine/cli/bench"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == floorCommand {
		fail(serveFloor(os.Stderr))
	}
	runs := flag.Int("runs", 5, "runs of each server, by turns")
	length := flag.Duration("duration", 4*time.Second, "of each run")
	only := flag.String("rows", "", "a regular expression: measure only the rows whose names it fits")
	against := flag.Bool("against-write", false, "in the rows that compare Moot with the floor, compare it with Moot with http.writing: write instead")
	flag.Parse()
	fits, err := regexp.Compile(*only)
	fail(err)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "compare")
	fail(err)
	c := &comparison{runs: *runs, length: *length, dir: dir, progress: os.Stderr}
	if *against {
		c.floor = &written
	}
	err = c.compare(ctx, fits, os.Stdout)
	os.RemoveAll(dir)
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// comparison has the settings of a comparison.
type comparison struct {
	runs     int
	length   time.Duration // of each run
	dir      string        // for the built files
	floor    *server       // replaces the floor in its rows; nil: the floor stays
	progress io.Writer
}

// compare measures the rows whose names match fits and writes the table. The error names
// the ratios that are above their limits.
func (c *comparison) compare(ctx context.Context, fits *regexp.Regexp, out io.Writer) error {
	if err := c.build(ctx); err != nil {
		return err
	}
	fmt.Fprint(out, tableHead)
	var over []error
	for _, r := range rows() {
		if !fits.MatchString(r.name) {
			continue
		}
		if c.floor != nil && r.base.name == floor.name {
			r.base, r.most = *c.floor, 1.02
		}
		base, moot, err := c.measure(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if err := r.print(out, base, moot); err != nil {
			over = append(over, err)
		}
	}
	return errors.Join(over...)
}

// measure runs the two servers of a row in turns.
func (c *comparison) measure(ctx context.Context, r row) (base, moot []*bench.Result, err error) {
	for i := range c.runs {
		fmt.Fprintf(c.progress, "%s: run %d of %d\n", r.name, i+1, c.runs)
		for _, side := range []struct {
			server  server
			results *[]*bench.Result
		}{{r.base, &base}, {r.moot, &moot}} {
			result, err := c.run(ctx, side.server, r.load)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", side.server.name, err)
			}
			*side.results = append(*side.results, result)
		}
	}
	return base, moot, nil
}

// run starts a new server and measures it once. It returns an error if messages were lost,
// duplicated or out of order.
func (c *comparison) run(ctx context.Context, s server, load bench.Options) (*bench.Result, error) {
	p, err := c.start(ctx, s)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	load.URL, load.PID, load.Duration = "ws://"+p.address+"/ws", p.cmd.Process.Pid, c.length
	result, err := bench.Run(ctx, load)
	if err != nil {
		return nil, err
	}
	return result, result.Fault()
}
