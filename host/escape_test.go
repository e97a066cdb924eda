package host

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// rulesOf returns rules with one entry for the given binary.
func rulesOf(wasm []byte, e Entry) Rules {
	e.Module = "made"
	r := rulesFor(e)
	r.Modules[0].Wasm = wasm
	return r
}

// TestSleepIsNoWayAroundTheGate checks that the work of a guest is charged even if it sleeps afterwards.
func TestSleepIsNoWayAroundTheGate(t *testing.T) {
	g := new(gate)
	g.set(1)
	t0 := now()
	in := &instance{generation: &generation{host: new(Host), gate: g}, deadline: t0 + int64(time.Hour), mark: t0 - int64(time.Second)}
	in.Sleep(1)
	if due := g.due.Load(); due < t0 {
		t.Errorf("after a second of work the account is at %v", time.Duration(due-t0))
	}
}

// TestAManifestInASectionIsBounded checks that a large manifest, which would take hours to read, is refused.
func TestAManifestInASectionIsBounded(t *testing.T) {
	m := blank()
	speak(m)
	m.Func("on_say", "i32 -> i32", asm.I32(abi.Allow))
	var reads strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&reads, `"properties.%d",`, i)
	}
	m.Custom(abi.ManifestSection, []byte(`{"reads": [`+reads.String()+`"id"]}`))
	if told := problems(t, rulesOf(m.Wasm(), Entry{})); !strings.Contains(told, "manifest has more than 65536 bytes") {
		t.Error(told)
	}
}

// TestManyReadsDoNotOutlastTheDeadline checks the deadline of a module that reads the last of thousands of declared
// properties in a loop.
func TestManyReadsDoNotOutlastTheDeadline(t *testing.T) {
	m := blank()
	get := m.Import(abi.ImportModule, abi.ImportPropertyGet, "i32 i32 i32 i32 i32 -> i32")
	speak(m)
	name := strings.Repeat("x", 16) + "%04d"
	var reads strings.Builder
	for i := range 1800 {
		fmt.Fprintf(&reads, `"properties.`+name+`",`, i)
	}
	m.Custom(abi.ManifestSection, []byte(`{"reads": [`+reads.String()+`"id"]}`))
	m.Data(8, fmt.Appendf(nil, name, 1799))
	m.Func("on_say_receive", "i32 -> i32", asm.Loop(asm.I32(0)+asm.I32(8)+asm.I32(20)+asm.I32(64)+asm.I32(64)+asm.Call(get)+asm.Drop+asm.Br(0))+asm.I32(0))
	h, _ := start(t, Config{})
	const timeout = 20 * time.Millisecond
	swap(t, h, rulesOf(m.Wasm(), Entry{Timeout: timeout}))
	best := patience
	for range 5 {
		begin := time.Now()
		h.Decide(context.Background(), said("hello"))
		best = min(best, time.Since(begin))
	}
	if best > 2*timeout {
		t.Errorf("a call with %v takes %v at best", timeout, best)
	}
}

// TestADeepStackIsNotKept checks that a large stack is released after the call. In one case the code with the large
// frames does not run, so that it needs little fuel.
func TestADeepStackIsNotKept(t *testing.T) {
	for name, run := range map[string]bool{"run": true, "not run": false} {
		t.Run(name, func(t *testing.T) { testDeepStack(t, run) })
	}
}

func testDeepStack(t *testing.T, run bool) {
	m := blank()
	speak(m)
	const values, depth = 10_000, 30
	code := asm.Get(0) + asm.Eqz + asm.If(asm.I32(1)+asm.Return)
	next := asm.Get(0) + asm.I32(1) + asm.Sub + asm.Call(m.Next())
	var large asm.Code
	for k := range values {
		large += asm.Get(0) + asm.I32(2*k+1) + multiply
	}
	large += next + asm.Repeat(values, asm.Add)
	if !run {
		large = asm.Get(0) + asm.I32(1000) + asm.Equal + asm.If(asm.Loop(large+asm.Return)) + next
	}
	f := m.Func("", "i32 -> i32", code+large)
	m.Func("on_say_receive", "i32 -> i32", asm.I32(depth)+asm.Call(f)+asm.Drop+asm.I32(abi.Allow))
	h, _ := start(t, Config{})
	swap(t, h, rulesOf(m.Wasm(), Entry{Timeout: patience}))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	if v := h.Decide(context.Background(), said("hello")); v.Outcome != hook.Allowed {
		t.Fatalf("%+v", v)
	}
	if kept := heap() - before; kept > 1<<20 {
		t.Errorf("%d bytes of stack are kept, and in no budget", kept)
	}
}

