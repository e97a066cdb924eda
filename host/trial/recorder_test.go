package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
)

func newRecorder(t testing.TB) *Recorder {
	t.Helper()
	h, err := host.New(host.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return NewRecorder(h)
}

// reader is a reader of a recording, which begins to read when goOn is closed.
type reader struct {
	goOn  chan struct{} // closed: it reads
	calls int
	lost  int
	lines [][]byte
}

// record begins a recording and returns when it is in progress. end ends it after all lines that wait have been read.
func (r *Recorder) record(t testing.TB, f Filter) (rd *reader, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	rd = &reader{goOn: make(chan struct{})}
	before := r.count()
	var done sync.WaitGroup
	done.Go(func() {
		_ = r.Record(ctx, f, func(line []byte) error {
			<-rd.goOn
			var c Recorded
			if err := json.Unmarshal(line, &c); err != nil || !bytes.HasSuffix(line, []byte("}\n")) {
				t.Errorf("%v: %.100q", err, line)
			}
			if c.Module != "" {
				rd.calls++
				rd.lines = append(rd.lines, line)
			}
			rd.lost += c.Lost
			return nil
		})
	})
	for r.count() == before {
		runtime.Gosched()
	}
	return rd, func() { cancel(); done.Wait() }
}

func (r *Recorder) count() (n int) {
	if all := r.recordings.Load(); all != nil {
		for _, list := range *all {
			n += len(list)
		}
	}
	return n
}

// say returns the trace of a say with many receivers, who get a variant of text bytes.
func say(tenant string, receivers, text int) *host.Trace {
	t := &host.Trace{Module: "rule@0123#4567", Event: &hook.Event{Hook: hook.Say, Tenant: tenant, Room: "hall", Message: wire.Message{Text: "hi"}}}
	t.Answer.Verdict = abi.PerReceiver
	t.Answer.Variants = []host.Variant{{Message: &wire.Message{Text: strings.Repeat("a", text)}}}
	for i := range receivers {
		t.Answer.Receivers = append(t.Answer.Receivers, host.Receiver{Profile: &hook.Profile{Connection: hook.Connection{ID: fmt.Sprint("one-", i), Tenant: tenant}}})
		t.Answer.Verdicts = append(t.Answer.Verdicts, abi.VerdictVariant)
	}
	return t
}

// TestBytesOfStalledReadersAreBounded checks the limits of lines for readers that do not read, by key and on the node.
// Later the readers get the number of dropped calls.
func TestBytesOfStalledReadersAreBounded(t *testing.T) {
	r := newRecorder(t)
	var readers []*reader
	var ends []func()
	for key := range 6 {
		for range 8 {
			rd, end := r.record(t, Filter{Tenant: "acme", Text: true, By: fmt.Sprint("key ", key)})
			readers, ends = append(readers, rd), append(ends, end)
		}
	}
	const small, large, huge = 200, 200, 5
	asked := func(n int, trace *host.Trace) {
		for range n {
			r.End(trace)
			if w := r.Waiting(); w > MaxNodeBytes {
				t.Fatalf("%d bytes wait", w)
			}
		}
	}
	asked(large, say("acme", 50, 2<<10))
	asked(huge, say("acme", 1000, 32<<10)) // a line of 32 MiB, which is not encoded
	asked(small, say("acme", 1, 10))
	r.budget.mu.Lock()
	for by, n := range r.budget.byKey {
		if n > MaxKeyBytes {
			t.Errorf("%d bytes wait for the recordings of %s", n, by)
		}
	}
	r.budget.mu.Unlock()
	var heap runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&heap)
	if heap.HeapAlloc > 2*MaxNodeBytes {
		t.Errorf("the heap has %d MiB", heap.HeapAlloc>>20)
	}
	for i, rd := range readers {
		close(rd.goOn)
		for waits(r, i) {
			runtime.Gosched()
		}
	}
	for i, rd := range readers {
		ends[i]()
		if rd.calls+rd.lost != small+large+huge || rd.lost < huge {
			t.Errorf("reader %d got %d calls and %d as dropped, of %d", i, rd.calls, rd.lost, small+large+huge)
		}
	}
	if n := r.Waiting(); n != 0 || len(r.budget.byKey) != 0 {
		t.Errorf("%d bytes are counted after the last recording", n)
	}
}

// waits reports whether a line waits for reader i.
func waits(r *Recorder, i int) bool {
	t := (*r.recordings.Load())["acme"][i]
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes > 0 || t.lost > 0
}

