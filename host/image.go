package host

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
)

// image is the state of an instance between two calls, from which other instances start: its memory and its mutable
// globals. The image of a module is its state after _initialize and the first moot_alloc, which have run for no entry,
// so it has no data of a tenant. It is immutable. Its last user closes it.
type image struct {
	frozen
	code       *code
	globals    []uint64 // of meter.Module.Globals
	buffer     uint32   // the exchange buffer
	capacity   int      // size of the buffer in bytes
	generators []uint32 // addresses of random generators, see reseed
	mathRand   bool     // the program may draw from the generators in moot_init, not only its runtime
	private    bool     // of one generation: its instances are not reseeded
	made       int64    // on the host's clock
	users      atomic.Int32
}

const (
	// imageAge is the age at which the next start of an instance renews the image. A program that has read the clock
	// when it started finds that it started that long ago.
	imageAge = 10 * time.Minute

	// imageRetry is the time after which an image that could not be made is tried again.
	imageRetry = time.Minute

	// maxImage is the size of the largest image in bytes.
	maxImage = 16 << 20

	// imageShare is the part of the limit for instances that all images may use besides them. Instances are charged with
	// all of their memory, although they share most of it with the image.
	imageShare = 8
)

func (im *image) size() uint64 { return uint64(len(im.bytes)) }

