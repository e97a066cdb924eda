package host

import (
	"context"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/report"
	"github.com/mootchat/moot/host/store"
	memstore "github.com/mootchat/moot/host/store/memory"
)

// An entry in shadow mode is called without effect: its effects and failures are dropped, its data (kv, rate) is
// separate, and its time does not count for the chain.

// shadowStore is the Store of a shadow: changes stay in memory, visible to the shadow only, and end with its generation.
type shadowStore struct {
	store.Store
	own *memstore.Store // the changed values, and a mark for each changed key
}

func newShadowStore(real store.Store) *shadowStore { return &shadowStore{real, memstore.New()} }

func mark(k store.Key) store.Key {
	k.Module += " changed" // not a valid name of a module
	return k
}

func (a *shadowStore) changed(k store.Key) bool { return a.own.Cached(mark(k)) != nil }

// Get implements [store.Store].
func (a *shadowStore) Get(ctx context.Context, k store.Key) ([]byte, error) {
	if a.changed(k) {
		return a.own.Cached(k), nil
	}
	return a.Store.Get(ctx, k)
}

// Cached implements [store.Store].
func (a *shadowStore) Cached(k store.Key) []byte {
	if a.changed(k) {
		return a.own.Cached(k)
	}
	return a.Store.Cached(k)
}

// takeOver copies a key with its value to the shadow's own store.
func (a *shadowStore) takeOver(ctx context.Context, k store.Key) error {
	if a.changed(k) {
		return nil
	}
	value, err := a.Store.Get(ctx, k)
	if err == nil && value != nil {
		_, err = a.own.Swap(ctx, k, nil, value, 0)
	}
	if err == nil {
		_, err = a.own.Set(ctx, mark(k), []byte{1}, 0)
	}
	return err
}

// Set implements [store.Store].
func (a *shadowStore) Set(ctx context.Context, k store.Key, value []byte, ttl time.Duration) (had bool, err error) {
	if err := a.takeOver(ctx, k); err != nil {
		return false, err
	}
	return a.own.Set(ctx, k, value, ttl)
}

// Swap implements [store.Store].
func (a *shadowStore) Swap(ctx context.Context, k store.Key, old, value []byte, ttl time.Duration) (done bool, err error) {
	if err := a.takeOver(ctx, k); err != nil {
		return false, err
	}
	return a.own.Swap(ctx, k, old, value, ttl)
}

// Add implements [store.Store].
func (a *shadowStore) Add(ctx context.Context, k store.Key, delta int64, ttl time.Duration) (sum int64, err error) {
	if err := a.takeOver(ctx, k); err != nil {
		return 0, err
	}
	return a.own.Add(ctx, k, delta, ttl)
}

// Take implements [store.Store]. A shadow has its own buckets: a read of the tokens left in a real bucket would take
// some.
func (a *shadowStore) Take(ctx context.Context, k store.Key, tokens, burst int, per time.Duration) (time.Duration, error) {
	return a.own.Take(ctx, k, tokens, burst, per)
}

// shadowAnswer is the answer of a shadow to one event of a run.
type shadowAnswer struct {
	entry    *entry
	decision report.Decision
	asks     *question // to be sent after the chain has ended; nil: the shadow has its verdict
}

// askShadow calls a shadow, and keeps its answer until the outcome of the chain is known.
func (r *run) askShadow(e *entry) {
	start := now()
	f := r.decide(e, nil)
	took := now() - start
	r.end += took
	r.shadowTime += took
	if f == nil && r.answer.code == abi.Ask && !e.NoAsks {
		e.succeeded(r.ticket, r.ev)
		r.shadowAnswers = append(r.shadowAnswers, shadowAnswer{entry: e, asks: r.answer.asks})
		return
	}
	if f == nil && r.answer.code == abi.Ask && r.answer.asks.trace != nil {
		r.answer.asks.trace.Answer.Verdict = abi.Ask
		e.generation.host.endTrace(r.answer.asks.trace, nil)
	}
	if d, ok := r.shadowDecision(e, f); ok {
		d.Took = millis.DurationOf(time.Duration(took))
		r.shadowAnswers = append(r.shadowAnswers, shadowAnswer{entry: e, decision: d})
	}
}

// shadowDecision counts the answer of a shadow, or its failure, and returns it as a decision. It returns false if the module was
// not called.
func (r *run) shadowDecision(e *entry, f *failure) (d report.Decision, called bool) {
	e.describe(r.ev, &d)
	if f != nil {
		d.Verdict, d.Reason, d.Error = report.Error, f.kind.String(), f.short()
		e.failed(r.ticket, f, r.ev)
		return d, f != refused && !f.silent()
	}
	e.succeeded(r.ticket, r.ev)
	r.answer.holdOrDeny(r.ev)
	e.count(r.answer.code, 1)
	d.Verdict, d.Reason, d.Code = saidAt(r.ev.Hook, r.answer.code), r.answer.reason, r.answer.number
	d.Effects = effectsInWords(r.answer.effects)
	return d, true
}

