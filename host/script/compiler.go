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

// maxKept bounds the translations that a Compiler keeps in memory, in bytes.
const maxKept = 32 << 20

// maxTranslators bounds the processes that translate at a time: together they take at most
// that many times maxMemory, however many processors there are.
const maxTranslators = 4

// Cache keeps translations from process to process. It must give nothing but what it was
// given. Its methods are called concurrently.
type Cache interface {
	// Get gives what Put was given for the name, or nil.
	Get(name string) []byte
	// Put keeps content, if it can.
	Put(name string, content []byte)
}

// Config says how scripts are compiled.
type Config struct {
	Command []string // starts a translator, see [Self]; nil: JavaScript and TypeScript are refused
	Cache   Cache    // of translations, beside the one in memory; nil: none
}

// Compiler makes programs of scripts. Its methods may be called concurrently; half of the
// processors translate at a time, at most maxTranslators.
//
// JavaScript and TypeScript are translated by a process for each script, which a hostile one
// cannot make to take more than maxTime of a processor, maxMemory, or maxAnswer of output.
// It costs about 15 ms of a processor, once: translations are kept by the digest of what was
// translated. So are refusals, in memory: a script that was too dear costs nothing again
// until it changes or the process ends.
type Compiler struct {
	cfg     Config
	runners fs.FS
	slots   chan struct{}

	mu     sync.Mutex
	read   map[string]*Runner       // by file
	kept   map[string]*list.Element // of *translation, by key
	recent list.List                // the most recently used first
	size   int
}

// translation is an answer that is kept, or why there is none.
type translation struct {
	key string
	answer
	refused error
}

func (t *translation) bytes() int {
	size := len(t.Text) + 4*len(t.Places) + 256
	for _, p := range t.Problems {
		size += len(p.Text) + 32
	}
	return size
}

// New makes a Compiler.
func New(cfg Config) *Compiler {
	return &Compiler{cfg: cfg, runners: built, slots: make(chan struct{}, max(1, min(runtime.GOMAXPROCS(0)/2, maxTranslators))), read: make(map[string]*Runner), kept: make(map[string]*list.Element)}
}

// Compile makes a program of a script. file tells its language and names it in
// errors, which say the line where the script is wrong; name is what it is known by
// otherwise. The error wraps ErrNoRunner if this program lacks the runner. Compile returns
// when ctx ends.
func (c *Compiler) Compile(ctx context.Context, file string, source []byte) (*Program, error) {
	l, ok := languages()[filepath.Ext(file)]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s is no script that can be run: its name must end in .js, .ts or .lua", file)
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
		p.Text, p.places = plain(source), linesOf(source)
		return p, nil
	}
	a, err := c.translated(ctx, filepath.Ext(file), source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(a.Problems) > 0 {
		return nil, problems(file, a.Problems)
	}
	p.Text, p.places = []byte(a.Text), a.Places
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
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w, %s: run `make runners`, which needs clang and wasi-libc, and build it again", ErrNoRunner, l.name)
	}
	if err != nil {
		return nil, err
	}
	r := &Runner{Wasm: wasm, Digest: sha256.Sum256(wasm)}
	c.read[l.runner] = r
	return r, nil
}

// translated is the translation of a script, which is kept or made.
func (c *Compiler) translated(ctx context.Context, kind string, source []byte) (*answer, error) {
	key := keyOf(kind, source)
	if a, err := c.recall(key); a != nil || err != nil {
		return a, err
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if a, err := c.recall(key); a != nil || err != nil { // the same script, under another name
		return a, err
	}
	text, err := translate(ctx, c.cfg.Command, request{kind, string(source)})
	if lasting(err) {
		c.remember(&translation{key: key, refused: err})
	}
	if err != nil {
		return nil, err
	}
	a, err := parse(text)
	if err != nil {
		return nil, err
	}
	c.remember(&translation{key: key, answer: *a})
	if c.cfg.Cache != nil && len(a.Problems) == 0 {
		c.cfg.Cache.Put(key, text)
	}
	return a, nil
}

// keyOf names a translation: what was translated, and by what.
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

// recall gives what is kept, or neither an answer nor an error.
func (c *Compiler) recall(key string) (*answer, error) {
	c.mu.Lock()
	e, ok := c.kept[key]
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
		return nil, nil // it is made again
	}
	c.remember(&translation{key: key, answer: *a})
	return a, nil
}

func (c *Compiler) remember(t *translation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.kept[t.key]; ok {
		return
	}
	c.kept[t.key] = c.recent.PushFront(t)
	for c.size += t.bytes(); c.size > maxKept; {
		last := c.recent.Remove(c.recent.Back()).(*translation)
		delete(c.kept, last.key)
		c.size -= last.bytes()
	}
}
