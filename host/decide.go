package host

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/report"
)

// answer is the answer of one module to an event.
type answer struct {
	code    int32 // of abi: Allow, Deny, Rewritten, AllowEnd, Drop, Hold or Ask
	reason  string
	number  uint32        // of a denial, for the client; 0: none
	ttl     time.Duration // of a hold; 0: the tenant's default
	rewrite rewrite
	reply   json.RawMessage
	effects []hook.Effect
	asks    *question // for Ask
}

// Decide implements [hook.Middleware]. If a chain moves a message to another room, that room's
// chain for onSayReceive runs after the first chain has allowed; it cannot move the message again.
// The engine checks that the room exists.
func (h *Host) Decide(ctx context.Context, ev *hook.Event) hook.Verdict {
	r := h.running()
	if r == nil {
		return hook.Verdict{}
	}
	defer r.release()
	t := r.tenants[ev.Tenant]
	if t == nil {
		return unknownTenant(ev.Hook)
	}
	run := run{ctx: ctx, ev: ev, timeout: r.chain, revision: r}
	asked := ev.Room
	if ev.After != nil {
		asked = cmp.Or(ev.After.Room, asked)
	}
	run.start(t.chain(ev.Hook, asked, ev.Action))
	if run.verdict.Outcome == hook.Held && ev.Room != asked && !run.moved {
		run.verdict.Hold.At.Room = asked
	}
	if ev.Room != asked && run.verdict.Outcome == hook.Allowed && !h.cfg.Alone {
		run.moved = true
		run.chain(t.chain(ev.Hook, ev.Room, ""), 0)
	}
	switch run.verdict.Outcome {
	case hook.Denied, hook.Dropped, hook.Held:
		run.verdict.Effects = moderating(run.verdict.Effects)
	case hook.Failed:
		run.verdict.Effects = nil
	}
	if run.shadowAnswers != nil {
		run.compare()
	}
	return run.verdict
}

// unknownTenant returns the verdict for a tenant that the rules do not have: the event is denied,
// because no rules check it. A leave is allowed.
func unknownTenant(at hook.Hook) hook.Verdict {
	if at == hook.Leave || at == hook.Disconnect {
		return hook.Verdict{}
	}
	return hook.Verdict{Outcome: hook.Denied, Reason: "this tenant has no rules"}
}

// run is one run of a chain.
type run struct {
	ctx      context.Context
	ev       *hook.Event
	revision *Revision
	timeout  int64 // of all entries together
	end      int64 // on the host's clock, extended by waits for external services; 0: before the first entry
	moved    bool  // another chain moved the message to this room
	verdict  hook.Verdict
	answer   answer // of the last entry

	asked  int64        // when the last entry was called
	ticket ticket       // of its breaker
	wait   int64        // ns, if the breaker refused
	asks   []report.Ask // of the last entry

	rewritten     bool
	shadowAnswers []shadowAnswer // of the called shadows
	shadowTime    int64          // the time of all shadows
}

// start runs the first chain of an event. A released message continues behind the entry that held it.
func (r *run) start(entries []*entry) {
	from := 0
	if after := r.ev.After; after != nil {
		from, r.moved = behind(entries, after), after.Moved
	}
	r.chain(entries, from)
}

// chain calls the entries in order, from the one with the index from, until one ends the chain. Shadows
// are called after a deny too, so that their decisions show whether a new rule would allow what the old
// one denies. They are not called after a hold, because a release calls them.
func (r *run) chain(entries []*entry, from int) {
	ended := false
	for i, e := range entries[from:] {
		denials := e.generation.denials
		switch {
		case denials && r.verdict.Outcome != hook.Denied && !e.generation.host.cfg.Alone:
		case e.Mode == Shadow:
			r.askShadow(e)
		case denials:
			r.observe(e)
		case !ended:
			ended = !r.ask(e)
			if ended && r.verdict.Outcome == hook.Allowed {
				return
			}
			if r.verdict.Outcome == hook.Held {
				r.verdict.Hold.At = placeOf(entries[:from+i], e, r.moved)
				return
			}
		}
	}
}

// observe calls an entry that is called for denied events. Of its answer, only the effects count.
func (r *run) observe(e *entry) {
	verdict := r.verdict
	r.ask(e)
	verdict.Effects = r.verdict.Effects
	r.verdict = verdict
}

