package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/report"
)

// A module that does not know enough for a verdict returns Ask. The host returns the instance to its pool, sends the question to
// the service that the entry defines, and calls on_answer of any instance. The caller of the chain waits. Other events do not
// wait for it (see hook.Waiter).

// question is a question of a module to an external service.
type question struct {
	name  string
	body  json.RawMessage // nil: none
	state []byte          // of the module; it comes back with the answer
	trace *Trace          // of the call that asks; nil: it is not traced, or the call with the answer continues the trace
}

// reply is the answer to a question, which is passed to the module.
type reply struct {
	*question
	ask.Answer
	number uint64 // of the question among those of the entry for the event, from 1
}

// asksAt reports whether a module may ask at the hook.
func asksAt(at abi.Hook) bool {
	return at == abi.Connect || at == abi.Join || at == abi.OnSayReceive || at == abi.Action
}

// question reads the slots of an ask. g is the answer with which the module was called; nil: it was called with the event.
func (r *results) question(declared []string, g *reply) *question {
	q := &question{name: r.text(abi.ResultAsk, abi.MaxAskName, "the name of the ask")}
	body := r.bytes(r.frame, abi.ResultAskBody, abi.MaxAskBody, "the body of the ask")
	state, ok := abi.SpanAt(r.frame, abi.ResultState).Bytes(r.memory, abi.MaxState)
	switch {
	case r.err != nil:
	case g != nil && g.number >= abi.MaxAsksPerEvent:
		r.err = fail(Protocol, "it asks %q after %d answers: an entry asks at most %d times for one event", q.name, g.number, abi.MaxAsksPerEvent)
	case !slices.Contains(declared, q.name):
		r.err = fail(Protocol, "it asks %q, which is not among the asks of its manifest", q.name)
	case !ok:
		r.err = fail(Protocol, "the state of the ask is not in its memory, or has more than %d bytes", abi.MaxState)
	case len(body) > 0:
		q.body = r.compact(body, "the body of the ask")
	}
	q.state = slices.Clone(state)
	return q
}

// blob returns the blob of an answer for a frame; nil if g is nil.
func (g *reply) blob() []byte {
	if g == nil {
		return nil
	}
	fields := [abi.AnswerFieldCount][]byte{abi.AnswerName: []byte(g.name), abi.AnswerBody: g.Body, abi.AnswerState: g.state}
	return abi.AppendBlob(nil, abi.BlobAnswer, uint64(g.Status), g.number, fields[:])
}

// outside sends the questions of an entry that has asked, and calls it with each answer, until it has a verdict.
func (r *run) outside(e *entry) *failure {
	for number := uint64(1); r.answer.code == abi.Ask; number++ {
		if number > 1 || e.Mode != Shadow { // askShadow has done it for the first one
			e.succeeded(r.ticket, r.ev)
		}
		q := r.answer.asks
		begun := now()
		a, took, err := r.put(e, q)
		waited := now() - begun
		r.end += waited
		r.verdict.Waited += time.Duration(waited)
		if f := r.unanswered(q, took, err); f != nil {
			if q.trace != nil && !f.cancelled() {
				e.generation.host.endTrace(q.trace, f)
			}
			return f
		}
		r.answered(q, took, a)
		if f := r.decide(e, &reply{q, a, number}); f != nil {
			if q.trace != nil { // the module was not called
				e.generation.host.endTrace(q.trace, f)
			}
			return f
		}
	}
	return nil
}

// put sends a question, and returns the answer and the time that it took. Meanwhile the event is not in its queue.
func (r *run) put(e *entry, q *question) (a ask.Answer, took time.Duration, err error) {
	service := e.Asks[q.name].Service
	if service == nil {
		return a, 0, &ask.Failure{Kind: ask.Unreachable, Err: errNoService}
	}
	if w := r.ev.Waiter; w != nil {
		if wait := w.BeginWait(); wait > 0 {
			return a, 0, &ask.BusyError{Wait: wait}
		}
		defer w.EndWait()
	}
	begun := now()
	ctx, cancel := context.WithTimeout(r.ctx, ask.MaxTime+time.Second) // the service has a time limit of its own
	defer cancel()
	end := func(ask.Answer, error) {}
	if asking := e.generation.host.cfg.Asking; asking != nil {
		ctx, end = asking(ctx, r.ev.Tenant, q.name)
	}
	a, err = service.Ask(ctx, q.body)
	end(a, err)
	return a, time.Duration(now() - begun), err
}

