package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	"github.com/mootchat/moot/host/report"
	"github.com/mootchat/moot/host/store"
)

// asking adds a module that asks the service "score" with the body { "n": 1 } and the state "state" at every hook. Its on_answer
// returns the digit in the body of the answer, with the state as the reason and the status as the code of a denial. what is a name
// to ask in place of "score", or one of the words below.
func asking(m *asm.Module, what string) asm.Code {
	name, body, state, manifest := "score", `{ "n": 1 }`, "state", `{"asks": ["score"]}`
	switch what {
	case "":
	case "bad": // the body is not JSON
		body = "{"
	case "large": // the state is too large
		state = strings.Repeat("s", abi.MaxState+1)
	case "binary": // the state is not text
		state = "\xff\x00"
	case "silent": // it has no body and no state
		body, state = "", ""
	case "denials":
		manifest = `{"asks": ["score"], "denials": true, "hooks": ["onSayReceive"]}`
	case "twice":
		manifest = `{"asks": ["score", "score"]}`
	case "hookless":
		manifest = `{"asks": ["score"], "hooks": ["say"]}`
	default:
		if strings.HasPrefix(what, "declares ") {
			manifest = `{"asks": ["` + strings.TrimPrefix(what, "declares ") + `"]}`
		} else {
			name = what
		}
	}
	m.Custom(abi.ManifestSection, []byte(manifest))
	pair := func(slot, at int, text string) asm.Code {
		m.Data(at, []byte(text))
		return put(slot, at) + put(slot+4, len(text))
	}
	ask := pair(abi.ResultAsk, 1000, name) + pair(abi.ResultAskBody, 1100, body) + pair(abi.ResultState, 2000, state) + asm.I32(abi.Ask)
	event := m.Func("", "i32 -> i32", ask)
	for _, export := range []string{"on_connect", "on_join", "on_action"} {
		m.Export(export, asm.Func, event)
	}
	if what == "deaf" {
		return asm.I32(exchange) + asm.Call(event)
	}
	const blob, field, slot = 1, abi.BlobTable, abi.BlobTable + 8*int(abi.AnswerState)
	answer := asm.I32(exchange) + asm.I32(exchange) + asm.Load32(abi.FrameAnswer) + asm.Add + asm.Set(blob) +
		asm.I32(exchange) + asm.Call(event) + asm.Drop // it sets the slots for another ask
	answer += asm.I32(exchange) + asm.Get(blob) + asm.Load32(slot) + asm.Get(blob) + asm.Add + asm.Store32(abi.ResultReason) +
		asm.I32(exchange) + asm.Get(blob) + asm.Load32(slot+4) + asm.Store32(abi.ResultReason+4) +
		asm.I32(exchange) + asm.Get(blob) + asm.Load32(abi.BlobA) + asm.Store32(abi.ResultCode)
	digit := asm.Get(blob) + asm.Load32(field+8*int(abi.AnswerBody)) + asm.Get(blob) + asm.Add + asm.Load32(0) + asm.I32(255) + asm.And + asm.I32('0') + asm.Sub
	m.FuncWith(abi.ExportAnswer, "i32 -> i32", "i32", answer+digit)
	return asm.I32(exchange) + asm.Call(event)
}

// serve is a service that calls a function.
type serve func(ctx context.Context, body []byte) (ask.Answer, error)

func (s serve) Ask(ctx context.Context, body []byte) (ask.Answer, error) { return s(ctx, body) }

// answers returns a service that answers with the bodies in order, and then with the last one again and again.
func answers(bodies ...string) serve {
	var mu sync.Mutex
	return func(context.Context, []byte) (ask.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		body := bodies[0]
		bodies = bodies[min(1, len(bodies)-1):]
		return ask.Answer{Status: 201, Body: json.RawMessage(body)}, nil
	}
}

// fails returns a service that fails with err.
func fails(err error) serve {
	return func(context.Context, []byte) (ask.Answer, error) { return ask.Answer{}, err }
}

