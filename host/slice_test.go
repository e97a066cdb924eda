package host

import (
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/meter"
)

func TestNextSlice(t *testing.T) {
	const ms = int64(time.Millisecond)
	for _, c := range []struct{ fuel, took, want int64 }{
		{meter.Slice, 0, meter.Slice},
		{meter.Slice, soonSlice, meter.Slice},
		{meter.Slice, slowSlice, meter.Slice},
		{meter.Slice, 2 * slowSlice, meter.Slice / 2},
		{meter.Slice, 5 * ms, meter.Slice / 10},
		{meter.Slice, 145 * ms, leastSlice},
		{meter.Slice, int64(time.Hour), leastSlice},
		{leastSlice, 0, leastSlice * 9 / 8},
		{leastSlice, 2 * soonSlice, leastSlice},
		{meter.Slice - 1, 0, meter.Slice},
	} {
		if got := next(c.fuel, c.took); got != c.want {
			t.Errorf("after %d units in %v: %d, want %d", c.fuel, time.Duration(c.took), got, c.want)
		}
	}
}

// taken returns an instance during a call with a distant deadline.
func taken(t *testing.T, h *Host) *instance {
	t.Helper()
	in, f := h.current.Load().generations[0].pool.take(t.Context(), now(), now()+int64(patience))
	if f != nil {
		t.Fatal(f.err)
	}
	in.begin(now()+int64(time.Hour), "test", abi.OnSayReceive, nil)
	t.Cleanup(func() { in.end(); in.generation.pool.put(in) })
	return in
}

// after returns the fuel that refuel grants after a slice of the given duration. The test's own time adds to the duration.
func (in *instance) after(took time.Duration) int64 {
	in.from = now() - int64(took)
	return in.refuel(-1)
}

// TestASlowSliceMakesTheNextOnesSmaller checks that after a slow slice the next slice, and the first slice of other
// calls of the module, are smaller at once, and grow again slowly.
func TestASlowSliceMakesTheNextOnesSmaller(t *testing.T) {
	const quick = -time.Hour // more than the time that the test takes
	h, _ := start(t, Config{}, Entry{Module: "allow"})
	in, another := taken(t, h), taken(t, h)
	in.generation.slice.Store(0) // the start of an instance may have been slow
	if fuel := in.firstSlice(); fuel != newSlice {
		t.Errorf("a module of which nothing is known gets %d first, want %d", fuel, newSlice)
	}
	grow := func() (turns int) {
		for in.after(quick) < meter.Slice {
			turns++
		}
		return turns
	}
	if n := grow(); n < 5 || n > 40 {
		t.Errorf("it had the largest slice after %d quick ones", n)
	}
	for range 1000 {
		in.after(quick)
	}
	if fuel := in.after(5 * time.Millisecond); fuel > meter.Slice/10 || fuel < leastSlice {
		t.Errorf("after a slice of 5 ms the next one has %d", fuel)
	}
	if fuel := in.after(time.Second); fuel != leastSlice {
		t.Errorf("after a slice of a second the next one has %d, want %d", fuel, leastSlice)
	}
	if fuel := another.firstSlice(); fuel != leastSlice {
		t.Errorf("the first slice of another call has %d, want %d", fuel, leastSlice)
	}
	if n := grow(); n < 10 || n > 40 {
		t.Errorf("it had the largest slice again after %d quick ones", n)
	}
	if fuel := another.firstSlice(); fuel != meter.Slice {
		t.Errorf("the first slice of another call has %d, want %d", fuel, meter.Slice)
	}
}

// TestACallThatEndsInASlowSliceIsNoted checks that the time of a slow last slice counts for the next call.
func TestACallThatEndsInASlowSliceIsNoted(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "allow"})
	in := taken(t, h)
	in.generation.slice.Store(meter.Slice)
	in.firstSlice()
	in.from = now() - int64(time.Second)
	in.end()
	if fuel := in.generation.slice.Load(); fuel != leastSlice {
		t.Errorf("the next call has %d, want %d", fuel, leastSlice)
	}
}

