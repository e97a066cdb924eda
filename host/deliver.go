package host

import (
	"bytes"
	"context"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/report"
)

// Deliver implements [hook.Middleware]. Each entry is called once for all receivers with the same
// form of the message, in batches. If the entry declares vary, it is called for one receiver of
// each class.
func (h *Host) Deliver(ctx context.Context, ev *hook.Event, members []hook.Member) hook.Delivery {
	r := h.running()
	if r == nil {
		return hook.Delivery{All: hook.AsIs}
	}
	defer r.release()
	t := r.tenants[ev.Tenant]
	switch {
	case t == nil:
		return hook.Delivery{All: hook.Nothing}
	case len(members) == 0:
		return hook.Delivery{All: hook.AsIs}
	}
	entries := t.chain(hook.Say, ev.Room, "")
	if len(entries) == 0 {
		return hook.Delivery{All: hook.AsIs}
	}
	s := h.scratch()
	s.begin(ctx, ev, members, r.chain)
	for _, e := range entries {
		if e.Mode == Shadow {
			s.askShadow(e)
		} else {
			s.ask(e)
		}
	}
	s.compare()
	return s.delivery()
}

// scratch is the working memory of one delivery. It is reused, so that a delivery without rewrites
// allocates no memory.
type scratch struct {
	host    *Host
	ctx     context.Context
	members []hook.Member
	event   hook.Event // with the current form
	chain   int64      // time limit of the chain in ns
	end     int64      // of the chain, on the host's clock

	forms  []form // the first is the unchanged message
	asked  int64  // when the current entry was called
	until  int64  // its deadline; making the first instance moves it
	limit  int64  // the latest deadline
	ticket ticket // of its breaker, for the current call
	failed bool   // the entry failed for the current form
	split  bool   // the members do not all have the same form
	all    int32  // their form, until they are split
	of     []int32
	next   []int32 // of the members of one form, linked
	group  []int32 // members for which an entry is called; nil: all
	groups []int32 // the memory of group

	units   []unit  // of the group
	unitOf  []int32 // by place in the group; nil: each is a unit
	outcome []int32 // by unit: a form or nothing
	chosen  []unit  // units, if the group is not all members
	placed  []int32 // unitOf, if the group is not all members
	places  []int32 // by unit of the audience: its place among the chosen, plus one
	part    []byte  // of a frame, if the audience has no part for it

	verdicts []byte    // of one batch
	given    [256]bool // verdicts in it
	variants []rewrite

	shadows    []shadowed
	shadowTime int64 // the time of all shadows

	delivered []int32 // For of the delivery
	release   func()
}

// maxScratch limits the working memory that is kept for the next delivery, in units.
const maxScratch = 1 << 14

// nothing is the form of members that do not get the message.
const nothing = hook.Nothing

// failedForm is the outcome of a failed shadow, unasked that of a shadow whose breaker refused the
// call.
const (
	failedForm = nothing - 1
	unasked    = nothing - 2
)

func (h *Host) scratch() *scratch {
	select {
	case s := <-h.scratches:
		return s
	default:
	}
	s := &scratch{host: h}
	s.release = s.free
	return s
}

// free clears the pointers of the scratch and returns it to the pool.
func (s *scratch) free() {
	s.ctx, s.members, s.event = nil, nil, hook.Event{}
	clear(s.forms)
	s.units, s.unitOf = nil, nil
	clear(s.chosen[:cap(s.chosen)])
	clear(s.variants[:cap(s.variants)])
	if cap(s.outcome) > maxScratch {
		return // too large: the next room is probably smaller
	}
	select {
	case s.host.scratches <- s:
	default:
	}
}

func (s *scratch) begin(ctx context.Context, ev *hook.Event, members []hook.Member, chain int64) {
	s.ctx, s.members, s.event = ctx, members, *ev
	s.chain, s.end = chain, now()+chain
	s.forms = append(s.forms[:0], form{asIs: true, payload: wire.Payload{
		Message: ev.Message, Room: ev.Room, From: ev.From, Context: ev.Context, SentAt: ev.SentAt, Extra: ev.Extra}})
	s.split, s.all, s.shadowTime = false, 0, 0
}

// ask calls one entry for every form that members have.
func (s *scratch) ask(e *entry) {
	s.asked = now()
	s.askBy(e, s.asked, s.end)
}

// askBy is ask at time t, with a deadline at limit for all calls.
func (s *scratch) askBy(e *entry, t, limit int64) {
	s.until, s.limit = min(t+int64(e.Timeout), limit), limit
	if !s.split {
		if s.all != nothing && !s.forms[s.all].ended {
			s.group = nil
			s.about(e, s.all)
		}
		return
	}
	s.link()
	for f := range int32(len(s.forms)) {
		if s.forms[f].head >= 0 && !s.forms[f].ended {
			s.groups = s.groups[:0]
			for i := s.forms[f].head; i >= 0; i = s.next[i] {
				s.groups = append(s.groups, i)
			}
			s.group = s.groups
			s.about(e, f)
		}
	}
}

// link chains the members of each form.
func (s *scratch) link() {
	for f := range s.forms {
		s.forms[f].head = -1
	}
	s.next = resize(s.next, len(s.members))
	for i := len(s.of) - 1; i >= 0; i-- {
		if f := s.of[i]; f != nothing {
			s.next[i] = s.forms[f].head
			s.forms[f].head = int32(i)
		}
	}
}

