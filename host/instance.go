package host

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/wasi"
)

// instance is a module with its memory. One goroutine at a time uses it. It is the context of its own calls, so
// that host functions find it without a lookup and a call creates no context.
type instance struct {
	context.Context // of the host; its Done is not used
	generation      *generation
	linear          *linear
	module          api.Module
	mem             api.Memory
	fuel, depth     api.MutableGlobal
	chain           api.MutableGlobal   // the global with the stack budget, in bytes
	globals         []api.MutableGlobal // of the guest, see mutables; nil: not needed yet
	running         api.Function        // the function under way, whose stack may grow
	widened         bool                // its stack may be large
	hooks           [abi.Hooks + 1]api.Function
	answers         api.Function // on_answer; nil: not called yet, as in hooks
	alloc           api.Function
	initial         uint64 // of depth
	buffer          uint32 // the exchange buffer
	capacity        int    // size of the buffer in bytes
	stack           [4]uint64

	// State of the call under way, or of the last one.
	deadline int64 // on the host's clock
	extended int64 // ns by which the deadline of a start was moved; see extend
	rest     int64 // fuel that the call may still use
	slice    int64 // fuel of the current slice
	from     int64 // begin of the current slice; moved forward by time that the host used
	mark     int64 // the time up to which use is charged to the gate; at first, when the instance was taken
	began    int64
	label    string   // of the calling entry, for logs
	hook     abi.Hook // 0: none, the module starts
	event    *hook.Event
	units    []unit
	effects  []hook.Effect
	emits    int
	calls    context.Context // for waits in host functions; nil: not needed yet
	waiting  int64           // begin of the current wait
	cancel   context.CancelFunc
	output   wasi.Output
	words    []byte    // the end of its output, at most maxWords
	large    bool      // a stack has become large, see renew
	broken   bool      // it must not be called again
	asked    bool      // it was called for an event
	asks     bool      // since it was initialized, it has called a function that is not harmless
	used     use       // what it has asked for since it began, or since it was reset
	draws    int       // how often it has asked for random bytes
	timeout  int64     // ns, of the calling entry; 0: no entry
	hurried  bool      // less than half of timeout was left when the call began
	tracing  *Trace    // of the call under way; nil: not traced
	starting *starting // nil: it has started, or it starts without a turn
}

const maxWords = 8 << 10 // a trace of Go begins with the reason

// newInstance makes an instance and starts it: it calls the start function, _initialize, moot_alloc and
// moot_init. The failure may have a reason that the module gave. first is true if the module has no other
// instance, see memory.
func (g *generation) newInstance(first bool) (*instance, *failure) {
	return g.startInstance(first, nil)
}

// startInTurn is newInstance after the tenant's turn has come, see startQueue.
func (g *generation) startInTurn(first bool) (*instance, *failure) {
	s := g.host.memory.starts.enter(g.gate)
	defer s.leave()
	return g.startInstance(first, s)
}

func (g *generation) startInstance(first bool, s *starting) (*instance, *failure) {
	begin := now()
	im := g.images.get(g, first, s)
	if im != nil {
		defer im.release()
	}
	in, f := g.obtain(im, first)
	if f != nil { // the search for memory among thousands of idle instances takes time too
		end := now()
		g.gate.spend(end, end-begin)
		return nil, f
	}
	in.begin(in.mark+int64(g.startTimeout()), g.name, 0, nil)
	in.from, in.starting = now(), s
	defer in.end()
	f = in.startOrApply()
	in.traced(f, nil)
	if f == nil && in.worn() {
		f = fail(Memory, "it uses %d of its %d bytes of memory before its first call: give the entry more memory", in.mem.Size(), in.linear.max)
	}
	if f != nil {
		in.close()
		return nil, f
	}
	in.linear.first, in.linear.maker = false, nil
	return in, nil
}

// instance makes an instance that has not started, or one from an image. If the entry has less memory than the image, the
// instance starts without it, and fails as it would without images.
func (g *generation) instance(im *image, first bool) (*instance, *failure) {
	memory, t := g.memorySize(), now() // filling the memory takes time too
	var l *linear
	var err error
	if im != nil && im.size() <= uint64(memory.Max)<<16 {
		l, err = newImaged(g.memory, im, uint64(memory.Max)<<16, first, g.pool)
	} else {
		l, err = newLinear(g.memory, uint64(memory.Min)<<16, uint64(memory.Max)<<16, first, g.pool)
	}
	if err != nil {
		return nil, &failure{Memory, err}
	}
	l.fixed = memory.Min == memory.Max
	in := &instance{Context: context.Background(), generation: g, linear: l, mark: t}
	l.late = func() bool { return now() >= in.deadline }
	if err := l.chargeBeside(g.code.module.Instance); err != nil {
		l.Free()
		return nil, &failure{Memory, err}
	}
	if err := in.instantiate(); err != nil {
		l.Free()
		return nil, &failure{HostFault, err}
	}
	if err := g.code.measure(in); err != nil {
		in.close()
		return nil, &failure{Memory, err}
	}
	in.mem = in.module.Memory()
	in.fuel, _ = in.module.ExportedGlobal(meter.FuelExport).(api.MutableGlobal)
	in.depth, _ = in.module.ExportedGlobal(meter.DepthExport).(api.MutableGlobal)
	in.chain, _ = in.module.ExportedGlobal(meter.StackExport).(api.MutableGlobal)
	if l.image != nil {
		in.setGlobals(l.image)
	}
	in.initial = in.depth.Get()
	return in, nil
}

