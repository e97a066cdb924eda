package host

import (
	"runtime"
	"time"

	"github.com/mootchat/moot/host/meter"
)

// While a guest uses up a slice of fuel nothing can stop it, the garbage collector included, and a unit of fuel may take
// 0.1 ns or 100. So a slice is as large as the one before it lets expect that it is short; the first slice of a call is as
// large as the last one of another call of the generation.
//
// The time is that of the clock on the wall, which costs 40 ns to look at where that of the thread costs 300. A thread
// that was not running makes a good module look slow, which costs it little: the least slice is large enough for
// ordinary code to spend a tenth of its time on asking, and some microseconds later it is at the largest again. However
// well a module behaved, the largest is small enough for the dearest code there is: see meter.Slice.
const (
	newSlice   = meter.Slice / 8 // for a module of which nothing is known
	leastSlice = meter.Slice / 16

	slowSlice = int64(500 * time.Microsecond) // one that lasts longer is followed by a smaller one
	soonSlice = slowSlice / 4                 // and one that is over as soon by a larger one
)

// next returns the fuel of the slice that follows one of fuel units and the given duration: reduced in proportion at once, or larger by an eighth.
func next(fuel, took int64) int64 {
	switch {
	case took > slowSlice:
		return max(leastSlice, fuel*slowSlice/took)
	case took < soonSlice:
		return min(meter.Slice, fuel+fuel/8)
	}
	return fuel
}

// firstSlice is the fuel that a call begins with.
func (in *instance) firstSlice() int64 {
	if in.slice = in.generation.slice.Load(); in.slice == 0 {
		in.slice = newSlice
	}
	return in.slice
}

// sliced notes at time t what the slice took that ends.
func (in *instance) sliced(t int64) {
	fuel := next(in.slice, t-in.from)
	if fuel != in.slice {
		in.slice = fuel
		in.generation.slice.Store(fuel)
	}
}

// turn is how long a guest runs before it gives others their turn.
const turn = int64(200 * time.Microsecond)

// refuel is called by the guest each time a slice of fuel is used up, and is told what is left of it, which is less than
// nothing, and where there is no room left for frames. Whoever wants to stop the world does it here, in Go; so do, every now and then, other goroutines and tenants.
func (in *instance) refuel(left int64) int64 {
	if see := in.generation.host.cfg.Refueled; see != nil {
		see()
	}
	if int64(in.chain.Get()) < 0 {
		if left -= in.widen(); left >= 0 {
			return left
		}
	}
	t := now()
	in.rest -= in.slice - left
	in.sliced(t)
	if t >= in.deadline || in.rest < 0 || in.generation.host.aborted() {
		in.settle()
		panic(errDeadline)
	}
	if t-in.mark >= turn {
		in.yield()
		t = now()
	}
	in.from = t
	return in.slice
}

// widen makes more room for frames, unless the stack is large by now, and says what that costs: wazero copies all of a
// stack to double it, and nothing can stop that.
func (in *instance) widen() (cost int64) {
	in.widened = true
	if deeper(in.running, mostStack) {
		panic(errDeep)
	}
	in.chain.Set(meter.StackBudget)
	return widening
}

const widening = 128

// yield gives others their turn, and waits if the tenant has used more than its share.
func (in *instance) yield() {
	in.settle()
	if wait := in.generation.gate.wait(in.mark); wait > 0 {
		in.sleep(wait)
	} else {
		runtime.Gosched()
	}
}
