package schema

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Limits of a schema.
const (
	maxSchemas = 1000
	maxDepth   = 64
	maxPattern = 1000    // instructions of a regular expression, about
	maxCost    = 1 << 18 // of all regular expressions together, see costOf
)

// Keywords by the form of their subschemas.
var (
	single = []string{"not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties"}
	listed = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
	named  = []string{"properties", "patternProperties", "dependentSchemas"}
	plain  = []string{"type", "required", "dependentRequired", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
		"multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains", "minProperties", "maxProperties"}
)

// compared are keywords that the library evaluates before a format. The copy has them in an allOf, which comes after it.
var compared = []string{"const", "enum"}

// builder makes the bounded copy of a schema. The library has no limit of its own, so each subschema of the copy has a
// "format" that counts a step of the check: the library evaluates it before all keywords with subschemas.
type builder struct {
	compiler *jsonschema.Compiler
	steps    *int64
	schemas  int
	formats  map[int]string // by the number of steps
	cost     int            // of the regular expressions so far
	patterns map[string]*expression
}

// root copies the schema of the whole config.
func (b *builder) root(document any) (any, error) {
	fields, ok := document.(map[string]any)
	if !ok {
		return b.schema(document, "#", 0)
	}
	defs := map[string]any{}
	for _, keyword := range []string{"definitions", "$defs"} {
		list, _ := fields[keyword].(map[string]any)
		for name, def := range list {
			copied, err := b.schema(def, "#/"+keyword+"/"+name, 1)
			if err != nil {
				return nil, err
			}
			defs[name] = copied
		}
	}
	root, err := b.schema(document, "#", 0)
	if err == nil {
		root.(map[string]any)["$defs"] = defs
	}
	return root, err
}

// schema copies a subschema, with the keywords that a check uses. at is its place.
func (b *builder) schema(v any, at string, depth int) (any, error) {
	fields, ok := v.(map[string]any)
	if _, whole := v.(bool); whole {
		return v, nil
	} else if !ok {
		return nil, fmt.Errorf("%s: must be an object, true or false", at)
	}
	if b.schemas++; b.schemas > maxSchemas || depth > maxDepth {
		return nil, fmt.Errorf("%s: more than %d subschemas, or more than %d levels", at, maxSchemas, maxDepth)
	}
	out, weight := map[string]any{}, 1
	for _, keyword := range slices.Sorted(maps.Keys(fields)) {
		value, n, err := b.keyword(keyword, fields[keyword], at+"/"+keyword, depth+1)
		if err != nil {
			return nil, err
		}
		if value != nil {
			out[keyword] = value
		}
		weight += n
	}
	out["format"] = b.format(weight)
	for _, keyword := range compared {
		if value, ok := out[keyword]; ok {
			delete(out, keyword)
			all, _ := out["allOf"].([]any)
			out["allOf"] = append(all, map[string]any{keyword: value})
		}
	}
	return out, nil
}

// keyword copies the value of a keyword; nil: it is not used. weight is the number of its subschemas and values.
func (b *builder) keyword(keyword string, v any, at string, depth int) (out any, weight int, err error) {
	list, isList := v.([]any)
	fields, isObject := v.(map[string]any)
	switch {
	case keyword == "$ref":
		out, err = reference(v, at)
		return out, 1, err
	case slices.Contains(single, keyword):
		out, err = b.schema(v, at, depth)
		return out, 1, err
	case slices.Contains(listed, keyword) && isList:
		copied := make([]any, len(list))
		for i := 0; i < len(list) && err == nil; i++ {
			copied[i], err = b.schema(list[i], fmt.Sprintf("%s/%d", at, i), depth)
		}
		return copied, len(list), err
	case slices.Contains(named, keyword) && isObject:
		copied := make(map[string]any, len(fields))
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if copied[name], err = b.schema(fields[name], at+"/"+name, depth); err != nil {
				return nil, 0, err
			}
		}
		return copied, len(fields), nil
	case slices.Contains(compared, keyword):
		return v, values(v), nil
	case slices.Contains(plain, keyword), slices.Contains(listed, keyword), slices.Contains(named, keyword):
		return v, len(list), nil // the library reports a wrong type
	}
	return nil, 0, nil
}

