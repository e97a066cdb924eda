package host

import (
	"strings"
	"sync"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// tracer keeps the traces of events.
type tracer struct {
	mu     sync.Mutex
	traces []*Trace
}

func (*tracer) Begin(_ string, ev *hook.Event) *Trace {
	if ev == nil {
		return nil
	}
	return new(Trace)
}

func (r *tracer) End(t *Trace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.traces = append(r.traces, t)
}

// TestATraceIsBounded checks that a trace keeps a bounded part of the calls and lines of a guest.
func TestATraceIsBounded(t *testing.T) {
	for name, call := range map[string]func(m *asm.Module) asm.Code{
		"log": func(m *asm.Module) asm.Code {
			f := m.Import(abi.ImportModule, abi.ImportLog, "i32 i32 i32 ->")
			return asm.I32(1) + asm.I32(64) + asm.I32(maxLog) + asm.Call(f)
		},
		"random": func(m *asm.Module) asm.Code {
			f := m.Import(abi.ImportModule, abi.ImportRandom, "i32 i32 -> i32")
			return asm.I32(64) + asm.I32(maxLog) + asm.Call(f) + asm.Drop
		},
	} {
		m := blank()
		body := call(m)
		m.Data(64, []byte(strings.Repeat("x", maxLog)))
		speak(m)
		m.FuncWith("on_say_receive", "i32 -> i32", "i32", asm.Loop(body+
			asm.Get(1)+asm.I32(1)+asm.Add+asm.Tee(1)+asm.I32(500)+asm.LessU+asm.BrIf(0))+asm.I32(abi.Allow))
		h, _ := start(t, Config{ChainTimeout: patience})
		swap(t, h, rulesOf(m.Wasm(), Entry{Timeout: patience}))
		seen := new(tracer)
		h.Trace(seen)
		if v, _ := decide(h, "hello"); v.Outcome != hook.Allowed || len(seen.traces) != 1 {
			t.Fatalf("%s: %+v, %d traces", name, v, len(seen.traces))
		}
		size := 0
		got := seen.traces[0]
		for _, line := range got.Lines {
			size += len(line.Text)
		}
		for _, c := range got.Calls {
			size += len(c.Bytes)
		}
		if size < maxTraced/2 || size > maxTraced+200 || !strings.Contains(got.Lines[len(got.Lines)-1].Text, "is not kept") {
			t.Errorf("%s: %d bytes of 500 calls are kept, %d lines", name, size, len(got.Lines))
		}
	}
}

// TestARepeatedCallIsNotTracedAsFailed checks that a call is not traced as failed if it is repeated with
// fewer receivers.
func TestARepeatedCallIsNotTracedAsFailed(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{"say": "each"}`))
	seen := new(tracer)
	h.Trace(seen)
	heard(t, h, "hi", crowd(1000))
	asked := 0
	for _, trace := range seen.traces {
		if asked += len(trace.Answer.Receivers); trace.Err != nil {
			t.Errorf("about %d receivers: %v", len(trace.Answer.Receivers), trace.Err)
		}
	}
	if asked != 1000 {
		t.Errorf("the traces are about %d receivers", asked)
	}
}
