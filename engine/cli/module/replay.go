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

	"github.com/mootchat/moot/host/trial"
)

// Replaying names the files and the module of a replay.
type Replaying struct {
	Events  string // a file with a trial.Recorded in each line
	Module  string // the module that is called
	Against string // the module to compare with; "": the recorded answers
	As      string // the name of the module in the recording; "": the only one, or the name of Module
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
	changed := 0
	for i := range events {
		lines, err := replayed(ctx, &events[i], asked, against)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", r.Events, i+1, err)
		}
		if len(lines) > 0 {
			changed++
			fmt.Fprintf(out, "%d  %s\n      %s\n", i+1, eventText(&events[i].Event), strings.Join(lines, "\n      "))
		}
	}
	fmt.Fprintf(out, "%d events: %d answers differ\n", len(events), changed)
	if changed > 0 {
		return ErrChanged
	}
	return nil
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

// replayed returns a diff of the answers to one event; empty: they are equal.
func replayed(ctx context.Context, e *trial.Recorded, asked, against *trial.Module) ([]string, error) {
	now, missing, err := asked.Replay(ctx, &e.Event, e.Calls)
	if err != nil {
		return nil, err
	}
	was := e.Answer
	if against != nil {
		if was, _, err = against.Replay(ctx, &e.Event, e.Calls); err != nil {
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
	return lines, err
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
