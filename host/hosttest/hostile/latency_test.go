package hostile

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/hosttest/asm"
)

const (
	// slower is the maximum increase of the 99th percentile of another tenant's latency by hostile modules, over that of a
	// process of its own.
	slower = 25 * time.Millisecond

	samples     = 100
	pace        = 2 * time.Millisecond
	comparisons = 3
	talkers     = 4 // of the hostile tenant, each in its own room
)

// classes are modules, one for each resource that modules use.
var classes = []attack{
	{name: "processor", build: does(forever(""))},
	{name: "processor, without loops", build: func(g *guest) asm.Code {
		self := g.Next()
		g.Func("", "i32 ->", asm.Get(0)+asm.If(asm.Get(0)+asm.I32(1)+asm.Sub+asm.Call(self)+asm.Get(0)+asm.I32(1)+asm.Sub+asm.Call(self)))
		return asm.I32(1000) + asm.Call(self) + answers(0)
	}},
	{name: "all its time but a little", build: func(g *guest) asm.Code { return burn(g, 40) + answers(0) }},
	{name: "stack", build: func(g *guest) asm.Code { return asm.I32(0) + asm.Call(g.Next()) }},
	{name: "memory", build: does(growToTheEnd + asm.I32(end) + asm.I32(1) + asm.I32(14<<20) + asm.MemoryFill + asm.Unreachable)},
	{name: "bulk operations", build: does(growToTheEnd + forever(asm.I32(0)+asm.I32(end)+asm.I32(14<<20)+asm.MemoryCopy))},
	{name: "new instances", build: func(g *guest) asm.Code { return exit(g, 1) + answers(0) }},
	{name: "sleep", build: func(g *guest) asm.Code { return sleep(g, time.Hour) + answers(0) }},
	{name: "store", build: func(g *guest) asm.Code { return forever(spam["kv_set"](g)) }},
	{name: "JSON", build: func(g *guest) asm.Code { g.json(); return forever(spam["emit"](g)) }},
	{name: "log", build: func(g *guest) asm.Code { return forever(spam["log"](g)) }},
	{name: "WASI", build: func(g *guest) asm.Code { return forever(iovecs(g)) }},
	{name: "receivers", hooks: []hook.Hook{hook.Say}, build: does(forever(""))},
}

// TestHostileTenantDoesNotDelayOthers measures the latency of messages of the good tenant, alternately alone and beside
// each class of hostile modules, and that of a process beside it: the machine may be busy. Each comparison has three attempts.
func TestHostileTenantDoesNotDelayOthers(t *testing.T) {
	tn := settle(t)
	defer tn.stop()
	d := tn.dialogue()
	defer d.end()
	for _, class := range classes {
		d.compare(class.name, func() (quiet func()) { return tn.attackedBy(class) })
	}
}

// TestLoadingDoesNotDelayOthers measures the latency of messages of the good tenant while modules are loaded one after
// the other. Some of them are refused after much reading; others take long to compile.
func TestLoadingDoesNotDelayOthers(t *testing.T) {
	tn := settle(t)
	defer tn.stop()
	d := tn.dialogue()
	defer d.end()
	var modules [][]byte
	for _, b := range bombs {
		modules = append(modules, b.wasm())
	}
	dear := abiAndNumber(func(g *guest) {
		statement := asm.Get(i) + asm.If(asm.Get(j)+asm.Load32(0)+asm.Set(i))
		repeat(200, func(int) { g.hook(asm.Repeat(100, statement) + answers(0)) })
	})
	d.compare("loading bombs", func() func() {
		return tn.loading(func(n int) (wasm []byte, good bool) { return modules[n%len(modules)], false })
	})
	d.compare("compiling", func() func() {
		return tn.loading(func(n int) (wasm []byte, good bool) { return dear(n), true })
	})
}

// dialogue is two members of a room of the good tenant, one of which sends messages.
type dialogue struct {
	t                 testing.TB
	speaker, listener *client
	witness           *witness
}

func (tn *town) dialogue() *dialogue {
	return &dialogue{tn.t, tn.member("good", "r"), tn.member("good", "r"), newWitness(tn.t)}
}

func (d *dialogue) end() {
	d.speaker.Done(context.Background())
	d.listener.Done(context.Background())
	d.witness.stop()
}

