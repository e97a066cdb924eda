package module

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mootchat/moot/engine/nearest"
	"github.com/mootchat/moot/host/trial"
)

// suite is a file of tests. Its world has the defaults of all tests.
type suite struct {
	world `yaml:",inline"`
	Tests []test `yaml:"tests"`
}

// world is the configuration, grants, isolation, rooms, stored values and clock that a module sees in a test.
type world struct {
	Config    trial.JSON        `yaml:"config"`
	Grants    []string          `yaml:"grants"`
	Rooms     map[string]int    `yaml:"rooms"`
	KV        map[string]string `yaml:"kv"`
	Now       time.Time         `yaml:"now"`
	Isolation string            `yaml:"isolation"`
}

// test has one step, or several steps with the same instance.
type test struct {
	world `yaml:",inline"`
	step  `yaml:",inline"`
	Name  string `yaml:"name"`
	Steps []step `yaml:"steps"`
}

type step struct {
	After  time.Duration `yaml:"after"` // the time since the previous step
	Event  *trial.Event  `yaml:"event"`
	Expect expectation   `yaml:"expect"`
	line   int
}

// expectation has fields of expected; only these are compared.
type expectation map[string]any

// expected is what a step may expect: fields of the answer, and of the module's state after it.
type expected struct {
	trial.Answer `yaml:",inline"`
	KV           map[string]*string `json:"kv" yaml:"kv"`           // by key; null: there is no value
	Metrics      map[string]int64   `json:"metrics" yaml:"metrics"` // counted since the test began
}

// wrong is a mistake at a line of a file of tests.
type wrong struct {
	line int
	text string
}

func (w wrong) Error() string { return fmt.Sprintf("%d: %s", w.line, w.text) }

// readSuite reads a file of tests. The error begins with the file, and with the line of a mistake.
func readSuite(file string) (*suite, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s, err := parseSuite(text)
	if at, ok := errors.AsType[wrong](err); ok {
		return nil, fmt.Errorf("%s:%w", file, at)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

func parseSuite(text []byte) (*suite, error) {
	var s suite
	var root yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&root)
	if err == nil {
		err = known(&root, reflect.TypeFor[suite](), "")
	}
	if err == nil {
		err = root.Decode(&s)
	}
	if m := yamlLine.FindStringSubmatch(fmt.Sprint(err)); err != nil && m != nil {
		if _, ours := errors.AsType[wrong](err); !ours {
			var line int
			_, _ = fmt.Sscan(m[1], &line)
			err = wrong{line, m[2]}
		}
	}
	if err != nil {
		return nil, err
	}
	if len(s.Tests) == 0 {
		return nil, errors.New("the file has no tests: list them under tests")
	}
	if err := s.world.check(root.Content[0]); err != nil {
		return nil, err
	}
	list := behind(valueOf(root.Content[0], "tests")).Content
	for i := range s.Tests {
		if err := s.Tests[i].check(behind(list[i])); err != nil {
			return nil, err
		}
	}
	return &s, nil
}

// check completes a test and refuses one that cannot fail. n is its node.
func (t *test) check(n *yaml.Node) error {
	if t.Name == "" {
		return wrong{n.Line, "the test has no name"}
	}
	if err := t.world.check(n); err != nil {
		return err
	}
	steps := valueOf(n, "steps")
	for k := range t.Steps {
		t.Steps[k].line = behind(behind(steps).Content[k]).Line
	}
	if t.Event != nil || t.Expect != nil {
		t.step.line = n.Line
		t.Steps = append([]step{t.step}, t.Steps...)
	}
	if len(t.Steps) == 0 {
		return wrong{n.Line, fmt.Sprintf("test %q has no step: give event and expect", t.Name)}
	}
	for k := range t.Steps {
		if err := t.Steps[k].check(); err != nil {
			return wrong{t.Steps[k].line, fmt.Sprintf("test %q: step %d: %v", t.Name, k+1, err)}
		}
	}
	return nil
}

// check refuses an isolation that does not exist. n is the node of the file or test.
func (w *world) check(n *yaml.Node) error {
	if _, err := isolation(w.Isolation); err != nil {
		return wrong{valueOf(n, "isolation").Line, err.Error()}
	}
	return nil
}

// check refuses steps that cannot fail.
func (s *step) check() error {
	if s.Event == nil {
		return errors.New("event is missing")
	}
	if s.Expect["verdict"] == nil {
		return errors.New("expect has no verdict: allow, allowEnd, deny, drop, rewrite, hold, perReceiver or failed")
	}
	text, err := json.Marshal(s.Expect)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, new(expected)); err != nil {
		return fmt.Errorf("expect: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// known returns the first key under n that a type does not have, with its line and the nearest key that there is.
func known(n *yaml.Node, t reflect.Type, path string) error {
	n = behind(n)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[expectation]() {
		t = reflect.TypeFor[expected]()
	}
	switch {
	case n == nil || t == reflect.TypeFor[time.Time]():
		return nil
	case n.Kind == yaml.DocumentNode:
		return known(n.Content[0], t, path)
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		for i, item := range n.Content {
			if err := known(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		fields := fieldTypes(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if key.ShortTag() == "!!merge" {
				continue
			}
			field, ok := fields[key.Value]
			if !ok {
				return wrong{key.Line, strings.TrimPrefix(path+": ", ": ") + unknown(key.Value, fields)}
			}
			if err := known(value, field, strings.TrimPrefix(path+"."+key.Value, ".")); err != nil {
				return err
			}
		}
	}
	return nil
}

// fieldTypes returns the types of the fields of a struct by their keys in YAML.
func fieldTypes(t reflect.Type) map[string]reflect.Type {
	fields := make(map[string]reflect.Type)
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" && len(f.Index) <= 2 {
			fields[name] = f.Type
		}
	}
	return fields
}

// TestKeys returns the keys of a file of tests, for its reference page.
func TestKeys() (keys []string) {
	for _, t := range []reflect.Type{reflect.TypeFor[suite](), reflect.TypeFor[test](), reflect.TypeFor[step](), reflect.TypeFor[trial.Event](),
		reflect.TypeFor[trial.Connection](), reflect.TypeFor[expected](), reflect.TypeFor[trial.Emit](), reflect.TypeFor[trial.Reply]()} {
		for key := range fieldTypes(t) {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

func unknown(key string, fields map[string]reflect.Type) string {
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	if best := nearest.Name(key, names); best != "" {
		return fmt.Sprintf("unknown key %q: did you mean %q?", key, best)
	}
	return fmt.Sprintf("unknown key %q: use %s", key, strings.Join(names, ", "))
}

// valueOf returns the value of a key of a mapping; nil if there is none.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// behind returns the node that an alias stands for, or n.
func behind(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