// TestAShallowStackIsKept checks that a small stack is reused after a call with much work: a new stack would be most of
// the cost of a call.
func TestAShallowStackIsKept(t *testing.T) {
	m := blank()
	speak(m)
	const turns = 100_000
	m.FuncWith("on_say_receive", "i32 -> i32", "i32", asm.Loop(
		asm.Get(1)+asm.I32(1)+asm.Add+asm.Tee(1)+asm.I32(turns)+asm.LessU+asm.BrIf(0))+asm.I32(abi.Allow))
	h, _ := start(t, Config{})
	swap(t, h, rulesOf(m.Wasm(), Entry{}))
	ev := said("hello")
	call := func() {
		if v := h.Decide(context.Background(), ev); v.Outcome != hook.Allowed {
			t.Fatalf("%+v", v)
		}
	}
	call()
	if n := testing.AllocsPerRun(10, call); n > 0 {
		t.Errorf("%v allocations for a call", n)
	}
}

const multiply asm.Code = "\x6c" // i32.mul

// TestNoPropertyThatIsNotText checks that a property that is not UTF-8 is refused.
func TestNoPropertyThatIsNotText(t *testing.T) {
	m := blank()
	set := m.Import(abi.ImportModule, abi.ImportPropertySet, "i32 i32 i32 i32 -> i32")
	speak(m)
	m.Data(8, []byte("mood\"\xff\xfe\""))
	m.Func("on_say_receive", "i32 -> i32", asm.I32(8)+asm.I32(4)+asm.I32(12)+asm.I32(4)+asm.Call(set)+
		asm.I32(abi.BadPointer)+asm.Unequal) // deny if it was accepted
	h, _ := start(t, Config{})
	swap(t, h, rulesOf(m.Wasm(), Entry{Grants: []string{"properties:mood"}}))
	if v := h.Decide(context.Background(), said("hello")); v.Outcome != hook.Allowed || len(v.Effects) > 0 {
		t.Errorf("%+v", v)
	}
}

// TestASwapAfterCloseHoldsNothingUp checks that Close returns if a revision loaded before is swapped in meanwhile.
func TestASwapAfterCloseHoldsNothingUp(t *testing.T) {
	h, err := New(Config{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	r, err := h.Load(context.Background(), rulesFor(Entry{Module: "code-0"}))
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- h.Close() }()
	for !closing(h) {
		runtime.Gosched()
	}
	h.Swap(r)
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		h.current.Load().release()
		<-closed
		t.Error("the host does not close")
	}
}

func closing(h *Host) bool {
	h.loading.Lock()
	defer h.loading.Unlock()
	return h.closed
}

// TestReceiversThatDifferAreNotOneClass checks that two receivers are in different classes if they differ only in a
// property for which the frame has no space, because a module can still read that property.
func TestReceiversThatDifferAreNotOneClass(t *testing.T) {
	receiver := func(mood string) hook.Member {
		return seat{&hook.Profile{Connection: hook.Connection{Properties: []hook.NamedProperty{
			{Property: hook.Property{Name: "large", Value: json.RawMessage(`"` + strings.Repeat("x", abi.MaxProperties-40) + `"`)}},
			{Property: hook.Property{Name: "mood", Value: json.RawMessage(mood)}},
		}}}, 0}
	}
	m := blank()
	speak(m)
	m.Custom(abi.ManifestSection, []byte(`{"reads": ["properties.large", "properties.mood"], "vary": ["properties.large", "properties.mood"]}`))
	m.Func("on_say", "i32 -> i32", asm.I32(exchange)+asm.Load32(abi.FrameReceivers)+asm.I32(2)+asm.Unequal) // deny unless there are two classes
	h, _ := start(t, Config{})
	swap(t, h, rulesOf(m.Wasm(), Entry{}))
	if got := heard(t, h, "hello", []hook.Member{receiver(`"a mood of 30 and more letters"`), receiver(`"some mood of as many letters!"`)}); got[0] != "=" {
		t.Errorf("they hear %q", got)
	}
}