// retain adds a user; false if the image is closed.
func (im *image) retain() bool {
	for {
		n := im.users.Load()
		if n == 0 {
			return false
		}
		if im.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (im *image) release() {
	if im.users.Add(-1) > 0 {
		return
	}
	im.code.codes.unchargeImage(len(im.bytes))
	im.frozen.close()
}

// images has the current image of a module.
type images struct {
	code    *code
	private bool
	used    atomic.Int64 // the time at which an instance last started
	current atomic.Pointer[image]

	mu     sync.Mutex
	making bool
	retry  int64  // no image is made before that time
	reason string // why the module has no image; "": it may have one
}

// get returns the image, which the caller releases; nil if there is none. It makes an image if there is none. If the image is
// too old it returns that one, and makes the next one in the background. s is the start of the instance that needs the image.
func (is *images) get(g *generation, first bool, s *starting) *image {
	t := now()
	is.used.Store(t)
	im := is.held()
	switch {
	case im != nil && t-im.made < int64(imageAge) || !is.begin(t):
		return im
	case im != nil:
		g.pool.makers.Go(func() {
			s := g.host.memory.starts.enter(g.gate)
			defer s.leave()
			is.renew(g, false, s)
		})
		return im
	}
	is.renew(g, first, s)
	return is.held()
}

// held returns the current image, which the caller releases; nil if there is none.
func (is *images) held() *image {
	im := is.current.Load()
	for im != nil && !im.retain() {
		im = is.current.Load()
	}
	return im
}

// renew makes an image. begin has returned true.
func (is *images) renew(g *generation, first bool, s *starting) {
	next, reason := is.make(g, first, s)
	if next != nil {
		is.replace(next)
	}
	is.mu.Lock()
	defer is.mu.Unlock()
	is.making, is.reason = false, reason
	if next == nil {
		is.retry = now() + int64(imageRetry)
	}
}

// replace makes next the current image; nil: none. Instances in use keep the old one until they are closed.
func (is *images) replace(next *image) {
	if old := is.current.Swap(next); old != nil {
		is.code.codes.diffs.dropOf(old)
		is.code.codes.memory.awake.spares.dropAll(func(in *instance) bool { return in.linear.image == old })
		old.release()
	}
}

// begin reports whether the caller must make an image.
func (is *images) begin(t int64) bool {
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.making || is.reason != "" || t < is.retry {
		return false
	}
	is.making = true
	return true
}

// missing reports whether an image may be made and nobody has begun to.
func (is *images) missing() bool {
	is.mu.Lock()
	defer is.mu.Unlock()
	return is.current.Load() == nil && !is.making && is.reason == "" && now() >= is.retry
}

// why returns the reason why the module has no image; "" if it has one or may have one.
func (is *images) why() string {
	is.mu.Lock()
	defer is.mu.Unlock()
	return is.reason
}

// usage returns the size of the current image in bytes, or 0 and the reason why there is none, "" if one may be made.
func (is *images) usage() (size int64, why string) {
	if im := is.current.Load(); im != nil && im.retain() {
		defer im.release()
		return int64(im.size()), ""
	}
	return 0, is.why()
}

// refuse sets the reason why the module has no image.
func (is *images) refuse(reason string) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.reason = reason
}

// drop removes the image.
func (is *images) drop() { is.replace(nil) }

// make starts an instance for no entry and returns its image. If there is none, reason is why there never will be one,
// or "". The work is charged to g's tenant.
func (is *images) make(g *generation, first bool, s *starting) (im *image, reason string) {
	m := is.code.module
	if m.Memory.Min<<16 > maxImage {
		return nil, "uses too much memory when it starts"
	}
	starter := &generation{host: g.host, name: g.name, code: g.code, gate: g.gate, memory: g.memory, counters: g.counters,
		binding: binding{memory: maxImage}, pool: g.pool}
	starter.startLimit.Store(g.startLimit.Load())
	in, f := starter.instance(nil, first)
	if f != nil {
		return nil, ""
	}
	defer in.close()
	in.begin(in.mark+int64(g.startTimeout()), g.name, 0, nil)
	in.from, in.starting = now(), s
	defer in.end()
	if f = in.initialize(); f == nil {
		f = in.ensure(abi.ExchangeSize)
	}
	in.traced(f, nil)
	if reason = in.unshared(f); f != nil || reason != "" {
		return nil, reason
	}
	im = &image{code: is.code, buffer: in.buffer, capacity: in.capacity, private: is.private, made: now()}
	if in.draws > 0 {
		im.generators, im.mathRand = generators(in.memory()), usesMathRand(in.memory())
		if exact := len(im.generators) > 0 && in.draws == 1; !exact && !is.private && !exports(m, abi.ExportWake) {
			return nil, "draws random bytes when it starts, and does not export " + abi.ExportWake
		}
	}
	for _, global := range in.mutables() {
		im.globals = append(im.globals, global.Get())
	}
	return is.keep(im, in.memory()), ""
}

// keep copies the memory into the image; nil if there is no memory for it.
func (is *images) keep(im *image, memory []byte) *image {
	if !is.code.codes.chargeImage(is, len(memory)) {
		return nil
	}
	var err error
	if im.frozen, err = freeze(memory, !is.code.codes.unmapped); err != nil {
		is.code.codes.unchargeImage(len(memory))
		return nil
	}
	im.users.Store(1)
	return im
}

// unshared returns the reason why the state of an instance that has started for no entry must not be an image; "" if
// there is none, or if the start may succeed later.
func (in *instance) unshared(f *failure) string {
	switch {
	case in.used&useConfig != 0:
		return "reads its config before moot_init"
	case in.used&useTenant != 0:
		return "uses data of its tenant before moot_init"
	case in.linear.limited:
		return "uses as much memory as it can get when it starts"
	case f != nil && in.linear.refused == nil && (f.kind == Trap || f.kind == Exit || f.kind == Protocol):
		return "does not start without an entry: " + f.Error()
	case in.mem.Size() > maxImage:
		return "uses too much memory when it starts"
	}
	return ""
}

// exports reports whether a module exports a name.
func exports(m *meter.Module, name string) bool {
	return slices.ContainsFunc(m.Exports, func(e meter.Export) bool { return e.Name == name })
}

// chargeImage counts an image of n bytes, and reports whether there is room for it. It makes room by
// dropping the images of modules that have fewer users, or that no instance has started from for imageRetry. So a
// tenant with many modules of its own cannot take the images of modules that other tenants use.
func (cs *codes) chargeImage(is *images, n int) bool {
	var dropped []*images
	defer func() {
		for _, other := range dropped {
			other.drop()
		}
	}()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	limit := cs.memory.all() / imageShare
	t, left := now(), int64(0)
	var others []*images
	for _, c := range cs.known {
		im := c.images.current.Load()
		if other := &c.images; im != nil && other != is && (c.users < is.code.users || t-other.used.Load() > int64(imageRetry)) {
			others = append(others, other)
		}
	}
	slices.SortFunc(others, func(a, b *images) int {
		return cmp.Or(cmp.Compare(a.code.users, b.code.users), cmp.Compare(a.used.Load(), b.used.Load()))
	})
	for _, other := range others {
		if cs.imaged-left+int64(n) <= limit {
			break
		}
		if im := other.current.Load(); im != nil {
			left += int64(im.size())
			dropped = append(dropped, other)
		}
	}
	if cs.imaged-left+int64(n) > limit {
		return false
	}
	cs.imaged += int64(n)
	return true
}

// unchargeImage gives back the n bytes of an image.
func (cs *codes) unchargeImage(n int) {
	cs.mu.Lock()
	cs.imaged -= int64(n)
	cs.mu.Unlock()
}