// asker returns an entry with a module of asking, for the hook onSayReceive.
func asker(what string, s ask.Service, policy Policy) Entry {
	return Entry{Module: strings.TrimSuffix("ask-"+what, "-"), Hooks: []hook.Hook{hook.OnSayReceive}, Asks: map[string]Ask{"score": {Service: s, OnError: policy}}}
}

func TestAModuleAsksAServiceBeforeItDecides(t *testing.T) {
	for _, c := range []struct {
		what    string
		bodies  []string
		want    hook.Verdict
		asked   string // bodies of the questions
		asks    int
		failure string // kind
	}{
		{"", []string{"0"}, hook.Verdict{}, `{"n":1}`, 0, ""},
		{"", []string{"1"}, hook.Verdict{Outcome: hook.Denied, Reason: "state", Code: 201}, `{"n":1}`, 1, ""},
		{"silent", []string{"1"}, hook.Verdict{Outcome: hook.Denied, Code: 201}, ``, 1, ""},
		{"", []string{"5"}, hook.Verdict{Outcome: hook.Dropped}, `{"n":1}`, 1, ""},
		{"", []string{"6"}, hook.Verdict{Outcome: hook.Held, Reason: "state", Hold: &hook.Hold{At: hook.Place{Module: "ask"}}}, `{"n":1}`, 1, ""},
		{"", []string{"7", "1"}, hook.Verdict{Outcome: hook.Denied, Reason: "state", Code: 201}, `{"n":1} {"n":1}`, 2, ""},
		{"", []string{"7", "7", "1"}, hook.Verdict{Outcome: hook.Failed}, `{"n":1} {"n":1}`, 2, "protocol"},
		{"binary", []string{"0"}, hook.Verdict{}, `{"n":1}`, 0, ""},
		{"bad", []string{"0"}, hook.Verdict{Outcome: hook.Failed}, ``, 0, "protocol"},
		{"large", []string{"0"}, hook.Verdict{Outcome: hook.Failed}, ``, 0, "protocol"},
		{"another", []string{"0"}, hook.Verdict{Outcome: hook.Failed}, ``, 0, "protocol"},
	} {
		var asked []string
		next := answers(c.bodies...)
		h, log := start(t, Config{}, asker(c.what, serve(func(ctx context.Context, body []byte) (ask.Answer, error) {
			asked = append(asked, string(body))
			return next(ctx, body)
		}), DenyOnError))
		v, _ := decide(h, "x")
		if v.Waited > 0 != (len(asked) > 0) {
			t.Errorf("%s %q: it has waited for %v", c.what, c.bodies, v.Waited)
		}
		v.Waited = 0
		if c.want.Outcome != hook.Allowed {
			c.want.Module = h.Stats()[0].Version
		}
		if !reflect.DeepEqual(v, c.want) || strings.Join(asked, " ") != c.asked {
			t.Errorf("%s %q: %+v after %q, want %+v after %q\n%s", c.what, c.bodies, v, asked, c.want, c.asked, log)
		}
		list := h.Decisions(report.DecisionFilter{})
		if n := len(list); n != min(1, n) || n == 1 && len(list[0].Asks) != c.asks || n == 0 && c.asks > 0 {
			t.Errorf("%s %q: decisions %+v", c.what, c.bodies, list)
		}
		if c.failure != "" && h.Stats()[0].Errors[c.failure] != 1 {
			t.Errorf("%s %q: %+v", c.what, c.bodies, h.Stats()[0].Errors)
		}
	}
}

