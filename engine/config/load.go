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

	"gopkg.in/yaml.v3"
)

// maxFiles limits the files of one configuration.
const maxFiles = 10_000

// Lookup returns a variable of the environment, like [os.LookupEnv]. A nil Lookup is an
// empty environment.
type Lookup func(name string) (value string, ok bool)

// Load reads the file at path and the files that it includes.
//
// An override is a setting and its value, such as "http.listen=:9999". Lists are written
// "[a, b]"; an element of a list cannot be overridden. Overrides are applied last. Paths
// in them are relative to the directory of the file.
//
// If the file cannot be read, the error wraps one of package os. Every other error is
// [Problems]. The Config is nil if there is an error.
func Load(path string, env Lookup, overrides ...string) (*Config, error) {
	return new(Loader).Load(context.Background(), path, env, overrides...)
}

// Parse is like [Load] for a file at path with the given text. Relative paths in it are
// relative to the directory of path. It does not keep text.
func Parse(path string, text []byte, env Lookup, overrides ...string) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return newLoad(env, new(Loader).disk(context.Background())).run(Path{Written: path, Absolute: absolute}, text, overrides)
}

// Default returns the configuration of an empty file, with an empty File.
func Default() *Config {
	c := &Config{}
	l := newLoad(nil, disk{})
	l.decoder(Path{}).decode(c, nil)
	l.finish(c)
	return c
}

// load is the state while one configuration is loaded.
type load struct {
	env      Lookup
	disk     disk
	problems Problems
	counts   map[string]int // of problems, by file
	leftOut  bool           // there are problems that are not reported
	warnings Problems
	shown    map[string]string              // by the path of a setting with ${...}: the text by which a message shows its value
	configs  map[string]json.RawMessage     // by the path of a module's config with ${...}: the config as written
	nodes    map[string]*yaml.Node          // by the path of a module's config: the config in its file
	brought  map[Substitution]bool          // whether logs must not show the value; the key has no Hidden
	fills    int                            // references with a value
	bad      map[string]bool                // the paths of problems
	places   map[string]Pos                 // of every setting in the files, by its path
	elements map[reflect.Type]reflect.Value // of maps and lists, with their defaults, by type
	unread   bool                           // a file could not be read: checks that depend on it are skipped
	aliased  int                            // bytes that aliases expanded to
	filled   int                            // bytes of values of ${...}
}

func newLoad(env Lookup, disk disk) *load {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return &load{env: env, disk: disk, bad: map[string]bool{}, counts: map[string]int{}, places: map[string]Pos{}, shown: map[string]string{}, configs: map[string]json.RawMessage{}, nodes: map[string]*yaml.Node{}, brought: map[Substitution]bool{}, elements: map[reflect.Type]reflect.Value{}}
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
	c.Warnings, c.Substitutions = l.warnings, l.filledIn()
	l.show(c)
	if len(l.problems) > 0 {
		return nil, l.reported()
	}
	return c, nil
}

// finish adds the tenant "default" to a configuration without tenants.
func (l *load) finish(c *Config) {
	if c.Modules == nil {
		c.Modules = map[string]Module{}
	}
	if len(c.Tenants) == 0 {
		v := l.decoder(c.File).element(reflect.TypeFor[Tenant](), Pos{File: c.File.Written})
		c.Tenants = map[string]Tenant{"default": v.Interface().(Tenant)}
	}
}

// included holds the settings that an included file may have.
type included struct {
	Modules map[string]Module `yaml:"modules" key:"name"`
	Tenants map[string]Tenant `yaml:"tenants" key:"name"`
}

// include reads each file of c.Include once. It reads files with secrets first, because
// a pattern without secrets may match them too.
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
				l.problem(l.pos(at), at, fmt.Sprintf("includes more than %d files: join some of them", maxFiles))
				return
			}
			done[file.Absolute] = true
			l.includeFile(c, file, which.Secrets, at)
		}
	}
}

// secretsFirst returns the indexes of the elements with secrets, and then of the
// others, each in order.
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

// match returns the files that match a pattern, sorted by name. It omits hidden files,
// which may be locks and copies of editors.
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

// absent returns the reason why a pattern matches no file. It returns nil if the
// directory exists and is empty, which is not an error.
func (l *load) absent(pattern string) error {
	if !strings.ContainsAny(filepath.Base(pattern), `*?[\`) {
		return errors.New("the file does not exist")
	}
	if dirs, _ := l.disk.glob(filepath.Dir(pattern)); len(dirs) == 0 {
		return errors.New("the directory does not exist")
	}
	return nil
}

// literal returns a pattern that matches only path.
func literal(path string) string {
	if filepath.Separator == '\\' { // Windows: package filepath has no escapes there
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (l *load) includeFile(c *Config, file, secrets Path, at string) {
	// Messages name the file relative to the main file's name.
	shown := Path{Written: filepath.Join(filepath.Dir(c.File.Written), file.Written), Absolute: file.Absolute}
	if filepath.IsAbs(file.Written) {
		shown.Written = file.Written
	}
	if _, filled := l.shown[at]; filled { // the name may contain a value of ${...}
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
	d.included, d.secrets = true, secrets
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
			l.problem(pos(value), cursor{path: section}.key(name).path, "is defined twice, first at "+pos(first).String()+": remove or rename one of the two")
			continue
		}
		(*into)[name] = value
	}
}

// relative resolves a path that is written in file.
func relative(file Path, path string) Path {
	if filepath.IsAbs(path) {
		return Path{Written: path, Absolute: filepath.Clean(path)}
	}
	return Path{Written: path, Absolute: filepath.Join(filepath.Dir(file.Absolute), path)}
}

// reason returns the text of a file system error without the operation and the path.
func reason(err error) string { return unwrapped(err).Error() }

func unwrapped(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
