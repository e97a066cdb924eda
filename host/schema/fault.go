package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/mootchat/moot/engine/nearest"
)

const (
	maxFaults = 10
	maxShown  = 200 // bytes of a text
)

// faults returns the faults of an error of the library.
func (s *Schema) faults(e *jsonschema.ValidationError) []Fault {
	list := s.collect(e, nil)
	slices.SortStableFunc(list, func(a, b Fault) int { return slices.Compare(a.Path, b.Path) })
	list = slices.CompactFunc(list, func(a, b Fault) bool { return a.Text == b.Text && slices.Equal(a.Path, b.Path) })
	list = list[:min(len(list), maxFaults)]
	for i := range list {
		list[i].Text = cut(list[i].Text)
	}
	return list
}

// collect appends the faults of an error to a list, which it keeps short.
func (s *Schema) collect(e *jsonschema.ValidationError, list []Fault) []Fault {
	if len(list) >= 100*maxFaults {
		return list
	}
	at := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		for _, cause := range e.Causes {
			list = s.collect(cause, list)
		}
		return list
	case *kind.AnyOf:
		return s.alternatives(e, list)
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return append(list, Fault{at, "fits more than one of the forms that are allowed"})
		}
		return s.alternatives(e, list)
	case *kind.AdditionalProperties:
		valid := s.settings(e.SchemaURL)
		for _, name := range k.Properties {
			list = append(list, Fault{append(slices.Clone(at), name), "unknown setting" + suggest(name, valid)})
		}
		return list
	case *kind.Required:
		for _, name := range k.Missing {
			list = append(list, Fault{append(slices.Clone(at), name), "is missing"})
		}
		return list
	case *kind.PropertyNames:
		for _, f := range s.collect(&jsonschema.ValidationError{ErrorKind: &kind.Group{}, Causes: e.Causes}, nil) {
			list = append(list, Fault{append(slices.Clone(at), k.Property), "the name " + f.Text})
		}
		return list
	}
	return append(list, Fault{at, textOf(e.ErrorKind)})
}

// alternatives appends the faults of the alternative that fits best: the one that fails deepest in the config. If all fail
// by their types, it appends one fault that names the types.
func (s *Schema) alternatives(e *jsonschema.ValidationError, list []Fault) []Fault {
	var best []Fault
	var want []string
	got, deepest, tied := "", -1, false
	for _, cause := range e.Causes {
		if k, ok := cause.ErrorKind.(*kind.Type); ok && len(cause.InstanceLocation) == len(e.InstanceLocation) {
			want, got = append(want, k.Want...), k.Got
			continue
		}
		faults := s.collect(cause, nil)
		depth := 0
		for _, f := range faults {
			depth = max(depth, len(f.Path))
		}
		tied = depth == deepest || depth < deepest && tied
		if depth > deepest {
			best, deepest = faults, depth
		}
	}
	switch {
	case best == nil && want != nil:
		return append(list, Fault{e.InstanceLocation, typeText(got, want)})
	case best == nil || tied:
		return append(list, Fault{e.InstanceLocation, "has none of the forms that are allowed"})
	}
	return append(list, best...)
}

// settings returns the names of the properties of the subschema at a location.
func (s *Schema) settings(location string) (names []string) {
	_, pointer, _ := strings.Cut(location, "#")
	at := s.document
	for _, key := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		key = strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
		switch v := at.(type) {
		case map[string]any:
			if key != "" {
				at = v[key]
			}
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i < 0 || i >= len(v) {
				return nil
			}
			at = v[i]
		}
	}
	fields, _ := at.(map[string]any)
	properties, _ := fields["properties"].(map[string]any)
	for name := range properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// suggest returns the end of a text about an unknown setting.
func suggest(name string, valid []string) string {
	switch best := nearest.Name(name, valid); {
	case best != "":
		return fmt.Sprintf(": did you mean %q?", best)
	case len(valid) == 0:
		return ": there are no settings"
	}
	return ": there are " + strings.Join(valid, ", ")
}

// textOf returns what a value must be.
func textOf(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return typeText(k.Got, k.Want)
	case *kind.Enum:
		return "must be one of " + list(k.Want)
	case *kind.Const:
		return "must be " + list([]any{k.Want})
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("the elements %d and %d are equal", k.Duplicates[0], k.Duplicates[1])
	case *kind.DependentRequired:
		return fmt.Sprintf("%q needs %s", k.Prop, strings.Join(k.Missing, ", "))
	case *kind.FalseSchema:
		return "is not allowed"
	case *kind.RefCycle:
		return "the schema refers to itself without end"
	case *kind.Format: // of a schema: a pattern that is not one
		return k.Err.Error()
	}
	return sizeText(k)
}

// sizeText returns how large a value must be.
func sizeText(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters, not %d", k.Want, k.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters, not %d", k.Want, k.Got)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d elements, not %d", k.Want, k.Got)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d elements, not %d", k.Want, k.Got)
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d settings, not %d", k.Want, k.Got)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d settings, not %d", k.Want, k.Got)
	}
	return fmt.Sprintf("does not satisfy %q of the schema", strings.Join(k.KeywordPath(), "/"))
}

var typeNames = map[string]string{"string": "text", "object": "a mapping", "array": "a list", "integer": "a whole number",
	"number": "a number", "boolean": "true or false", "null": "null"}

func typeText(got string, want []string) string {
	names := make([]string, 0, len(want))
	for _, w := range want {
		if name := typeNames[w]; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if got == "number" && slices.Contains(want, "integer") {
		return "must be " + strings.Join(names, " or ")
	}
	return "must be " + strings.Join(names, " or ") + ", not " + typeNames[got]
}

func list(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		b, _ := json.Marshal(v) // it was JSON
		texts[i] = string(b)
	}
	return strings.Join(texts, ", ")
}

func number(r *big.Rat) string {
	f, _ := r.Float64()
	return fmt.Sprint(f)
}

// cut returns a text of at most maxShown bytes and "...": it may contain any part of a schema.
func cut(text string) string {
	if len(text) > maxShown {
		return strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return text
}

// shortened returns an error with the first and the last maxShown bytes of the text of a longer one: a pattern or the name of
// a setting may have 64 KiB.
func shortened(err error) error {
	text := err.Error()
	if len(text) <= 2*maxShown {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:maxShown], "") + "..." + strings.ToValidUTF8(text[len(text)-maxShown:], ""))
}