// about calls e for the members of one form: for s.group, or for all members.
func (s *scratch) about(e *entry, f int32) {
	s.failed = false
	a := s.audience(&e.generation.declared)
	s.choose(a)
	s.show(&s.forms[f].payload)
	s.outcome = resize(s.outcome, len(s.units))
	for from := 0; from < len(s.units); {
		from = s.batch(e, f, s.from(e, a, from))
	}
	if e.Mode == Shadow {
		s.shadows[len(s.shadows)-1].note(s, f)
		return
	}
	if !s.failed {
		s.record(e, f)
	}
	s.apply()
}

// asks returns the number of members for which the entry is called.
func (s *scratch) asks() int {
	if s.group != nil {
		return len(s.group)
	}
	return len(s.members)
}

// unitAt returns the unit of the k-th of these members.
func (s *scratch) unitAt(k int) int32 {
	if s.unitOf == nil {
		return int32(k)
	}
	return s.unitOf[k]
}

// choose makes the units of the group.
func (s *scratch) choose(a *audience) {
	if s.group == nil {
		s.units, s.unitOf = a.units, a.unitOf
		return
	}
	s.places = resize(s.places, len(a.units))
	clear(s.places)
	s.chosen, s.placed = s.chosen[:0], resize(s.placed, len(s.group))
	for k, i := range s.group {
		u := a.unit(i)
		if s.places[u] == 0 {
			s.chosen = append(s.chosen, a.units[u])
			s.places[u] = int32(len(s.chosen))
		}
		s.placed[k] = s.places[u] - 1
	}
	s.units, s.unitOf = s.chosen, s.placed
}

// from returns the batch that begins with the given unit.
func (s *scratch) from(e *entry, a *audience, from int) batch {
	limits := &e.generation.batches
	if s.group == nil && limits.usual() {
		for _, b := range a.batches {
			if b.from == from {
				return b
			}
		}
	}
	to := limits.fitting(s.units, from, abi.HeaderSize+eventSize(&s.event, e.generation.sees.fields))
	s.part = appendUnits(s.part[:0], s.units[from:to])
	return batch{from, to, s.part}
}

// show changes the event to the form.
func (s *scratch) show(p *wire.Payload) {
	ev := &s.event
	ev.Message, ev.Room, ev.From, ev.Context, ev.SentAt, ev.Extra = p.Message, p.Room, p.From, p.Context, p.SentAt, p.Extra
}

// batch calls the module for some of the units, stores the outcome of each, and returns the next
// unit.
func (s *scratch) batch(e *entry, f int32, b batch) int {
	code, fail := e.say(s, s.units[b.from:b.to], b.part)
	if fail != nil && fail.err == errFewer {
		e.breaker.ignored(s.ticket)
		return b.from
	}
	outcome := s.outcome[b.from:b.to]
	if fail == nil {
		fail = s.applyAnswer(e, f, code, outcome)
	}
	if fail == nil {
		e.succeeded(s.ticket, &s.event)
		return b.to
	}
	s.failed = true
	if e.Mode == Enforce && fail != refused {
		e.record(&s.event, report.Decision{Verdict: report.Error, Reason: fail.kind.String(), Error: fail.short(), Receivers: b.to - b.from, Took: millis.DurationOf(time.Duration(now() - s.asked))})
	}
	e.failed(s.ticket, fail, &s.event)
	fill(outcome, e.failedForm(f, fail))
	return b.to
}

// failedForm returns the form for members of form f after a failure of the entry.
func (e *entry) failedForm(f int32, fail *failure) int32 {
	switch {
	case e.Mode == Shadow && fail == refused:
		return unasked
	case e.Mode == Shadow:
		return failedForm
	case e.OnError == DenyOnError:
		return nothing
	}
	return f
}

// applyAnswer records and counts the answer about the form.
func (s *scratch) applyAnswer(e *entry, f, code int32, outcome []int32) (fail *failure) {
	into := f
	switch code {
	case abi.PerReceiver:
		return s.perReceiver(e, f, outcome)
	case abi.Deny, abi.Drop:
		into = nothing
	case abi.Rewritten:
		into, fail = s.rewritten(e, f, 0)
	case abi.AllowEnd:
		into = s.ending(f)
	}
	if fail == nil {
		fill(outcome, into)
		e.count(code, len(outcome))
	}
	return fail
}

// rewritten returns the form that the k-th variant makes of f. The time counts as the module's: a
// large extra can take milliseconds.
func (s *scratch) rewritten(e *entry, f int32, k int) (int32, *failure) {
	begin := now()
	if begin >= s.until {
		return 0, fail(Deadline, "%w: the entry's timeout is %v", errDeadline, e.Timeout)
	}
	form := s.derive(f, &s.variants[k])
	end := now()
	e.tenant.gate.spend(end, end-begin)
	return form, nil
}

// perReceiver reads the verdict bytes, which are valid.
func (s *scratch) perReceiver(e *entry, f int32, outcome []int32) *failure {
	forms := [256]int32{abi.VerdictDeliver: f, abi.VerdictDrop: nothing}
	for k := range s.variants {
		v := abi.VerdictVariant + k
		if !s.given[v] {
			continue
		}
		var fail *failure
		if forms[v], fail = s.rewritten(e, f, k); fail != nil {
			return fail
		}
	}
	for i, v := range s.verdicts[:len(outcome)] {
		outcome[i] = forms[v]
	}
	delivered := bytes.Count(s.verdicts, []byte{abi.VerdictDeliver})
	dropped := bytes.Count(s.verdicts, []byte{abi.VerdictDrop})
	e.count(abi.Allow, delivered)
	e.count(abi.Drop, dropped)
	e.count(abi.Rewritten, len(outcome)-delivered-dropped)
	return nil
}

// resize returns s with length n, without its content.
func resize(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n)
	}
	return s[:n]
}

func fill(s []int32, with int32) {
	for i := range s {
		s[i] = with
	}
}