func (in *instance) instantiate() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("instantiate: %v", r)
		}
	}()
	c := in.generation.code
	ctx := experimental.WithMemoryAllocator(in, in.linear)
	in.module, err = c.linked.runtime.InstantiateModule(ctx, c.compiled, c.codes.instance)
	if err == nil && in.linear.image == nil {
		in.linear.fill(c.module.Data)
	}
	return err
}

// memorySize returns the initial and the maximum memory of an instance: those of the code, within the limit of
// the entry.
func (g *generation) memorySize() meter.Memory {
	m := *g.code.module.Memory
	m.Max = min(m.Max, uint32(g.binding.memory>>16))
	return m
}

// mutables returns the guest's mutable globals.
func (in *instance) mutables() []api.MutableGlobal {
	names := in.generation.code.module.Globals
	if in.globals == nil && len(names) > 0 {
		in.globals = make([]api.MutableGlobal, len(names))
		for i, name := range names {
			in.globals[i], _ = in.module.ExportedGlobal(name).(api.MutableGlobal)
		}
	}
	return in.globals
}

// setGlobals sets all state besides the memory to that of the image.
func (in *instance) setGlobals(im *image) {
	for i, global := range in.mutables() {
		global.Set(im.globals[i])
	}
	in.buffer, in.capacity = im.buffer, im.capacity
}

// startOrApply makes the instance one that has started for its entry. It applies the entry's diff if there is one, and
// keeps the diff otherwise, except during a load, which starts thousands of entries once.
func (in *instance) startOrApply() *failure {
	g, im := in.generation, in.linear.image
	ds := &g.host.codes.diffs
	if im == nil || im.private {
		return in.start()
	}
	if d := ds.find(g, im); d != nil {
		ds.applied.Add(1)
		return in.apply(d)
	}
	if f := in.start(); f != nil || in.worn() || g.users.Load() == 0 || im != g.images.current.Load() || ds.has(g) {
		return f
	}
	if d := in.diff(); d != nil {
		ds.add(g, d)
	}
	return nil
}

// start starts the instance for its entry.
func (in *instance) start() *failure {
	begin := in.initialize
	if in.linear.image != nil {
		begin = in.reseed
	}
	if f := begin(); f != nil {
		return f
	}
	in.asks = false
	config, program := in.generation.config, in.generation.program
	size := max(abi.ExchangeSize, len(config))
	if program != nil {
		size = max(size, len(program.Name)+len(program.Text))
	}
	if f := in.ensure(size); f != nil && f.err == errFrame {
		return fail(f.kind, "no exchange buffer of %d bytes: %s refused, or the config is too large", size, abi.ExportAlloc)
	} else if f != nil {
		return f
	}
	if f := in.take(program); f != nil {
		return f
	}
	init := in.module.ExportedFunction(abi.ExportInit)
	if init == nil {
		return nil
	}
	copy(in.memory()[in.buffer:], config)
	result, f := in.call(init, abi.Minor, uint64(in.buffer), uint64(len(config)))
	if f != nil {
		return f
	}
	if uint32(result) != 0 {
		return in.refused(int32(result))
	}
	return nil
}

// take passes a script to its runner.
func (in *instance) take(program *script.Program) *failure {
	if program == nil {
		return nil
	}
	fn := in.module.ExportedFunction(script.Export)
	if fn == nil {
		return fail(Protocol, "the runner of %s has no %s", program.Name, script.Export)
	}
	n := copy(in.memory()[in.buffer:], program.Name)
	copy(in.memory()[int(in.buffer)+n:], program.Text)
	result, f := in.call(fn, uint64(in.buffer), uint64(n+len(program.Text)), uint64(n))
	if f == nil && uint32(result) != 0 {
		f = fail(Memory, "%s is too large for its memory", program.Name)
	}
	return f
}

// initialize runs the start function and _initialize.
func (in *instance) initialize() *failure {
	for _, name := range []string{meter.StartExport, abi.ExportInitialize} {
		if fn := in.module.ExportedFunction(name); fn != nil {
			if _, f := in.call(fn); f != nil {
				return f
			}
		}
	}
	return nil
}

// refused returns the failure for a refused config, with the reason that the module gives.
func (in *instance) refused(code int32) *failure {
	fn := in.module.ExportedFunction(abi.ExportReason)
	if fn == nil {
		return fail(Protocol, "%s refused its config: %d", abi.ExportInit, code)
	}
	reason, f := in.reason(fn)
	if f != nil {
		return f
	}
	if p := in.generation.program; p != nil {
		return fail(Protocol, "%s", p.Locate(string(reason)))
	}
	return fail(Protocol, "%s refused its config: %s", abi.ExportInit, reason)
}