// TestWhatFollowsWithoutAnAnswer checks the failures of a service with each policy, and that a limit is never a way around a rule.
func TestWhatFollowsWithoutAnAnswer(t *testing.T) {
	failed := hook.Verdict{Outcome: hook.Failed}
	hold := hook.Verdict{Outcome: hook.Held, Reason: "ask score: timeout: slow", Hold: &hook.Hold{Release: true, At: hook.Place{Module: "ask"}}}
	timeout := &ask.Failure{Kind: ask.Timeout, Err: errors.New("slow")}
	for _, c := range []struct {
		name   string
		policy Policy
		err    error
		want   hook.Verdict
		behind bool   // the next entry is called
		kind   string // in the decision; "": there is none
	}{
		{"deny", DenyOnError, timeout, failed, false, "timeout"},
		{"allow", AllowOnError, timeout, hook.Verdict{}, true, "timeout"},
		{"hold", HoldOnError, timeout, hold, false, "timeout"},
		{"unknown", AllowOnError, errors.New("what"), hook.Verdict{}, true, "unreachable"},
		{"deadline", AllowOnError, context.DeadlineExceeded, hook.Verdict{}, true, "timeout"},
		{"busy", AllowOnError, fmt.Errorf("x: %w", &ask.BusyError{Wait: time.Second}), hook.Verdict{Outcome: hook.Failed, RetryAfter: time.Second}, false, ""},
		{"busy, hold", HoldOnError, &ask.BusyError{Wait: time.Second}, hook.Verdict{Outcome: hook.Failed, RetryAfter: time.Second}, false, ""},
		{"ended", AllowOnError, context.Canceled, failed, false, ""},
		{"ended, hold", HoldOnError, context.Canceled, failed, false, ""},
	} {
		ctx, end := context.WithCancel(context.Background())
		entry := asker("", serve(func(context.Context, []byte) (ask.Answer, error) {
			if c.err == context.Canceled {
				end()
			}
			return ask.Answer{}, c.err
		}), c.policy)
		entry.OnExpire = ReleaseOnExpire
		h, log := start(t, Config{}, entry, at(0, "number-9"))
		ev := said("x")
		v := h.Decide(ctx, ev)
		end()
		v.Waited = 0
		c.want.Module = h.Stats()[0].Version
		if c.behind {
			c.want = hook.Verdict{Outcome: hook.Denied, Code: 9, Module: h.Stats()[1].Version}
		}
		if !reflect.DeepEqual(v, c.want) {
			t.Errorf("%s: %+v %+v, want %+v\n%s", c.name, v, v.Hold, c.want, log)
		}
		list := slices.DeleteFunc(h.Decisions(report.DecisionFilter{}), func(d report.Decision) bool { return d.Verdict == report.Deny })
		switch {
		case (len(list) == 1) != (c.kind != ""):
			t.Errorf("%s: decisions %+v", c.name, list)
		case c.kind != "" && (list[0].Verdict != report.Error || list[0].Reason != "ask" || len(list[0].Asks) != 1 || list[0].Asks[0].Error != c.kind):
			t.Errorf("%s: decision %+v", c.name, list[0])
		}
	}
}

// TestHoldOfAMessageWithoutAnAuthorFails checks onError: hold for messages that cannot be held.
func TestHoldOfAMessageWithoutAnAuthorFails(t *testing.T) {
	h, _ := start(t, Config{}, asker("", fails(&ask.Failure{Kind: ask.Open}), HoldOnError))
	ev := said("x")
	ev.Conn = nil
	if v := h.Decide(context.Background(), ev); v.Outcome != hook.Failed || v.Hold != nil {
		t.Errorf("%+v", v)
	}
}

func TestAsksAtEveryHook(t *testing.T) {
	entry := asker("", answers("1"), DenyOnError)
	entry.Hooks = nil
	h, _ := start(t, Config{}, entry)
	for _, at := range []hook.Hook{hook.Connect, hook.Join, hook.OnSayReceive} {
		ev := said("x")
		ev.Hook = at
		if v := h.Decide(context.Background(), ev); v.Outcome != hook.Denied || v.Reason != "state" {
			t.Errorf("%v: %+v", at, v)
		}
	}
	if got := heard(t, h, "x", crowd(2)); !slices.Equal(got, []string{"-", "-"}) {
		t.Errorf("at say: %q", got)
	}
	if s := h.Stats()[0]; s.Errors["protocol"] != 1 {
		t.Errorf("%+v", s.Errors)
	}
}

