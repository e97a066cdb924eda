package hostile

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// TestGarbageCollectionIsNotDelayed collects garbage repeatedly while guests loop in every hook, and while guests are
// loaded. A guest that cannot be stopped would stop all goroutines of the process. Each case has three attempts,
// because the machine may be busy.
func TestGarbageCollectionIsNotDelayed(t *testing.T) {
	for name, code := range map[string]asm.Code{
		"loop": asm.Loop(asm.Br(0)),
		"bulk": asm.I32(232) + asm.MemoryGrow + asm.Drop + asm.Loop(asm.I32(end)+asm.I32(1)+asm.I32(14<<20)+asm.MemoryFill+asm.Br(0)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, hook := range everyHook {
				a := attack{hooks: everyHook, build: does(code + answers(0))}
				w := open(t)
				m := a.module()
				m.entry.Timeout = 200 * time.Millisecond
				w.must(w.load([]module{m}))
				collected(t, hook.String(), func() { w.ask("hostile", hook) })
				w.end()
			}
		})
	}
	for name, add := range starts {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			defer w.end()
			a := attack{build: func(g *guest) asm.Code {
				add(g, asm.Loop(asm.Br(0)))
				return answers(0)
			}}
			m := a.module()
			collected(t, name, func() {
				if err := w.load([]module{m}); err == nil {
					t.Error("it was loaded")
				}
			})
		})
	}
}

// collected collects garbage while two goroutines run guests. If a guest delays the collector, the first collection
// takes as long as the guest, and there is no third one.
func collected(t *testing.T, where string, guests func()) {
	t.Helper()
	var took []time.Duration
	for range comparisons {
		took = beside(guests)
		if len(took) >= 3 && took[len(took)/2] < 100*time.Millisecond {
			return
		}
	}
	t.Errorf("%s: the collections took %v", where, took)
}

// beside returns the durations of the collections while the guests ran, sorted.
func beside(guests func()) (took []time.Duration) {
	done := make(chan struct{})
	for range 2 {
		go func() { guests(); done <- struct{}{} }()
	}
	for running := 2; running > 0; {
		select {
		case <-done:
			running--
		default:
			begin := time.Now()
			runtime.GC()
			took = append(took, time.Since(begin))
			if len(took) == 3 {
				debug.FreeOSMemory()
			}
		}
	}
	slices.Sort(took)
	return took
}

// TestNothingLeaks runs attacks one after the other, closes the host, and checks the number of goroutines and the
// memory in use.
func TestNothingLeaks(t *testing.T) {
	before := inUse()
	goroutines := runtime.NumGoroutine()
	for range 3 {
		for _, chapter := range [][]attack{loops, hungry, system} {
			for _, a := range chapter {
				w := open(t)
				m := a.module()
				m.entry.Timeout, m.entry.OnError = short.Timeout, host.AllowOnError
				w.must(w.load([]module{m}))
				for range 3 {
					w.ask("hostile", hook.OnSayReceive)
				}
				w.end()
			}
		}
	}
	for begin := time.Now(); runtime.NumGoroutine() > goroutines && time.Since(begin) < patience; {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, there were %d", n, goroutines)
	}
	if after := inUse(); after > before+16<<20 {
		t.Errorf("%d bytes of heap are in use, there were %d", after, before)
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
