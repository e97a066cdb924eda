package module

import (
	"context"
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
// receiver and of an additional locale.
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
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "hook\tcalls/s\tp50\tp99\teach\t")
	for _, hook := range m.Inspection.Hooks {
		if err := measured(ctx, t, m, hook, message, d); err != nil {
			return fmt.Errorf("%s: %w", cfg.File, err)
		}
	}
	return t.Flush()
}

func measured(ctx context.Context, t io.Writer, m *trial.Module, hook abi.Hook, message string, d time.Duration) error {
	e := trial.Event{Hook: hook.String(), Room: "lobby", From: "1", Context: "user", SentAt: noon.UnixMilli(), Sequence: 1}
	if hook == abi.OnSayReceive || hook == abi.Say {
		e.Message = &message
	}
	if hook != abi.Say {
		e.Connection = person(0)
		if hook == abi.Action {
			if len(m.Inspection.Manifest.Actions) == 0 {
				return nil
			}
			e.Action = m.Inspection.Manifest.Actions[0].Name
		}
		return row(ctx, t, m, hook.String(), &e, 1, d)
	}
	for _, n := range []int{1, room} {
		e.Receivers = crowd(n, 1)
		name := fmt.Sprintf("say to %d", n)
		if err := row(ctx, t, m, name, &e, n, d); err != nil {
			return err
		}
	}
	e.Receivers = crowd(room, classes)
	return row(ctx, t, m, fmt.Sprintf("say to %d in %d locales", room, classes), &e, room, d)
}

// row measures one event and prints a row. The last column is the time per receiver.
func row(ctx context.Context, t io.Writer, m *trial.Module, name string, e *trial.Event, n int, d time.Duration) error {
	r, err := m.Measure(ctx, e, d)
	if err != nil {
		return err
	}
	mean := r.Total / time.Duration(max(1, r.Calls))
	each := "-"
	if n > 1 {
		each = short(mean / time.Duration(n))
	}
	fmt.Fprintf(t, "%s\t%.0f\t%s\t%s\t%s\t\n", name, float64(r.Calls)/r.Total.Seconds(), short(r.P50), short(r.P99), each)
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
