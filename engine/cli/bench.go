package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/mootchat/moot/engine/cli/bench"
)

type benchCommand struct {
	URL      string        `default:"ws://127.0.0.1:8080/ws" help:"URL of the server."`
	Remote   bool          `help:"Allow a server on another host. Put load only on servers of your own."`
	Prefix   string        `default:"bench-" help:"Prefix of the rooms: PREFIX0, PREFIX1, ... They must exist, or clients must be allowed to create them."`
	Rooms    int           `default:"1" help:"Number of rooms."`
	Members  int           `default:"100" help:"Members of each room, one connection each."`
	Senders  int           `default:"1" help:"Members of each room that send messages."`
	Rate     float64       `xor:"pace" help:"Open loop: messages per second of all senders together, whatever the server does. Latency counts from the time at which a message was due." placeholder:"N"`
	Window   int           `xor:"pace" help:"Closed loop: messages in flight for each sender. Default without --rate: 16." placeholder:"N"`
	Size     int           `default:"128" help:"Size of a message text in bytes, at least ${minSize}."`
	Duration time.Duration `default:"10s" help:"Time of the measurement, at most 1h."`
	Settle   time.Duration `default:"0s" help:"Idle time after all connections are open, before the memory of the server is read."`
	Warmup   time.Duration `default:"2s" help:"Time of load before the measurement."`
	Max      int           `name:"max-messages" default:"10000000" help:"End after this number of messages."`
	PID      int           `name:"pid" help:"Process ID of the server on this host (Linux): measure its CPU time and memory as well. Use a server that has just started to measure the memory of connections." placeholder:"PID"`
	JSON     bool          `name:"json" help:"Print JSON."`
	Plot     string        `help:"Write a chart of the latencies to a file that ends in .png or .svg." placeholder:"FILE"`
}

// Run measures and prints the result. If messages were lost, duplicated or out of order, it returns an error after it has
// printed the result.
func (c *benchCommand) Run(ctx context.Context, t terminal) error {
	o, format, err := c.options()
	if err != nil {
		return misuse{err}
	}
	shown := &progress{w: t.err, inPlace: isTerminal(t.err)}
	o.Watch = shown.show
	result, err := bench.Run(ctx, o)
	shown.end()
	if result == nil {
		return err
	}
	if c.JSON {
		err = errors.Join(err, json.NewEncoder(t.out).Encode(result))
	} else {
		err = errors.Join(err, result.Table(t.out))
	}
	if c.Plot != "" {
		err = errors.Join(err, writePlot(result, c.Plot, format))
	}
	return errors.Join(err, result.Fault())
}

func (c *benchCommand) options() (o bench.Options, plot bench.Format, err error) {
	o = bench.Options{
		URL: c.URL, Remote: c.Remote, Prefix: c.Prefix, Rooms: c.Rooms, Members: c.Members, Senders: c.Senders,
		Rate: c.Rate, Window: c.Window, Size: c.Size, Duration: c.Duration, Settle: c.Settle, Warmup: c.Warmup, MaxMessages: c.Max, PID: c.PID,
	}
	if o.Rate == 0 && o.Window == 0 {
		o.Window = 16
	}
	if c.Plot != "" {
		if plot, err = bench.FormatOf(c.Plot); err != nil {
			return o, plot, err
		}
	}
	return o, plot, o.Check()
}

func writePlot(r *bench.Result, file string, f bench.Format) error {
	var picture bytes.Buffer
	if err := r.Plot(&picture, f); err != nil {
		return err
	}
	return os.WriteFile(file, picture.Bytes(), 0o666)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progress prints the progress of a bench in new lines, or in one line that it overwrites.
type progress struct {
	w       io.Writer
	inPlace bool
}

// clearLine moves the cursor to the beginning of the line and clears it.
const clearLine = "\r\x1b[K"

func (p *progress) show(now bench.Progress) {
	if p.inPlace {
		fmt.Fprint(p.w, clearLine, now)
		return
	}
	fmt.Fprintln(p.w, now)
}

// end clears the line for the next output.
func (p *progress) end() {
	if p.inPlace {
		fmt.Fprint(p.w, clearLine)
	}
}
