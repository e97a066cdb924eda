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

// suite is a file of tests. What a test does not say itself, the file says for all.
type suite struct {
	world `yaml:",inline"`
	Tests []test `yaml:"tests"`
}

// world is what a module finds.
type world struct {
	Config trial.JSON        `yaml:"config"`
	Grants []string          `yaml:"grants"`
	Rooms  map[string]int    `yaml:"rooms"`
	KV     map[string]string `yaml:"kv"`
	Now    time.Time         `yaml:"now"`
}

// test is one: a step, or several about which the same instance is asked.
type test struct {
	world `yaml:",inline"`
	step  `yaml:",inline"`
	Name  string `yaml:"name"`
	Steps []step `yaml:"steps"`
}

type step struct {
	After  time.Duration  `yaml:"after"` // the time that goes by before
	Event  *trial.Event   `yaml:"event"`
	Expect map[string]any `yaml:"expect"` // of a trial.Answer: what it names is compared
}

// noon is the time of tests that say none.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// ErrFailed says that some tests failed; what failed was printed.
var ErrFailed = errors.New("tests failed")

// Test asks a module what a file of tests says and compares. testFile "" is
// NAME.test.yaml beside NAME.wasm, or tests.yaml in its folder. What fails is printed, the
// expected with - and the answer with +.
func Test(ctx context.Context, out, log io.Writer, path, testFile string, o Options) error {
	file, err := source(ctx, path, log)
	if err != nil {
		return err
	}
	if testFile == "" {
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
	fmt.Fprintf(out, "%d of %d tests are good\n", len(s.Tests)-failed, len(s.Tests))
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
	return "", fmt.Errorf("there are no tests of %s: write %s or %s, or name them with --tests", file, beside, folder)
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
		return nil, errors.New("it has no tests: they are a list under tests")
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
			return nil, fmt.Errorf("test %q asks nothing: it needs event and expect", t.Name)
		}
		for k := range t.Steps {
			if err := t.Steps[k].check(); err != nil {
				return nil, fmt.Errorf("test %q: step %d: %w", t.Name, k+1, err)
			}
		}
	}
	return &s, nil
}

// check refuses what could never fail.
func (s *step) check() error {
	if s.Event == nil {
		return errors.New("it has no event")
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

// run gives the lines of what is not as expected.
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

// over is w where it says something, else all.
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

// line is a part of an answer, by its path: receivers[1].message.
type line struct{ name, value string }

// fieldsOf takes a value apart.
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
	text, _ := json.Marshal(v) // it was JSON before
	return append(list, line{path, string(text)})
}

// differences are the lines of a diff: what expect names, and what the answer has there. A
// failure is always told.
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
		if there && value == l.value || l.value == "{}" { // nothing is expected of it
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
