package host

import (
	"runtime"
	"time"

	"github.com/mootchat/moot/host/meter"
)

// Nothing can stop a guest within a slice of fuel, not even the garbage collector, and a unit of fuel may take from 0.1
// to 100 ns. So the size of a slice depends on the time of the slice before it; the first slice of a call has the size
// of the last one of any other call of the generation.
//
// Times are wall-clock times, which take 40 ns to read; the clock of a thread takes 300 ns. If the system suspends the
// thread, a fast module looks slow, which costs little: with the smallest slice, ordinary code spends a tenth of its
// time on calls of the host, and some microseconds later slices have the largest size again. The largest size is small
// enough for the slowest possible code, see meter.Slice.
const (
	newSlice   = meter.Slice / 8 // for a module without a call
	leastSlice = meter.Slice / 16

	slowSlice = int64(500 * time.Microsecond) // after a longer slice the next is smaller
	soonSlice = slowSlice / 4                 // after a shorter slice the next is larger
)

// next returns the fuel of the slice after one with this fuel and duration: reduced in proportion at once, or increased by an eighth.
func next(fuel, took int64) int64 {
	switch {
	case took > slowSlice:
		return max(leastSlice, fuel*slowSlice/took)
	case took < soonSlice:
		return min(meter.Slice, fuel+fuel/8)
	}
	return fuel
}

// firstSlice returns the fuel of the first slice of a call.
func (in *instance) firstSlice() int64 {
	if in.slice = in.generation.slice.Load(); in.slice == 0 {
		in.slice = newSlice
	}
	return in.slice
}

// sliced records the time of the slice that ends at t.
func (in *instance) sliced(t int64) {
	fuel := next(in.slice, t-in.from)
	if fuel != in.slice {
		in.slice = fuel
		in.generation.slice.Store(fuel)
	}
}

// turn is the time that a guest runs before it lets others run.
const turn = int64(200 * time.Microsecond)

// refuel is called by the guest when a slice of fuel is used up, with the remaining fuel, which is negative, and when
// the stack budget is used up. During the call the garbage collector can stop the world, and other goroutines and
// tenants run from time to time.
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
	in.fuel.Set(uint64(in.slice)) // also if the call ends here, so that the fuel of a trace is right
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

// widen renews the stack budget and returns the cost, unless the stack is large already: wazero doubles a stack by
// copying all of it, and nothing can stop the copy.
func (in *instance) widen() (cost int64) {
	in.widened = true
	if stackExceeds(in.running, mostStack) {
		panic(errDeep)
	}
	in.chain.Set(meter.StackBudget)
	return widening
}

const widening = 128

// yield lets other goroutines run, and waits if the tenant has used more than its share.
func (in *instance) yield() {
	in.settle()
	if wait := in.generation.gate.wait(in.mark); wait > 0 {
		in.sleep(wait)
		return
	}
	begin := in.mark
	in.starting.pass()
	runtime.Gosched()
	in.mark = now() // the tenant is not charged for the time in which others ran
	if in.hook == 0 && in.generation.startLimit.Load() == 0 {
		in.extend(in.mark - begin)
	}
}

// extend moves the deadline of a start by the time in which others ran. Otherwise, if many instances start at once, for
// example after the start of a node, none of them would start within its limit, and all would begin again. The limit bounds
// the time in which the start itself runs.
func (in *instance) extend(d int64) {
	in.extended += d
	in.deadline += d
}