// ask calls one entry and applies its answer. It returns false if the answer ends the chain.
func (r *run) ask(e *entry) (more bool) {
	r.asks = nil
	f, a := r.decide(e, nil), &r.answer
	if f == nil && a.code == abi.Ask {
		f = r.outside(e)
	}
	if f == nil && r.moved && a.rewrite.room != "" && a.rewrite.room != r.ev.Room {
		f = fail(Protocol, "room: the message was moved from %q to %q already", r.ev.Room, a.rewrite.room)
	}
	if f != nil {
		return r.failed(e, f)
	}
	e.succeeded(r.ticket, r.ev)
	a.holdOrDeny(r.ev)
	e.count(a.code, 1)
	effects := effectsInWords(a.effects)
	if said := saidAt(r.ev.Hook, a.code); said != report.Allow || effects != nil || e.sampled(1) {
		e.record(r.ev, report.Decision{Verdict: said, Reason: a.reason, Code: a.number, Effects: effects, Asks: r.asks, Took: millis.DurationOf(time.Duration(now() - r.asked))})
	}
	r.verdict.Effects = append(r.verdict.Effects, a.effects...)
	switch a.code {
	case abi.Deny:
		r.verdict.Outcome, r.verdict.Reason, r.verdict.Code, r.verdict.Module = hook.Denied, a.reason, a.number, e.label
		return false
	case abi.Drop:
		r.verdict.Outcome, r.verdict.Module = hook.Dropped, e.label
		return false
	case abi.Hold:
		r.verdict.Outcome, r.verdict.Reason, r.verdict.Module = hook.Held, a.reason, e.label
		r.verdict.Hold = &hook.Hold{TTL: a.ttl, Release: e.OnExpire == ReleaseOnExpire}
		return false
	}
	r.take(e, a)
	return a.code != abi.AllowEnd
}

// failed records a failure of an entry, and applies the onError of the entry or of its ask. It returns false if the chain ends.
func (r *run) failed(e *entry, f *failure) (more bool) {
	policy, wait := e.OnError, time.Duration(r.wait)
	recorded := f != refused
	if f.kind == Outside {
		policy, wait, recorded = e.unanswered(f)
	}
	if recorded {
		e.record(r.ev, report.Decision{Verdict: report.Error, Reason: f.kind.String(), Error: f.short(), Asks: r.asks, Took: millis.DurationOf(time.Duration(now() - r.asked))})
	}
	e.failed(r.ticket, f, r.ev)
	if policy == HoldOnError && mayHold(r.ev) {
		r.verdict.Outcome, r.verdict.Reason, r.verdict.Module = hook.Held, f.short(), e.label
		r.verdict.Hold = &hook.Hold{Release: e.OnExpire == ReleaseOnExpire}
		return false
	}
	if policy != AllowOnError {
		r.verdict.Outcome, r.verdict.Module, r.verdict.RetryAfter = hook.Failed, e.label, wait
		return false
	}
	return true
}

// take applies the answer of an entry that allows.
func (r *run) take(e *entry, a *answer) {
	if a.reply != nil {
		r.verdict.Reply = a.reply
	}
	if a.code != abi.Rewritten {
		return
	}
	r.rewritten = true
	ev, w := r.ev, &a.rewrite
	if w.newMessage {
		ev.Message = w.message
	}
	if w.room != "" && w.room != ev.Room {
		ev.Room, r.verdict.Module = w.room, e.label
	}
	if w.from != "" {
		ev.From = w.from
	}
	if w.sentAt != 0 {
		ev.SentAt = w.sentAt
	}
	if w.extra != nil {
		ev.Extra = merge(ev.Extra, w.extra)
	}
}

