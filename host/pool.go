package host

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// pool hands out the instances of a generation, one goroutine each. They are made
// when they are first needed, in the background: who waits for one waits no
// longer than its own deadline, whatever making one takes.
type pool struct {
	make    func(first bool) (*instance, *failure)
	report  func(*failure)           // of a making that failed
	crowded func() bool              // memory is to be given back: what comes back is closed, but the last
	warm    atomic.Pointer[instance] // the one used last, if nobody has it
	idle    chan *instance
	actions chan struct{} // one for each action under way: they leave one instance for messages
	alive   atomic.Int32  // instances there are or are being made, at most cap(idle)
	waiting atomic.Int32  // who waits at idle
	resting atomic.Bool   // what comes back is closed
	makers  sync.WaitGroup
}

func newPool(size int, make_ func(first bool) (*instance, *failure), report func(*failure), crowded func() bool) *pool {
	return &pool{
		make:    make_,
		report:  report,
		crowded: crowded,
		idle:    make(chan *instance, size),
		actions: make(chan struct{}, size-1),
	}
}

// take gives an instance, to be returned by put. It is asked for at time t, and waits
// until the deadline. The instance's mark is when it was handed out.
func (p *pool) take(ctx context.Context, t, deadline int64) (*instance, *failure) {
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
	crowded := p.crowded() && p.alive.Load() > 1
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

func (p *pool) discard(in *instance) {
	in.close()
	p.alive.Add(-1)
}

// rest closes what is idle, and what comes back. Who still asks is served.
func (p *pool) rest() {
	p.resting.Store(true)
	p.drain()
}

// wake undoes rest.
func (p *pool) wake() {
	if p.resting.CompareAndSwap(true, false) {
		p.grow()
	}
}

// shrink closes what is idle, but the last, while memory is to be given back.
func (p *pool) shrink() {
	for p.alive.Load() > 1 && p.crowded() {
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
	p.makers.Go(func() {
		in, f := p.make(n == 1)
		if f != nil {
			p.report(f)
			if p.alive.Add(-1) == 0 && n > 1 && p.waiting.Load() > 0 {
				p.grow()
			}
			return
		}
		p.give(in)
	})
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
