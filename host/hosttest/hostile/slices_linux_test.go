//go:build !race

// The race detector makes copies in Go's runtime, such as that of a growing stack, many times slower. Therefore a
// separate line of the Makefile measures slices without it.

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

// longestSlice is the maximum CPU time that a guest may run before it can be stopped.
const longestSlice = 5 * time.Millisecond

// TestSlicesAreShort measures the CPU time that the thread of an expensive guest needs for each slice of fuel. Each
// guest has three attempts, because a virtual machine may lose its processor during a slice.
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

// slicesOf calls a guest that runs until its deadline, and returns the CPU time of each of its slices.
func slicesOf(t testing.TB, a attack, d time.Duration) (took []time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var thread atomic.Int64 // that runs the guest; 0: not known yet
	var last time.Duration
	took = make([]time.Duration, 0, 1<<20) // growing it would take the thread some milliseconds
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
		panic(err) // it fails only with an invalid argument
	}
	return time.Duration(ts.Nano())
}

// BenchmarkSlices prints the CPU time of the slices of each guest, alone and while other goroutines use the caches and
// the memory as much as possible.
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

// hoardCaches reads much memory on all processors. The function that it returns stops it.
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
