package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Filled is what a ${...} brought in from the environment or a file.
type Filled struct {
	Value   Secret
	Written string // such as "${file:jwt.secret}"
}

// leastRedacted is how many bytes a value must have to be found in other texts: a shorter
// one is in every other word.
const leastRedacted = 4

// Redact puts what is written in the file in place of what ${...} brought in, for errors of
// others than this package, which has no such value in its own. Values of less than 4 bytes
// are not looked for.
func (c *Config) Redact(text string) string { return redactor(slices.Clone(c.Filled)).Replace(text) }

// Hider does so for what ${file:...} brought in, for logs: what comes from the environment may
// be the name of the node.
func (c *Config) Hider() *strings.Replacer {
	return redactor(slices.DeleteFunc(slices.Clone(c.Filled), func(f Filled) bool { return !strings.HasPrefix(f.Written, "${file:") }))
}

func redactor(all []Filled) *strings.Replacer {
	slices.SortFunc(all, func(a, b Filled) int { // longer ones first: one may be in another
		x, y := a.Value.Reveal(), b.Value.Reveal()
		return cmp.Or(cmp.Compare(len(y), len(x)), strings.Compare(x, y), strings.Compare(a.Written, b.Written))
	})
	var pairs []string
	for _, f := range all {
		for _, form := range forms(f.Value.Reveal()) {
			if len(form) >= leastRedacted {
				pairs = append(pairs, form, f.Written)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// forms are those in which a value is found in the texts of others: as it is, quoted, in a
// URL or a path; and the host alone, where it has one.
func forms(value string) []string {
	quoted := strconv.Quote(value)
	all := []string{value, quoted[1 : len(quoted)-1], url.PathEscape(value), url.QueryEscape(value), filepath.Clean(value)}
	if u, err := url.Parse(value); err == nil && u.Host != "" {
		all = append(all, u.Host, u.Hostname(), u.Path)
	}
	if host, _, err := net.SplitHostPort(value); err == nil {
		all = append(all, host)
	}
	if host, repository, ok := strings.Cut(value, "/"); ok && !strings.Contains(value, "://") { // of a registry
		all = append(all, host, repository)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// note keeps what a reference brought in.
func (l *load) note(value, written string) {
	if value == "" || strings.HasSuffix(written, ":-"+value+"}") {
		return
	}
	l.fills++
	l.brought[Filled{NewSecret(value), written}] = true
}

// filledIn is what references brought in, each once.
func (l *load) filledIn() []Filled { return slices.Collect(maps.Keys(l.brought)) }

// asFilled is how a message shows a value that ${...} filled.
func asFilled(written string) string { return quote(written) + " as filled in" }

// shows is how a message shows the value of the setting at path.
func (l *load) shows(path, value string) string {
	if shown, filled := l.shown[path]; filled {
		return shown
	}
	return quote(value)
}

// show gives the chain entries their configs to show.
func (l *load) show(c *Config) {
	for name, t := range c.Tenants {
		at := cursor{path: "tenants"}.key(name).key("chain")
		for i := range t.Chain {
			if t.Chain[i].Config != nil { // else it is of a chain that an override replaced
				t.Chain[i].Shown = l.configs[at.index(i).key("config").path]
			}
		}
	}
}

// bound gives a path that was set the form it is shown in, and holds it to the directory of
// an included file.
func (d *decoder) bound(v reflect.Value, written string) error {
	p, ok := v.Interface().(Path)
	if !ok || p.Absolute == "" {
		return nil
	}
	outside := filepath.IsAbs(p.Written) || !filepath.IsLocal(p.Written)
	p.Written = written
	isURL := strings.Contains(p.Absolute, "://")
	if d.guest && !isURL {
		if outside {
			return errors.New("leads out of the directory of this included file: put the file beside it, or name it in the file that includes this one")
		}
		p.Within = filepath.Dir(d.file.Absolute)
	}
	v.Set(reflect.ValueOf(p))
	return nil
}

// Refill is edited with what ${...} brought into an entry's config, where edited has what
// Shown has in the same place.
func (e *Entry) Refill(edited json.RawMessage) (json.RawMessage, error) {
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
