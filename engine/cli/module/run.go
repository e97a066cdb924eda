package module

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

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
	Event      trial.Event
	Properties []string // NAME=VALUE of the connection, or of the receivers
	Receivers  int      // of say; 0: 1
	JSON       bool     // the answer as JSON
}

// event returns the event, with defaults for missing fields.
func (q *Question) event() (trial.Event, error) {
	e := q.Event
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
	if e.Connection != nil {
		c.User, c.Locale = e.Connection.User, e.Connection.Locale
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

// Run calls a module with one event and prints its answer and cost.
func Run(ctx context.Context, out, log io.Writer, path string, q Question, o Options) error {
	cfg, err := o.open(ctx, path, log)
	if err != nil {
		return err
	}
	e, err := q.event()
	if err != nil {
		return err
	}
	m, err := load(ctx, cfg)
	if err != nil {
		return err
	}
	defer m.Close()
	answer, cost, err := m.Ask(ctx, &e)
	if err != nil {
		return err
	}
	if q.JSON {
		return json.NewEncoder(out).Encode(answer)
	}
	return printed(out, &answer, cost)
}

func printed(out io.Writer, a *trial.Answer, cost trial.Cost) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range a.Log {
		fmt.Fprintf(t, "log\t%s\n", line)
	}
	logged := a.Log
	a.Log = nil
	lines, err := fieldsOf(a)
	a.Log = logged
	if err != nil {
		return err
	}
	for _, l := range lines {
		fmt.Fprintf(t, "%s\t%s\n", l.name, l.value)
	}
	fmt.Fprintf(t, "time\t%v\nfuel\t%d\nmemory\t%s\n", cost.Time, cost.Fuel, size(cost.Memory))
	return t.Flush()
}
