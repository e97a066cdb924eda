package config

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"reflect"
	"slices"
	"strings"
)

// NeedsRestart returns the paths of the settings that differ between two configurations
// and that a running server does not apply, in the order of the file.
func NeedsRestart(running, next *Config) (paths []string) {
	a, b := settingsOf(without(running), true), settingsOf(without(next), true)
	for i, s := range a {
		if s.text != b[i].text {
			paths = append(paths, s.path)
		}
	}
	return paths
}

// Digest returns a digest of all settings that a running server applies. It does not
// depend on the files that contain the settings, nor on the contents of modules. Of a
// secret, and of a module's config with ${...}, it includes 16 bits of a digest. These
// bits show that the value changed, and are too few to guess the value.
func Digest(c *Config) [32]byte {
	h := sha256.New()
	for _, s := range settingsOf(without(c), false) {
		fmt.Fprintf(h, "%d %s %s\n", len(s.text), s.path, s.text)
	}
	var parts digester
	for _, name := range sorted(c.Modules) {
		parts.string(name)
		parts.add(reflect.ValueOf(c.Modules[name]))
	}
	for _, name := range sorted(c.Tenants) {
		digest := c.Tenants[name].Digest
		parts.string(name)
		parts.text = append(parts.text, digest[:]...)
	}
	h.Write(parts.text)
	return sum(h)
}

// without returns a configuration without its modules and tenants, of which no setting needs a restart, and which may be
// many.
func without(c *Config) *Config {
	few := *c
	few.Modules, few.Tenants = nil, nil
	return &few
}

func sum(h hash.Hash) (s [32]byte) {
	h.Sum(s[:0])
	return s
}

// setting is a setting and its value as text.
type setting struct{ path, text string }

// settingsOf returns the settings that need a restart if restart is true, and the
// others if it is false.
func settingsOf(c *Config, restart bool) (list []setting) {
	walk(reflect.ValueOf(c).Elem(), "", false, func(path, text string, needs bool) {
		if needs == restart {
			list = append(list, setting{path, text})
		}
	})
	return list
}

// walk visits every setting under v; it visits maps in the order of their keys. It
// visits a list or map that needs a restart as one setting, so that all configurations
// have the same paths of such settings.
func walk(v reflect.Value, path string, restart bool, visit func(path, text string, restart bool)) {
	switch {
	case !isTree(v.Type()):
		visit(path, textOf(v), restart)
	case restart && v.Kind() != reflect.Struct:
		var all strings.Builder
		walk(v, path, false, func(path, text string, _ bool) { fmt.Fprintf(&all, "%s %q\n", path, text) })
		visit(path, all.String(), restart)
	case v.Type() == reflect.TypeFor[Entry]() && v.FieldByName("Shown").Len() > 0:
		e := v.Interface().(Entry)
		visit(cursor{path: path}.key("filled").path, textOf(reflect.ValueOf(NewSecret(string(e.Config)))), restart)
		visit(cursor{path: path}.key("lists").path, fmt.Sprintf("%x", e.lists), restart)
		e.Config, e.Shown = e.Shown, nil
		walk(reflect.ValueOf(e), path, restart, visit)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if key := f.Tag.Get("yaml"); key != "-" {
				walk(v.Field(i), cursor{path: path}.key(key).path, restart || f.Tag.Get("restart") != "", visit)
			}
		}
	case v.Kind() == reflect.Slice:
		visit(path, fmt.Sprint(v.Len()), restart)
		for i := range v.Len() {
			walk(v.Index(i), cursor{path: path}.index(i).path, restart, visit)
		}
	default:
		for _, key := range sortedKeys(v) {
			at := cursor{path: path}.key(key.String()).path
			visit(at, "", restart)
			walk(v.MapIndex(key), at, restart, visit)
		}
	}
}

// sortedKeys returns the keys of a map with texts as keys.
func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

func textOf(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case Secret:
		digest := sha256.Sum256([]byte(value.Reveal()))
		return fmt.Sprintf("%x", digest[:2])
	case Path:
		return value.Written
	case json.RawMessage:
		return string(value)
	}
	return fmt.Sprintf("%#v", v.Interface())
}
