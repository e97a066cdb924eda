package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
)

// maxFiles is how many files one configuration may include.
const maxFiles = 10_000

// Lookup finds a variable of the environment, as [os.LookupEnv] does. nil is an empty
// environment.
type Lookup func(name string) (value string, ok bool)

// Load reads the file at path and what it includes.
//
// Each override is a setting and its value, such as "http.listen=:9999"; lists are
// written "[a, b]", and elements of lists cannot be named. They are applied last, and
// paths in them are relative to the directory of the file.
//
// If the file itself cannot be read the error wraps that of package os; every other
// error is [Problems]. There is no Config beside an error.
func Load(path string, env Lookup, overrides ...string) (*Config, error) {
	return new(Trace).Load(context.Background(), path, env, overrides...)
}

// Parse is [Load] with the text of the file given. Files that it names are looked for
// where path would be. It does not keep text.
func Parse(path string, text []byte, env Lookup, overrides ...string) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return newLoad(env, new(Trace).disk(context.Background())).run(Path{Written: path, Absolute: absolute}, text, overrides)
}

// Default is the configuration of an empty file, with an empty File.
func Default() *Config {
	c := &Config{}
	l := newLoad(nil, disk{})
	l.decoder(Path{}).decode(c, nil)
	l.finish(c)
	return c
}

// load is one configuration being put together.
type load struct {
	env      Lookup
	disk     disk
	problems Problems
	counts   map[string]int // of problems, by file
	leftOut  bool           // there are problems that are not reported
	warnings Problems
	shown    map[string]string          // by the path of a setting that ${...} filled: how a message shows its value
	configs  map[string]json.RawMessage // by the path of a module's config that ${...} filled: as it is written
	brought  map[Filled]bool
	fills    int             // references that brought something in
	bad      map[string]bool // the paths of problems
	places   map[string]Pos  // of every setting that was given, by its path
	unread   bool            // a file could not be read: do not complain of what it may hold
	aliased  int             // bytes that stood behind aliases
	filled   int             // bytes that ${...} brought in
}

func newLoad(env Lookup, disk disk) *load {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return &load{env: env, disk: disk, bad: map[string]bool{}, counts: map[string]int{}, places: map[string]Pos{}, shown: map[string]string{}, configs: map[string]json.RawMessage{}, brought: map[Filled]bool{}}
}

func (l *load) run(file Path, text []byte, overrides []string) (*Config, error) {
	c := &Config{File: file}
	l.decoder(file).decode(c, text)
	l.include(c)
	l.override(c, overrides)
	l.finish(c)
	if !l.unread {
		l.check(c)
	}
	c.Warnings, c.Filled = l.warnings, l.filledIn()
	l.show(c)
	if len(l.problems) > 0 {
		return nil, l.reported()
	}
	return c, nil
}

// finish makes what is there even if nobody wrote it.
func (l *load) finish(c *Config) {
	if c.Modules == nil {
		c.Modules = map[string]Module{}
	}
	if len(c.Tenants) == 0 {
		v := l.decoder(c.File).element(reflect.TypeFor[Tenant](), Pos{File: c.File.Written})
		c.Tenants = map[string]Tenant{"default": v.Interface().(Tenant)}
	}
}

// included is what a file that another one includes may hold.
type included struct {
	Modules map[string]Module `yaml:"modules" key:"name"`
	Tenants map[string]Tenant `yaml:"tenants" key:"name"`
}

// include reads the files that the patterns of c.Include name, each once: those that are
// assigned secrets first, since another pattern may fit them too.
func (l *load) include(c *Config) {
	done := map[string]bool{c.File.Absolute: true}
	for _, i := range secretsFirst(c.Include) {
		which := c.Include[i]
		at := l.item("include", i)
		if files := (cursor{path: at}).key("files").path; l.places[files] != (Pos{}) || l.bad[files] {
			at = files
		}
		if l.bad[at] || which.Files == "" {
			l.unread = true
			continue
		}
		for _, name := range l.match(c, which.Files, at) {
			file := relative(c.File, name)
			if done[file.Absolute] {
				continue
			}
			if len(done) > maxFiles {
				l.problem(l.pos(at), at, fmt.Sprintf("more than %d files are included", maxFiles))
				return
			}
			done[file.Absolute] = true
			l.includeFile(c, file, which.Secrets, at)
		}
	}
}

