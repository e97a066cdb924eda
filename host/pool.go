package host

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/histogram"
)

// pool hands out the instances of a generation, each to one goroutine at a time. Instances are made in the background
// when they are needed first: a caller waits for one until its own deadline at most, however long making one takes.
type pool struct {
	make    func(first bool) (*instance, *failure)
	report  func(*failure)           // reports why an instance could not be made
	memory  *budget                  // while it is crowded, returned instances are closed, except the last one
	used    atomic.Int64             // the time at which an instance was last taken, up to usedStep earlier
	short   atomic.Pointer[failure]  // the failure of the last attempt to make an instance, if memory was short; nil: none
	warm    atomic.Pointer[instance] // the instance that was used last; nil: it is in use
	idle    chan *instance
	actions chan struct{}             // one element for each action under way: actions leave one instance for messages
	alive   atomic.Int32              // number of instances, with those being made; at most cap(idle)
	ready   atomic.Int32              // number of instances
	first   atomic.Bool               // the first instance is being made
	failed  atomic.Pointer[broadcast] // passes to waiting calls why the only instance could not be made
	waiting atomic.Int32              // number of calls that wait at idle
	resting atomic.Bool               // returned instances are closed
	imaged  atomic.Bool               // the last instance has started from an image
	diffed  atomic.Bool               // the generation has a diff
	wakes   *histogram.Histogram      // the time of making each first instance; nil: not counted
	makers  sync.WaitGroup
	closing sync.RWMutex // read-locked while idle instances are closed

	awakePools *awakePools   // of the module; nil: instances are not bound to other entries
	place      *list.Element // in awakePools, guarded by its mutex
}

// broadcast passes one failure to the calls that wait for it: done is closed when failure is set.
type broadcast struct {
	done    chan struct{}
	failure *failure
}

func newPool(size int, make_ func(first bool) (*instance, *failure), report func(*failure), memory *budget) *pool {
	p := &pool{
		make:    make_,
		report:  report,
		memory:  memory,
		idle:    make(chan *instance, size),
		actions: make(chan struct{}, size-1),
	}
	p.failed.Store(&broadcast{done: make(chan struct{})})
	return p
}

// takeOrWake is take, except if the pool has no instance at time t. Then the time until one is made counts against
// limit only, and until is the deadline moved by that time. limit is not before the deadline.
func (p *pool) takeOrWake(ctx context.Context, t, deadline, limit int64) (in *instance, until int64, f *failure) {
	asleep := p.ready.Load() == 0
	if in, f = p.take(ctx, t, deadline); !asleep {
		return in, deadline, f
	}
	if f == noneFree && p.ready.Load() == 0 && limit > deadline { // it is still being made
		in, f = p.awaitFirst(ctx, limit)
	}
	if f != nil {
		return nil, deadline, f
	}
	return in, min(deadline+in.mark-t, limit), nil
}

// noneFree is the failure of calls that get no instance by their deadline.
var noneFree = fail(NoInstance, "no instance was free in time")

// usedStep is the precision of pool.used, in ns: a load costs less than a store.
const usedStep = int64(10 * time.Microsecond)

// take returns an instance, which the caller returns with put. t is the time of the call. take waits until the deadline
// at most. The instance's mark is the time at which it was handed out.
func (p *pool) take(ctx context.Context, t, deadline int64) (*instance, *failure) {
	if t-p.used.Load() > usedStep {
		p.used.Store(t)
	}
	if in := p.free(); in != nil {
		in.mark = t
		return in, nil
	}
	p.waiting.Add(1) // before free: see offer and put
	defer p.waiting.Add(-1)
	failed := p.failed.Load() // before grow: see failWaiting
	p.grow()
	return p.await(ctx, failed, t, deadline)
}

// awaitFirst waits on for the first instance, which the call did not get in time.
func (p *pool) awaitFirst(ctx context.Context, deadline int64) (*instance, *failure) {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	failed := p.failed.Load()
	if p.alive.Load() == 0 {
		p.grow()
	}
	return p.await(ctx, failed, now(), deadline)
}

// await waits from time t until the deadline for an instance that another goroutine returns or makes, or for the
// failure to make one. The caller is counted in waiting.
func (p *pool) await(ctx context.Context, failed *broadcast, t, deadline int64) (*instance, *failure) {
	if in := p.free(); in != nil { // another goroutine has returned one
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
	case <-failed.done:
		return nil, failed.failure
	case <-ctx.Done():
		return nil, &failure{NoInstance, errGone}
	}
}

// free takes an instance that is not in use; nil if there is none.
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

// give makes an instance available. If the pool rests and no call waits, it closes the idle instances: this one may
// have been made or returned while rest ran.
func (p *pool) give(in *instance) {
	p.offer(in)
	if p.resting.Load() && p.waiting.Load() == 0 {
		p.drain()
	}
}

// offer puts an instance where calls find it. A call that waits has either increased waiting before offer reads it, or
// checks warm afterwards.
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

// put takes an instance back, or replaces it. If the pool rests and no call waits, the instance is closed.
func (p *pool) put(in *instance) {
	crowded := p.memory.crowded() && p.alive.Load() > 1
	if !in.worn() && !crowded && (!p.resting.Load() || p.waiting.Load() > 0) {
		p.give(in)
		return
	}
	if crowded {
		p.discard(in)
	} else {
		p.retire(in)
	}
	if crowded && p.alive.Load() > 0 {
		return
	}
	if !p.resting.Load() || p.waiting.Load() > 0 {
		p.grow()
	}
}

