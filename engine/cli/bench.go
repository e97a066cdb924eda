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
	URL      string        `default:"ws://127.0.0.1:8080/ws" help:"The server."`
	Remote   bool          `help:"The server may be on another host. Load only what is yours."`
	Prefix   string        `default:"bench-" help:"The rooms are PREFIX0, PREFIX1, ... They must exist, or clients must be allowed to create them."`
	Rooms    int           `default:"1" help:"How many rooms."`
	Members  int           `default:"100" help:"Members of each room, one connection each: --rooms x --members in all."`
	Senders  int           `default:"1" help:"How many members of each room talk. All members of the room hear them."`
	Rate     float64       `xor:"pace" help:"Open loop: messages per second, of all senders together, however the server fares. Latency counts from when a message was due." placeholder:"N"`
	Window   int           `xor:"pace" help:"Closed loop: messages that each sender has on their way; 16 if there is no --rate." placeholder:"N"`
	Size     int           `default:"128" help:"Bytes of the text of a message, at least ${minSize}."`
	Duration time.Duration `default:"10s" help:"How long to measure, at most 1h."`
	Settle   time.Duration `default:"0s" help:"How long to be silent when all have connected, before the memory that they take is read."`
	Warmup   time.Duration `default:"2s" help:"How long to talk before that."`
	Max      int           `name:"max-messages" default:"10000000" help:"End when so many messages were sent."`
	PID      int           `name:"pid" help:"The process of the server, on this host (Linux): measure its CPU time and memory too. The memory of a connection is best seen at a server that is fresh." placeholder:"PID"`
	JSON     bool          `name:"json" help:"Print the result as JSON."`
	Plot     string        `help:"Write a histogram of the latencies to FILE, which ends in .png or .svg." placeholder:"FILE"`
}

// Run measures, and says what came of it. That something was lost, doubled or
// out of order is an error, after all else was said.
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

// progress shows how far a bench is: in lines, or in one line that is written
// over again and again.
type progress struct {
	w       io.Writer
	inPlace bool
}

// clearLine goes to the line's beginning and clears it.
const clearLine = "\r\x1b[K"

func (p *progress) show(now bench.Progress) {
	if p.inPlace {
		fmt.Fprint(p.w, clearLine, now)
		return
	}
	fmt.Fprintln(p.w, now)
}

// end leaves the place to what is written next.
func (p *progress) end() {
	if p.inPlace {
		fmt.Fprint(p.w, clearLine)
	}
}
