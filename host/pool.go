package host

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// pool hands out the instances of a generation, each to one goroutine at a time. They are made when they are first
// needed, in the background: a caller waits for one no longer than until its own deadline, however long making one takes.
type pool struct {
	make    func(first bool) (*instance, *failure)
	report  func(*failure)           // of an instance that could not be made
	memory  *budget                  // while it is crowded, instances that come back are closed, but the last
	used    atomic.Int64             // when an instance was last taken
	short   atomic.Pointer[failure]  // why the last instance could not be made, if for want of memory; nil: it was made
	warm    atomic.Pointer[instance] // the one used last, if nobody has it
	idle    chan *instance
	actions chan struct{} // one for each action under way: they leave one instance for messages
	alive   atomic.Int32  // instances there are or are being made, at most cap(idle)
	waiting atomic.Int32  // who waits at idle
	resting atomic.Bool   // what comes back is closed
	makers  sync.WaitGroup
}

func newPool(size int, make_ func(first bool) (*instance, *failure), report func(*failure), memory *budget) *pool {
	return &pool{
		make:    make_,
		report:  report,
		memory:  memory,
		idle:    make(chan *instance, size),
		actions: make(chan struct{}, size-1),
	}
}

// take gives an instance, to be returned by put. It is asked for at time t, and waits
// until the deadline. The instance's mark is when it was handed out.
func (p *pool) take(ctx context.Context, t, deadline int64) (*instance, *failure) {
	p.used.Store(t)
	if in := p.free(); in != nil {
		in.mark = t
		return in, nil
	}
	p.waiting.Add(1) // first: see offer and put
	defer p.waiting.Add(-1)
	p.grow()
	if in := p.free(); in != nil { // put was quicker
		in.mark = now()
		return in, nil
	}
	timer := time.NewTimer(time.Duration(deadline - t))
	defer timer.Stop()
	select {
	case in := <-p.idle:
		in.mark = now()
		return in, nil
	case <-timer.C:
		if f := p.short.Load(); f != nil {
			return nil, f
		}
		return nil, fail(NoInstance, "no instance was free in time")
	case <-ctx.Done():
		return nil, &failure{NoInstance, errGone}
	}
}

// free is an instance that nobody has, if there is one.
func (p *pool) free() *instance {
	if in := p.warm.Swap(nil); in != nil {
		return in
	}
	select {
	case in := <-p.idle:
		return in
	default:
		return nil
	}
}

// give leaves an instance to others. Where all are to rest and nobody waits, it is closed: it
// may have been made, or put back, while they were.
func (p *pool) give(in *instance) {
	p.offer(in)
	if p.resting.Load() && p.waiting.Load() == 0 {
		p.drain()
	}
}

// offer leaves an instance where it is found. Who waits has either said so before it is looked for
// here, or looks for the warm one afterwards.
func (p *pool) offer(in *instance) {
	if p.warm.CompareAndSwap(nil, in) {
		if p.waiting.Load() == 0 {
			return
		}
		if in = p.warm.Swap(nil); in == nil {
			return
		}
	}
	p.idle <- in
}

// put takes an instance back, or replaces it. One that is to rest is closed, unless somebody
// waits for it.
func (p *pool) put(in *instance) {
	crowded := p.memory.crowded() && p.alive.Load() > 1
	if !in.worn() && !crowded && (!p.resting.Load() || p.waiting.Load() > 0) {
		p.give(in)
		return
	}
	p.discard(in)
	if crowded && p.alive.Load() > 0 {
		return
	}
	if !p.resting.Load() || p.waiting.Load() > 0 {
		p.grow()
	}
}

// adopt takes an instance that was not made by the pool. The pool has none.
func (p *pool) adopt(in *instance) {
	p.used.Store(now())
	p.alive.Add(1)
	p.memory.memory.awake.note(p)
	p.put(in)
}

func (p *pool) discard(in *instance) {
	in.close()
	p.gone()
}

// gone counts an instance less and returns how many are left.
func (p *pool) gone() int32 {
	n := p.alive.Add(-1)
	if n == 0 {
		p.memory.memory.awake.note(p)
	}
	return n
}

// hasIdle reports whether there is an instance that nobody has.
func (p *pool) hasIdle() bool { return p.warm.Load() != nil || len(p.idle) > 0 }

// sacrifice closes one instance that nobody has, for the memory; false: there is none.
func (p *pool) sacrifice() bool {
	in := p.free()
	if in == nil {
		return false
	}
	p.discard(in)
	if p.waiting.Load() > 0 { // a caller that came meanwhile could not have one made
		p.grow()
	}
	return true
}

// rest closes what is idle, and what comes back. Who still asks is served.
func (p *pool) rest() {
	p.resting.Store(true)
	p.drain()
}

// wake undoes rest.
func (p *pool) wake() { p.resting.Store(false) }

// shrink closes what is idle, but the last, while memory is to be given back.
func (p *pool) shrink() {
	for p.alive.Load() > 1 && p.memory.crowded() {
		in := p.free()
		if in == nil {
			return
		}
		p.discard(in)
	}
	if p.waiting.Load() > 0 {
		p.grow()
	}
}

// drain closes what is idle. Who began to wait meanwhile could not have one made.
func (p *pool) drain() {
	for in := p.free(); in != nil; in = p.free() {
		p.discard(in)
	}
	if p.waiting.Load() > 0 {
		p.grow()
	}
}

// grow makes one more instance, within the limit. The maker that goes from 0 to 1 instances
// makes the first one, also when several are made at once. If the first is closed while
// another one fails, a waiting call gets a new first instance.
func (p *pool) grow() {
	n := p.alive.Add(1)
	if int(n) > cap(p.idle) {
		p.alive.Add(-1)
		return
	}
	if n == 1 {
		p.memory.memory.awake.note(p)
	}
	p.makers.Go(func() {
		in, f := p.makeWhileWanted(n == 1)
		if f != nil {
			p.report(f)
			if p.gone() == 0 && n > 1 && p.waiting.Load() > 0 {
				p.grow()
			}
			return
		}
		p.give(in)
	})
}

// retryEvery is how often an instance is tried again that found no memory.
const retryEvery = 2 * time.Millisecond

// makeWhileWanted makes an instance. Where there is no memory for it, it tries again for as long as calls wait: instances
// that are in use come back.
func (p *pool) makeWhileWanted(first bool) (*instance, *failure) {
	for {
		in, f := p.make(first)
		if f == nil {
			p.short.Store(nil)
			return in, nil
		}
		if !errors.Is(f, errNoMemory) {
			return nil, f
		}
		p.short.Store(f)
		if p.waiting.Load() == 0 {
			return nil, f
		}
		time.Sleep(retryEvery)
	}
}

// enter lets an action in, if it leaves an instance for others; leave is called
// after it.
func (p *pool) enter(ctx context.Context, deadline int64) *failure {
	select {
	case p.actions <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(time.Duration(deadline - now()))
	defer t.Stop()
	select {
	case p.actions <- struct{}{}:
		return nil
	case <-t.C:
		return fail(NoInstance, "no instance was free for an action in time")
	case <-ctx.Done():
		return &failure{NoInstance, errGone}
	}
}

func (p *pool) leave() { <-p.actions }

// close waits for what is being made and closes all instances. None may be out.
func (p *pool) close() {
	p.makers.Wait()
	p.drain()
}