// adopt adds an instance that was made outside of the pool. The pool must be empty.
func (p *pool) adopt(in *instance) {
	p.used.Store(now())
	p.imaged.Store(in.linear.image != nil)
	p.alive.Add(1)
	p.ready.Add(1)
	p.note()
	p.put(in)
}

func (p *pool) discard(in *instance) {
	in.close()
	p.ready.Add(-1)
	p.countClosed()
}

// retire removes an instance that is no longer needed.
func (p *pool) retire(in *instance) {
	in.park()
	p.ready.Add(-1)
	p.countClosed()
}

// takeIdle resets an idle instance for another entry of the module; nil if there is none that starts from the image.
func (p *pool) takeIdle(im *image) *instance {
	p.closing.RLock()
	defer p.closing.RUnlock()
	in := p.free()
	if in == nil {
		return nil
	}
	if in.broken || in.linear.image != im || in.reset() != nil {
		p.discard(in)
		return nil
	}
	p.ready.Add(-1)
	p.countClosed()
	if p.waiting.Load() > 0 { // as in sacrifice
		p.grow()
	}
	return in
}

// note records in the sets of awake pools that the pool got its first instance or lost its last one.
func (p *pool) note() {
	p.memory.memory.awake.note(p)
	if p.awakePools != nil {
		p.awakePools.note(p)
	}
}

// countClosed decrements the number of instances and returns it.
func (p *pool) countClosed() int32 {
	n := p.alive.Add(-1)
	if n == 0 {
		p.note()
	}
	return n
}

// hasIdle reports whether there is an instance that is not in use.
func (p *pool) hasIdle() bool { return p.warm.Load() != nil || len(p.idle) > 0 }

// sacrifice closes one idle instance to free memory; false if there is none.
func (p *pool) sacrifice() bool {
	p.closing.RLock()
	defer p.closing.RUnlock()
	in := p.free()
	if in == nil {
		return false
	}
	p.discard(in)
	if p.waiting.Load() > 0 { // a call that began to wait meanwhile could not start one
		p.grow()
	}
	return true
}

// rest closes idle instances now, and others when they are returned. Calls that wait still get an instance.
func (p *pool) rest() {
	p.resting.Store(true)
	p.drain()
}

// wake undoes rest.
func (p *pool) wake() { p.resting.Store(false) }

// shrink closes idle instances, except the last instance, while the budget is crowded.
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

// drain removes idle instances. It starts a new one if a call began to wait meanwhile, because that call could not.
func (p *pool) drain() {
	p.closing.RLock()
	defer p.closing.RUnlock()
	for in := p.free(); in != nil; in = p.free() {
		p.retire(in)
	}
	if p.waiting.Load() > 0 {
		p.grow()
	}
}

// grow makes one more instance, within the limit.
func (p *pool) grow() {
	n, counted := int32(0), false
	for !counted {
		if n = p.alive.Load() + 1; int(n) > cap(p.idle) {
			return
		}
		counted = p.alive.CompareAndSwap(n-1, n) // never more than the limit, or another call could not start one that is allowed
	}
	if n == 1 {
		p.note()
	}
	p.makers.Go(func() {
		in, f := p.makeWhileWanted()
		if f != nil {
			if p.countClosed() != 0 || !p.failWaiting(f) {
				p.report(f)
			}
			return
		}
		p.give(in)
	})
}

// failWaiting passes the failure to the calls that wait for an instance, and reports whether there were any. The pool has no
// instance, and none is being made. A call that reads p.failed after this does not
// receive the failure; its own grow makes an instance.
func (p *pool) failWaiting(f *failure) (waited bool) {
	waited = p.waiting.Load() > 0
	failed := p.failed.Swap(&broadcast{done: make(chan struct{})})
	failed.failure = &failure{f.kind, fmt.Errorf("no new instance: %w", f.err)}
	close(failed.done)
	return waited
}

// retryEvery is the interval at which makeWhileWanted tries again.
const retryEvery = 2 * time.Millisecond

// makeWhileWanted makes an instance. If there is no memory for it, it tries again while calls wait: instances in use
// may be closed.
func (p *pool) makeWhileWanted() (*instance, *failure) {
	for {
		in, f := p.makeOne()
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

// makeOne makes an instance, as the first one if the pool has none and no other goroutine makes the first one.
func (p *pool) makeOne() (*instance, *failure) {
	first := p.ready.Load() == 0 && p.first.CompareAndSwap(false, true)
	if first {
		defer p.first.Store(false) // after ready counts the instance
		first = p.ready.Load() == 0
	}
	begin := now()
	in, f := p.make(first)
	if f == nil {
		p.ready.Add(1)
		p.imaged.Store(in.linear.image != nil)
		if first && p.wakes != nil {
			p.wakes.Observe(time.Duration(now() - begin))
		}
	}
	return in, f
}

// enter admits an action if at least one other instance is left for messages. The caller calls leave afterwards.
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

// close waits for instances that are being made and closes all instances. None may be in use. When it returns,
// instances that sacrifice or drain has begun to close are closed too, so the caller may close their code.
func (p *pool) close() {
	p.makers.Wait()
	p.drain()
	p.closing.Lock()
	defer p.closing.Unlock()
}
