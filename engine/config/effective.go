package config

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// SourceDefault is the source of a setting that has its default.
const SourceDefault = "default"

// Setting is a setting with the value that a server uses.
type Setting struct {
	Path   string `json:"path"`   // such as http.listen or tenants.default.chain[0].module
	Value  string `json:"value"`  // as JSON, or a duration, a size or a share as in YAML; ${...} as written; a secret is [set] or [empty]
	Source string `json:"source"` // "config.yaml:12", "--set" or SourceDefault
}

// Effective returns all settings of the configuration at path, in the order of [Config], maps in the order of their keys.
// An empty list or map is one setting. The error is like that of [Load].
func (ld *Loader) Effective(ctx context.Context, path string, env Lookup, overrides ...string) ([]Setting, error) {
	l := newLoad(env, ld.disk(ctx))
	c, err := l.open(path, overrides)
	if err != nil {
		return nil, err
	}
	if problems := l.reported(); len(problems) > 0 {
		return nil, problems
	}
	e := effective{load: l}
	e.add(reflect.ValueOf(c).Elem(), cursor{})
	return e.settings, nil
}

type effective struct {
	load     *load
	settings []Setting
}

func (e *effective) add(v reflect.Value, at cursor) {
	t := v.Type()
	switch {
	case !isTree(t) || t.Kind() == reflect.Slice && !isTree(t.Elem()):
		_, secret := v.Interface().(Secret)
		e.set(at.path, valueOf(v), secret)
	case t.Kind() != reflect.Struct && v.Len() == 0:
		e.set(at.path, map[reflect.Kind]string{reflect.Slice: "[]", reflect.Map: "{}"}[t.Kind()], false)
	case t.Kind() == reflect.Struct:
		if entry, ok := v.Interface().(Entry); ok && len(entry.Shown) > 0 {
			entry.Config, entry.Shown = entry.Shown, nil
			v = reflect.ValueOf(entry)
		}
		for i := range t.NumField() {
			key := t.Field(i).Tag.Get("yaml")
			if entry, ok := v.Interface().(Entry); ok && key == "asks" && entry.NoAsks {
				e.set(at.key(key).path, "false", false)
			} else if key != "-" {
				e.add(v.Field(i), at.key(key))
			}
		}
	case t.Kind() == reflect.Slice:
		for i := range v.Len() {
			e.add(v.Index(i), at.index(i))
		}
	default:
		for _, key := range sortedKeys(v) {
			e.add(v.MapIndex(key), at.key(key.String()))
		}
	}
}

// set adds a setting. A value with ${...} is shown as written, because the result may be a secret; of a Secret only whether it is set.
func (e *effective) set(path, value string, secret bool) {
	source := SourceDefault
	if pos, ok := e.load.has(path); ok {
		source = pos.String()
	}
	if shown, filled := e.load.shownAt(path); filled && !secret {
		value = strings.TrimPrefix(shown, theValueOf)
	}
	e.settings = append(e.settings, Setting{path, value, source})
}

// valueOf returns the value of a setting as [Setting] has it.
func valueOf(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case json.RawMessage:
		if value == nil {
			return "null"
		}
		return string(value)
	case Path:
		return string(jsonOf(value.Written))
	case fmt.Stringer: // Secret, time.Duration, ByteSize, Share
		return value.String()
	}
	if v.Kind() == reflect.Slice && v.Len() == 0 {
		return "[]"
	}
	return string(jsonOf(v.Interface()))
}