// gated is a service that announces each question, and waits for its answer.
type gated struct {
	asked  chan string
	answer chan string
}

func newGated() *gated { return &gated{make(chan string, 100), make(chan string)} }

func (g *gated) Ask(ctx context.Context, body []byte) (ask.Answer, error) {
	g.asked <- string(body)
	select {
	case b := <-g.answer:
		return ask.Answer{Status: 200, Body: json.RawMessage(b)}, nil
	case <-ctx.Done():
		return ask.Answer{}, ctx.Err()
	}
}

// TestNoInstanceIsHeldWhileAServiceIsAsked lets more events wait for answers than there may be instances.
func TestNoInstanceIsHeldWhileAServiceIsAsked(t *testing.T) {
	g := newGated()
	h, _ := start(t, Config{Instances: 2}, asker("", g, DenyOnError))
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if v, _ := decide(h, "x"); v.Outcome != hook.Denied {
				t.Errorf("%+v", v)
			}
		})
	}
	for range 10 {
		<-g.asked
	}
	for range 10 {
		g.answer <- "1"
	}
	all.Wait()
}

// TestTheRevisionThatAskedIsAnswered reloads while a service is asked: the chain continues with the old rules, and the next message
// asks the new service.
func TestTheRevisionThatAskedIsAnswered(t *testing.T) {
	old, next := newGated(), newGated()
	h, _ := start(t, Config{}, asker("", old, DenyOnError), at(0, "number-1"))
	label := h.Stats()[1].Version
	done := make(chan hook.Verdict)
	go func() { v, _ := decide(h, "x"); done <- v }()
	<-old.asked
	entry := asker("", next, DenyOnError)
	entry.Asks["score"] = Ask{Service: next, Definition: "another"}
	swap(t, h, rulesFor(entry, at(0, "number-2")))
	old.answer <- "0"
	if v := <-done; v.Outcome != hook.Denied || v.Code != 1 || v.Module != label {
		t.Errorf("%+v, want a denial of %s", v, label)
	}
	go func() { v, _ := decide(h, "x"); done <- v }()
	<-next.asked
	next.answer <- "0"
	if v := <-done; v.Outcome != hook.Denied || v.Code != 2 {
		t.Errorf("%+v", v)
	}
	if len(old.asked) != 0 {
		t.Error("the old service was asked again")
	}
}

// waiter counts waits. It refuses them if its time is above 0.
type waiter struct {
	refuse      time.Duration
	begun, over int
}

func (w *waiter) BeginWait() time.Duration { w.begun++; return w.refuse }
func (w *waiter) EndWait()                 { w.over++ }

func TestTheWaiterIsToldOfEachWait(t *testing.T) {
	w := new(waiter)
	h, _ := start(t, Config{}, asker("", serve(func(context.Context, []byte) (ask.Answer, error) {
		if w.begun != w.over+1 {
			t.Errorf("%d begun, %d over", w.begun, w.over)
		}
		return ask.Answer{Status: 200, Body: json.RawMessage("0")}, nil
	}), AllowOnError), asker("", answers("7", "0"), AllowOnError))
	ev := said("x")
	ev.Waiter = w
	if v := h.Decide(context.Background(), ev); v.Outcome != hook.Allowed || w.begun != 3 || w.over != 3 {
		t.Errorf("%+v, %+v", v, w)
	}
	w.refuse = time.Minute
	if v := h.Decide(context.Background(), ev); v.Outcome != hook.Failed || v.RetryAfter != time.Minute || w.begun != 4 || w.over != 3 {
		t.Errorf("%+v, %+v", v, w)
	}
}

