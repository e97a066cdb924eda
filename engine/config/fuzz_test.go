package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/files"
	"github.com/mootchat/moot/engine/glob"
)

// shelf is an in-memory file system.
type shelf map[string]string

func (s shelf) disk() disk { return disk{s.read, s.glob, s.stat} }

func (s shelf) stat(paths []string) []files.Stamp { return make([]files.Stamp, len(paths)) }

func (s shelf) read(p Path) ([]byte, error) {
	name := path.Join(p.Within, p.Absolute)
	if text, ok := s[name]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (s shelf) glob(pattern string) (found []string, err error) {
	for name := range s {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found, nil
}

// FuzzParse checks that any text results in a valid Config or in valid Problems.
func FuzzParse(f *testing.F) {
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(shipped), "tenants: {a: {}}", "http.listen=:1")
	f.Add("include: /c/*.yaml\ndrain: ${X}", "modules: {m: {file: x}}", "tenants.a.limits={rooms: 3}")
	f.Add("include: [{files: /c/*.yaml, secrets: /c}]", "modules: {m: {file: '${file:other.yaml}'}}", "")
	f.Add("modules: {m: {file: f}}\ntenants:\n  a:\n    chain:\n    - &e {module: m, config: {a: &b [1, *b]}}\n    - {<<: *e}", "", "")
	f.Add("http: {listen: ${file:other.yaml}}\nlog: {level: \"$${\"}", "info\n", "socket.listen=")
	f.Add("a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n*c : ? - -", "\xff", "=")
	f.Add("drain: 5s\n---\nlog: {}", "tenants: {a: {match: {host: x}}, b: {match: {host: x}}}", "include=x")
	f.Fuzz(func(t *testing.T, text, other, override string) {
		l := newLoad(func(name string) (string, bool) { return strings.Repeat(name, 2), len(name) < 3 }, shelf{"/c/other.yaml": other}.disk())
		c, err := l.run(Path{Written: "config.yaml", Absolute: "/c/config.yaml"}, []byte(text), []string{override}[:min(len(override), 1)])
		if err == nil {
			keepsPromises(t, c)
			return
		}
		problems, ok := errors.AsType[Problems](err)
		if !ok || len(problems) == 0 || c != nil {
			t.Fatalf("%v is a %T, Config %v", err, err, c)
		}
		if lines := strings.Count(err.Error(), "\n") + 1; lines != len(problems) {
			t.Errorf("%d problems on %d lines:\n%s", len(problems), lines, err)
		}
		for i, p := range problems {
			if p.Message == "" || p.File == "" || p.Line < 0 || p.Line > len(text+other)+1 {
				t.Errorf("no place for %+v", p)
			}
			if i > 0 && p.File == problems[i-1].File && p.Line < problems[i-1].Line {
				t.Errorf("problems are not in order:\n%s", err)
			}
		}
	})
}

func keepsPromises(t *testing.T, c *Config) {
	if _, ok := c.Tenants[c.Socket.Tenant]; !ok && c.Socket.Listen != "" {
		t.Errorf("socket.tenant %q is not there", c.Socket.Tenant)
	}
	for name, m := range c.Modules {
		if check("name", name) != nil || !path.IsAbs(m.File.Absolute) || m.Pos.File == "" {
			t.Errorf("module %q is %+v", name, m)
		}
	}
	for name, tenant := range c.Tenants {
		if check("name", name) != nil || tenant.Pos.File == "" {
			t.Errorf("tenant %q is %+v", name, tenant)
		}
		for _, e := range tenant.Chain {
			if _, ok := c.Modules[e.Module]; !ok || e.Timeout <= 0 || e.Memory <= 0 || e.Breaker.Ratio <= 0 || e.Breaker.Minimum <= 0 || len(e.Rooms) == 0 && e.Rooms == nil {
				t.Errorf("entry %+v", e)
			}
			if e.Config != nil && !json.Valid(e.Config) {
				t.Errorf("config %s", e.Config)
			}
			for _, pattern := range e.Rooms {
				if _, err := glob.Compile(pattern); err != nil {
					t.Errorf("pattern %q: %v", pattern, err)
				}
			}
		}
	}
}
