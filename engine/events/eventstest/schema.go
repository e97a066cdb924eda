package eventstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mootchat/moot/engine/events"
)

// Schema is the JSON Schema of events, which receivers read.
type Schema struct {
	compiled *jsonschema.Schema
	fields   map[string]map[string]bool // of the data, by kind
}

// ReadSchema reads the schema in engine/events.
func ReadSchema() (*Schema, error) {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(events.Schema()))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", parsed); err != nil {
		return nil, err
	}
	s := &Schema{fields: map[string]map[string]bool{}}
	if s.compiled, err = compiler.Compile("schema.json"); err != nil {
		return nil, err
	}
	var kinds struct {
		Defs map[string]struct {
			Required   []string
			Properties map[string]any
		} `json:"$defs"`
	}
	if err := json.Unmarshal(events.Schema(), &kinds); err != nil {
		return nil, err
	}
	for kind, of := range kinds.Defs {
		s.fields[kind] = map[string]bool{}
		for name := range of.Properties {
			s.fields[kind][name] = slices.Contains(of.Required, name)
		}
	}
	return s, nil
}

// Kinds returns the kinds that the schema describes, in order.
func (s *Schema) Kinds() []string { return slices.Sorted(maps.Keys(s.fields)) }

// Fields returns the fields of the data of a kind. The value is true if the field is required.
func (s *Schema) Fields(kind string) map[string]bool { return s.fields[kind] }

// Check returns an error unless an event, as a sink receives it, has the form of the schema and no further fields.
func (s *Schema) Check(event []byte) error {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(event))
	if err == nil {
		err = s.compiled.Validate(parsed)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", event, err)
	}
	var e struct {
		Type string
		Data map[string]any
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return err
	}
	known, described := s.fields[e.Type[len("moot."):]]
	if !described {
		return fmt.Errorf("the schema does not describe %s", e.Type)
	}
	for name := range e.Data {
		if _, has := known[name]; !has {
			return fmt.Errorf("the schema does not describe %s of %s", name, e.Type)
		}
	}
	return nil
}
