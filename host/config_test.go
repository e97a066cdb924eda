package host

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/mootchat/moot/host/schema"
)

func configured(module, config string) Entry {
	return Entry{Module: module, Where: "config.yaml:4", Config: json.RawMessage(config)}
}

func TestAConfigIsCheckedAgainstTheSchemaOfItsModule(t *testing.T) {
	start(t, Config{}, configured("schema", `{"words": ["a"]}`))
	for config, want := range map[string]string{
		`{"wrods": ["a"]}`:    `config.yaml:4: module schema: config.wrods: unknown setting: did you mean "words"?`,
		`{"words": ["a", 5]}`: `config.yaml:4: module schema: config.words[1]: must be text, not a number`,
		`[]`:                  `config.yaml:4: module schema: config: must be a mapping, not a list`,
	} {
		if got := problems(t, rulesFor(configured("schema", config))); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", config, got, want)
		}
	}
}

// TestTheSchemaExplainsARefusal: the module refuses the config without a reason, and the schema has one.
func TestTheSchemaExplainsARefusal(t *testing.T) {
	if got, want := problems(t, rulesFor(configured("picky", `{"wrods": 1}`))), `config.yaml:4: module picky: config.wrods: unknown setting: did you mean "words"?`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := problems(t, rulesFor(configured("picky", `{"words": 1}`))); !strings.Contains(got, "refused its config") {
		t.Error(got)
	}
}

func TestAProblemNamesThePathOfTheValue(t *testing.T) {
	h, err := New(Config{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, err = h.Load(context.Background(), rulesFor(configured("allow", "{}"), configured("schema", `{"words": [5]}`)))
	all, ok := errors.AsType[Problems](err)
	if !ok || len(all) != 1 || all[0].Tenant != "t" || all[0].Entry != 1 || !reflect.DeepEqual(all[0].Path, []string{"words", "0"}) {
		t.Errorf("%#v", err)
	}
}

func TestAHostileSchemaIsAProblemOfItsModule(t *testing.T) {
	for schema, want := range map[string]string{
		`{"$ref": "file:///etc/passwd"}`: "#/$ref: a schema cannot refer to other documents",
		`{"pattern": "("}`:               "missing closing )",
	} {
		if got := problems(t, rulesFor(configured("schema-"+schema, `"x"`))); !strings.Contains(got, "it") || !strings.Contains(got, want) {
			t.Errorf("%s: %s", schema, got)
		}
	}
}

// TestAConfigIsCheckedOncePerModule: a thousand tenants with the same config cost one check.
func TestAConfigIsCheckedOncePerModule(t *testing.T) {
	var c configChecks
	want := &configSchema{document: map[string]any{"type": "object"}}
	for range 1000 {
		if errs := c.check(&configSchema{want.document, want.digest}, `{}`); len(errs) > 0 {
			t.Fatal(errs)
		}
	}
	if errs := c.check(want, `[]`); len(errs) != 1 || len(c.results) != 2 || len(c.schemas) != 1 {
		t.Errorf("%v, %d checks, %d schemas", errs, len(c.results), len(c.schemas))
	}
}

// TestAManifestMayDependOnTheConfig: a module gives a manifest with another schema for each config, and each config is
// checked against its own.
func TestAManifestMayDependOnTheConfig(t *testing.T) {
	start(t, Config{}, configured("fickle", `{"a": 1}`), configured("fickle", `{"b": 1}`))
}

func TestTheTextOfAConfigErrorIsBounded(t *testing.T) {
	long := strings.Repeat("x", 60_000)
	e := configError{schema.Fault{Path: []string{long, long}, Text: "is missing"}}
	if text := e.Error(); len(text) > 300 || !strings.HasSuffix(text, ": is missing") {
		t.Errorf("%d bytes: %.200s", len(text), text)
	}
}
