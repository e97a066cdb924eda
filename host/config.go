package host

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mootchat/moot/host/schema"
)

// configSchema is the JSON Schema of a manifest, for the config of an entry. A module may have several: its manifest may
// depend on its config.
type configSchema struct {
	document any
	digest   [sha256.Size]byte // of the manifest
}

// configChecks has the checks of one load: one for each schema and config, however many tenants have them.
type configChecks struct {
	mu      sync.Mutex
	schemas map[[sha256.Size]byte]func() (*schema.Schema, error) // by the digest of the manifest
	results map[configKey]func() []error
}

// maxSchemas limits the compiled schemas that are kept: one may take a megabyte, and each entry may have another one.
const maxSchemas = 32

type configKey struct {
	digest [sha256.Size]byte
	config string
}

// configError is a value of an entry's config that the schema of the module does not allow.
type configError struct{ schema.Fault }

// Error returns a text such as "config.words[3]: must be text, not a number".
func (e configError) Error() string {
	var b strings.Builder
	b.WriteString("config")
	for _, key := range e.Path {
		key = cut(key, 64)
		if _, err := strconv.ParseUint(key, 10, 32); err == nil {
			b.WriteString("[" + key + "]")
		} else {
			b.WriteString("." + key)
		}
	}
	return b.String() + ": " + e.Text
}

// checkConfig returns the errors of a new generation: errs, which its start had, and those of its config under the schema
// of its manifest. If the module has refused to start, and the schema explains why, the errors of the schema replace errs.
func (l *loader) checkConfig(g *generation, started bool, errs []error) []error {
	want := g.declared.config
	g.declared.config = nil           // the generation lives long
	if !started && !outOfTime(errs) { // a start that takes all of its time is not repeated
		text, _ := g.askManifest()
		d, _ := declare(text, g.binding.module, g.exports())
		want = d.config
	}
	if want == nil {
		return errs
	}
	wrong := l.configs.check(want, g.binding.config)
	if !started && len(wrong) > 0 {
		return wrong
	}
	return append(errs, wrong...)
}

func outOfTime(errs []error) bool {
	return slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, errDeadline) })
}

// check checks a config against a schema, once.
func (c *configChecks) check(want *configSchema, config string) []error {
	c.mu.Lock()
	if c.schemas == nil {
		c.schemas, c.results = make(map[[sha256.Size]byte]func() (*schema.Schema, error)), make(map[configKey]func() []error)
	}
	compile, key := c.schemas[want.digest], configKey{want.digest, config}
	if compile == nil {
		if len(c.schemas) >= maxSchemas {
			clear(c.schemas)
		}
		compile = sync.OnceValues(func() (*schema.Schema, error) { return compiled(want.document) })
		c.schemas[want.digest] = compile
	}
	result := c.results[key]
	if result == nil {
		result = sync.OnceValue(func() []error { return checked(compile, config) })
		c.results[key] = result
	}
	c.mu.Unlock()
	return result()
}

func compiled(document any) (*schema.Schema, error) {
	s, err := schema.Compile(document)
	if err != nil {
		return nil, fmt.Errorf("its manifest has a schema for the config that cannot be used: %w", err)
	}
	return s, nil
}

func checked(compile func() (*schema.Schema, error), config string) (errs []error) {
	s, err := compile()
	if err != nil {
		return []error{err}
	}
	faults, err := s.Check([]byte(config))
	if err != nil {
		return []error{fmt.Errorf("its config cannot be checked against the schema in its manifest: %w", err)}
	}
	for _, f := range faults {
		errs = append(errs, configError{f})
	}
	return errs
}