// secretsFirst is the indexes of those that assign secrets, then of the others, each as
// written.
func secretsFirst(all []Include) (order []int) {
	for _, assigned := range []bool{true, false} {
		for i, which := range all {
			if (which.Secrets.Absolute != "") == assigned {
				order = append(order, i)
			}
		}
	}
	return order
}

// match is the files that fit a pattern, in order of name. Hidden ones are left out:
// editors keep their locks and copies there.
func (l *load) match(c *Config, pattern, at string) (names []string) {
	full := filepath.Clean(pattern)
	if !filepath.IsAbs(pattern) {
		full = filepath.Join(literal(filepath.Dir(c.File.Absolute)), pattern)
	}
	found, err := l.disk.glob(full)
	if err == nil && len(found) == 0 {
		err = l.absent(full)
	}
	if err != nil {
		l.unread = true
		l.problem(l.pos(at), at, fmt.Sprintf("cannot include %s: %s", l.shows(at, pattern), reason(err)))
	}
	for _, path := range found {
		if strings.HasPrefix(filepath.Base(path), ".") {
			continue
		}
		if !filepath.IsAbs(pattern) {
			if short, err := filepath.Rel(filepath.Dir(c.File.Absolute), path); err == nil {
				path = short
			}
		}
		names = append(names, path)
	}
	return names
}

// absent says why nothing fits a pattern, or nil where that may well be: a directory
// that has no tenants yet.
func (l *load) absent(pattern string) error {
	if !strings.ContainsAny(filepath.Base(pattern), `*?[\`) {
		return errors.New("there is no such file")
	}
	if dirs, _ := l.disk.glob(filepath.Dir(pattern)); len(dirs) == 0 {
		return errors.New("there is no such directory")
	}
	return nil
}

// literal is a pattern that fits path alone.
func literal(path string) string {
	if filepath.Separator == '\\' { // where package filepath knows no escapes
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (l *load) includeFile(c *Config, file, secrets Path, at string) {
	// Named as the file that includes it was: beside it.
	shown := Path{Written: filepath.Join(filepath.Dir(c.File.Written), file.Written), Absolute: file.Absolute}
	if filepath.IsAbs(file.Written) {
		shown.Written = file.Written
	}
	if _, filled := l.shown[at]; filled { // its name came from outside
		shown.Written = "the included " + filepath.Base(file.Written)
	}
	text, err := l.disk.read(file)
	if err != nil {
		l.unread = true
		l.problem(l.pos(at), at, fmt.Sprintf("cannot read %s: %s", quote(shown.Written), reason(err)))
		return
	}
	var more included
	d := l.decoder(shown)
	d.guest, d.secrets = true, secrets
	d.decode(&more, text)
	merge(l, &c.Modules, more.Modules, "modules", func(m Module) Pos { return m.Pos })
	merge(l, &c.Tenants, more.Tenants, "tenants", func(t Tenant) Pos { return t.Pos })
}

func merge[T any](l *load, into *map[string]T, more map[string]T, section string, pos func(T) Pos) {
	if *into == nil {
		*into = map[string]T{}
	}
	for _, name := range sorted(more) {
		value := more[name]
		if first, ok := (*into)[name]; ok {
			l.problem(pos(value), cursor{path: section}.key(name).path, "defined twice, first at "+pos(first).String())
			continue
		}
		(*into)[name] = value
	}
}

// relative is a path that is written in file.
func relative(file Path, path string) Path {
	if filepath.IsAbs(path) {
		return Path{Written: path, Absolute: filepath.Clean(path)}
	}
	return Path{Written: path, Absolute: filepath.Join(filepath.Dir(file.Absolute), path)}
}

// reason is what an error of the file system says, without the operation and the path.
func reason(err error) string { return unwrapped(err).Error() }

func unwrapped(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
