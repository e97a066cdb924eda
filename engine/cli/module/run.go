package module

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest"
	"github.com/mootchat/moot/host/trial"
)

func isConformance(ctx context.Context, cfg *trial.Config) bool {
	m, err := trial.Load(ctx, *cfg)
	if err != nil {
		return false
	}
	defer m.Close()
	return cfg.Script == "" && hosttest.IsConformance(&m.Inspection.Manifest)
}

// Question is an event from the command line.
type Question struct {
	Event      trial.Event // the fields that its hook has are used. Hook "": one of the module's; Action "": the first of the module
	Properties []string    // NAME=VALUE of the connection, or of the receivers
	Receivers  int         // of say; 0: 1
}

// event returns the event for a module, with defaults for missing fields.
func (q *Question) event(of *host.Inspection) (trial.Event, error) {
	e, all := trial.Event{Hook: cmp.Or(q.Event.Hook, usual(of.Hooks))}, &q.Event
	switch e.Hook {
	case "":
		return e, errors.New("the module has no hook")
	case "onSayReceive", "say":
		e.Room, e.From, e.Context, e.SentAt, e.Message, e.JSON = all.Room, all.From, all.Context, all.SentAt, all.Message, all.JSON
		e.MessageID, e.Edits = all.MessageID, all.Edits
	case "join", "leave":
		e.Room, e.Cause = all.Room, all.Cause
	case "action":
		if e.Action, e.Params = all.Action, all.Params; e.Action == "" && len(of.Manifest.Actions) > 0 {
			e.Action = of.Manifest.Actions[0].Name
		}
	}
	e.Answers = all.Answers
	c := trial.Connection{ID: "1", Fingerprint: "cafe", Transport: "websocket", RemoteIP: "127.0.0.1"}
	for _, p := range q.Properties {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return e, fmt.Errorf("--property %s: it must be NAME=VALUE", p)
		}
		if c.Properties == nil {
			c.Properties = make(map[string]trial.JSON)
		}
		if !json.Valid([]byte(value)) { // a string without quotes
			quoted, _ := json.Marshal(value)
			value = string(quoted)
		}
		c.Properties[name] = trial.JSON(value)
	}
	if all.Connection != nil {
		c.User, c.Locale = all.Connection.User, all.Connection.Locale
	}
	e.Connection = &c
	if e.Hook == "say" {
		e.Connection = nil
		for range max(1, q.Receivers) {
			e.Receivers = append(e.Receivers, c)
		}
	}
	return e, nil
}

// usual returns the hook that a module is called at by default; "" if it has none.
func usual(hooks []abi.Hook) string {
	for _, hook := range append([]abi.Hook{abi.OnSayReceive, abi.Say}, hooks...) {
		if slices.Contains(hooks, hook) {
			return hook.String()
		}
	}
	return ""
}

// Run calls a module with one event and prints its answer and cost.
func Run(ctx context.Context, out, log io.Writer, path string, q Question, o Options) error {
	cfg, err := o.open(ctx, path, log)
	if err != nil {
		return err
	}
	m, err := load(ctx, cfg)
	if err != nil {
		return err
	}
	defer m.Close()
	e, err := q.event(m.Inspection)
	if err != nil {
		return err
	}
	answer, cost, err := m.Ask(ctx, &e)
	if err != nil {
		return err
	}
	if o.JSON {
		err = json.NewEncoder(out).Encode(answer)
	} else {
		err = printed(out, &answer, cost)
	}
	if err == nil && answer.Verdict == "failed" {
		first, _, _ := strings.Cut(answer.Failure, "\n")
		err = fmt.Errorf("%s: the call failed: %s: %s", cfg.File, answer.Kind, first)
	}
	return err
}

// printed prints the verdict and its fields, then the text of a failure and the log, and the cost last.
func printed(out io.Writer, a *trial.Answer, cost trial.Cost) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rest := *a
	rest.Verdict, rest.Kind, rest.Failure, rest.Log = "", "", "", nil
	lines, err := fieldsOf(rest)
	if err != nil {
		return err
	}
	fmt.Fprintf(t, "verdict\t%s\n", a.Verdict)
	for _, l := range lines {
		if l.name != "verdict" {
			fmt.Fprintf(t, "%s\t%s\n", l.name, l.value)
		}
	}
	for i, line := range strings.Split(a.Failure, "\n") {
		switch {
		case a.Failure == "":
		case i == 0:
			fmt.Fprintf(t, "failure\t%s: %s\n", a.Kind, line)
		default:
			fmt.Fprintf(t, "\t%s\n", strings.ReplaceAll(line, "\t", "  "))
		}
	}
	for _, line := range a.Log {
		fmt.Fprintf(t, "log\t%s\n", line)
	}
	fmt.Fprintf(t, "time\t%v\nfuel\t%d\nmemory\t%s\n", cost.Time, cost.Fuel, size(cost.Memory))
	return t.Flush()
}
