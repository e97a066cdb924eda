package hostile

import (
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

const wasi = "wasi_snapshot_preview1"

// exit ends the guest.
func exit(g *guest, code int) asm.Code {
	return asm.I32(code) + asm.Call(g.Import(wasi, "proc_exit", "i32 ->"))
}

// sleep waits for one subscription to a clock, like the C library.
func sleep(g *guest, d time.Duration) asm.Code {
	const subscription, event, count = scratch, scratch + 64, scratch + 128
	poll := g.Import(wasi, "poll_oneoff", "i32 i32 i32 i32 -> i32")
	return poke(subscription+8, 0) + poke(subscription+16, 1) + // the monotonic clock
		asm.I32(subscription) + asm.I64(int(d)) + asm.Store64(24) +
		asm.I32(subscription) + asm.I32(event) + asm.I32(1) + asm.I32(count) + asm.Call(poll) + asm.Drop
}

func TestWASI(t *testing.T) { run(t, system) }

var system = []attack{
	{name: "exits", tries: "to end the process", kind: "exit", hooks: everyHook,
		build: func(g *guest) asm.Code { return exit(g, 7) + answers(0) }},
	{name: "sleeps", tries: "to hold its instance, and its room, for an hour", kind: "deadline", entry: short,
		build: func(g *guest) asm.Code { return sleep(g, time.Hour) + answers(0) }},
	{name: "naps", tries: "to sleep for a nanosecond at a time, for ever", kind: "deadline", entry: short,
		build: func(g *guest) asm.Code { return forever(sleep(g, 1)) }},
}

// TestWASIGrantsNothing checks that functions for files, arguments, environment and sockets give a guest nothing. The
// guest counts the result of each function as a metric with its name.
func TestWASIGrantsNothing(t *testing.T) {
	t.Parallel()
	w := open(t)
	defer w.end()
	const success, badf, fault = 0, 8, 21
	probes := []struct {
		name, fn, signature string
		args                []int
		want                int64
	}{
		{"arguments", "args_sizes_get", "i32 i32 -> i32", []int{scratch, scratch}, success},
		{"environment", "environ_sizes_get", "i32 i32 -> i32", []int{scratch, scratch}, success},
		{"first preopened folder", "fd_prestat_get", "i32 i32 -> i32", []int{3, scratch}, badf},
		{"open /etc", "path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32 -> i32", []int{3, 0, text, 5, 0, -1, -1, 0, scratch}, badf},
		{"remove a file", "path_unlink_file", "i32 i32 i32 -> i32", []int{3, text, 5}, badf},
		{"read another descriptor", "fd_read", "i32 i32 i32 i32 -> i32", []int{7, scratch, 1, scratch}, badf},
		{"write to another descriptor", "fd_write", "i32 i32 i32 i32 -> i32", []int{7, scratch, 1, scratch}, badf},
		{"send", "sock_send", "i32 i32 i32 i32 i32 -> i32", []int{7, scratch, 1, 0, scratch}, badf},
		{"close the log", "fd_close", "i32 -> i32", []int{7}, badf},
		{"write from beyond", "fd_write", "i32 i32 i32 i32 -> i32", []int{1, end, 1, scratch}, fault},
		{"time to beyond", "clock_time_get", "i32 i64 i32 -> i32", []int{0, 0, end}, fault},
		{"random to beyond", "random_get", "i32 i32 -> i32", []int{end - 1, 2}, fault},
		{"poll from beyond", "poll_oneoff", "i32 i32 i32 i32 -> i32", []int{end - 1, 0, 1, scratch}, fault},
	}
	a := attack{entry: patient, build: func(g *guest) asm.Code {
		metric := g.host(abi.ImportMetricAdd, "i32 i32 i64 -> i32")
		var code asm.Code
		for n, p := range probes {
			at := 1<<12 + 64*n
			g.Data(at, []byte(p.name))
			code += asm.I32(at) + asm.I32(len(p.name))
			f := g.Import(wasi, p.fn, p.signature)
			for k, arg := range p.args {
				code += constant(p.signature, k, arg)
			}
			code += asm.Call(f) + asm.Extend + metric + asm.Drop
			if p.want == success { // the function returns no data
				code += asm.I32(scratch) + asm.Load32(0) + asm.If(asm.Unreachable)
			}
		}
		return code + answers(abi.Allow)
	}}
	w.must(w.load([]module{a.module()}))
	if outcome := w.ask("hostile", hook.OnSayReceive); outcome != hook.Allowed {
		t.Errorf("the outcome is %d, the failures are %v", outcome, w.failures())
	}
	got := w.stats().Metrics
	for _, p := range probes {
		if n, asked := got[p.name]; !asked || n != p.want {
			t.Errorf("%s: %d (asked: %v), want %d", p.name, n, asked, p.want)
		}
	}
}
