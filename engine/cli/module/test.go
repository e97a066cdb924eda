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

	"gopkg.in/yaml.v3"

	"github.com/mootchat/moot/host/trial"
)

// suite is a file of tests. Its world has the defaults of all tests.
type suite struct {
	world `yaml:",inline"`
	Tests []test `yaml:"tests"`
}

// world is the configuration, grants, rooms, stored values and clock that a module sees in a test.
type world struct {
	Config trial.JSON        `yaml:"config"`
	Grants []string          `yaml:"grants"`
	Rooms  map[string]int    `yaml:"rooms"`
	KV     map[string]string `yaml:"kv"`
	Now    time.Time         `yaml:"now"`
}

// test has one step, or several steps with the same instance.
type test struct {
	world `yaml:",inline"`
	step  `yaml:",inline"`
	Name  string `yaml:"name"`
	Steps []step `yaml:"steps"`
}

type step struct {
	After  time.Duration  `yaml:"after"` // the time since the previous step
	Event  *trial.Event   `yaml:"event"`
	Expect map[string]any `yaml:"expect"` // fields of a trial.Answer; only these are compared
}

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
		return fmt.Errorf("%s: %w", testFile, err)
	}
	cfg, err := o.read(file)
	if err != nil {
		return err
	}
	failed := 0
	for i := range s.Tests {
		t := &s.Tests[i]
		lines, err := t.run(ctx, cfg, &s.world)
		if err != nil {
			return fmt.Errorf("%s: test %q: %w", testFile, t.Name, err)
		}
		if len(lines) == 0 {
			fmt.Fprintf(out, "ok    %s\n", t.Name)
			continue
		}
		failed++
		fmt.Fprintf(out, "FAIL  %s\n      %s\n", t.Name, strings.Join(lines, "\n      "))
	}
	fmt.Fprintf(out, "%d of %d tests passed\n", len(s.Tests)-failed, len(s.Tests))
	if failed > 0 {
		return ErrFailed
	}
	return nil
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

func readSuite(file string) (*suite, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var s suite
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		return nil, err
	}
	if len(s.Tests) == 0 {
		return nil, errors.New("the file has no tests: list them under tests")
	}
	for i := range s.Tests {
		t := &s.Tests[i]
		if t.Name == "" {
			return nil, fmt.Errorf("tests[%d] has no name", i)
		}
		if t.Event != nil || t.Expect != nil {
			t.Steps = append([]step{t.step}, t.Steps...)
		}
		if len(t.Steps) == 0 {
			return nil, fmt.Errorf("test %q has no step: give event and expect", t.Name)
		}
		for k := range t.Steps {
			if err := t.Steps[k].check(); err != nil {
				return nil, fmt.Errorf("test %q: step %d: %w", t.Name, k+1, err)
			}
		}
	}
	return &s, nil
}

// check refuses steps that cannot fail.
func (s *step) check() error {
	if s.Event == nil {
		return errors.New("event is missing")
	}
	if s.Expect["verdict"] == nil {
		return errors.New("expect has no verdict: allow, allowEnd, deny, drop, rewrite, perReceiver or failed")
	}
	text, err := json.Marshal(s.Expect)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(new(trial.Answer)); err != nil {
		return fmt.Errorf("expect: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// run returns a diff of the first failed step; empty: the test passed.
func (t *test) run(ctx context.Context, cfg trial.Config, all *world) ([]string, error) {
	t.world.over(all).into(&cfg)
	m, err := load(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	for i := range t.Steps {
		s := &t.Steps[i]
		m.Advance(s.After)
		answer, _, err := m.Ask(ctx, s.Event)
		if err != nil {
			return nil, err
		}
		lines, err := differences(s.Expect, &answer)
		if err != nil || len(lines) > 0 {
			return append([]string{fmt.Sprintf("step %d: %s", i+1, eventText(s.Event))}, lines...), err
		}
	}
	return nil, nil
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
	return &c
}

func (w *world) into(cfg *trial.Config) {
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
func differences(expect map[string]any, a *trial.Answer) (diff []string, err error) {
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
