package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/host/trial"
)

// noon is the default time of tests.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// ErrFailed is the error of failed tests. Test has printed them.
var ErrFailed = errors.New("tests failed")

// Test runs a file of tests against a module. testFile "" is NAME.test.yaml beside NAME.wasm, or tests.yaml in its
// folder. Test prints expected fields that differ with -, and the fields of the answer with +.
func Test(ctx context.Context, out, log io.Writer, path, testFile string, o Options) error {
	file, err := source(ctx, path, log)
	if err != nil {
		return err
	}
	if testFile == "" {
		if strings.HasPrefix(file, readyMade) {
			return fmt.Errorf("%s has no file of tests beside it: name one with --tests", file)
		}
		if testFile, err = testsOf(file); err != nil {
			return err
		}
	}
	s, err := readSuite(testFile)
	if err != nil {
		return err
	}
	cfg, err := o.read(file)
	if err != nil {
		return err
	}
	report := tested{}
	for i := range s.Tests {
		t := &s.Tests[i]
		lines, line, err := t.run(ctx, cfg, &s.world)
		if err != nil {
			return fmt.Errorf("%s:%d: test %q: %w", testFile, line, t.Name, err)
		}
		report.Tests = append(report.Tests, result{t.Name, len(lines) == 0, fmt.Sprintf("%s:%d", testFile, line), lines})
		if len(lines) == 0 {
			report.Passed++
		}
	}
	if o.JSON {
		err = json.NewEncoder(out).Encode(report)
	} else {
		report.print(out)
	}
	if err == nil && report.Passed < len(report.Tests) {
		err = ErrFailed
	}
	return err
}

// tested has the results of a file of tests.
type tested struct {
	Passed int      `json:"passed"`
	Tests  []result `json:"tests"`
}

type result struct {
	Name  string   `json:"name"`
	OK    bool     `json:"ok"`
	At    string   `json:"at"` // file and line of the step that failed, or of the test
	Lines []string `json:"differences,omitempty"`
}

func (r *tested) print(out io.Writer) {
	for _, t := range r.Tests {
		if t.OK {
			fmt.Fprintf(out, "ok    %s\n", t.Name)
		} else {
			fmt.Fprintf(out, "FAIL  %s (%s)\n      %s\n", t.Name, t.At, strings.Join(t.Lines, "\n      "))
		}
	}
	fmt.Fprintf(out, "%d of %d tests passed\n", r.Passed, len(r.Tests))
}

func testsOf(file string) (string, error) {
	beside := strings.TrimSuffix(file, filepath.Ext(file)) + ".test.yaml"
	folder := filepath.Join(filepath.Dir(file), "tests.yaml")
	for _, path := range []string{beside, folder} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no tests for %s: write %s or %s, or give a file with --tests", file, beside, folder)
}

// run returns a diff of the first failed step, and its line; an empty diff: the test passed.
func (t *test) run(ctx context.Context, cfg trial.Config, all *world) (diff []string, line int, err error) {
	line = t.Steps[0].line
	if err = t.world.over(all).into(&cfg); err != nil {
		return nil, line, err
	}
	m, err := load(ctx, cfg)
	if err != nil {
		return nil, line, err
	}
	defer m.Close()
	for i := range t.Steps {
		s := &t.Steps[i]
		m.Advance(s.After)
		answer, _, err := m.Ask(ctx, s.Event)
		if err != nil {
			return nil, s.line, err
		}
		lines, err := differences(s.Expect, s.state(m, &answer))
		if err != nil || len(lines) > 0 {
			return append([]string{fmt.Sprintf("step %d: %s", i+1, eventText(s.Event))}, lines...), s.line, err
		}
	}
	return nil, line, nil
}

// state returns the answer, and the stored values and metrics that the step expects.
func (s *step) state(m *trial.Module, a *trial.Answer) any {
	e := struct {
		*trial.Answer
		KV      map[string]*string `json:"kv,omitempty"`
		Metrics map[string]int64   `json:"metrics,omitempty"`
	}{Answer: a}
	if keys, ok := s.Expect["kv"].(expectation); ok { // yaml gives nested mappings the type of the outer one
		e.KV = make(map[string]*string)
		for key := range keys {
			e.KV[key] = nil
			if value, stored := m.Stored(key); stored {
				e.KV[key] = &value
			}
		}
	}
	if names, ok := s.Expect["metrics"].(expectation); ok {
		e.Metrics = make(map[string]int64)
		for _, counted := range m.Host().Stats() {
			for name := range names {
				e.Metrics[name] += counted.Metrics[name]
			}
		}
	}
	return e
}

// over returns a world with the fields of w that are set, and the other fields of all.
func (w *world) over(all *world) *world {
	c := *all
	if w.Config != nil {
		c.Config = w.Config
	}
	if w.Grants != nil {
		c.Grants = w.Grants
	}
	if w.Rooms != nil {
		c.Rooms = w.Rooms
	}
	if w.KV != nil {
		c.KV = w.KV
	}
	if !w.Now.IsZero() {
		c.Now = w.Now
	}
	if w.Isolation != "" {
		c.Isolation = w.Isolation
	}
	return &c
}

func (w *world) into(cfg *trial.Config) (err error) {
	if w.Config != nil {
		cfg.Settings = json.RawMessage(w.Config)
	}
	if w.Grants != nil {
		cfg.Grants = w.Grants
	}
	cfg.Rooms, cfg.KV, cfg.Now = w.Rooms, w.KV, w.Now
	if cfg.Now.IsZero() {
		cfg.Now = noon
	}
	if w.Isolation != "" {
		cfg.Isolation, err = isolation(w.Isolation)
	}
	return err
}

func eventText(e *trial.Event) string {
	text, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// line is a field of an answer. Its name is a path, such as receivers[1].message.
type line struct{ name, value string }

// fieldsOf returns the fields of a value.
func fieldsOf(v any) ([]line, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var data any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&data); err != nil {
		return nil, err
	}
	return parts(nil, "", data), nil
}

func parts(list []line, path string, v any) []line {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = parts(list, strings.TrimPrefix(path+"."+name, "."), v[name])
		}
		if len(v) > 0 {
			return list
		}
	case []any:
		for i := range v {
			list = parts(list, fmt.Sprintf("%s[%d]", path, i), v[i])
		}
		if len(v) > 0 {
			return append(list, line{path + " has", fmt.Sprint(len(v))})
		}
	}
	text, _ := json.Marshal(v) // values decoded from JSON can be encoded
	return append(list, line{path, string(text)})
}

// differences returns a diff of the fields in expect and the same fields of the answer. After a difference it adds
// the other fields of the answer.
func differences(expect map[string]any, a any) (diff []string, err error) {
	want, err := fieldsOf(expect)
	if err != nil {
		return nil, err
	}
	got, err := fieldsOf(a)
	if err != nil {
		return nil, err
	}
	have := make(map[string]string, len(got))
	for _, l := range got {
		have[l.name] = l.value
	}
	for _, l := range want {
		value, there := have[l.name]
		if there && value == l.value || l.value == "{}" { // any value fits
			continue
		}
		diff = append(diff, "- "+l.name+": "+l.value)
		if there {
			diff = append(diff, "+ "+l.name+": "+value)
		}
	}
	if len(diff) > 0 {
		for _, l := range got {
			if !slices.ContainsFunc(want, func(w line) bool { return w.name == l.name }) {
				diff = append(diff, "+ "+l.name+": "+l.value)
			}
		}
	}
	return diff, nil
}
