package host

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/host/abi"
)

// answer is what one module said about an event.
type answer struct {
	code    int32 // of abi: Allow, Deny, Rewritten, AllowEnd or Drop
	reason  string
	rewrite rewrite
	reply   json.RawMessage
	effects []engine.Effect
}

// Decide implements [engine.Middleware]. A rewritten room's own chain for
// onSayReceive runs after the first chain has allowed; there no module may move the
// message again. Whether the room exists is the engine's to see.
func (h *Host) Decide(ctx context.Context, ev *engine.Event) engine.Verdict {
	r := h.running()
	if r == nil {
		return engine.Verdict{}
	}
	defer r.release()
	t := r.tenants[ev.Tenant]
	if t == nil {
		return engine.Verdict{}
	}
	run := run{ctx: ctx, ev: ev, end: now() + int64(h.cfg.ChainTimeout)}
	asked := ev.Room
	run.chain(t.chain(ev.Hook, ev.Room, ev.Action))
	if ev.Room != asked && run.verdict.Outcome == engine.Allowed {
		run.moved = true
		run.chain(t.chain(ev.Hook, ev.Room, ""))
	}
	if run.verdict.Outcome != engine.Allowed {
		run.verdict.Effects = nil
	}
	return run.verdict
}

// run is one run of a chain.
type run struct {
	ctx     context.Context
	ev      *engine.Event
	end     int64 // on the host's clock
	moved   bool  // it is the chain of the room that another chain moved the message to
	verdict engine.Verdict
}

// chain asks the entries in order, until one ends it.
func (r *run) chain(entries []*entry) {
	for _, e := range entries {
		if !r.ask(e) {
			return
		}
	}
}

// ask has one entry decide and takes over what it says; false: it ends the chain.
func (r *run) ask(e *entry) (more bool) {
	a, f := e.decide(r.ctx, r.ev, r.end)
	if f == nil && r.moved && a.rewrite.room != "" && a.rewrite.room != r.ev.Room {
		f = fail(Protocol, "room: the message was moved from %q to %q already", r.ev.Room, a.rewrite.room)
	}
	if f != nil {
		e.failed(f, r.ev)
		if e.OnError == DenyOnError && e.Mode == Enforce {
			r.verdict.Outcome, r.verdict.Module = engine.Failed, e.label
			return false
		}
		return true
	}
	e.count(a.code, 1)
	if e.Mode == Shadow {
		return true
	}
	switch a.code {
	case abi.Deny:
		r.verdict.Outcome, r.verdict.Reason, r.verdict.Module = engine.Denied, a.reason, e.label
		return false
	case abi.Drop:
		r.verdict.Outcome, r.verdict.Module = engine.Dropped, e.label
		return false
	}
	r.take(e, &a)
	return a.code != abi.AllowEnd
}

// take carries out what an entry that allows asks for.
func (r *run) take(e *entry, a *answer) {
	r.verdict.Effects = append(r.verdict.Effects, a.effects...)
	if a.reply != nil {
		r.verdict.Reply = a.reply
	}
	if a.code != abi.Rewritten {
		return
	}
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

// decide asks the module about an event, in at most the entry's timeout.
func (e *entry) decide(ctx context.Context, ev *engine.Event, end int64) (a answer, f *failure) {
	start := now()
	if e.breaker.open(start) {
		return a, &failure{Open, errOpen}
	}
	deadline := min(start+int64(e.Timeout), end)
	if deadline <= start {
		return a, &failure{Deadline, errLate}
	}
	p := e.generation.pool
	if ev.Hook == engine.HookAction {
		if f := p.enter(ctx, deadline); f != nil {
			return a, f
		}
		defer p.leave()
	}
	in, f := p.take(ctx, start, deadline)
	if f != nil {
		return a, f
	}
	a, f = in.decide(e, ev, deadline)
	p.put(in)
	return a, f
}

// decide is one call of a hook but say.
func (in *instance) decide(e *entry, ev *engine.Event, deadline int64) (a answer, f *failure) {
	hook := hookOf(ev.Hook)
	in.begin(deadline, e.label, hook, ev)
	defer in.end()
	if f := in.pace(); f != nil {
		return a, f
	}
	var conn *encoded
	if ev.Conn != nil {
		conn = encode(ev.Conn, &in.generation.sees.conn)
	}
	if f := in.writeFrame(hook, ev, conn, nil); f != nil {
		return a, f
	}
	result, f := in.call(in.hooks[hook], uint64(in.buffer))
	if f != nil {
		return a, f
	}
	if a, f = in.answer(hook, int32(result)); f != nil {
		in.broken = true
		return a, f
	}
	if len(in.effects) > 0 {
		a.effects = slices.Clone(in.effects)
	}
	return a, nil
}

// answer reads what the guest's return value says there is to read.
func (in *instance) answer(hook abi.Hook, code int32) (answer, *failure) {
	a := answer{code: code}
	if code == abi.Allow && hook != abi.Action {
		return a, nil
	}
	r := in.results()
	switch {
	case code == abi.Deny:
		a.reason = r.text(abi.ResultReason, abi.MaxReason, "reason")
	case code == abi.Drop && hook == abi.OnSayReceive:
	case code == abi.Rewritten && hook == abi.OnSayReceive:
		a.rewrite = r.rewrite()
	case code == abi.Allow, code == abi.AllowEnd, code == abi.Rewritten && hook == abi.Action:
		if hook == abi.Action {
			a.reply = r.object(r.frame, abi.ResultReply, "reply", reservedInReply[:])
		}
	default:
		return a, in.unknown(hook, code)
	}
	return a, r.err
}

// unknown is what a return value is that has no meaning at the hook.
func (in *instance) unknown(hook abi.Hook, code int32) *failure {
	if code < 0 {
		return fail(Trap, "%s%s says that it failed: %d", in.said(), hook.Export(), code)
	}
	return fail(Protocol, "%s returned %d, which means nothing there", hook.Export(), code)
}

// count books n verdicts.
func (e *entry) count(code int32, n int) {
	c := e.generation.counters
	switch code {
	case abi.Deny:
		c.denied.Add(uint64(n))
	case abi.Drop:
		c.dropped.Add(uint64(n))
	case abi.Rewritten:
		c.rewritten.Add(uint64(n))
	default:
		c.allowed.Add(uint64(n))
	}
}
