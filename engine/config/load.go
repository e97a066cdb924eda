package config

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
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
	c, problems, err := new(Loader).load(context.Background(), path, env, overrides...)
	if err == nil && len(problems) > 0 {
		return nil, problems
	}
	return c, err
}

// Parse is like [Load] for a file at path with the given text. Relative paths in it are
// relative to the directory of path. It does not keep text.
func Parse(path string, text []byte, env Lookup, overrides ...string) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	l := newLoad(env, new(Loader).disk(context.Background()))
	c, err := l.run(Path{Written: path, Absolute: absolute}, text, overrides)
	if err == nil && len(l.problems) > 0 {
		return nil, l.reported()
	}
	return c, err
}

// Default returns the configuration of an empty file, with an empty File.
func Default() *Config {
	c := &Config{}
	l := newLoad(nil, disk{})
	l.decoder(Path{}).decode(c, nil)
	l.finish(c)
	c.sums(nil)
	return c
}

// load is the state while one configuration is loaded, or one included file of it.
type load struct {
	env      Lookup
	disk     disk
	cache    *Cache
	inUse    *Config // nil: none
	problems Problems
	counts   map[string]int // of problems, by file
	leftOut  bool           // there are problems that are not reported
	warnings Problems
	shown    map[string]string            // by the path of a setting with ${...}: the text by which a message shows its value
	configs  map[string]json.RawMessage   // by the path of a module's config with ${...}: the config as written
	nodes    map[string]*yaml.Node        // by the path of a module's config: the config in its file
	lists    map[string][sha256.Size]byte // by the path of a module's config: of the files that ${lines:...} and ${json:...} name
	content  hash.Hash                    // of those files of the config that is decoded; nil: none yet
	brought  map[Substitution]bool        // whether logs must not show the value; the key has no Hidden
	fills    int                          // references with a value
	bad      map[string]bool              // the paths of problems
	blamed   map[string]bool              // the tenants and modules that have problems, by path; "": the rest of the file has
	places   map[string]Pos               // of every setting in the file, by its path
	elements *elements
	unread   bool             // the file could not be read to its end
	aliased  int              // bytes that aliases expanded to
	filled   int              // bytes of values of ${...}
	parts    []*part          // the included files, in the order in which they count
	waiting  map[string]bool  // tenants whose modules may be in a file that could not be read to its end
	unused   []definition     // that another file has as well
	home     map[string]*part // of a tenant or module of an included file, by path
}

func newLoad(env Lookup, disk disk) *load {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return &load{env: env, disk: disk, bad: map[string]bool{}, blamed: map[string]bool{}, counts: map[string]int{}, places: map[string]Pos{}, shown: map[string]string{},
		configs: map[string]json.RawMessage{}, nodes: map[string]*yaml.Node{}, lists: map[string][sha256.Size]byte{}, brought: map[Substitution]bool{}, elements: &elements{known: map[reflect.Type]reflect.Value{}}, home: map[string]*part{}, waiting: map[string]bool{}}
}

func (l *load) run(file Path, text []byte, overrides []string) (*Config, error) {
	c := &Config{File: file}
	d := l.decoder(file)
	d.emptied = l.emptied(file, text)
	d.decode(c, text)
	l.include(c)
	l.override(c, overrides)
	l.finish(c)
	if !l.unread {
		l.check(c)
	}
	c.Warnings, c.Substitutions = l.warnings, l.filledIn()
	l.show(c)
	if l.settle(c) {
		return nil, l.reported()
	}
	c.sums(overrides)
	return c, nil
}

// finish adds the tenant "default" to a configuration without tenants.
func (l *load) finish(c *Config) {
	if c.Modules == nil {
		c.Modules = map[string]Module{}
	}
	if c.Tenants == nil {
		c.Tenants = map[string]Tenant{}
	}
	if len(c.Tenants) == 0 && !l.incomplete() {
		v := l.decoder(c.File).element(reflect.TypeFor[Tenant](), Pos{File: c.File.Written})
		c.Tenants["default"] = v.Interface().(Tenant)
	}
}

// included holds the settings that an included file may have.
type included struct {
	Modules map[string]Module `yaml:"modules" key:"name"`
	Tenants map[string]Tenant `yaml:"tenants" key:"name"`
}

// include reads each file of c.Include once, several at a time. Files with secrets count first,
// because a pattern without secrets may match them too.
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
				break
			}
			done[file.Absolute] = true
			l.parts = append(l.parts, &part{file: l.shownFile(c, file, at), secrets: which.Secrets, at: at})
		}
	}
	l.readParts()
	for _, p := range l.parts {
		l.mergePart(c, p)
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

// shownFile returns an included file with the name that messages show. It is relative to the
// main file's name.
func (l *load) shownFile(c *Config, file Path, at string) Path {
	shown := Path{Written: filepath.Join(filepath.Dir(c.File.Written), file.Written), Absolute: file.Absolute}
	if filepath.IsAbs(file.Written) {
		shown.Written = file.Written
	}
	if _, filled := l.shown[at]; filled { // the name may contain a value of ${...}
		shown.Written = "the included " + filepath.Base(file.Written)
	}
	return shown
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
