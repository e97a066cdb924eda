package module

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/trial"
)

// Numbers of receivers and of their locales in the measurements of the hook say.
const (
	room    = 1000
	classes = 5
)

// Bench measures a module at each of its hooks, for about d each. message is the text; "": 200 bytes. The hook say has
// three rows: one receiver, 1000 equal receivers, and 1000 receivers in 5 locales. They show the cost of an additional
// receiver and of an additional locale. Bench goes on after calls that fail; its error names them.
func Bench(ctx context.Context, out, log io.Writer, path, message string, d time.Duration, o Options) error {
	cfg, err := o.open(ctx, path, log)
	if err != nil {
		return err
	}
	m, err := load(ctx, cfg)
	if err != nil {
		return err
	}
	defer m.Close()
	if message == "" {
		message = strings.Repeat("hello there my friend, how are you? Fine. ", 5)[:200]
	}
	b := benched{module: m, time: d}
	for _, hook := range m.Inspection.Hooks {
		if err := b.hook(ctx, hook, message); err != nil {
			return fmt.Errorf("%s: %w", cfg.File, err)
		}
	}
	if o.JSON {
		err = json.NewEncoder(out).Encode(b.Rows)
	} else {
		err = b.print(out)
	}
	for _, row := range b.Rows {
		if row.Failed > 0 && err == nil {
			err = fmt.Errorf("%s: %s: %d of %d calls failed: %s", cfg.File, row.Hook, row.Failed, row.Calls, row.Failure)
		}
	}
	return err
}

// benched has the results of the measurements of a module.
type benched struct {
	module *trial.Module
	time   time.Duration // of one measurement
	Rows   []benchRow
}

// benchRow is the result of one measurement. Durations are in nanoseconds.
type benchRow struct {
	Hook     string        `json:"hook"`
	Calls    int           `json:"calls"`
	Failed   int           `json:"failed"`
	Failure  string        `json:"failure,omitempty"` // the last one
	Rate     float64       `json:"callsPerSecond"`
	P50      time.Duration `json:"p50"`
	P99      time.Duration `json:"p99"`
	Receiver time.Duration `json:"receiver,omitempty"` // mean time of each receiver, if there are several
}

func (b *benched) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "hook\tcalls/s\tp50\tp99\teach\tfailed\t")
	for _, r := range b.Rows {
		each := "-"
		if r.Receiver > 0 {
			each = short(r.Receiver)
		}
		fmt.Fprintf(t, "%s\t%.0f\t%s\t%s\t%s\t%d\t\n", r.Hook, r.Rate, short(r.P50), short(r.P99), each, r.Failed)
	}
	return t.Flush()
}

// hook measures the calls of a hook.
func (b *benched) hook(ctx context.Context, hook abi.Hook, message string) error {
	e := trial.Event{Hook: hook.String(), Room: "lobby", From: "1", Context: "user", SentAt: noon.UnixMilli(), Sequence: 1}
	if hook == abi.OnSayReceive || hook == abi.Say {
		e.Message = &message
	}
	if hook != abi.Say {
		e.Connection = person(0)
		if hook == abi.Action {
			if len(b.module.Inspection.Manifest.Actions) == 0 {
				return nil
			}
			e.Action = b.module.Inspection.Manifest.Actions[0].Name
		}
		return b.row(ctx, hook.String(), &e, 1)
	}
	for _, n := range []int{1, room} {
		e.Receivers = crowd(n, 1)
		if err := b.row(ctx, fmt.Sprintf("say to %d", n), &e, n); err != nil {
			return err
		}
	}
	e.Receivers = crowd(room, classes)
	return b.row(ctx, fmt.Sprintf("say to %d in %d locales", room, classes), &e, room)
}

// row measures one event with n receivers.
func (b *benched) row(ctx context.Context, name string, e *trial.Event, n int) error {
	r, reason, err := b.module.Measure(ctx, e, b.time)
	if err != nil {
		return err
	}
	reason, _, _ = strings.Cut(reason, "\n")
	row := benchRow{Hook: name, Calls: r.Calls, Failed: r.Failed, Failure: reason, P50: r.P50, P99: r.P99}
	if r.Calls > 0 {
		row.Rate = float64(r.Calls) / r.Total.Seconds()
	}
	if n > 1 {
		row.Receiver = r.Total / time.Duration(max(1, r.Calls)*n)
	}
	b.Rows = append(b.Rows, row)
	return nil
}

func short(d time.Duration) string {
	if d < time.Microsecond {
		return d.String()
	}
	return d.Round(d / 100).String()
}

func person(i int) *trial.Connection {
	return &trial.Connection{ID: fmt.Sprint(i), Fingerprint: "0123456789abcdef", User: "alice", Transport: "websocket",
		RemoteIP: "127.0.0.1", Tenant: "default", Locale: "en", ConnectedAt: noon.UnixMilli(), JoinedAt: noon.UnixMilli()}
}

func crowd(n, locales int) []trial.Connection {
	list := make([]trial.Connection, n)
	for i := range list {
		list[i] = *person(i)
		list[i].Locale = []string{"en", "de", "fr", "es", "it"}[i%locales]
	}
	return list
}
