package host

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero"

	"github.com/mootchat/moot/host/meter"
)

// codes are the modules that a host has compiled, by the digest of their binary. All tenants, and all hosts with an
// [Account] of this one, share them: a module is rewritten, compiled and kept in memory once.
//
// The shared parts are immutable: the rewritten module, its machine code, and the host functions, which have no state.
// The state of a tenant belongs to an instance, and host functions find the instance in the context of the call.
type codes struct {
	cache    wazero.CompilationCache
	memory   *memory
	instance wazero.ModuleConfig
	pagemap  *pagemap // nil: not available
	unmapped bool     // images are copied, not mapped; for tests

	mu     sync.Mutex
	known  map[[sha256.Size]byte]*code
	busy   map[[sha256.Size]byte]*compilation // by the digest of the rewritten binary
	imaged int64                              // bytes of all images

	diffs diffs

	resets  atomic.Int64 // of instances so far
	current *linked      // runtime for the next modules; nil: the next module creates one
}

func newCodes(cache wazero.CompilationCache, m *memory) *codes {
	return &codes{
		cache:   cache,
		memory:  m,
		pagemap: openPagemap(),
		diffs:   diffs{memory: m},
		known:   make(map[[sha256.Size]byte]*code),
		busy:    make(map[[sha256.Size]byte]*compilation),
		// Guests get no random bytes from wazero. Without a source it would make one of 5 KB for each instance.
		instance: wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader),
	}
}

// code is one module: its rewritten form and its machine code. It is closed when its last user releases it.
type code struct {
	codes      *codes
	digest     [sha256.Size]byte
	users      int // of codes.mu
	images     images
	awakePools awakePools

	mu       sync.Mutex
	wasm     []byte        // the rewritten binary; nil before the rewrite, and after the compilation
	module   *meter.Module // without the binary; nil: not yet rewritten
	err      error         // the error of the rewrite
	linked   *linked       // nil: not yet compiled
	compiled wazero.CompiledModule
	charged  int64 // bytes that the node's memory is charged with
	measured bool
}

// acquire returns the code of the module with this digest and counts one more user.
func (cs *codes) acquire(digest [sha256.Size]byte) *code {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.known[digest]
	if c == nil {
		c = &code{codes: cs, digest: digest}
		c.images.code = c
		cs.known[digest] = c
	}
	c.users++
	return c
}

// find returns the code of a module that was rewritten, and counts one more user; nil if there is none.
func (cs *codes) find(digest [sha256.Size]byte) *code {
	cs.mu.Lock()
	c := cs.known[digest]
	if c == nil {
		cs.mu.Unlock()
		return nil
	}
	c.users++
	cs.mu.Unlock()
	rewritten := false
	if c.mu.TryLock() { // it is locked during a compilation
		rewritten = c.module != nil
		c.mu.Unlock()
	}
	if !rewritten {
		c.release()
		return nil
	}
	return c
}

// retain counts one more user. The caller must be a user already.
func (c *code) retain() *code {
	c.codes.mu.Lock()
	defer c.codes.mu.Unlock()
	c.users++
	return c
}

// shared reports whether more than one entry uses the code, besides a load.
func (c *code) shared() bool {
	c.codes.mu.Lock()
	defer c.codes.mu.Unlock()
	return c.users > 2
}

// release releases one use. The last one closes the code; no instance exists then.
func (c *code) release() {
	c.codes.mu.Lock()
	c.users--
	last := c.users == 0
	if last {
		delete(c.codes.known, c.digest)
	}
	c.codes.mu.Unlock()
	if last && c.linked != nil {
		c.codes.memory.awake.spares.dropAll(func(in *instance) bool { return in.linear.image.code == c })
		c.images.drop()
		_ = c.compiled.Close(context.Background()) // it frees memory, and does not fail
		c.codes.memory.uncharge(c.charged)
		c.codes.unlink(c.linked)
	}
}

// rewrite has package meter rewrite the module, once. The limit of the rewritten module's memory is the largest that
// any entry may have; the allocator of an instance enforces the limit of its entry.
func (c *code) rewrite(wasm []byte) (*meter.Module, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.module != nil || c.err != nil {
		return c.module, c.err
	}
	m, err := meter.RewriteCode(wasm, meter.Limits{FileBytes: MaxModule, MemoryPages: maxMemory >> 16})
	if err != nil {
		c.err = err
		return nil, err
	}
	c.wasm, m.Wasm = m.Wasm, nil
	c.module = m
	return m, nil
}

// compile compiles the rewritten module, once. If ctx ends a compilation, the next caller begins it anew.
func (c *code) compile(ctx context.Context) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.linked != nil {
		return nil
	}
	l, err := c.codes.link(c.module.TypeSize)
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	defer func() {
		if r := recover(); r != nil { // a bug in the compiler must not end the process
			err = fmt.Errorf("compile: %v", r)
		}
		if err != nil {
			c.codes.unlink(l)
		}
	}()
	if c.compiled, err = c.codes.compile(ctx, l, c.wasm); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	// About what wazero keeps of the binary. measure adds the machine code.
	c.charged = int64(len(c.wasm)) + c.module.Decoded - dropBodies(c.compiled)
	for _, d := range c.module.Data {
		c.charged += int64(len(d.Bytes))
	}
	if err := c.codes.memory.charge(c.charged); err != nil {
		_ = c.compiled.Close(ctx)
		return err
	}
	c.linked, c.wasm = l, nil
	return nil
}

// compilation is held while a binary is being compiled.
type compilation struct {
	sync.Mutex
	users int // of codes.mu: its holder and those that wait for it
}

// compile compiles a binary, each binary once at a time. Modules that differ only in their data have the same rewritten
// binary, and wazero has one entry for them in memory: it adds the entry before it is complete if the machine code is
// from the cache, so that another module would start instances without entry points.
func (cs *codes) compile(ctx context.Context, l *linked, wasm []byte) (wazero.CompiledModule, error) {
	key := sha256.Sum256(wasm)
	cs.mu.Lock()
	t := cs.busy[key]
	if t == nil {
		t = new(compilation)
		cs.busy[key] = t
	}
	t.users++
	cs.mu.Unlock()
	t.Lock()
	defer func() {
		t.Unlock()
		cs.mu.Lock()
		defer cs.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(cs.busy, key)
		}
	}()
	return l.runtime.CompileModule(ctx, wasm)
}

// measure charges the node for the machine code. The size is known once the first instance exists.
func (c *code) measure(in *instance) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.measured {
		return nil
	}
	n := machineCode(in.module)
	if err := c.codes.memory.charge(n); err != nil {
		return err
	}
	c.charged += n
	c.measured = true
	return nil
}
