package host

import (
	"bytes"
	"errors"
	"runtime"

	"github.com/mootchat/moot/host/meter"
)

// An instance that starts from an image can be reset to it, and then belongs to no entry until it is bound to one. The
// instances of a module go from entry to entry and from tenant to tenant in this way, which takes less time and memory
// than new ones.

// reset makes the instance what a new one from its image is. The instance must not be in use. After an error it must be
// closed.
func (in *instance) reset() error {
	g := in.generation
	if g.host.cfg.VerifyResets {
		in.leaveMarks(g.code.codes.resets.Load())
	}
	if err := in.restore(); err != nil {
		return err
	}
	// A field that is not named here loses its value.
	*in = instance{Context: in.Context, generation: g, linear: in.linear, module: in.module, mem: in.mem, fuel: in.fuel, depth: in.depth,
		chain: in.chain, globals: in.globals, hooks: in.hooks, alloc: in.alloc, initial: in.initial, mark: in.mark}
	in.setGlobals(in.linear.image)
	in.fuel.Set(0)
	in.depth.Set(in.initial)
	in.chain.Set(meter.FirstStackBudget)
	g.code.codes.resets.Add(1)
	if g.host.cfg.VerifyResets {
		if err := in.verify(); err != nil {
			g.host.cfg.Log.Error("an instance differs from its image after a reset", "module", g.name, "error", err)
			return err
		}
	}
	in.generation = nil
	return nil
}

// restore makes the memory that of the image.
func (in *instance) restore() error {
	l := in.linear
	l.late, l.refused, l.limited, l.maker, l.first = nil, nil, false, nil, false
	if size := l.image.size(); l.size > size {
		l.shrinks, l.smaller = true, size
		// The runtime cannot shrink a memory, but takes what the allocator returns when it asks for more.
		if _, ok := in.mem.Grow(1); !ok {
			l.shrinks = false
			return errors.New("its memory cannot grow, and therefore cannot shrink")
		}
	}
	g := in.generation
	compare := g.host.cfg.VerifyResets && g.code.codes.resets.Load()%2 == 1 // so that both ways are verified
	return l.changed(compare, func(at int) { copy(l.bytes()[at:at+pageSize], l.image.bytes[at:]) })
}

// changed calls f with the offset of each page that may differ from the image. Pages behind the image always differ. It asks the
// pagemap if there is one, and compares the pages otherwise, or if compare is set.
func (l *linear) changed(compare bool, f func(at int)) error {
	b, was := l.bytes(), l.image.bytes
	if p := l.image.code.codes.pagemap; p != nil && l.image.mapped() && !compare {
		return p.each(b, f)
	}
	for at := 0; at < len(b); at += pageSize {
		if at%(256<<10) == 0 {
			runtime.Gosched()
		}
		if at >= len(was) || !bytes.Equal(b[at:at+pageSize], was[at:at+pageSize]) {
			f(at)
		}
	}
	return nil
}

// bind makes a reset instance one of g. After an error it is closed.
func (in *instance) bind(g *generation, first bool) error {
	l, memory := in.linear, g.memorySize()
	l.budget.give(l.charged())
	err := g.memory.claim(l.charged(), first, g.pool)
	if err != nil && l.ready > 0 {
		l.dropReady()
		err = g.memory.claim(l.charged(), first, g.pool)
	}
	if err != nil {
		l.size, l.ready, l.beside = 0, 0, 0 // they are given back already
		in.close()
		return err
	}
	l.budget, l.first, l.maker = g.memory, first, g.pool
	l.max, l.fixed = uint64(memory.Max)<<16, memory.Min == memory.Max
	l.late = func() bool { return now() >= in.deadline }
	in.generation = g
	return nil
}

// obtain returns an instance that has not started for g: one that is free, or else a new one.
func (g *generation) obtain(im *image, first bool) (*instance, *failure) {
	if im == nil || im.private || im.size() > uint64(g.memorySize().Max)<<16 {
		return g.instance(im, first)
	}
	t := now()
	in := g.host.memory.awake.spares.take(im)
	if in == nil {
		in = g.code.steal(im, t)
	}
	if in == nil {
		return g.instance(im, first)
	}
	if err := in.bind(g, first); err != nil {
		return nil, &failure{Memory, err}
	}
	in.mark = t
	return in, nil
}