// TestAWaitDoesNotCountInTheChainsTime checks that a wait extends the time of the chain.
func TestAWaitDoesNotCountInTheChainsTime(t *testing.T) {
	h, _ := start(t, Config{}, asker("", answers("7", "0"), DenyOnError))
	e := h.current.Load().tenants["t"].entries[0]
	r := &run{ctx: context.Background(), ev: said("x"), timeout: int64(patience)}
	if f := r.decide(e, nil); f != nil || r.answer.code != abi.Ask {
		t.Fatal(f)
	}
	end := r.end
	if f := r.outside(e); f != nil || r.verdict.Waited <= 0 || r.end-end != int64(r.verdict.Waited) {
		t.Errorf("the end moved by %d after a wait of %v: %v", r.end-end, r.verdict.Waited, f)
	}
}

func TestAsksThatAreRefusedAtALoad(t *testing.T) {
	entry := func(what string, change func(*Entry)) Entry {
		e := asker(what, answers("0"), DenyOnError)
		e.Where = "config.yaml:1"
		if change != nil {
			change(&e)
		}
		return e
	}
	for _, c := range []struct {
		entry Entry
		want  string
	}{
		{entry("deaf", nil), "its manifest declares asks, but it has no on_answer"},
		{entry("denials", nil), "its manifest declares asks and denials"},
		{entry("twice", nil), `its manifest declares the ask "score" twice`},
		{entry("hookless", func(e *Entry) { e.Hooks = nil }), "none of the hooks connect, join, onSayReceive and action"},
		{entry("declares a/b", nil), `its manifest declares the ask "a/b": a name has`},
		{entry("declares ", nil), `its manifest declares the ask "": a name has`},
		{entry("", func(e *Entry) { e.Asks = nil }), `it asks "score": define it under asks of the entry`},
		{entry("", func(e *Entry) { e.Asks["scores"] = Ask{} }), "asks: scores: the module does not ask it; it asks score"},
		{entry("", func(e *Entry) { e.Hooks, e.Asks["score"] = nil, Ask{OnError: HoldOnError} }), "onError: hold is possible at onSayReceive alone"},
		{entry("", func(e *Entry) { e.NoAsks = true }), "asks: false is possible with mode: shadow alone"},
		{Entry{Module: "allow", Asks: map[string]Ask{"x": {}}}, "asks: x: the module asks no services"},
	} {
		if got := problems(t, rulesFor(c.entry)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.entry.Module, got, c.want)
		}
	}
}

// await waits for a number of decisions, and returns them.
func await(h *Host, n int) []report.Decision {
	for len(h.Decisions(report.DecisionFilter{})) < n {
		runtime.Gosched()
	}
	return h.Decisions(report.DecisionFilter{})
}

// TestAShadowAsksAfterTheVerdict checks that nobody waits for a shadow, and that its decision follows when the service has answered.
func TestAShadowAsksAfterTheVerdict(t *testing.T) {
	g, w := newGated(), new(waiter)
	h, _ := start(t, Config{}, shadow(asker("", g, HoldOnError)), at(0, "number-9"))
	ev := said("x")
	ev.Waiter = w
	if v := h.Decide(context.Background(), ev); v.Outcome != hook.Denied || v.Waited != 0 || w.begun != 0 {
		t.Errorf("%+v, %+v", v, w)
	}
	<-g.asked
	g.answer <- "7" // it asks again
	<-g.asked
	g.answer <- "0"
	d := slices.DeleteFunc(await(h, 2), func(d report.Decision) bool { return !d.Shadow })[0]
	if d.Verdict != report.Allow || d.Done != report.Deny || len(d.Asks) != 2 || d.Asks[1].Status != 200 {
		t.Errorf("%+v", d)
	}
}

// TestShadowsHaveABudgetOfQuestions checks how many questions of a shadow wait at a time, and that they end with the host.
func TestShadowsHaveABudgetOfQuestions(t *testing.T) {
	g := newGated()
	h, _ := start(t, Config{}, shadow(asker("", g, DenyOnError)))
	seen := new(tracer)
	h.Trace(seen)
	for range maxShadowAsks + 4 {
		decide(h, "x")
	}
	for range maxShadowAsks {
		<-g.asked
	}
	if n := h.Stats()[0].Errors["ask"]; n != 4 || len(g.asked) != 0 {
		t.Errorf("%d questions are counted as not sent, %d more were sent", n, len(g.asked))
	}
	if len(seen.traces) != 4 || seen.traces[0].Kind != "ask" {
		t.Errorf("%d traces of questions that were not sent: %+v", len(seen.traces), seen.traces)
	}
	g.answer <- "1"
	await(h, 1)
}