// values returns the steps of comparing a value with one of the config: numbers are slow.
func values(v any) int {
	n := 5
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			n += values(one)
		}
	case map[string]any:
		for _, one := range v {
			n += values(one)
		}
	}
	return n
}

// reference returns the target of a $ref in the copy.
func reference(v any, at string) (any, error) {
	target, _ := v.(string)
	name := strings.TrimPrefix(strings.TrimPrefix(target, "#/definitions/"), "#/$defs/")
	switch {
	case target == "#":
		return target, nil
	case name == target || name == "" || strings.Contains(name, "/"):
		return nil, fmt.Errorf(`%s: %w: use "#/$defs/NAME"`, at, errRef)
	}
	return "#/$defs/" + name, nil
}

// format returns the name of a format that takes a number of steps, and more for a large value.
func (b *builder) format(steps int) string {
	name, known := b.formats[steps]
	if !known {
		name = fmt.Sprintf("moot-%d", steps)
		b.formats[steps] = name
		b.compiler.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(v any) error {
			switch v := v.(type) {
			case string:
				b.spend(steps + len(v)>>8)
			case []any:
				b.spend(steps + len(v))
			case map[string]any:
				b.spend(steps + len(v))
			default:
				b.spend(steps)
			}
			return nil
		}})
	}
	return name
}

func (b *builder) spend(steps int) {
	if *b.steps -= int64(steps); *b.steps < 0 {
		panic(errSteps)
	}
}

// pattern compiles a regular expression, once: the library asks for it several times.
func (b *builder) pattern(text string) (jsonschema.Regexp, error) {
	if e := b.patterns[text]; e != nil {
		return e, nil
	}
	if b.cost += costOf(text); b.cost > maxCost {
		return nil, errors.New("the patterns are too large together: use fewer classes such as \\p{L}, and fewer [...] after (?i)")
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	size := instructions(tree)
	if size > maxPattern {
		return nil, fmt.Errorf("the pattern is too large: about %d instructions, the limit is %d", size, maxPattern)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	b.patterns[text] = &expression{compiled, b, size}
	return b.patterns[text], nil
}

// costOf estimates the cost of compiling a regular expression, in bytes of an ordinary one. A Unicode class becomes
// hundreds of ranges. A class in brackets that ignores case is compared with 100,000 characters.
func costOf(text string) int {
	cost := len(text) + 1000*(strings.Count(text, `\p`)+strings.Count(text, `\P`))
	for _, group := range strings.Split(text, "(?")[1:] {
		if flags := group[:len(group)-len(strings.TrimLeft(group, "imsU-"))]; strings.Contains(flags, "i") {
			return cost + 20_000*(strings.Count(text, "[")+strings.Count(text, `\p`)+strings.Count(text, `\P`))
		}
	}
	return cost
}

// instructions returns about how many instructions a regular expression has; at most a little over maxPattern.
func instructions(tree *syntax.Regexp) int {
	n := 1
	if tree.Op == syntax.OpLiteral {
		n = len(tree.Rune)
	}
	for _, sub := range tree.Sub {
		if n += instructions(sub); n > maxPattern {
			return n
		}
	}
	if tree.Op == syntax.OpRepeat {
		n *= max(tree.Min, tree.Max, 1)
	}
	return n
}

// expression is a regular expression whose use takes steps.
type expression struct {
	*regexp.Regexp
	builder *builder
	size    int
}

// MatchString implements [jsonschema.Regexp]. The time of package regexp is at most proportional to both sizes.
func (e *expression) MatchString(s string) bool {
	e.builder.spend(1 + len(s)*e.size/64)
	return e.Regexp.MatchString(s)
}

// reason returns the error of a schema that cannot be compiled, with the places of its faults.
func (b *builder) reason(err error) error {
	wrong, ok := errors.AsType[*jsonschema.SchemaValidationError](err)
	if !ok {
		return err
	}
	invalid, ok := wrong.Err.(*jsonschema.ValidationError)
	if !ok {
		return err
	}
	var lines []string
	for _, f := range (&Schema{}).faults(invalid) {
		lines = append(lines, "#/"+strings.Join(f.Path, "/")+": "+f.Text)
	}
	return errors.New(strings.Join(lines, "; "))
}
