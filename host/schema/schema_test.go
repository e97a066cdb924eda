package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func compile(t *testing.T, text string) (*Schema, error) {
	t.Helper()
	var document any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	return Compile(document)
}

func check(t *testing.T, schema, config string) string {
	t.Helper()
	s, err := compile(t, schema)
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	faults, err := s.Check([]byte(config))
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = strings.Join(f.Path, ".") + ": " + f.Text
	}
	return strings.Join(lines, "\n")
}

const words = `{"$schema": "http://json-schema.org/draft-07/schema#", "title": "words", "type": "object", "additionalProperties": false, "required": ["words"], "properties": {
	"words": {"type": "array", "items": {"type": "string", "minLength": 1}},
	"mask": {"type": "string", "pattern": "^.$", "default": "*"},
	"seconds": {"type": "integer", "minimum": 1, "maximum": 60},
	"share": {"type": "number", "exclusiveMinimum": 0},
	"reply": {"enum": ["deny", "drop", 3]},
	"list": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/definitions/link"}}]}},
	"definitions": {"link": {"type": "object", "properties": {"to": {"type": "string"}}, "additionalProperties": false}}}`

func TestFaultsNameTheSettingAndTheRemedy(t *testing.T) {
	for config, want := range map[string]string{
		`{"words": ["a"]}`: "",
		`{"words": ["a"], "list": "x", "seconds": 2, "share": 0.5, "reply": 3, "mask": "#"}`: "",
		`{"wrods": ["a"]}`:                      "words: is missing\nwrods: unknown setting: did you mean \"words\"?",
		`{"words": "a"}`:                        "words: must be a list, not text",
		`{"words": [], "completely": 1}`:        `completely: unknown setting: there are list, mask, reply, seconds, share, words`,
		`{"words": ["a", 5, ""]}`:               "words.1: must be text, not a number\nwords.2: must have at least 1 characters, not 0",
		`{"words": [], "seconds": 1.5}`:         "seconds: must be a whole number",
		`{"words": [], "seconds": 61}`:          "seconds: must be at most 60",
		`{"words": [], "seconds": 0}`:           "seconds: must be at least 1",
		`{"words": [], "share": 0}`:             "share: must be more than 0",
		`{"words": [], "mask": "##"}`:           "mask: must match the pattern ^.$",
		`{"words": [], "reply": "no"}`:          `reply: must be one of "deny", "drop", 3`,
		`{"words": [], "list": 5}`:              "list: must be text or a list, not a number",
		`{"words": [], "list": [{"too": "x"}]}`: `list.0.too: unknown setting: did you mean "to"?`,
		`[]`:                                    ": must be a mapping, not a list",
	} {
		if got := check(t, words, config); got != want {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", config, got, want)
		}
	}
}

func TestFaultsAreFew(t *testing.T) {
	numbers := strings.Repeat("1,", 5000)
	if got := strings.Count(check(t, words, `{"words": [`+numbers+`1]}`), "\n") + 1; got != maxFaults {
		t.Errorf("%d faults", got)
	}
}

func TestAListOfHundredThousandWordsIsChecked(t *testing.T) {
	schema := `{"properties": {"words": {"items": {"type": "string", "pattern": "^[a-z]{1,20}$"}}}}`
	list := strings.Repeat(`"forbidden",`, 80_000)
	if got := check(t, schema, `{"words": [`+list+`"x"]}`); got != "" {
		t.Error(got)
	}
}

// TestHostileSchemasAreRefused: compiling them, or a check with them, would take too long or leave the process.
func TestHostileSchemasAreRefused(t *testing.T) {
	deep := strings.Repeat(`{"not":`, 100) + "true" + strings.Repeat("}", 100)
	many := `{"allOf": [` + strings.Repeat("{},", 2000) + `{}]}`
	for schema, want := range map[string]string{
		`{"$ref": "https://evil.example/schema"}`:               "#/$ref: a schema cannot refer to other documents",
		`{"properties": {"a": {"$ref": "file:///etc/passwd"}}}`: "#/properties/a/$ref: a schema cannot refer",
		`{"$ref": "#/examples/0", "examples": [{"not": {}}]}`:   "#/$ref: a schema cannot refer",
		`{"properties": {"a": {"$ref": "#/$defs/absent"}}}`:     "absent",
		`{"pattern": "(a{1000}){1000}"}`:                        "invalid repeat count",
		`{"patternProperties": {"(a{30}b{30}){30}": true}}`:     "too large",
		patterns(`\\pL`, 90, 20):                                "too large together",
		patterns(`(?i:[B-\\x{10FFFE}])`, 1, 20):                 "too large together",
		`{"pattern": "(?=a)b"}`:                                 "invalid or unsupported Perl syntax",
		`{"type": "text"}`:                                      "#/type:",
		`{"properties": {"a": {"type": 5}}}`:                    "#/properties/a/type:",
		`"words"`:                                               "#: must be an object, true or false",
		`{"properties": {"a": 5}}`:                              "#/properties/a: must be an object, true or false",
		deep:                                                    "more than 1000 subschemas, or more than 64 levels",
		many:                                                    "more than 1000 subschemas, or more than 64 levels",
	} {
		if _, err := compile(t, schema); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: %v, want %s", schema, err, want)
		}
	}
}

