package config

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine/files"
)

// Cache has the included files of a load in decoded form. The next load with the same Cache
// decodes only files that have changed. The zero Cache is ready to use. It must not be used
// concurrently.
type Cache struct {
	parts map[string]*part // by absolute path
}

// part is an included file. It is immutable once it is decoded, because the next load may use it.
type part struct {
	file    Path
	secrets Path
	at      string // of the setting that includes it

	stamp  files.Stamp       // of the file, before it was read
	sum    [sha256.Size]byte // of the text
	reads  []secretRead      // files of ${file:NAME}
	failed error             // it could not be read
	text   []byte            // nil: it was decoded to its end
	own    *load
	more   included
	keys   []string // of the tenants and modules, by path
}

// secretRead is a file that a part refers to, and the digest of its content.
type secretRead struct {
	path Path
	sum  [sha256.Size]byte
}

// readParts reads and decodes the included files, several at a time.
func (l *load) readParts() {
	if len(l.parts) == 0 {
		return
	}
	paths := make([]string, len(l.parts))
	for i, p := range l.parts {
		paths[i] = p.file.Absolute
	}
	stamps := l.disk.stat(paths)
	var all errgroup.Group
	all.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, p := range l.parts {
		p.stamp = stamps[i]
		before := l.cache.part(p.file.Absolute)
		if before != nil && p.stamp != (files.Stamp{}) && before.stamp == p.stamp && l.sameAs(p, before) {
			l.parts[i] = before
			continue
		}
		all.Go(func() error {
			l.parts[i] = l.readPart(p, before)
			return nil
		})
	}
	_ = all.Wait() // the errors are in the parts
	l.cache.keep(l.parts)
}

// readPart returns the part decoded: before if that has the same content.
func (l *load) readPart(p, before *part) *part {
	text, err := l.disk.read(p.file)
	if err != nil {
		p.failed = err
		p.own = newLoad(nil, l.disk)
		return p
	}
	p.sum = sha256.Sum256(text)
	if before != nil && before.failed == nil && before.sum == p.sum && l.sameAs(p, before) {
		if before.stamp == p.stamp {
			return before
		}
		same := *before // a part may be in use elsewhere
		same.stamp = p.stamp
		return &same
	}
	p.own = newLoad(nil, l.disk)
	p.own.elements = l.elements
	p.own.disk.read = func(path Path) ([]byte, error) {
		content, err := l.disk.read(path)
		p.reads = append(p.reads, secretRead{path, contentSum(content, err)})
		return content, err
	}
	d := p.own.decoder(p.file)
	d.included, d.secrets = true, p.secrets
	d.emptied = l.emptied(p.file, text)
	d.decode(&p.more, text)
	p.own.disk = disk{}
	c := &Config{File: p.file, Modules: p.more.Modules, Tenants: p.more.Tenants}
	p.own.show(c)
	c.sums(nil)
	p.own.nodes, p.own.configs = nil, nil
	for name := range p.more.Tenants {
		p.keys = append(p.keys, tenantKey(name))
	}
	for name := range p.more.Modules {
		p.keys = append(p.keys, moduleKey(name))
	}
	if p.own.unread {
		p.text = text
	}
	return p
}

// contentSum returns a digest of a file's content, or of the reason why it cannot be read.
func contentSum(content []byte, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte("error " + reason(err)))
	}
	return sha256.Sum256(append([]byte("content "), content...))
}

// sameAs reports whether a part with the text of before would be decoded like it.
func (l *load) sameAs(p, before *part) bool {
	return before.failed == nil && before.file == p.file && before.secrets == p.secrets && before.at == p.at && l.sameSecrets(before)
}

// sameSecrets reports whether the files that a part refers to have the content that it was decoded with.
func (l *load) sameSecrets(p *part) bool {
	for _, r := range p.reads {
		if contentSum(l.disk.read(r.path)) != r.sum {
			return false
		}
	}
	return true
}

func (c *Cache) part(path string) *part {
	if c == nil {
		return nil
	}
	return c.parts[path]
}

// Drop makes the next load decode a file again. file is the File of a position in it.
func (c *Cache) Drop(file string) {
	for path, p := range c.parts {
		if p.file.Written == file {
			delete(c.parts, path)
		}
	}
}

func (c *Cache) keep(parts []*part) {
	if c == nil {
		return
	}
	c.parts = make(map[string]*part, len(parts))
	for _, p := range parts {
		c.parts[p.file.Absolute] = p
	}
}

// mergePart adds the problems, modules and tenants of an included file.
func (l *load) mergePart(c *Config, p *part) {
	if p.failed != nil {
		l.addProblem(l.unreadable(p))
		return
	}
	for _, problem := range p.own.problems {
		l.addProblem(problem)
	}
	l.leftOut = l.leftOut || p.own.leftOut
	for s, hidden := range p.own.brought {
		l.brought[s] = l.brought[s] || hidden
	}
	merge(l, p, &c.Modules, p.more.Modules, "modules", func(m Module) Pos { return m.Pos }, func(name string) Pos { return l.inUse.module(name).Pos })
	merge(l, p, &c.Tenants, p.more.Tenants, "tenants", func(t Tenant) Pos { return t.Pos }, func(name string) Pos { return l.inUse.tenant(name).Pos })
	for _, key := range p.keys {
		if l.home[key] == nil {
			l.home[key] = p
		}
	}
}

// unreadable returns the problem of a part that cannot be read.
func (l *load) unreadable(p *part) Problem {
	pos := l.pos(p.at)
	return Problem{pos.File, pos.Line, p.at, oneLine(fmt.Sprintf("cannot read %s: %s", quote(p.file.Written), reason(p.failed)))}
}

// merge adds the tenants or modules of a part. If two files have the same name, the definition of
// the main file counts, or else that of the file which has it in the configuration in use, or else none.
func merge[T any](l *load, p *part, into *map[string]T, more map[string]T, section string, pos func(T) Pos, before func(name string) Pos) {
	if *into == nil {
		*into = make(map[string]T, len(l.parts))
	}
	for _, name := range sorted(more) {
		value := more[name]
		first, again := (*into)[name]
		if !again {
			(*into)[name] = value
			continue
		}
		key := cursor{path: section}.key(name).path
		const advice = ": remove or rename one of the two"
		had, other := l.home[key], before(name).File
		if had != nil && other == pos(value).File && other != pos(first).File {
			(*into)[name], l.home[key] = value, p
			at := pos(first)
			l.unused = append(l.unused, definition{at.File, key})
			l.addProblem(Problem{at.File, at.Line, key, "is defined twice, and in use as in " + pos(value).String() + advice})
			continue
		}
		at := pos(value)
		l.addProblem(Problem{at.File, at.Line, key, "is defined twice, first at " + pos(first).String() + advice})
		l.bad[key] = true
		l.unused = append(l.unused, definition{at.File, key})
		if had != nil && other != pos(first).File {
			l.blamed[key] = true
		}
	}
}

// definition is a tenant or a module of an included file, by path.
type definition struct{ file, key string }

// elements has the maps and lists of settings with their defaults, by type. It is safe for
// concurrent use.
type elements struct {
	mu    sync.Mutex
	known map[reflect.Type]reflect.Value
}

// of returns a new struct with its defaults.
func (e *elements) of(t reflect.Type, defaults func(reflect.Value)) reflect.Value {
	e.mu.Lock()
	defer e.mu.Unlock()
	first, ok := e.known[t]
	if !ok {
		first = reflect.New(t).Elem()
		defaults(first)
		e.known[t] = first
	}
	return first
}