// manyVariants is a module that gives each of its receivers a variant with its own extra.
func manyVariants() []byte {
	m := blank()
	speak(m)
	const array, extras = 8, 1 << 14
	var records, texts []byte
	for k := range abi.MaxVariants {
		text := fmt.Sprintf(`{"n":%d}`, k)
		for _, n := range []int{0, 0, 0, extras + len(texts), len(text)} {
			records = append(records, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
		}
		texts = append(texts, text...)
	}
	m.Data(array, records)
	m.Data(extras, texts)
	code := put(abi.ResultVariants, array) + put(abi.ResultVariantCount, abi.MaxVariants)
	for k := range abi.MaxVariants {
		code += asm.I32(exchange) + asm.Load32(abi.FrameVerdicts) + asm.I32(exchange) + asm.Add + asm.I32(abi.VerdictVariant+k) + asm.Store8(k)
	}
	m.Func("on_say", "i32 -> i32", code+asm.I32(abi.PerReceiver))
	return m.Wasm()
}

// largeExtra is a module that adds an extra with as many members as fit.
func largeExtra() []byte {
	m := blank()
	speak(m)
	var extra strings.Builder
	for k := range 7000 {
		fmt.Fprintf(&extra, `,"%d":0`, k)
	}
	text := "{" + extra.String()[1:] + "}"
	m.Data(1<<18, []byte(text))
	m.Func("on_say", "i32 -> i32", put(abi.ResultExtra, 1<<18)+put(abi.ResultExtra+4, len(text))+asm.I32(abi.Rewritten))
	return m.Wasm()
}

// TestMergingCountsAgainstTheDeadline checks that the host's time to merge a large extra with an extra for each
// receiver counts against the module's timeout.
func TestMergingCountsAgainstTheDeadline(t *testing.T) {
	const timeout = 50 * time.Millisecond
	h, _ := start(t, Config{ChainTimeout: 2 * timeout})
	r := rulesFor(Entry{Module: "large", Timeout: timeout}, Entry{Module: "many", Timeout: timeout})
	r.Modules[0].Wasm, r.Modules[1].Wasm = largeExtra(), manyVariants()
	swap(t, h, r)
	best, members := patience, crowd(abi.MaxReceivers)
	for range 3 {
		begin := time.Now()
		heard(t, h, "hello", members)
		best = min(best, time.Since(begin))
	}
	if best > 8*timeout {
		t.Errorf("a chain with %v takes %v at best", 2*timeout, best)
	}
	if s := h.Stats(); s[0].Errors[Deadline.String()]+s[1].Errors[Deadline.String()] == 0 {
		t.Error("no deadline was missed")
	}
}

// TestWaitingForOtherActionsIsNotWork checks that an action that waits for another one is not charged for processor
// time.
func TestWaitingForOtherActionsIsNotWork(t *testing.T) {
	m := blank()
	speak(m)
	m.Custom(abi.ManifestSection, []byte(`{"actions": [{"name": "act"}]}`))
	m.Func("on_action", "i32 -> i32", asm.I32(abi.Allow))
	h, _ := start(t, Config{})
	r := rulesOf(m.Wasm(), Entry{})
	r.Tenants[0].CPU = 0.01 // makes a charge large
	swap(t, h, r)
	g := h.current.Load().generations[0]
	for range cap(g.pool.actions) {
		g.pool.actions <- struct{}{}
	}
	asked := make(chan hook.Verdict)
	go func() {
		asked <- h.Decide(context.Background(), &hook.Event{Hook: hook.Action, Tenant: "t", Action: "act", Conn: alice()})
	}()
	const waited = 200 * time.Millisecond
	for begin := time.Now(); time.Since(begin) < waited; {
		runtime.Gosched()
	}
	before := max(now(), g.gate.due.Load())
	for range cap(g.pool.actions) {
		g.pool.leave()
	}
	if v := <-asked; v.Outcome != hook.Allowed {
		t.Errorf("%+v", v)
	}
	if charged := time.Duration(float64(g.gate.due.Load()-before) * h.current.Load().tenants["t"].share); charged > waited/2 {
		t.Errorf("%v of waiting cost %v", waited, charged)
	}
}

// TestNoAnswerIsForged checks that a module cannot send a connection a message that looks like the answer to a request.
func TestNoAnswerIsForged(t *testing.T) {
	for text, taken := range map[string]bool{
		`{"context":"response","data":true,"messageId":1}`:  false,
		`{"message":"hi","from":"bob","room":"r"}`:          false,
		`{"mess\u0061geId":1}`:                              false,
		`{"score":1}`:                                       true,
		`["context"]`:                                       true,
		`{"message":{"context":"response","messageId": 1}}`: true,
	} {
		m := blank()
		emit := m.Import(abi.ImportModule, abi.ImportEmit, "i32 i32 i32 i32 i32 -> i32")
		speak(m)
		m.Data(8, []byte("c1"))
		m.Data(16, []byte(text))
		m.Func("on_say_receive", "i32 -> i32", asm.I32(abi.EmitJSON|abi.EmitToConnection)+asm.I32(8)+asm.I32(2)+
			asm.I32(16)+asm.I32(len(text))+asm.Call(emit)+asm.Drop+asm.I32(abi.Allow))
		h, _ := start(t, Config{})
		swap(t, h, rulesOf(m.Wasm(), Entry{Grants: []string{"emit"}}))
		if v := h.Decide(context.Background(), said("hello")); len(v.Effects) == 1 != taken {
			t.Errorf("%s: %+v", text, v)
		}
	}
}