// TestCallIsEncodedOnce checks that a call is encoded once for all recordings with the same Text, and not at all if no
// recording selects it or has bytes left.
func TestCallIsEncodedOnce(t *testing.T) {
	r := newRecorder(t)
	var readers []*reader
	var ends []func()
	for i := range 6 {
		rd, end := r.record(t, Filter{Tenant: "acme", Text: i%2 == 0, By: fmt.Sprint(i)})
		close(rd.goOn)
		readers, ends = append(readers, rd), append(ends, end)
	}
	full, end := r.record(t, Filter{Tenant: "bolt", By: "stalled"})
	r.End(say("acme", 3, 100))
	for i := range readers {
		for waits(r, i) {
			runtime.Gosched()
		}
	}
	for i := range readers {
		ends[i]()
		if len(readers[i].lines) != 1 || &readers[i].lines[0][0] != &readers[i%2].lines[0][0] {
			t.Errorf("reader %d has a line that was encoded for it alone, or %d lines", i, len(readers[i].lines))
		}
	}
	trace := say("bolt", 1000, 1000) // about 1.3 MB
	for range 6 {
		r.End(trace)
	}
	if n := testing.AllocsPerRun(100, func() { r.End(trace) }); n != 0 {
		t.Errorf("a call over the limits made %v allocations", n)
	}
	ev := &hook.Event{Hook: hook.Say, Tenant: "acme", Room: "hall"}
	if n := testing.AllocsPerRun(100, func() {
		if r.Begin("rule@0123#4567", ev) != nil {
			t.Error("a call that no recording selects is traced")
		}
	}); n != 0 {
		t.Errorf("a call that no recording selects made %v allocations", n)
	}
	close(full.goOn)
	end()
	if n := r.Waiting(); n != 0 {
		t.Errorf("%d bytes are counted after the last recording", n)
	}
}

// TestEmptyRecordingEnds checks that a recording without calls, or with dropped calls only, ends.
func TestEmptyRecordingEnds(t *testing.T) {
	r := newRecorder(t)
	_, end := r.record(t, Filter{Tenant: "acme", By: "key"})
	end()
	rd, end := r.record(t, Filter{Tenant: "acme", By: "key"})
	close(rd.goOn)
	r.End(say("acme", 1000, 32<<10))
	for waits(r, 0) {
		runtime.Gosched()
	}
	if end(); rd.calls != 0 || rd.lost != 1 || r.count() != 0 || r.Waiting() != 0 {
		t.Errorf("%d calls, %d dropped, %d recordings, %d bytes wait", rd.calls, rd.lost, r.count(), r.Waiting())
	}
}

// TestLineOverLimitIsNotEncoded checks that a call is not encoded if escapes make its line longer than the limit,
// because the work would be wasted.
func TestLineOverLimitIsNotEncoded(t *testing.T) {
	for _, char := range []string{"\x01", "<", "\"", "\u2028"} {
		for _, text := range []bool{false, true} {
			r := newRecorder(t)
			rd, end := r.record(t, Filter{Tenant: "acme", Text: text, By: "key"})
			trace := say("acme", 50, 0)
			trace.Answer.Variants[0].Message.Text = strings.Repeat(char, MaxRecordingBytes*7/10/len(char)/50)
			if char == "\"" || char == "\u2028" { // twice as long
				trace.Answer.Variants[0].Message.Text = strings.Repeat(char, MaxRecordingBytes*9/10/len(char)/50)
			}
			if n := testing.AllocsPerRun(10, func() { r.End(trace) }); n != 0 {
				t.Errorf("a line of %q over the limit made %v allocations", char, n)
			}
			close(rd.goOn)
			for waits(r, 0) {
				runtime.Gosched()
			}
			if end(); rd.calls != 0 || rd.lost == 0 {
				t.Errorf("%d calls, %d dropped", rd.calls, rd.lost)
			}
		}
	}
}

