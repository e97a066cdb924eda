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

// An entry in shadow mode is asked, and nothing comes of it: its effects and its
// failures are passed over, what it keeps in kv and rate is its own, and the chain's
// time stands still for it.

// aside is the Store of a shadow: what it changes stays beside the real one, where it
// alone sees it, and goes with its generation.
type aside struct {
	store.Store
	own *memstore.Store // what was changed, and for each such key a mark
}

func newAside(real store.Store) *aside { return &aside{real, memstore.New()} }

func mark(k store.Key) store.Key {
	k.Module += " changed" // the name of no module
	return k
}

func (a *aside) changed(k store.Key) bool { return a.own.Cached(mark(k)) != nil }

// Get implements [store.Store].
func (a *aside) Get(ctx context.Context, k store.Key) ([]byte, error) {
	if a.changed(k) {
		return a.own.Cached(k), nil
	}
	return a.Store.Get(ctx, k)
}

// Cached implements [store.Store].
func (a *aside) Cached(k store.Key) []byte {
	if a.changed(k) {
		return a.own.Cached(k)
	}
	return a.Store.Cached(k)
}

// takeOver makes the key the shadow's own, with the value that it has.
func (a *aside) takeOver(ctx context.Context, k store.Key) error {
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
func (a *aside) Set(ctx context.Context, k store.Key, value []byte, ttl time.Duration) (had bool, err error) {
	if err := a.takeOver(ctx, k); err != nil {
		return false, err
	}
	return a.own.Set(ctx, k, value, ttl)
}

// Swap implements [store.Store].
func (a *aside) Swap(ctx context.Context, k store.Key, old, value []byte, ttl time.Duration) (done bool, err error) {
	if err := a.takeOver(ctx, k); err != nil {
		return false, err
	}
	return a.own.Swap(ctx, k, old, value, ttl)
}

// Add implements [store.Store].
func (a *aside) Add(ctx context.Context, k store.Key, delta int64, ttl time.Duration) (sum int64, err error) {
	if err := a.takeOver(ctx, k); err != nil {
		return 0, err
	}
	return a.own.Add(ctx, k, delta, ttl)
}

// Take implements [store.Store]. A shadow has buckets of its own: how many tokens are left
// in the real one cannot be asked without taking any.
func (a *aside) Take(ctx context.Context, k store.Key, tokens, burst int, per time.Duration) (time.Duration, error) {
	return a.own.Take(ctx, k, tokens, burst, per)
}

// shade is what a shadow said about one event of a run.
type shade struct {
	entry    *entry
	decision report.Decision
}

// would asks a shadow, and keeps what it says until it is known what was done.
func (r *run) would(e *entry) {
	start := now()
	f := r.decide(e)
	took := now() - start
	r.end += took
	r.shaded += took
	d := report.Decision{Took: millis.DurationOf(time.Duration(took))}
	e.describe(r.ev, &d)
	if f != nil {
		d.Verdict, d.Reason, d.Error = report.Error, f.kind.String(), f.short()
		e.failed(r.ticket, f, r.ev)
		if f == refused {
			return
		}
	} else {
		e.succeeded(r.ticket, r.ev)
		e.count(r.answer.code, 1)
		d.Verdict, d.Reason = saidAt(r.ev.Hook, r.answer.code), r.answer.reason
	}
	r.shades = append(r.shades, shade{e, d})
}

// compare records what the shadows said beside what was done.
func (r *run) compare() {
	done := report.Allow
	switch {
	case r.verdict.Outcome == hook.Denied:
		done = report.Deny
	case r.verdict.Outcome == hook.Dropped:
		done = report.Drop
	case r.verdict.Outcome == hook.Failed:
		done = report.Error
	case r.rewritten:
		done = report.Rewrite
	}
	for _, s := range r.shades {
		if s.decision.Verdict != report.Allow || done != report.Allow || s.entry.sampled(1) {
			s.decision.Done = done
			if r.verdict.Outcome != hook.Allowed {
				s.decision.DoneBy = r.verdict.Module
			}
			s.entry.record(r.ev, s.decision)
		}
	}
}

// saidAt names the verdict of a return value at a hook. An action is answered
// by "rewritten" too.
func saidAt(at hook.Hook, code int32) string {
	switch code {
	case abi.Deny:
		return report.Deny
	case abi.Drop:
		return report.Drop
	case abi.Rewritten:
		if at != hook.Action {
			return report.Rewrite
		}
	}
	return report.Allow
}

// What a shadow said about a member, and what was done, as indices.
const (
	notAsked = iota
	allowed
	rewrote
	dropped
	erred
	verdicts
)

var verdictNames = [verdicts]string{"", report.Allow, report.Rewrite, report.Drop, report.Error}

// shadowed is what one shadow said about each member of a delivery.
type shadowed struct {
	entry *entry
	said  []byte // by member
	took  int64
}

// begun gives the place for what a shadow says.
func (s *scratch) begun(e *entry) *shadowed {
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

// note keeps what the shadow asked last said about the members of form f.
func (d *shadowed) note(s *scratch, f int32) {
	for k := range s.asks() {
		i := k
		if s.group != nil {
			i = int(s.group[k])
		}
		d.said[i] = s.meant(f, s.outcome[s.unitAt(k)])
	}
}

// meant is what it means for members of form f to get the outcome.
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

// compare records what the shadows said beside what was done, member by member.
func (s *scratch) compare() {
	if len(s.shadows) == 0 {
		return
	}
	s.show(&s.forms[0].payload)
	for i := range s.shadows {
		d := &s.shadows[i]
		var counts [verdicts][verdicts]int // said, done
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

// would asks a shadow about the members that are still to hear the message.
func (s *scratch) would(e *entry) {
	start := now()
	d := s.begun(e)
	s.askBy(e, start, start+s.chain-s.shaded)
	d.took = now() - start
	s.shaded += d.took
	s.end += d.took
}
