package module

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mootchat/moot/host/trial"
)

// Replaying names the files and the module of a replay.
type Replaying struct {
	Events  string // a file with a trial.Recorded in each line
	Module  string // the module that is called
	Against string // the module to compare with; "": the recorded answers
	As      string // the name of the module in the recording; "": the only one, or the name of Module
	Summary bool   // only the kinds of the changes, and how many there are of each
}

// ErrChanged is the error of a replay with answers that differ. Replay has printed them.
var ErrChanged = errors.New("answers differ")

// maxEvent is the limit of a line of a recording, in bytes.
const maxEvent = 16 << 20

// Replay calls a module with the events of a recording, each in a new instance with the recorded clock, random
// numbers, stored values and rooms. It prints the answers that differ.
func Replay(ctx context.Context, out, log io.Writer, r Replaying, o Options) error {
	file, err := source(ctx, r.Module, log)
	if err != nil {
		return err
	}
	events, err := readEvents(r.Events, r.As, nameOf(file))
	if err != nil {
		return fmt.Errorf("%s: %w", r.Events, err)
	}
	if r.Against == "" && slices.ContainsFunc(events, func(e trial.Recorded) bool { return e.Redacted }) {
		return fmt.Errorf("%s is redacted: its answers belong to the original texts. Compare two modules with --against, or record with --text", r.Events)
	}
	tenant := events[0].Event.Tenant
	asked, err := fresh(ctx, file, tenant, o)
	if err != nil {
		return err
	}
	defer asked.Close()
	var against *trial.Module
	if r.Against != "" {
		old, err := source(ctx, r.Against, log)
		if err != nil {
			return err
		}
		if against, err = fresh(ctx, old, tenant, o); err != nil {
			return err
		}
		defer against.Close()
	}
	result := compared{Events: len(events)}
	for i := range events {
		d, err := replayed(ctx, &events[i], asked, against)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", r.Events, i+1, err)
		}
		if d != nil {
			d.Number, d.Event = i+1, events[i].Event
			result.Differences = append(result.Differences, *d)
		}
	}
	if err := result.print(out, r.Summary, o.JSON); err != nil {
		return err
	}
	if len(result.Differences) > 0 {
		return ErrChanged
	}
	return nil
}

// compared is the result of a replay.
type compared struct {
	Events      int          `json:"events"`
	Differences []difference `json:"differences"`
}

// difference is an event with two answers.
type difference struct {
	Number int         `json:"number"` // of the event in the recording, from 1
	Change string      `json:"change"` // such as "allow -> deny"
	Event  trial.Event `json:"event"`
	Lines  []string    `json:"differences"`
}

// kind is a kind of change in a summary.
type kind struct {
	Change string `json:"change"`
	Count  int    `json:"count"`
	First  int    `json:"first"` // the number of the first event
}

func (c *compared) summary() (kinds []kind) {
	for _, d := range c.Differences {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.Change == d.Change })
		if i < 0 {
			i = len(kinds)
			kinds = append(kinds, kind{Change: d.Change, First: d.Number})
		}
		kinds[i].Count++
	}
	slices.SortStableFunc(kinds, func(a, b kind) int { return b.Count - a.Count })
	return kinds
}

func (c *compared) print(out io.Writer, summary, asJSON bool) error {
	kinds := c.summary()
	switch {
	case asJSON && summary:
		return json.NewEncoder(out).Encode(map[string]any{"events": c.Events, "differ": len(c.Differences), "changes": kinds})
	case asJSON:
		return json.NewEncoder(out).Encode(c)
	case summary && len(kinds) > 0:
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "CHANGE\tEVENTS\tFIRST")
		for _, k := range kinds {
			fmt.Fprintf(t, "%s\t%d\t%d\n", k.Change, k.Count, k.First)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	case !summary:
		for _, d := range c.Differences {
			fmt.Fprintf(out, "%d  %s\n      %s\n", d.Number, eventText(&d.Event), strings.Join(d.Lines, "\n      "))
		}
	}
	_, err := fmt.Fprintf(out, "%d events: %d answers differ\n", c.Events, len(c.Differences))
	return err
}

func fresh(ctx context.Context, file, tenant string, o Options) (*trial.Module, error) {
	cfg, err := o.read(file)
	if err != nil {
		return nil, err
	}
	cfg.Fresh, cfg.Tenant = true, tenant
	return load(ctx, cfg)
}

// readEvents reads the calls of one module.
func readEvents(file, as, name string) ([]trial.Recorded, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []trial.Recorded
	var names []string
	s := bufio.NewScanner(f)
	s.Buffer(nil, maxEvent)
	for n := 1; s.Scan(); n++ {
		var e trial.Recorded
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if e.Module == "" && e.Lost > 0 { // calls were left out of the recording
			continue
		}
		all = append(all, e)
		if !slices.Contains(names, e.Name()) {
			names = append(names, e.Name())
		}
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	switch {
	case as != "":
	case len(names) == 1:
		as = names[0]
	default:
		as = name
	}
	if !slices.Contains(names, as) {
		return nil, fmt.Errorf("no calls of module %q: choose one of %s with --as", as, strings.Join(names, ", "))
	}
	return slices.DeleteFunc(all, func(e trial.Recorded) bool { return e.Name() != as }), nil
}

// replayed returns the difference of the answers to one event; nil: they are equal.
func replayed(ctx context.Context, e *trial.Recorded, asked, against *trial.Module) (*difference, error) {
	now, missing, err := asked.Replay(ctx, &e.Event, e.Calls, e.Answer.Asks)
	if err != nil {
		return nil, err
	}
	was := e.Answer
	if against != nil {
		if was, _, err = against.Replay(ctx, &e.Event, e.Calls, e.Answer.Asks); err != nil {
			return nil, err
		}
	}
	was, now = e.Compared(was), e.Compared(now)
	if was.Same(&now) {
		return nil, nil
	}
	lines, err := changes(&was, &now)
	for _, m := range missing {
		lines = append(lines, "? not in the recording: "+strings.TrimSpace(m))
	}
	change := was.Verdict + " -> " + now.Verdict
	if was.Verdict == now.Verdict {
		change = was.Verdict + ", with other values"
	}
	return &difference{Change: change, Lines: lines}, err
}

// changes returns a diff of two answers.
func changes(was, now *trial.Answer) (diff []string, err error) {
	a, err := fieldsOf(was)
	if err != nil {
		return nil, err
	}
	b, err := fieldsOf(now)
	if err != nil {
		return nil, err
	}
	for _, l := range a {
		if !slices.Contains(b, l) {
			diff = append(diff, "- "+l.name+": "+l.value)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			diff = append(diff, "+ "+l.name+": "+l.value)
		}
	}
	return diff, nil
}