// TestReservedSizeIsEnough checks that the bytes reserved for a line are enough for any text.
func TestReservedSizeIsEnough(t *testing.T) {
	r := newRecorder(t)
	for _, char := range []string{"a", "\x01", "<", "\"", "\\", "\u2028", "\u2030", "\n", "é", "😀", "\x7f"} {
		trace := say("acme", 20, 0)
		text := strings.Repeat(char, 1000)
		asJSON, err := json.Marshal(map[string]string{text: text})
		if err != nil {
			t.Fatal(err)
		}
		trace.Event.Message.Text, trace.Answer.Variants[0].Message.Text, trace.Answer.Reason = text, text, text
		trace.Event.Params, trace.Answer.Reply, trace.Answer.Variants[0].Extra = asJSON, asJSON, asJSON
		trace.Calls = []host.HostCall{{Function: "kv_get", Key: text, Bytes: []byte(text)}}
		for _, redacted := range []bool{true, false} {
			if line, size := lineOf(trace, !redacted), sizeOf(trace); line == nil || len(line) > size {
				t.Errorf("of %q: a line of %d bytes, %d are reserved", char, len(line), size)
			}
		}
	}
	if r.Waiting() != 0 {
		t.Error("something waits")
	}
}

// TestStalledKeysLeaveBytesForAdmin checks that stalled recordings of tenants leave bytes for recordings of the admin.
func TestStalledKeysLeaveBytesForAdmin(t *testing.T) {
	r := newRecorder(t)
	var ends []func()
	for key := range 20 {
		for range 8 {
			rd, end := r.record(t, Filter{Tenant: "acme", Text: true, By: fmt.Sprint("key ", key)})
			close(rd.goOn)
			ends = append(ends, end)
		}
	}
	for key := range 20 { // recordings that are not read
		for r.budget.take(&Filter{By: fmt.Sprint("key ", key)}, 64<<10) {
		}
	}
	admin, end := r.record(t, Filter{Tenant: "acme", Text: true, By: "admin", Admin: true})
	close(admin.goOn)
	for range 10 {
		r.End(say("acme", 10, 1000))
	}
	for i := range ends {
		for waits(r, i) {
			runtime.Gosched()
		}
	}
	for waits(r, len(ends)) {
		runtime.Gosched()
	}
	for _, end := range ends {
		end()
	}
	if end(); admin.calls != 10 || admin.lost != 0 {
		t.Errorf("the admin got %d calls, %d were dropped", admin.calls, admin.lost)
	}
}

// BenchmarkCall measures the cost of recordings for a call with 100 receivers.
func BenchmarkCall(b *testing.B) {
	for name, recordings := range map[string]int{"recorded by nobody": 0, "recorded once": 1, "recorded by 8": 8} {
		b.Run(name, func(b *testing.B) {
			r := newRecorder(b)
			for i := range recordings {
				rd, end := r.record(b, Filter{Tenant: "acme", Text: true, By: fmt.Sprint(i)})
				close(rd.goOn)
				defer end()
			}
			trace := say("acme", 100, 50)
			b.ReportAllocs()
			for b.Loop() {
				if r.Begin(trace.Module, trace.Event) != nil {
					r.End(trace)
				}
			}
		})
	}
}

// TestAHoldIsRecorded checks the line of a hold: its reason is redacted like that of a denial, and of its effects it has those that
// apply. A replay that answers the same compares as the same.
func TestAHoldIsRecorded(t *testing.T) {
	mute := hook.Effect{Sanction: &hook.Sanction{Set: moderation.Sanction{User: "ann", Kind: moderation.Mute, Rooms: "*"}, TTL: time.Second}}
	emit := hook.Effect{Emit: &hook.Emit{Room: "r", Message: wire.Message{Text: "psst"}}}
	trace := &host.Trace{Module: "rule@0123#4567", Event: &hook.Event{Hook: hook.OnSayReceive, Tenant: "acme", Room: "r", Message: wire.Message{Text: "hi"}},
		Answer: host.Answer{Verdict: abi.Hold, Reason: "Ann 42", TTL: 5 * time.Second, Effects: []hook.Effect{emit, mute}}}
	for text, reason := range map[bool]string{true: "Ann 42", false: "Xxx 00"} {
		var c Recorded
		if err := json.Unmarshal(lineOf(trace, text), &c); err != nil {
			t.Fatal(err)
		}
		a := &c.Answer
		if a.Verdict != "hold" || a.Reason != reason || a.TTL != 5000 || len(a.Emits) != 0 || len(a.Sanctions) != 1 {
			t.Errorf("%+v", a)
		}
		again, other := AnswerOf(trace), *a
		if again, other = c.Compared(again), c.Compared(other); text != again.Same(&other) {
			t.Errorf("%+v compares to %+v", again, other)
		}
		other.TTL = 6000
		if again.Same(&other) {
			t.Error("another time to live compares as the same")
		}
	}
}
