package config_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/config"
)

const shipped = "../../config.yaml"

func load(t *testing.T) *config.Config {
	t.Helper()
	c, err := config.Load(shipped, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestShippedFileConfiguresTheDemo(t *testing.T) {
	c := load(t)
	d := c.Tenants["default"]
	if want := []string{"defaultRoom", "otherRoom", "secure"}; !slices.Equal(d.Rooms.Starting, want) {
		t.Errorf("starting rooms %q, want %q", d.Rooms.Starting, want)
	}
	want := []struct{ module, grants, config string }{
		{"rule", "", ""},
		{"blocklist", "", `{"action":"mask","words":["darn","heck"]}`},
		{"announcer", "emit", ""},
		{"gate", "properties:role", `{"rooms":["secure*"],"tokens":{"letmein":"member"}}`},
	}
	if len(d.Chain) != len(want) || len(c.Modules) != len(want) {
		t.Fatalf("%d entries of %d modules, want %d", len(d.Chain), len(c.Modules), len(want))
	}
	for i, w := range want {
		e := d.Chain[i]
		if e.Module != w.module || strings.Join(e.Grants, " ") != w.grants || string(e.Config) != w.config {
			t.Errorf("entry %d is %s %q %s, want %+v", i, e.Module, e.Grants, e.Config, w)
		}
		m := c.Modules[w.module]
		if script := m.Script.Written; script != "" && script != "rule.js" || script == "" && m.Builtin != w.module {
			t.Errorf("module %s is %+v, want a ready-made rule, or the script rule.js", w.module, m)
		}
	}
}

// TestShippedFileDocumentsTheDefaults checks that the settings in the file have their
// default values, with a few exceptions.
func TestShippedFileDocumentsTheDefaults(t *testing.T) {
	got, want := load(t), config.Default()
	got.Forget() // positions are not settings
	d := got.Tenants["default"]
	entry, err := config.Parse("x", []byte("modules: {m: {file: f}}\ntenants: {default: {rooms: {settings: [{}]}, chain: [{module: m}]}}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	minimal := entry.Tenants["default"]
	for i, e := range d.Chain {
		least := minimal.Chain[0]
		e.Module, e.Pos, e.Config = least.Module, least.Pos, nil
		if i > 0 { // only the first entry lists all defaults
			e.Grants, e.OnError = nil, least.OnError
		}
		same(t, "an entry", e, least)
	}
	for _, s := range d.Rooms.Settings {
		same(t, "settings of rooms", s, minimal.Rooms.Settings[0])
	}
	d.Chain, d.Rooms.Starting, d.Rooms.Settings, d.Pos = nil, nil, nil, want.Tenants["default"].Pos
	d.Sum, d.Digest = want.Tenants["default"].Sum, want.Tenants["default"].Digest
	same(t, "the tenant", d, want.Tenants["default"])
	if !got.HTTP.Demo {
		t.Error("the shipped file serves no demo page: README.md says that it does")
	}
	if !got.Watch {
		t.Error("the shipped file does not watch its script: README.md says that it does")
	}
	got.Watch = want.Watch
	got.Tenants, got.Modules, got.File, got.HTTP.Demo = want.Tenants, want.Modules, want.File, want.HTTP.Demo
	same(t, "the rest", *got, *want)
}

// same compares values. An empty list equals a missing one.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, w := reflect.New(reflect.TypeOf(got)).Elem(), reflect.New(reflect.TypeOf(want)).Elem()
	g.Set(reflect.ValueOf(got))
	w.Set(reflect.ValueOf(want))
	dropEmpty(g)
	dropEmpty(w)
	if !reflect.DeepEqual(g.Interface(), w.Interface()) {
		t.Errorf("%s of the shipped file differs from the default:\n%+v\n%+v", what, g, w)
	}
}

func dropEmpty(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.Type() == reflect.TypeFor[config.Pos]():
			f.SetZero()
		case f.Kind() == reflect.Struct:
			dropEmpty(f)
		case (f.Kind() == reflect.Slice || f.Kind() == reflect.Map) && f.Len() == 0:
			f.SetZero()
		}
	}
}

// TestShippedFileNamesEverySetting checks that the file contains every setting, at
// least in a comment.
func TestShippedFileNamesEverySetting(t *testing.T) {
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	missing := func(key string) bool {
		return !regexp.MustCompile(`(?m)(^|[\s{#-])` + key + `:`).Match(text)
	}
	keys := settings(reflect.TypeFor[config.Config]())
	if len(keys) < 40 {
		t.Fatalf("only %d settings found: %q", len(keys), keys)
	}
	for _, key := range keys {
		if missing(key) {
			t.Errorf("%s does not name %q", shipped, key)
		}
	}
	if !missing("nonsense") {
		t.Error("the file seems to name everything")
	}
}

func settings(t reflect.Type) (keys []string) {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("yaml"); key != "-" && key != "" {
			keys = append(append(keys, key), settings(f.Type)...)
		}
	}
	return keys
}