// compare measures the latency alone and beside an attack.
func (d *dialogue) compare(name string, attack func() (quiet func())) {
	var alone, beside, elsewhere time.Duration
	for range comparisons {
		alone = d.measure()
		quiet := attack()
		d.witness.begin()
		beside = d.measure()
		elsewhere = d.witness.end()
		quiet()
		if beside <= max(alone, elsewhere)+slower {
			d.t.Logf("%-26s alone %8v, beside it %8v, in another process %8v", name, alone.Round(time.Microsecond), beside.Round(time.Microsecond), elsewhere.Round(time.Microsecond))
			return
		}
	}
	d.t.Errorf("%s: 99 of 100 messages take up to %v alone, up to %v beside it, and up to %v in another process", name, alone, beside, elsewhere)
}

// measure sends a message every few milliseconds, and returns the 99th percentile of the latency.
func (d *dialogue) measure() time.Duration {
	turn := time.NewTicker(pace)
	defer turn.Stop()
	took := make([]time.Duration, samples)
	for n := range took {
		<-turn.C
		begin := time.Now()
		if answer := d.speaker.asks("say r hello"); !ok(answer) {
			took[n] = patience // the message was dropped at its deadline
			continue
		}
		d.listener.next(d.listener.sink.chat)
		took[n] = time.Since(begin)
		d.speaker.next(d.speaker.sink.chat)
	}
	slices.Sort(took)
	return took[samples-1-samples/100]
}

// measureLong returns the median of five measurements.
func (d *dialogue) measureLong() time.Duration {
	took := make([]time.Duration, 5)
	for n := range took {
		took[n] = d.measure()
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// attackedBy loads the modules of a class and makes clients of the hostile tenant send messages without a pause. The
// function that it returns stops them.
func (tn *town) attackedBy(class attack) (quiet func()) {
	tn.t.Helper()
	class.entry.Grants = []string{"kv", "emit"}
	tn.must(tn.load([]module{class.module()}))
	var stopped atomic.Bool
	var talking sync.WaitGroup
	for n := range talkers {
		room := fmt.Sprintf("r%d", n)
		c := tn.member("hostile", room)
		talking.Go(func() {
			for !stopped.Load() {
				c.asks("say " + room + " hello")
			}
			c.Done(context.Background())
		})
	}
	return func() {
		stopped.Store(true)
		talking.Wait()
		if tn.stats().Calls == 0 {
			tn.t.Errorf("nobody met %s", class.name)
		}
	}
}

// BenchmarkLatencyBesideExpensiveGuests prints the 99th percentile of the latency of the good tenant, alone and beside
// four clients of another tenant that keep an expensive guest busy.
func BenchmarkLatencyBesideExpensiveGuests(b *testing.B) {
	tn := settleWith(b, host.Config{Cache: cache, Memory: 1 << 30, StartTimeout: patience})
	defer tn.stop()
	d := tn.dialogue()
	defer d.end()
	for b.Loop() {
		fmt.Println("| beside | p99 alone | p99 beside it |\n| --- | --- | --- |")
		for _, a := range expensiveGuests {
			alone := d.measureLong()
			quiet := tn.attackedBy(a)
			beside := d.measureLong()
			quiet()
			fmt.Printf("| %s | %v | %v |\n", a.name, alone.Round(10*time.Microsecond), beside.Round(10*time.Microsecond))
		}
	}
}

// loading loads one module after the other. The function that it returns stops it.
func (tn *town) loading(next func(n int) (wasm []byte, good bool)) (quiet func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var loading sync.WaitGroup
	loading.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			wasm, good := next(n)
			r, err := tn.Load(ctx, rules([]module{{wasm: wasm}}))
			if ctx.Err() == nil && good != (err == nil) {
				tn.t.Errorf("module %d: %v", n, err)
			}
			if err == nil {
				r.Close()
			}
		}
	})
	return func() {
		cancel()
		loading.Wait()
	}
}

// abiAndNumber returns modules that differ by a number in their data, so that each is compiled.
func abiAndNumber(add func(g *guest)) func(n int) []byte {
	return func(n int) []byte {
		return abiAnd(func(g *guest) {
			add(g)
			g.Data(scratch, binary.LittleEndian.AppendUint64(nil, uint64(n)))
		})()
	}
}
