package api_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"testing"
)

// schema has the parts of a JSON Schema that this test reads.
type schema struct {
	Type        any // a name, or names
	Format      string
	Description string
	Properties  map[string]schema
	Items       *schema
	Additional  any `json:"additionalProperties"`
}

// number reports whether s is a number or a list of numbers, and returns its format.
func (s *schema) number() (format string, ok bool) {
	if s.Items != nil {
		return s.Items.number()
	}
	names, _ := s.Type.([]any)
	for _, name := range append(names, s.Type) {
		ok = ok || name == "number" || name == "integer"
	}
	return s.Format, ok
}

var (
	timeNames  = regexp.MustCompile(`^(at|since|before|after|until|.+At)$`)
	spanNames  = regexp.MustCompile(`^(took|ttl|wait|sum|bounds|timeout|p\d+|.+(Time|Duration|Timeout))$`)
	units      = regexp.MustCompile(`\b(us|µs|ms|ns|seconds?|milliseconds?|microseconds?|minutes?|since 1970)\b`)
	otherForms = []string{"date-time", "date", "time", "duration"}
)

// TestTimesAndDurationsOfTheAPIHaveOneForm checks that every time and duration of the API is a number of milliseconds with the
// format unix-ms or duration-ms in the document.
func TestTimesAndDurationsOfTheAPIHaveOneForm(t *testing.T) {
	_, text := alone(t, newProgram().use).request("GET", "/api/openapi.json", "")
	var document struct {
		Info       struct{ Description string }
		Components struct{ Schemas map[string]schema }
		Paths      map[string]map[string]struct {
			Parameters []struct {
				Name, Description string
				Schema            schema
			}
			RequestBody struct {
				Content map[string]struct{ Schema schema }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	check := func(where, name string, s schema) {
		format, number := s.number()
		want := ""
		switch {
		case where+"."+name == "Reload.before": // a revision
			return
		case timeNames.MatchString(name):
			want = "unix-ms"
		case spanNames.MatchString(name):
			want = "duration-ms"
		case slices.Contains(otherForms, format), number && units.MatchString(s.Description):
			want = "unix-ms or duration-ms"
		case format == "unix-ms", format == "duration-ms":
			want = "a name that tells a time or a duration, besides its format"
		default:
			return
		}
		if !number || format != want {
			t.Errorf("%s: %s is %v with the format %q, want a number with %s", where, name, s.Type, format, want)
		}
		found[format]++
	}
	var walk func(where string, s schema)
	walk = func(where string, s schema) {
		for name, p := range s.Properties {
			check(where, name, p)
			walk(where+"."+name, p)
		}
		if s.Items != nil {
			walk(where+"[]", *s.Items)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(document.Components.Schemas)) {
		walk(name, document.Components.Schemas[name])
	}
	for path, methods := range document.Paths {
		for _, operation := range methods {
			for _, p := range operation.Parameters {
				p.Schema.Description += p.Description
				check(path, p.Name, p.Schema)
			}
			for _, body := range operation.RequestBody.Content {
				walk(path, body.Schema)
			}
		}
	}
	if found["unix-ms"] < 8 || found["duration-ms"] < 7 {
		t.Errorf("the document has %v: the test does not see it", found)
	}
	for _, format := range []string{"unix-ms", "duration-ms"} {
		if !regexp.MustCompile("`" + format + "`").MatchString(document.Info.Description) {
			t.Errorf("the description of the document does not explain the format %s: %s", format, document.Info.Description)
		}
	}
}