// reason calls moot_reason and returns a copy of its text: of a longer one, the characters within abi.MaxReason bytes.
func (in *instance) reason(fn api.Function) ([]byte, *failure) {
	packed, f := in.call(fn)
	if f != nil {
		return nil, f
	}
	span := spanOf(packed)
	for most := uint32(abi.MaxReason); most > abi.MaxReason-utf8.UTFMax; most-- {
		cut := span
		cut.Len = min(span.Len, most)
		if b, ok := cut.In(in.memory(), abi.MaxReason); ok {
			return slices.Clone(b), nil
		}
	}
	return nil, fail(Protocol, "%s: %d bytes at %#x are not UTF-8 text in its memory", abi.ExportReason, span.Len, span.Ptr)
}

// text calls a function that returns ptr<<32 | len, and returns a copy of that text.
func (in *instance) text(fn api.Function, limit int) ([]byte, *failure) {
	packed, f := in.call(fn)
	if f != nil {
		return nil, f
	}
	span := spanOf(packed)
	b, ok := span.In(in.memory(), limit)
	if !ok {
		return nil, fail(Protocol, "%s: %d bytes at %#x are not UTF-8 text of at most %d bytes in its memory",
			strings.Join(fn.Definition().ExportNames(), ", "), span.Len, span.Ptr, limit)
	}
	return slices.Clone(b), nil
}

// ensure makes the exchange buffer at least size bytes large.
func (in *instance) ensure(size int) *failure {
	if size <= in.capacity {
		return nil
	}
	if size > abi.ExchangeMax {
		return &failure{HostFault, errFrame}
	}
	capacity := abi.ExchangeSize
	for capacity < size {
		capacity *= 2
	}
	if in.alloc == nil {
		in.alloc = in.module.ExportedFunction(abi.ExportAlloc)
	}
	result, f := in.call(in.alloc, uint64(capacity))
	if f != nil {
		return f
	}
	buffer := uint32(result)
	if buffer == 0 {
		return &failure{Memory, errFrame} // the present buffer stays valid
	}
	if buffer%8 != 0 || uint64(buffer)+uint64(capacity) > uint64(in.mem.Size()) {
		in.broken = true
		return fail(Protocol, "%s gave %#x: %d bytes there are not in its memory or not 8-aligned", abi.ExportAlloc, buffer, capacity)
	}
	in.buffer, in.capacity = buffer, capacity
	return nil
}

// memory returns all of the guest's memory. A call into the guest may move it.
func (in *instance) memory() []byte {
	return in.linear.bytes()
}

// worn reports whether the instance should be replaced: it has failed, or its memory is nearly used up, for
// example because the guest never frees memory.
func (in *instance) worn() bool {
	return in.broken || in.linear.full() || in.generation.binding.fresh && in.asked
}

// callHook calls a hook that the module exports, or on_answer. The runtime makes a stack for each function, so it is asked
// for those that are called.
func (in *instance) callHook(hook abi.Hook, answer bool) (uint64, *failure) {
	fn, name := &in.hooks[hook], hook.Export()
	if answer {
		fn, name = &in.answers, abi.ExportAnswer
	}
	if *fn == nil {
		*fn = in.module.ExportedFunction(name)
	}
	return in.call(*fn, uint64(in.buffer))
}

// renew releases the stacks of the functions that were called. wazero keeps each stack at its largest size, up
// to 100 MB for each function, and no budget counts them.
func (in *instance) renew() {
	in.large = false
	in.alloc, in.answers = nil, nil
	if in.hook != 0 {
		in.hooks[in.hook] = nil
	}
}

func (in *instance) close() {
	in.broken = true
	_ = in.module.Close(in) // it has no files, and no exit code is of interest
	in.linear.Free()
}

// begin prepares the instance for the calls into the guest for one event. The time is in.mark.
func (in *instance) begin(deadline int64, label string, hook abi.Hook, ev *hook.Event) {
	in.deadline, in.began, in.from = deadline, in.mark, in.mark
	in.rest = max(1, (deadline-in.mark)/int64(time.Millisecond)) * unitsPerMillisecond
	in.label, in.hook, in.event = label, hook, ev
	in.asked = in.asked || hook != 0
	in.effects, in.emits = in.effects[:0], 0
	in.timeout, in.hurried, in.extended = 0, false, 0
	in.linear.refused = nil
	if in.tracing == nil { // otherwise the call continues the traced one, which has asked
		in.tracing = in.generation.host.trace(label, ev)
	}
	in.output.Begin()
}

// end counts the call and releases the event's data.
func (in *instance) end() {
	t, c := now(), in.generation.counters
	in.generation.gate.spend(t, t-in.mark)
	if t-in.from > slowSlice {
		in.sliced(t)
	}
	if in.hook != 0 {
		c.durations.Observe(time.Duration(t - in.began))
	}
	if text := in.takeOutput(); text != "" {
		in.logOutput(slog.LevelInfo, text)
	}
	clear(in.effects)
	in.event, in.units, in.tracing, in.starting = nil, nil, nil, nil
	if in.cancel != nil {
		in.cancel()
		in.calls, in.cancel = nil, nil
	}
	if in.large && !in.broken {
		in.renew()
	}
}