// patterns returns a schema with n patterns, each of which is count times the text.
func patterns(text string, count, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"%d%s": true`, i, strings.Repeat(text, count))
	}
	return `{"patternProperties": {` + strings.Join(list, ", ") + "}}"
}

func TestOrdinaryPatternsAreNoHostileOnes(t *testing.T) {
	for _, schema := range []string{patterns(`^[\\pL\\d_-]{1,30}$`, 1, 200), patterns(`(?i)^[a-z]+$`, 1, 10), patterns(`^(?:[a-z0-9]+-)*[a-z]$`, 1, 500)} {
		if _, err := compile(t, schema); err != nil {
			t.Errorf("%.100s: %.200v", schema, err)
		}
	}
}

// TestExpensiveChecksAreGivenUp has schemas and configs whose check would take hours.
func TestExpensiveChecksAreGivenUp(t *testing.T) {
	doubling := func(keyword, last string) string {
		defs := []string{fmt.Sprintf(`"d0": %s`, last)}
		for i := range 60 {
			defs = append(defs, fmt.Sprintf(`"d%d": {"%s": [{"$ref": "#/$defs/d%d"}, {"$ref": "#/$defs/d%d"}]}`, i+1, keyword, i, i))
		}
		return `{"not": {"$ref": "#/$defs/d60"}, "$defs": {` + strings.Join(defs, ", ") + "}}"
	}
	nested := strings.Repeat(`{"x":`, 60) + "1" + strings.Repeat("}", 60)
	for name, c := range map[string][2]string{
		"anyOf":      {doubling("anyOf", "false"), "1"},
		"allOf":      {doubling("allOf", `{"type": "number"}`), "1"},
		"properties": {`{"anyOf": [{"properties": {"x": {"$ref": "#"}}, "required": ["y"]}, {"properties": {"x": {"$ref": "#"}}, "required": ["y"]}]}`, nested},
		"pattern":    {`{"pattern": "(a|b|ab){100}c$"}`, `"` + strings.Repeat("ab", 400_000) + `"`},
		"enum":       {`{"items": {"enum": [` + strings.Repeat("[1,2,3,4,5,6,7,8],", 1000) + `[9]]}}`, "[" + strings.Repeat("[1,2,3,4,5,6,7,9],", 5000) + "1]"},
	} {
		s, err := compile(t, c[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if faults, err := s.Check([]byte(c[1])); !errors.Is(err, errSteps) {
			t.Errorf("%s: %v, %v", name, faults, err)
		}
		if _, err := s.Check([]byte(`{"x": 1}`)); errors.Is(err, errSteps) && name != "anyOf" && name != "allOf" {
			t.Errorf("%s: the next check: %v", name, err)
		}
	}
}

// FuzzCompile compiles any schema and checks any config: both end, without a panic.
func FuzzCompile(f *testing.F) {
	f.Add(words, `{"wrods": 1}`)
	f.Add(`{"oneOf": [{"const": 1e300}, {"multipleOf": 1e-300}]}`, `1e308`)
	f.Fuzz(func(t *testing.T, schema, config string) {
		var document any
		if json.Unmarshal([]byte(schema), &document) != nil || len(schema) > 64<<10 {
			return
		}
		if s, err := Compile(document); err == nil {
			_, _ = s.Check([]byte(config))
		}
	})
}

// TestErrorsAreBounded checks schemas with a pattern, a name or a value of 60 KB.
func TestErrorsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 60_000)
	for _, schema := range []string{`{"pattern": "(` + long + `"}`, `{"patternProperties": {"(` + long + `": true}}`, `{"properties": {"` + long + `": 5}}`,
		`{"$ref": "#/$defs/` + long + `"}`, `{"type": "` + long + `"}`, `{"required": 5, "properties": {"` + long + `": {"type": 5}}}`} {
		if _, err := compile(t, schema); err == nil || len(err.Error()) > 2*maxShown+3 {
			t.Errorf("%.50s: an error of %d bytes", schema, len(fmt.Sprint(err)))
		}
	}
	for schema, config := range map[string]string{
		`{"pattern": "^a$` + `"}`: `"` + long + `"`, `{"enum": ["` + long + `"]}`: `1`, `{"const": "` + long + `"}`: `1`,
		`{"additionalProperties": false, "properties": {"` + long + `": {}}}`: `{"a": 1}`,
		`{"dependentRequired": {"a": ["` + long + `"]}}`:                      `{"a": 1}`,
		`{"propertyNames": {"enum": ["` + long + `"]}}`:                       `{"a": 1}`,
	} {
		s, err := compile(t, schema)
		if err != nil {
			t.Fatal(err)
		}
		faults, err := s.Check([]byte(config))
		if err != nil || len(faults) == 0 {
			t.Errorf("%.50s: no fault: %v", schema, err)
		}
		for _, f := range faults {
			if len(f.Text) > maxShown+3 {
				t.Errorf("%.50s: a text of %d bytes", schema, len(f.Text))
			}
		}
	}
}