// compare records the answers of the shadows beside the outcome.
func (r *run) compare() {
	done := report.Allow
	switch {
	case r.verdict.Outcome == hook.Denied:
		done = report.Deny
	case r.verdict.Outcome == hook.Dropped:
		done = report.Drop
	case r.verdict.Outcome == hook.Failed:
		done = report.Error
	case r.verdict.Outcome == hook.Held:
		done = report.Hold
	case r.rewritten:
		done = report.Rewrite
	}
	for _, s := range r.shadowAnswers {
		if s.asks != nil {
			r.askAfterwards(s, done)
			continue
		}
		r.recordShadow(s, done)
	}
}

// recordShadow records the answer of a shadow. done is the verdict that was applied.
func (r *run) recordShadow(s shadowAnswer, done string) {
	if s.decision.Verdict != report.Allow || done != report.Allow || s.decision.Effects != nil || s.entry.sampled(1) {
		s.decision.Done = done
		if r.verdict.Outcome != hook.Allowed {
			s.decision.DoneBy = r.verdict.Module
		}
		s.entry.record(r.ev, s.decision)
	}
}

// saidAt returns the name of a return value at a hook. At an action Rewritten counts as an allow.
func saidAt(at hook.Hook, code int32) string {
	switch code {
	case abi.Deny:
		return report.Deny
	case abi.Drop:
		return report.Drop
	case abi.Hold:
		return report.Hold
	case abi.Ask:
		return report.Asked
	case abi.Rewritten:
		if at != hook.Action {
			return report.Rewrite
		}
	}
	return report.Allow
}

// Indices of the verdicts of shadows and of outcomes.
const (
	notAsked = iota
	allowed
	rewrote
	dropped
	erred
	verdicts
)

var verdictNames = [verdicts]string{"", report.Allow, report.Rewrite, report.Drop, report.Error}

// shadowed has the answers of one shadow for the members of a delivery.
type shadowed struct {
	entry *entry
	said  []byte // by member
	took  int64
}

// addShadow returns the place for the answers of a shadow.
func (s *scratch) addShadow(e *entry) *shadowed {
	if len(s.shadows) < cap(s.shadows) {
		s.shadows = s.shadows[:len(s.shadows)+1]
	} else {
		s.shadows = append(s.shadows, shadowed{})
	}
	d := &s.shadows[len(s.shadows)-1]
	if cap(d.said) < len(s.members) {
		d.said = make([]byte, len(s.members))
	}
	d.entry, d.took, d.said = e, 0, d.said[:len(s.members)]
	clear(d.said)
	return d
}

// note stores the answer of the last shadow for the members of form f.
func (d *shadowed) note(s *scratch, f int32) {
	for k := range s.asks() {
		i := k
		if s.group != nil {
			i = int(s.group[k])
		}
		d.said[i] = s.meant(f, s.outcome[s.unitAt(k)])
	}
}

// meant returns the meaning of the outcome for members of form f.
func (s *scratch) meant(f, outcome int32) byte {
	switch {
	case outcome == nothing:
		return dropped
	case outcome == failedForm:
		return erred
	case outcome == unasked:
		return notAsked
	case outcome == f, equal(&s.forms[outcome].payload, &s.forms[f].payload):
		return allowed
	}
	return rewrote
}

// compare records the answers of the shadows beside the outcome, member by member.
func (s *scratch) compare() {
	if len(s.shadows) == 0 {
		return
	}
	s.show(&s.forms[0].payload)
	for i := range s.shadows {
		d := &s.shadows[i]
		var counts [verdicts][verdicts]int // answer, outcome
		for m, said := range d.said {
			f := s.all
			if s.split {
				f = s.of[m]
			}
			counts[said][s.meant(0, f)]++
		}
		for said := allowed; said < verdicts; said++ {
			for done, n := range counts[said] {
				if n > 0 && (said != allowed || done != allowed || d.entry.sampled(n)) {
					d.entry.record(&s.event, report.Decision{Verdict: verdictNames[said], Receivers: n, Took: millis.DurationOf(time.Duration(d.took)), Done: verdictNames[done]})
				}
			}
		}
		d.entry = nil
	}
	s.shadows = s.shadows[:0]
}

// askShadow calls a shadow for the members that still get the message.
func (s *scratch) askShadow(e *entry) {
	start := now()
	d := s.addShadow(e)
	s.askBy(e, start, start+s.chain-s.shadowTime)
	d.took = now() - start
	s.shadowTime += d.took
	s.end += d.took
}
