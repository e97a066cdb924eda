package hostile

import (
	"testing"
	"time"

	"github.com/mootchat/moot/host/hosttest/asm"
)

const wasi = "wasi_snapshot_preview1"

// exit ends the guest.
func exit(g *guest, code int) asm.Code {
	return asm.I32(code) + asm.Call(g.Import(wasi, "proc_exit", "i32 ->"))
}

// sleep waits for one subscription to a clock, as the C library does.
func sleep(g *guest, d time.Duration) asm.Code {
	const subscription, event, count = scratch, scratch + 64, scratch + 128
	poll := g.Import(wasi, "poll_oneoff", "i32 i32 i32 i32 -> i32")
	return poke(subscription+8, 0) + poke(subscription+16, 1) + // a clock, the monotonic one
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
