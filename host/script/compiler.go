package script

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"unicode/utf8"
)

// maxCached is the size in bytes of the translations that a Compiler keeps in memory.
const maxCached = 32 << 20

// maxTranslators is the maximum number of translators that run at a time, on any number of processors: each may take
// maxMemory.
const maxTranslators = 4

// Cache stores translations beyond the life of the process. It must return only what was put into it. Its methods are
// called concurrently.
type Cache interface {
	// Get returns the content that was put under the name, or nil.
	Get(name string) []byte
	// Put stores content, or fails silently.
	Put(name string, content []byte)
}

// Config is the configuration of a Compiler.
type Config struct {
	Command []string // starts a translator, see [Self]; nil: JavaScript and TypeScript are refused
	Cache   Cache    // of translations, in addition to the one in memory; nil: none
}

// Compiler compiles scripts to programs. Its methods may be called concurrently. Translators run on half of the
// processors, at most maxTranslators at a time.
//
// Each script of JavaScript or TypeScript is translated by a process of its own, within the limits of time, memory and
// output of this package, at low priority (nice 10). That takes about 15 ms of CPU, once: translations are cached by
// the digest of the script.
//
// The CPU time of translations is not charged to a tenant, because a load belongs to the node. It is bounded: by half
// of the processors, by maxTime for each script, and by the host, which stops a load after a few scripts that are too
// expensive.
//
// Refusals are cached in memory only. A refused script costs nothing again until it changes or the process ends. They
// are not stored on disk, because a faster machine, or a version with other limits, may accept the script.
type Compiler struct {
	cfg     Config
	runners fs.FS
	slots   chan struct{}

	mu     sync.Mutex
	read   map[string]*Runner       // by file
	cached map[string]*list.Element // of *translation, by key
	recent list.List                // most recently used first
	size   int
}

// translation is a cached answer, or the error of a script that was refused.
type translation struct {
	key string
	answer
	refused error
}

func (t *translation) bytes() int {
	size := len(t.Text) + 4*len(t.Positions) + 64*len(t.Uses) + 256
	for _, p := range t.Problems {
		size += len(p.Text) + 32
	}
	return size
}

// New returns a Compiler.
func New(cfg Config) *Compiler {
	return &Compiler{cfg: cfg, runners: built, slots: make(chan struct{}, max(1, min(runtime.GOMAXPROCS(0)/2, maxTranslators))), read: make(map[string]*Runner), cached: make(map[string]*list.Element)}
}

// Compile compiles a script. The extension of file is its language. Errors name the file, with the line if the script
// is wrong. Compile returns when ctx ends.
func (c *Compiler) Compile(ctx context.Context, file string, source []byte) (*Program, error) {
	l, ok := languages()[filepath.Ext(file)]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s is not a script: its name must end in .js, .ts or .lua", file)
	case len(source) > MaxText:
		return nil, fmt.Errorf("%s has %d bytes, a script may have %d", file, len(source), MaxText)
	case !utf8.Valid(source) || slices.Contains(source, 0):
		return nil, fmt.Errorf("%s is not UTF-8 text", file)
	}
	runner, err := c.runner(l)
	if err != nil {
		return nil, err
	}
	p := &Program{Runner: runner, Name: filepath.Base(file)}
	p.named = regexp.MustCompile(regexp.QuoteMeta(p.Name) + `:(\d+)`)
	if !l.translated {
		p.Text, p.positions, p.Uses = plain(source), lineStarts(source), luaUses(source)
		return p, nil
	}
	a, err := c.translation(ctx, filepath.Ext(file), source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(a.Problems) > 0 {
		return nil, problems(file, a.Problems)
	}
	p.Text, p.positions, p.Uses = []byte(a.Text), a.Positions, a.Uses
	return p, nil
}

// runner is the runner of a language, which is read once.
func (c *Compiler) runner(l language) (*Runner, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.read[l.runner]; r != nil {
		return r, nil
	}
	wasm, err := fs.ReadFile(c.runners, "built/"+l.runner)
	if err != nil {
		return nil, err
	}
	r := &Runner{Wasm: wasm, Digest: sha256.Sum256(wasm)}
	c.read[l.runner] = r
	return r, nil
}

// translation returns the translation of a script from the caches or a translator.
func (c *Compiler) translation(ctx context.Context, kind string, source []byte) (*answer, error) {
	key := keyOf(kind, source)
	if a, err := c.lookup(key); a != nil || err != nil {
		return a, err
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if a, err := c.lookup(key); a != nil || err != nil { // the same script may have been translated meanwhile
		return a, err
	}
	text, err := translate(ctx, c.cfg.Command, request{kind, string(source)})
	if permanent(err) {
		c.store(&translation{key: key, refused: err})
	}
	if err != nil {
		return nil, err
	}
	a, err := parse(text)
	if err != nil {
		return nil, err
	}
	c.store(&translation{key: key, answer: *a})
	if c.cfg.Cache != nil && len(a.Problems) == 0 {
		c.cfg.Cache.Put(key, text)
	}
	return a, nil
}

// keyOf returns the key of a translation: the digest of the script and the version of the translator.
func keyOf(kind string, source []byte) string {
	sum := sha256.Sum256(source)
	return "script " + version + " " + kind + " " + hex.EncodeToString(sum[:])
}

func parse(text []byte) (*answer, error) {
	a := new(answer)
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("its translator's answer is not JSON: %w", err)
	}
	if a.Version != version {
		return nil, errors.New("the program was replaced since it was started: restart it")
	}
	return a, nil
}

// lookup returns the cached answer or refusal; nil and nil if there is none.
func (c *Compiler) lookup(key string) (*answer, error) {
	c.mu.Lock()
	e, ok := c.cached[key]
	if ok {
		c.recent.MoveToFront(e)
	}
	c.mu.Unlock()
	if ok {
		t := e.Value.(*translation)
		return &t.answer, t.refused
	}
	if c.cfg.Cache == nil {
		return nil, nil
	}
	text := c.cfg.Cache.Get(key)
	if text == nil {
		return nil, nil
	}
	a, err := parse(text)
	if err != nil {
		return nil, nil // it is translated again
	}
	c.store(&translation{key: key, answer: *a})
	return a, nil
}

// store caches a translation in memory.
func (c *Compiler) store(t *translation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.cached[t.key]; ok {
		return
	}
	c.cached[t.key] = c.recent.PushFront(t)
	for c.size += t.bytes(); c.size > maxCached; {
		last := c.recent.Remove(c.recent.Back()).(*translation)
		delete(c.cached, last.key)
		c.size -= last.bytes()
	}
}
