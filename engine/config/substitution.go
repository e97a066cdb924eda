package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Substitution is a reference in the configuration to the environment or a file, and its value.
type Substitution struct {
	Value   Secret
	Written string // such as "${file:jwt.secret}"
	Hidden  bool   // logs must not show the value: see [Config.LogRedactor]
}

// Minimum lengths of redacted values, in bytes. Shorter values occur in ordinary words.
const (
	minRedacted = 4
	minHidden   = 8 // of values that ordinary log text may contain
)

// Redact replaces values of ${...} in text by their references. It is for errors of
// other packages; errors of this package contain no such value. Redact keeps values of
// less than 4 bytes.
func (c *Config) Redact(text string) string {
	return redactor(slices.Clone(c.Substitutions)).Replace(text)
}

// LogRedactor returns a replacer like Redact, but only for the values that logs must
// not show: values of ${file:...}; values of the environment in settings that are
// secrets; and values of the environment of 8 bytes or more in any other text setting
// without a rule. Logs show the values of settings that have a rule, such as addresses
// and names of nodes and rooms, because log lines need them. URLs, paths and configs of
// modules may contain secrets, so they have no such rule.
func (c *Config) LogRedactor() *strings.Replacer {
	return redactor(slices.DeleteFunc(slices.Clone(c.Substitutions), func(s Substitution) bool { return !s.Hidden }))
}

func redactor(all []Substitution) *strings.Replacer {
	slices.SortFunc(all, func(a, b Substitution) int { // longer ones first: one value may contain another
		x, y := a.Value.Reveal(), b.Value.Reveal()
		return cmp.Or(cmp.Compare(len(y), len(x)), strings.Compare(x, y), strings.Compare(a.Written, b.Written))
	})
	var pairs []string
	for _, f := range all {
		for _, form := range forms(f.Value.Reveal()) {
			if len(form) >= minRedacted {
				pairs = append(pairs, form, f.Written)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// forms returns the texts by which a value may occur in errors, longer ones first:
// unchanged, quoted, escaped in a URL, cleaned as a path, and only its host.
func forms(value string) []string {
	quoted := strconv.Quote(value)
	all := []string{value, quoted[1 : len(quoted)-1], url.PathEscape(value), url.QueryEscape(value), filepath.Clean(value)}
	if u, err := url.Parse(value); err == nil && u.Host != "" {
		all = append(all, u.Host, u.Hostname(), u.Path)
	}
	if !strings.Contains(value, "://") {
		if host, _, err := net.SplitHostPort(value); err == nil {
			all = append(all, host)
		}
		if host, repository, ok := strings.Cut(value, "/"); ok { // of a registry
			all = append(all, host, repository)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) }) // one may begin with another
	return slices.Compact(all)
}

// note records the value of a reference in a setting.
func (l *load) note(in visibility, value, written string) {
	if value == "" || strings.HasSuffix(written, ":-"+value+"}") {
		return
	}
	l.fills++
	s := Substitution{Value: NewSecret(value), Written: written}
	hidden := strings.HasPrefix(written, "${file:") || in.secret || !in.logged && len(value) >= minHidden
	l.brought[s] = l.brought[s] || hidden
}

// visibility is how much logs may show of the setting that is decoded.
type visibility struct {
	secret bool // nothing
	logged bool // its value
}

// visibilityOf returns the visibility of a field.
func visibilityOf(v reflect.Value, tag reflect.StructTag) visibility {
	switch v.Interface().(type) {
	case Secret:
		return visibility{secret: true}
	case Path:
		return visibility{}
	}
	switch tag.Get("check") {
	case "", "askURL", "jwks", "oci", "sink", "source", "url":
		return visibility{logged: v.Kind() != reflect.String || tag.Get("oneof") != ""}
	}
	return visibility{logged: true}
}

// filledIn returns the recorded substitutions, each once.
func (l *load) filledIn() (all []Substitution) {
	for s, hidden := range l.brought {
		s.Hidden = hidden
		all = append(all, s)
	}
	return all
}

// maskedText returns the text by which a message shows a value with ${...}.
func maskedText(written string) string { return theValueOf + quote(written) }

const theValueOf = "the value of "

// shows returns the text by which a message shows the value of the setting at path.
func (l *load) shows(path, value string) string {
	if shown, filled := l.shownAt(path); filled {
		return shown
	}
	return quote(value)
}

// show sets Shown of the chain entries in the file of c, and the nodes for PosOf.
func (l *load) show(c *Config) {
	for name, t := range c.Tenants {
		if t.Pos.File != c.File.Written {
			continue
		}
		at := cursor{path: "tenants"}.key(name).key("chain")
		for i := range t.Chain {
			if t.Chain[i].Config != nil { // nil: an override replaced the chain
				path := at.index(i).key("config").path
				t.Chain[i].Shown, t.Chain[i].written, t.Chain[i].lists = l.configs[path], l.nodes[path], l.lists[path]
			}
		}
	}
}

// bound sets Written of a path, and Within for a path in an included file.
func (d *decoder) bound(v reflect.Value, written string) error {
	p, ok := v.Interface().(Path)
	if !ok || p.Absolute == "" {
		return nil
	}
	outside := filepath.IsAbs(p.Written) || !filepath.IsLocal(p.Written)
	p.Written = written
	isURL := strings.Contains(p.Absolute, "://")
	if d.included && !isURL {
		if outside {
			return errors.New("is outside of the directory of this included file: move the file there, or name it in the main file")
		}
		p.Within = filepath.Dir(d.file.Absolute)
	}
	v.Set(reflect.ValueOf(p))
	return nil
}

// Substitute returns edited with the values of ${...} inserted. It replaces each value
// that is equal to the value at the same place in Shown by the value in Config. The
// error is an error of JSON.
func (e *Entry) Substitute(edited json.RawMessage) (json.RawMessage, error) {
	if e.Shown == nil {
		return edited, nil
	}
	var from, shown, real any
	for text, to := range map[*json.RawMessage]*any{&edited: &from, &e.Shown: &shown, &e.Config: &real} {
		if err := json.Unmarshal(*text, to); err != nil {
			return nil, err
		}
	}
	return json.Marshal(refill(from, shown, real))
}

func refill(edited, shown, real any) any {
	if reflect.DeepEqual(edited, shown) {
		return real
	}
	switch e := edited.(type) {
	case map[string]any:
		s, _ := shown.(map[string]any)
		r, _ := real.(map[string]any)
		for key := range e {
			if _, ok := s[key]; ok {
				e[key] = refill(e[key], s[key], r[key])
			}
		}
	case []any:
		s, _ := shown.([]any)
		r, _ := real.([]any)
		for i := range min(len(e), len(s), len(r)) {
			e[i] = refill(e[i], s[i], r[i])
		}
	}
	return edited
}
