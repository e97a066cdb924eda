// Package schema checks the config of a chain entry against the JSON Schema in the manifest of its module.
//
// A schema is written by a guest, which may be hostile. Package schema reads it as JSON Schema 2020-12, with limits: it has
// at most 1000 subschemas, 64 levels deep; it refers only to itself, by "#", "#/$defs/NAME" or "#/definitions/NAME"; and
// patterns are small expressions of package regexp. Keywords for other uses, such as title, default and format, are ignored.
// A check that needs too many steps fails. No check reads a file or the network.
package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxSteps limits the work of one check: a step takes up to a microsecond. A config of 1 MiB has at most half a million
// values, most of which take one or two steps.
const maxSteps = 1_500_000

var (
	errSteps = errors.New("the check takes too many steps: make the schema simpler")
	errRef   = errors.New("a schema cannot refer to other documents")
)

// Schema is a compiled schema. It may be used concurrently.
type Schema struct {
	compiled *jsonschema.Schema
	document any

	mu    sync.Mutex
	steps *int64 // that the current check may still take
}

// Fault is a value that the schema does not allow.
type Fault struct {
	Path []string // names of settings and numbers of elements from the config to the value; empty: the config
	Text string   // such as "must be text, not a number"; it contains no value of the config, and has at most 203 bytes
}

// Compile compiles a schema in the types of package encoding/json. It does not keep the document. The text of an error has
// at most 403 bytes.
func Compile(document any) (*Schema, error) {
	steps := int64(maxSteps)
	b := &builder{compiler: jsonschema.NewCompiler(), steps: &steps, formats: map[int]string{}, patterns: map[string]*expression{}}
	b.compiler.DefaultDraft(jsonschema.Draft2020)
	b.compiler.UseLoader(offline{})
	b.compiler.UseRegexpEngine(b.pattern)
	b.compiler.AssertFormat()
	bounded, err := b.root(document)
	if err != nil {
		return nil, shortened(err)
	}
	s := &Schema{document: bounded, steps: &steps}
	err = guarded(func() error {
		if err := b.compiler.AddResource("moot:config", bounded); err != nil {
			return err
		}
		s.compiled, err = b.compiler.Compile("moot:config")
		return err
	})
	if err != nil {
		return nil, shortened(b.reason(err))
	}
	return s, nil
}

// Check returns the faults of a config, in the order of their paths, at most 10. The error is that of a check that was
// given up.
func (s *Schema) Check(config json.RawMessage) (faults []Fault, err error) {
	var value any
	if err := json.Unmarshal(config, &value); err != nil {
		return nil, fmt.Errorf("the config is not JSON: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.steps = maxSteps
	err = guarded(func() error { return s.compiled.Validate(value) })
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return s.faults(invalid), nil
	}
	return nil, err
}

// guarded calls f. A panic of f is its error: neither a schema nor a config may end the process.
func guarded(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
		default:
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}

// offline is a loader that loads nothing.
type offline struct{}

// Load implements [jsonschema.URLLoader].
func (offline) Load(string) (any, error) { return nil, errRef }