// askFailure is the cause of a failure of the kind Outside.
type askFailure struct {
	name string
	busy time.Duration // the time after which the event may be tried again; 0: the service was asked
	why  *ask.Failure  // nil: busy is set, or nobody waits for the answer any more
}

func (f *askFailure) Error() string {
	switch {
	case f.busy > 0:
		return fmt.Sprintf("ask %s: too many questions", f.name)
	case f.why == nil:
		return fmt.Sprintf("ask %s: %v", f.name, errGone)
	}
	return fmt.Sprintf("ask %s: %v", f.name, f.why)
}

var (
	errNoService = errors.New("the entry defines no service for the ask")
	errNotSent   = errors.New("the question of the shadow was not sent: too many of them wait for answers, or its rules are closed")
)

// unanswered returns the failure for a question that failed with err, and notes it for the decision and the trace; nil if err is nil.
func (r *run) unanswered(q *question, took time.Duration, err error) *failure {
	if err == nil {
		return nil
	}
	f := &askFailure{name: q.name}
	noted := report.Ask{Name: q.name, Took: millis.DurationOf(took)}
	busy, isBusy := errors.AsType[*ask.BusyError](err)
	switch {
	case isBusy:
		f.busy, noted.Error = max(time.Millisecond, busy.Wait), "busy"
	case r.ctx.Err() != nil:
	default:
		var known bool
		if f.why, known = errors.AsType[*ask.Failure](err); !known {
			f.why = &ask.Failure{Kind: ask.Unreachable, Err: err}
			if errors.Is(err, context.DeadlineExceeded) {
				f.why = &ask.Failure{Kind: ask.Timeout}
			}
		}
		noted.Error = string(f.why.Kind)
	}
	r.asks = append(r.asks, noted)
	if q.trace != nil {
		c := AskCall{Name: q.name, Body: q.body, Busy: f.busy}
		if f.why != nil {
			c.Failure = f.why.Kind
		}
		q.trace.asked(c)
	}
	return &failure{Outside, f}
}

// answered notes an answer for the decision and the trace.
func (r *run) answered(q *question, took time.Duration, a ask.Answer) {
	r.asks = append(r.asks, report.Ask{Name: q.name, Took: millis.DurationOf(took), Status: a.Status, Cached: a.Cached})
	if q.trace != nil {
		q.trace.asked(AskCall{Name: q.name, Body: q.body, Status: a.Status, Answer: a.Body})
	}
}

// cancelled reports whether the event ended while its entry waited for an answer.
func (f *failure) cancelled() bool {
	a, ok := f.err.(*askFailure)
	return ok && a.why == nil && a.busy == 0
}

// silent reports whether the failure is neither logged nor recorded: the event has ended, or a limit of the service has refused
// it, which the service counts. A flood would fill the log otherwise.
func (f *failure) silent() bool {
	a, ok := f.err.(*askFailure)
	return ok && a.why == nil
}

// unanswered returns the consequences of a failure of the kind Outside: the policy, the time after which the client may try again,
// and whether it is recorded as a decision.
func (e *entry) unanswered(f *failure) (policy Policy, wait time.Duration, recorded bool) {
	a, ok := f.err.(*askFailure)
	if !ok || a.why == nil {
		return DenyOnError, a.busy, false
	}
	return e.Asks[a.name].OnError, 0, true
}

