//go:build !race

// The race detector makes Go's own copies, such as those of a stack that grows, many times as dear: slices are
// measured without it, by a line of its own in the Makefile.

package hostile

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
)

// longestSlice is how long a guest may run at most before it can be stopped, in processor time of its thread.
const longestSlice = 5 * time.Millisecond

// TestSlicesAreShort has guests do what takes longest for the fuel it costs, and measures the processor time of their
// thread from one slice of fuel to the next. The processor may be taken away from the whole machine in a slice, so each
// has three chances.
func TestSlicesAreShort(t *testing.T) {
	for _, a := range expensiveGuests {
		t.Run(a.name, func(t *testing.T) {
			var took []time.Duration
			for range comparisons {
				if took = slicesOf(t, a, 250*time.Millisecond); longest(took) < longestSlice {
					t.Logf("%d slices, of %v at most", len(took), longest(took))
					return
				}
			}
			t.Errorf("a slice took %v", longest(took))
		})
	}
}

// slicesOf asks the guest once, which goes on until its time is over, and gives the processor time of each of its slices.
func slicesOf(t testing.TB, a attack, d time.Duration) (took []time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var thread atomic.Int64 // whose slices are measured; 0: nobody's yet
	var last time.Duration
	took = make([]time.Duration, 0, 1<<20) // to make it larger would take the thread some milliseconds
	w := openWith(t, host.Config{Cache: cache, Memory: 512 << 20, StartTimeout: patience, ChainTimeout: d, Refueled: func() {
		if int64(unix.Gettid()) == thread.Load() {
			t := threadTime()
			took = append(took, t-last)
			last = t
		}
	}})
	defer w.end()
	m := a.module()
	m.entry.Timeout = d
	w.must(w.load([]module{m}))
	thread.Store(int64(unix.Gettid()))
	last = threadTime()
	w.ask("hostile", hook.OnSayReceive)
	thread.Store(0)
	if len(took) < 10 {
		t.Fatalf("it had %d slices: %v", len(took), w.failures())
	}
	return took
}

func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err) // there is no other way to fail than a bad argument
	}
	return time.Duration(ts.Nano())
}

// BenchmarkSlices prints how long the slices of each guest are, in processor time, alone and while others use the caches and
// the memory as much as they can.
func BenchmarkSlices(b *testing.B) {
	for b.Loop() {
		fmt.Println("| guest | slices | median | longest | longest on a busy machine |\n| --- | --- | --- | --- | --- |")
		for _, a := range expensiveGuests {
			took := slicesOf(b, a, time.Second)
			quiet := hoardCaches()
			busy := slicesOf(b, a, 3*time.Second)
			quiet()
			slices.Sort(took)
			fmt.Printf("| %s | %d | %v | %v | %v |\n", a.name, len(took), took[len(took)/2].Round(time.Microsecond),
				longest(took).Round(10*time.Microsecond), longest(busy).Round(10*time.Microsecond))
		}
	}
}

// hoardCaches goes through much memory on all processors, until it is told to be quiet.
func hoardCaches() (quiet func()) {
	var stopped atomic.Bool
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			b := make([]byte, 64<<20)
			for at := 0; !stopped.Load(); at = (at + 64) % len(b) {
				b[at]++
			}
		})
	}
	return func() {
		stopped.Store(true)
		running.Wait()
	}
}
