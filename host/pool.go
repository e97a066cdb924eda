package host

import (
	"context"
	"errors"
	"fmt"
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
	ready   atomic.Int32  // instances there are
	failed  chan *failure // tells those that wait that the only instance could not be made
	waiting atomic.Int32  // who waits at idle
	resting atomic.Bool   // what comes back is closed
	makers  sync.WaitGroup
	closing sync.RWMutex // read-locked while idle instances are closed
}

func newPool(size int, make_ func(first bool) (*instance, *failure), report func(*failure), memory *budget) *pool {
	return &pool{
		make:    make_,
		report:  report,
		memory:  memory,
		idle:    make(chan *instance, size),
		failed:  make(chan *failure),
		actions: make(chan struct{}, size-1),
	}
}

// takeOrWake is take, but where the pool has no instance at time t, the time until one is made counts against limit only:
// until is the deadline moved by that time. limit is at or after the deadline.
func (p *pool) takeOrWake(ctx context.Context, t, deadline, limit int64) (in *instance, until int64, f *failure) {
	if p.ready.Load() > 0 {
		in, f = p.take(ctx, t, deadline)
		return in, deadline, f
	}
	in, f = p.take(ctx, t, deadline)
	if f == noneFree && p.ready.Load() == 0 && limit > deadline { // it is still being made
		in, f = p.take(ctx, now(), limit)
	}
	if f != nil {
		return nil, deadline, f
	}
	return in, min(deadline+in.mark-t, limit), nil
}

// noneFree is the failure of calls that get no instance by their deadline.
var noneFree = fail(NoInstance, "no instance was free in time")

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
		return nil, noneFree
	case f := <-p.failed:
		return nil, f
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
	p.ready.Add(1)
	p.memory.memory.awake.note(p)
	p.put(in)
}

func (p *pool) discard(in *instance) {
	in.close()
	p.ready.Add(-1)
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
	p.closing.RLock()
	defer p.closing.RUnlock()
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
	p.closing.RLock()
	defer p.closing.RUnlock()
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
	n, counted := int32(0), false
	for !counted {
		if n = p.alive.Load() + 1; int(n) > cap(p.idle) {
			return
		}
		counted = p.alive.CompareAndSwap(n-1, n) // never more than there may be, or another call could find none allowed
	}
	if n == 1 {
		p.memory.memory.awake.note(p)
	}
	p.makers.Go(func() {
		in, f := p.makeWhileWanted(n == 1)
		if f != nil {
			if told := p.gone() == 0 && p.tell(f); !told {
				p.report(f)
			}
			return
		}
		p.ready.Add(1)
		p.give(in)
	})
}

// tell tells the calls that wait for an instance why none could be made, and reports whether there were any. A call that
// was about to wait gets a new first instance.
func (p *pool) tell(f *failure) (told bool) {
	f = &failure{f.kind, fmt.Errorf("no new instance: %w", f.err)}
	for range p.waiting.Load() {
		select {
		case p.failed <- f:
			told = true
		default:
			p.grow()
			return told
		}
	}
	return told
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

// close waits for what is being made and closes all instances. None may be out. Instances that others are closing, in
// sacrifice or drain, are closed when it returns: their code may be closed then.
func (p *pool) close() {
	p.makers.Wait()
	p.drain()
	p.closing.Lock()
	defer p.closing.Unlock()
}