// decide calls the module, for at most the entry's timeout: with the event, or with the answer to an ask.
func (r *run) decide(e *entry, g *reply) *failure {
	r.answer = answer{}
	start := now()
	r.asked = start
	if r.end == 0 {
		r.end = start + r.timeout
	}
	if r.ticket, r.wait = e.breaker.admit(start); r.wait > 0 {
		return refused
	}
	end := r.end
	if e.Mode == Shadow { // all shadows together have the time limit of the chain
		end = start + r.timeout - r.shadowTime
	}
	deadline := min(start+int64(e.Timeout), end)
	if deadline <= start {
		return &failure{Deadline, errLate}
	}
	p := e.generation.pool
	if r.ev.Hook == hook.Action {
		if f := p.enter(r.ctx, deadline); f != nil {
			return f
		}
		defer p.leave()
		start = now() // waiting uses no processor
	}
	in, deadline, f := p.takeOrWake(r.ctx, start, deadline, end)
	if f != nil {
		return f
	}
	f = in.decide(e, r.ev, g, deadline, &r.answer)
	p.put(in)
	return f
}

// decide calls a hook other than say, or on_answer, and stores the answer in a.
func (in *instance) decide(e *entry, ev *hook.Event, g *reply, deadline int64, a *answer) *failure {
	hook := hookOf(ev.Hook)
	if g != nil {
		in.tracing, g.trace = g.trace, nil
	}
	in.begin(deadline, e.label, hook, ev)
	in.timeout = int64(e.Timeout)
	defer in.end()
	f := in.decided(hook, ev, g, a)
	if f == nil && a.code == abi.Ask {
		a.asks.trace = in.pauseTrace()
	} else {
		in.traced(f, func(s *Answer) { a.tell(s, in) })
	}
	return f
}

func (in *instance) decided(hook abi.Hook, ev *hook.Event, g *reply, a *answer) *failure {
	if f := in.pace(); f != nil {
		return f
	}
	var conn *encoded
	if ev.Conn != nil {
		conn = encode(ev.Conn, &in.generation.sees.conn)
	}
	if f := in.writeFrame(hook, ev, conn, g, 0, nil); f != nil {
		return f
	}
	result, f := in.callHook(hook, g != nil)
	if f != nil {
		return f
	}
	a.code = int32(result)
	if f = in.answer(hook, g, a); f != nil {
		in.broken = true
		return f
	}
	if len(in.effects) > 0 && a.code != abi.Ask {
		a.effects = slices.Clone(in.effects)
	}
	return nil
}

// answer reads the results that belong to the guest's return value, a.code.
func (in *instance) answer(hook abi.Hook, g *reply, a *answer) *failure {
	code := a.code
	if code == abi.Allow && hook != abi.Action {
		return nil
	}
	r := in.results()
	switch {
	case code == abi.Deny:
		a.reason = r.text(abi.ResultReason, abi.MaxReason, "reason")
		a.number = binary.LittleEndian.Uint32(r.frame[abi.ResultCode:])
	case code == abi.Drop && hook == abi.OnSayReceive:
	case code == abi.Hold && hook == abi.OnSayReceive:
		a.reason, a.ttl = r.text(abi.ResultReason, abi.MaxReason, "reason"), r.ttl()
	case code == abi.Ask && asksAt(hook):
		a.asks = r.question(in.generation.asks, g)
	case code == abi.Rewritten && hook == abi.OnSayReceive:
		a.rewrite = r.rewrite()
		r.warn(in.generation)
	case code == abi.Allow, code == abi.AllowEnd, code == abi.Rewritten && hook == abi.Action:
		if hook == abi.Action {
			a.reply = r.object(r.frame, abi.ResultReply, "reply", reservedInReply[:], nil)
		}
	default:
		return in.unknown(hook, code)
	}
	return r.err
}

// unknown returns the failure for a return value that has no meaning at the hook.
func (in *instance) unknown(hook abi.Hook, code int32) *failure {
	if code < 0 {
		return fail(Trap, "%s%s returned an error: %d", in.takeOutput(), hook.Export(), code)
	}
	return fail(Protocol, "%s returned %d, which means nothing there", hook.Export(), code)
}

// count counts n verdicts.
func (e *entry) count(code int32, n int) {
	c := e.generation.counters
	switch code {
	case abi.Deny:
		c.denied.Add(uint64(n))
	case abi.Drop:
		c.dropped.Add(uint64(n))
	case abi.Hold:
		c.held.Add(uint64(n))
	case abi.Rewritten:
		c.rewritten.Add(uint64(n))
	case abi.Ask: // of a shadow that may not ask
	default:
		c.allowed.Add(uint64(n))
	}
}