func TestAShadowThatMayNotAsk(t *testing.T) {
	entry := shadow(asker("", nil, DenyOnError))
	entry.Asks, entry.NoAsks = nil, true
	h, _ := start(t, Config{}, entry)
	seen := new(tracer)
	h.Trace(seen)
	decide(h, "x")
	list := h.Decisions(report.DecisionFilter{})
	if len(list) != 1 || list[0].Verdict != report.Asked || list[0].Done != report.Allow || len(seen.traces) != 1 || seen.traces[0].Answer.Verdict != abi.Ask {
		t.Errorf("%+v, %d traces", list, len(seen.traces))
	}
	if s := h.Stats()[0]; s.Allowed != 0 || s.Calls != 1 {
		t.Errorf("%+v", s)
	}
}

// TestOneTraceHasAllCallsOfAnEvent checks the trace of an event with two questions, of one without an answer, and of one that
// nobody waits for.
func TestOneTraceHasAllCallsOfAnEvent(t *testing.T) {
	for name, c := range map[string]struct {
		service ask.Service
		verdict int32
		kind    string
		asks    []AskCall
	}{
		"two questions": {answers("7", "1"), abi.Deny, "", []AskCall{{Name: "score", Body: []byte(`{"n":1}`), Status: 201, Answer: []byte("7")}, {Name: "score", Body: []byte(`{"n":1}`), Status: 201, Answer: []byte("1")}}},
		"a failure":     {fails(&ask.Failure{Kind: ask.Status}), 0, "ask", []AskCall{{Name: "score", Body: []byte(`{"n":1}`), Failure: ask.Status}}},
		"busy":          {fails(&ask.BusyError{Wait: time.Second}), 0, "ask", []AskCall{{Name: "score", Body: []byte(`{"n":1}`), Busy: time.Second}}},
	} {
		h, _ := start(t, Config{}, asker("", c.service, AllowOnError))
		seen := new(tracer)
		h.Trace(seen)
		decide(h, "x")
		if len(seen.traces) != 1 {
			t.Fatalf("%s: %d traces", name, len(seen.traces))
		}
		got := seen.traces[0]
		if got.Answer.Verdict != c.verdict || got.Kind != c.kind || !reflect.DeepEqual(got.Asks, c.asks) || got.Event.Message.Text != "x" || got.Fuel == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	ctx, end := context.WithCancel(context.Background())
	h, _ := start(t, Config{}, asker("", serve(func(context.Context, []byte) (ask.Answer, error) { end(); return ask.Answer{}, ctx.Err() }), AllowOnError))
	seen := new(tracer)
	h.Trace(seen)
	if h.Decide(ctx, said("x")); len(seen.traces) != 0 {
		t.Errorf("a question that nobody waits for has %d traces", len(seen.traces))
	}
}

// TestATraceEndsIfTheAnswerFindsNoModule checks the trace of a call that asked, if the call with the answer does not begin: the
// breaker has opened meanwhile, or the chain has no time left.
func TestATraceEndsIfTheAnswerFindsNoModule(t *testing.T) {
	for _, c := range []struct {
		name string
		done func(r *run, e *entry) // while the service is asked
		kind string
	}{
		{"breaker", func(r *run, e *entry) {
			for e.breaker.state() != opened {
				e.breaker.failed(r.ticket, now())
			}
		}, "open"},
		{"time", func(r *run, _ *entry) { r.end = now() - int64(time.Hour) }, "deadline"},
	} {
		var meanwhile func()
		h, _ := start(t, Config{}, asker("", serve(func(context.Context, []byte) (ask.Answer, error) {
			meanwhile()
			return ask.Answer{Status: 201, Body: json.RawMessage("0")}, nil
		}), DenyOnError))
		seen := new(tracer)
		h.Trace(seen)
		e := h.current.Load().tenants["t"].entries[0]
		r := &run{ctx: context.Background(), ev: said("x"), timeout: int64(patience)}
		meanwhile = func() { c.done(r, e) }
		if f := r.decide(e, nil); f != nil || r.answer.code != abi.Ask {
			t.Fatalf("%s: %v", c.name, f)
		}
		f := r.outside(e)
		if f == nil || f.kind.String() != c.kind || len(seen.traces) != 1 {
			t.Fatalf("%s: %v, %d traces", c.name, f, len(seen.traces))
		}
		if got := seen.traces[0]; got.Kind != c.kind || got.Err != f.err || len(got.Asks) != 1 || string(got.Asks[0].Answer) != "0" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// TestEffectsBeforeAnAnswerAreDiscarded checks a module that stores a value and emits a message in each call: the value stays, and
// only the message of the last call is emitted.
func TestEffectsBeforeAnAnswerAreDiscarded(t *testing.T) {
	m := blank()
	add := m.Import(abi.ImportModule, abi.ImportKVAdd, "i32 i32 i64 i64 i32 -> i32")
	emit := m.Import(abi.ImportModule, abi.ImportEmit, "i32 i32 i32 i32 i32 -> i32")
	m.Data(8, []byte("key"))
	does := asm.I32(8) + asm.I32(3) + asm.I64(1) + asm.I64(0) + asm.I32(16) + asm.Call(add) + asm.Drop +
		asm.I32(abi.EmitText|abi.EmitToRoom) + asm.I32(8) + asm.I32(3) + asm.I32(8) + asm.I32(3) + asm.Call(emit) + asm.Drop
	m.Data(100, []byte("score"))
	m.Custom(abi.ManifestSection, []byte(`{"asks": ["score"], "capabilities": ["kv", "emit"]}`))
	m.Func("on_say_receive", "i32 -> i32", does+put(abi.ResultAsk, 100)+put(abi.ResultAsk+4, 5)+asm.I32(abi.Ask))
	m.Func(abi.ExportAnswer, "i32 -> i32", does+asm.I32(abi.Allow))
	speak(m)
	entry := asker("", answers("0"), DenyOnError)
	entry.Grants = []string{"kv", "emit"}
	h, log := start(t, Config{})
	swap(t, h, rulesOf(m.Wasm(), entry))
	v, _ := decide(h, "x")
	stored := h.Store().Cached(store.Key{Tenant: "t", Module: "made", Name: "key"})
	if v.Outcome != hook.Allowed || len(v.Effects) != 1 || v.Effects[0].Emit == nil || string(stored) != "2" {
		t.Errorf("%+v, stored %q\n%s", v, stored, log)
	}
}

// TestAReloadKeepsTheBreakerOfAnEntryThatAsks checks that a reload compares entries by the definitions of their services.
func TestAReloadKeepsTheBreakerOfAnEntryThatAsks(t *testing.T) {
	breakerOf := func(h *Host) *breaker { return h.current.Load().tenants["t"].entries[0].breaker }
	entry := func(definition string) Entry {
		e := asker("", newGated(), DenyOnError)
		e.Asks["score"] = Ask{Service: newGated(), Definition: definition}
		return e
	}
	h, _ := start(t, Config{}, entry("a"))
	was := breakerOf(h)
	id := h.Revision()
	swap(t, h, rulesFor(entry("a")))
	if breakerOf(h) != was || h.Revision() != id {
		t.Error("a reload without a change makes the entry a new one")
	}
	swap(t, h, rulesFor(entry("b")))
	if breakerOf(h) == was || h.Revision() == id {
		t.Error("an entry with another service has the old breaker, or the old revision")
	}
}