// TestFuelOfACallIsBoundedWhenTheClockStandsStill checks that a call ends after a bounded amount of fuel if its
// deadline never passes.
func TestFuelOfACallIsBoundedWhenTheClockStandsStill(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "allow"})
	in := taken(t, h)
	in.mark = now()
	in.begin(in.mark+int64(time.Millisecond), "test", abi.OnSayReceive, nil)
	in.deadline += int64(time.Hour)
	used := int64(0)
	defer func() {
		if r := recover(); r != errDeadline || used < unitsPerMillisecond/2 || used > 2*unitsPerMillisecond {
			t.Errorf("%v after %d units", r, used)
		}
	}()
	in.firstSlice()
	for {
		used += in.slice
		in.refuel(0)
	}
}

// TestALargeStackGrowsNoFurther checks that refuel renews the stack budget of a small stack, and ends the call if the
// stack may be large.
func TestALargeStackGrowsNoFurther(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "allow"})
	in := taken(t, h)
	in.firstSlice()
	if _, f := in.callHook(abi.OnSayReceive, false); f != nil {
		t.Fatal(f)
	}
	in.running = in.hooks[abi.OnSayReceive]
	in.chain.Set(^uint64(0))
	in.generation.slice.Store(leastSlice)
	if left := in.refuel(1000); left != 1000-widening || in.chain.Get() != meter.StackBudget || in.generation.slice.Load() != leastSlice {
		t.Errorf("%d of 1000 are left, the room is %d, the next slice %d", left, in.chain.Get(), in.generation.slice.Load())
	}
	in.chain.Set(^uint64(0))
	if left := in.refuel(widening - 1); left != in.slice {
		t.Errorf("where the fuel does not last for that it gets %d, want %d", left, in.slice)
	}
	in.running = nil // the size of its stack is unknown
	in.chain.Set(^uint64(0))
	defer func() {
		if r := recover(); r != errDeep {
			t.Errorf("a stack that may be large grows on: %v", r)
		}
	}()
	in.refuel(1000)
}

// TestTheFuelOfACallDoesNotDependOnItsSlices checks that the fuel of a trace is what the guest has used, whatever the sizes of
// its slices, also if the call ends at its deadline.
func TestTheFuelOfACallDoesNotDependOnItsSlices(t *testing.T) {
	const rounds, timeout = 100_000, 10 * time.Millisecond
	m := blank()
	speak(m)
	m.FuncWith("on_say_receive", "i32 -> i32", "i32", asm.Loop(
		asm.Get(1)+asm.I32(1)+asm.Add+asm.Tee(1)+asm.I32(rounds)+asm.LessU+asm.BrIf(0))+asm.I32(abi.Allow))
	var spin time.Duration // in each call of refuel
	h, _ := start(t, Config{Refueled: func() {
		for begin := time.Now(); time.Since(begin) < spin; {
		}
	}})
	fuelOf := func(timeout time.Duration, first int64) (uint64, hook.Outcome) {
		swap(t, h, rulesOf(m.Wasm(), Entry{Timeout: timeout}))
		decide(h, "the first call may find no instance")
		seen := new(tracer)
		h.Trace(seen)
		h.current.Load().generations[0].slice.Store(first)
		v, _ := decide(h, "hello")
		if len(seen.traces) != 1 {
			t.Fatalf("%d traces", len(seen.traces))
		}
		return seen.traces[0].Fuel, v.Outcome
	}
	want, outcome := fuelOf(patience, meter.Slice)
	if outcome != hook.Allowed || want < 5*rounds {
		t.Fatalf("%d units, outcome %d", want, outcome)
	}
	if got, _ := fuelOf(patience, leastSlice); got != want {
		t.Errorf("%d units with small slices, %d with large ones", got, want)
	}
	spin = 2 * time.Duration(slowSlice)
	if got, _ := fuelOf(patience, meter.Slice); got != want {
		t.Errorf("%d units with slow slices, %d with fast ones", got, want)
	}
	spin = timeout
	if got, outcome := fuelOf(timeout, meter.Slice); outcome != hook.Failed || got < meter.Slice || got > meter.Slice+meter.MaxCharge {
		t.Errorf("a call that ends at its deadline after a slice of %d units: %d units, outcome %d", meter.Slice, got, outcome)
	}
}