// checkAsks compares the asks that the entry defines with the asks of its module.
func (e *entry) checkAsks() error {
	var errs []error
	declared := e.generation.asks
	for _, name := range declared {
		if _, defined := e.Asks[name]; !defined && !e.NoAsks {
			errs = append(errs, fmt.Errorf("it asks %q: define it under asks of the entry, with its url", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Asks)) {
		switch {
		case !slices.Contains(declared, name) && len(declared) == 0:
			errs = append(errs, fmt.Errorf("asks: %s: the module asks no services", name))
		case !slices.Contains(declared, name):
			errs = append(errs, fmt.Errorf("asks: %s: the module does not ask it; it asks %s", name, strings.Join(declared, ", ")))
		case e.Asks[name].OnError == HoldOnError && (e.hooks[hook.Connect] || e.hooks[hook.Join] || e.hooks[hook.Action]):
			errs = append(errs, fmt.Errorf("asks: %s: onError: hold is possible at onSayReceive alone: set hooks of the entry, or use deny or allow", name))
		}
	}
	if e.NoAsks && e.Mode != Shadow {
		errs = append(errs, errors.New("asks: false is possible with mode: shadow alone"))
	}
	return errors.Join(errs...)
}

// sameAsks reports whether two entries ask the same services.
func sameAsks(a, b map[string]Ask) bool {
	return maps.EqualFunc(a, b, func(a, b Ask) bool { return a.OnError == b.OnError && a.Definition == b.Definition })
}

// checkAsks checks the asks of a manifest.
func (d *declared) checkAsks(exports func(string) bool) error {
	if len(d.asks) == 0 {
		return nil
	}
	switch {
	case len(d.asks) > abi.MaxAsks:
		return fmt.Errorf("its manifest declares %d asks: at most %d are possible", len(d.asks), abi.MaxAsks)
	case !exports(abi.ExportAnswer):
		return fmt.Errorf("its manifest declares asks, but it has no %s", abi.ExportAnswer)
	case d.denials:
		return errors.New("its manifest declares asks and denials: a module that is called for denied events cannot ask")
	case !d.hooks[abi.Connect] && !d.hooks[abi.Join] && !d.hooks[abi.OnSayReceive] && !d.hooks[abi.Action]:
		return errors.New("its manifest declares asks, but it has none of the hooks connect, join, onSayReceive and action")
	}
	for i, name := range d.asks {
		if !ask.ValidName(name) {
			return fmt.Errorf("its manifest declares the ask %.80q: a name has 1 to %d letters, digits and _.-", name, abi.MaxAskName)
		}
		if slices.Contains(d.asks[:i], name) {
			return fmt.Errorf("its manifest declares the ask %q twice", name)
		}
	}
	return nil
}

// maxShadowAsks limits the questions of one module of one tenant in shadow mode that wait for an answer at a time. Further ones are
// not sent, and count as errors.
const maxShadowAsks = 16

// askAfterwards asks for a shadow after the chain has ended, without holding its caller up, and records the shadow's answer.
func (r *run) askAfterwards(s shadowAnswer, done string) {
	e := s.entry
	asking := &e.generation.counters.asking
	if asking.Add(1) > maxShadowAsks || !r.revision.retain() {
		asking.Add(-1)
		e.generation.counters.errors[Outside].Add(1)
		if s.asks.trace != nil {
			e.generation.host.endTrace(s.asks.trace, &failure{Outside, errNotSent})
		}
		return
	}
	later := &run{ctx: e.generation.host.ending, ev: detached(r.ev), revision: r.revision, timeout: r.timeout, verdict: r.verdict}
	later.answer = answer{code: abi.Ask, asks: s.asks}
	go func() {
		defer later.revision.release()
		defer asking.Add(-1)
		begun := now()
		f := later.outside(e)
		d, called := later.shadowDecision(e, f)
		if !called {
			return
		}
		d.Asks, d.Took = later.asks, millis.DurationOf(time.Duration(now()-begun))
		later.recordShadow(shadowAnswer{entry: e, decision: d}, done)
	}()
}

// detached returns a copy of an event that stays valid after the chain has ended.
func detached(ev *hook.Event) *hook.Event {
	c := *ev
	for _, s := range []*string{&c.Room, &c.From, &c.Context, &c.Message.Text, &c.Action, &c.Edits, &c.MessageID} {
		*s = strings.Clone(*s)
	}
	c.Extra, c.Params, c.Waiter, c.Snapshot = slices.Clone(c.Extra), slices.Clone(c.Params), nil, nil
	return &c
}
