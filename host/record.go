package host

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// Recording configures the recording of decisions: denies, drops, rewrites, errors, and different verdicts of shadows.
type Recording struct {
	Ring   int  // decisions kept per module and tenant; 0: 256
	Allows int  // one of this many allows is recorded; 0: none
	Log    bool // decisions are logged too, at most 20 a second per module
	Text   bool // decisions have the text of the message, and the user
}

// maxText limits the text of a message in a decision, in bytes.
const maxText = 4 << 10

// ring keeps the last decisions of one module of one tenant.
type ring struct {
	mu   sync.Mutex
	list []kept
	next int // the oldest, once the list is full
}

// kept is a decision with the memory of its room's name. The next decision in its place reuses that memory, so that a
// thousand drops a second are recorded without allocations.
type kept struct {
	report.Decision
	room   []byte
	outage *outage // has Refused; nil: none
}

func (k *kept) set(d report.Decision, o *outage) {
	k.room = append(k.room[:0], d.Room...)
	k.Decision, k.Room, k.outage = d, "", o
}

// add keeps d with a copy of its room's name. The ring keeps size decisions.
func (r *ring) add(d report.Decision, o *outage, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) != size && r.next > 0 { // the size has changed: restore the order
		r.list, r.next = slices.Concat(r.list[r.next:], r.list[:r.next]), 0
	}
	if len(r.list) > size {
		r.list = slices.Clone(r.list[len(r.list)-size:])
	}
	if len(r.list) < size {
		r.list = append(r.list, kept{})
		r.list[len(r.list)-1].set(d, o)
		return
	}
	r.list[r.next].set(d, o)
	r.next = (r.next + 1) % size
}

func (r *ring) collect(to []report.Decision, f *report.DecisionFilter) []report.Decision {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.list {
		d := r.list[i].Decision
		if d.At <= f.Since {
			continue
		}
		d.Room = string(r.list[i].room)
		if o := r.list[i].outage; o != nil {
			d.Refused = int(o.refused.Load())
		}
		if f.Matches(&d) {
			to = append(to, d)
		}
	}
	return to
}

// Observer receives the decisions of a host when they are made. Its methods are called concurrently while chains run, and must not block.
type Observer interface {
	// Wants reports whether Decided is to be called for decisions of the tenant.
	Wants(tenant string) bool
	// Decided receives a decision about an event. It must not retain ev, nor d.Room, which may be a part of a client's frame.
	Decided(ev *hook.Event, d report.Decision)
}

// Observe replaces the observer of the host; nil: there is none.
func (h *Host) Observe(o Observer) {
	if o == nil {
		h.observer.Store(nil)
		return
	}
	h.observer.Store(&o)
}

// Decisions returns the recorded decisions that match the filter, the latest first.
func (h *Host) Decisions(f report.DecisionFilter) []report.Decision {
	var found []report.Decision
	of := h.counted.all
	if f.Tenant != "" {
		of = func() []*counters { return h.counted.ofTenant(f.Tenant) }
	}
	for _, c := range of() {
		if f.Module == "" || f.Module == c.module {
			found = c.ring.collect(found, &f)
			found = latest(&f, found, 4*f.Limit)
		}
	}
	slices.SortFunc(found, later)
	if f.Limit > 0 && len(found) > f.Limit {
		found = found[:f.Limit]
	}
	return found
}

func later(a, b report.Decision) int { return cmp.Compare(b.At, a.At) }

// latest reduces the decisions to the latest Limit, and narrows the filter to later ones, so that the decisions of all
// modules are never in memory at once.
func latest(f *report.DecisionFilter, found []report.Decision, most int) []report.Decision {
	if f.Limit == 0 || len(found) <= most {
		return found
	}
	slices.SortFunc(found, later)
	clear(found[f.Limit:])
	found = found[:f.Limit]
	f.Since = max(f.Since, found[f.Limit-1].At)
	return found
}

// stamp returns the time, later than every earlier stamp.
func (h *Host) stamp() int64 {
	for {
		last := h.stamped.Load()
		at := max(time.Now().UnixMicro(), last+1)
		if h.stamped.CompareAndSwap(last, at) {
			return at
		}
	}
}

// record records a decision of the entry about the event. It fills in empty fields of d.
func (e *entry) record(ev *hook.Event, d report.Decision) { e.recordOutage(ev, d, nil) }

// recordOutage is like record, for a decision whose Refused grows during the outage.
func (e *entry) recordOutage(ev *hook.Event, d report.Decision, o *outage) {
	h, rec := e.generation.host, &e.tenant.recording
	d.At, d.Tenant, d.Hook, d.Module, d.Shadow = millis.FromMicros(h.stamp()), ev.Tenant, ev.Hook.String(), e.label, e.Mode == Shadow
	if d.Room == "" && inRoom(ev.Hook) {
		d.Room = ev.Room
	}
	if d.Text == "" {
		d.Text = e.text(ev)
	}
	if d.User == "" {
		d.User = e.user(ev)
	}
	e.generation.counters.ring.add(d, o, cmp.Or(rec.Ring, 256))
	if rec.Log {
		e.logDecision(&d)
	}
	if o := h.observer.Load(); o != nil && (*o).Wants(ev.Tenant) {
		(*o).Decided(ev, d)
	}
}

// describe fills in fields that may change before d is recorded.
func (e *entry) describe(ev *hook.Event, d *report.Decision) {
	if inRoom(ev.Hook) {
		d.Room = strings.Clone(ev.Room) // room may be part of a client's whole frame
	}
	d.Text, d.User = e.text(ev), e.user(ev)
}

// text returns the text of the message, if texts are recorded.
func (e *entry) text(ev *hook.Event) string {
	if !e.tenant.recording.Text {
		return ""
	}
	return strings.ToValidUTF8(strings.Clone(ev.Message.Text[:min(len(ev.Message.Text), maxText)]), "")
}

// user returns the user of the event's connection, if texts are recorded.
func (e *entry) user(ev *hook.Event) string {
	if !e.tenant.recording.Text || ev.Conn == nil {
		return ""
	}
	return ev.Conn.User
}

func (e *entry) logDecision(d *report.Decision) {
	args := []any{"module", d.Module, "hook", d.Hook, "tenant", d.Tenant, "verdict", d.Verdict, "took", d.Took.Std()}
	for _, more := range []struct{ name, value string }{{"room", d.Room}, {"reason", d.Reason}, {"error", d.Error}, {"done", d.Done}, {"doneBy", d.DoneBy}, {"user", d.User}, {"text", d.Text}} {
		if more.value != "" {
			args = append(args, more.name, more.value)
		}
	}
	if d.Effects != nil {
		args = append(args, "effects", strings.Join(d.Effects, ", "))
	}
	if d.Code != 0 {
		args = append(args, "code", d.Code)
	}
	if d.Receivers > 0 {
		args = append(args, "receivers", d.Receivers)
	}
	if d.Shadow {
		args = append(args, "shadow", true)
	}
	e.generation.host.line(slog.LevelInfo, e.generation.counters, "decision", args...)
}

// sampled counts n allows and reports whether one of them is recorded: every Recording.Allows-th is.
func (e *entry) sampled(n int) bool {
	every := uint64(e.tenant.recording.Allows)
	if every == 0 {
		return false
	}
	total := e.generation.counters.sampled.Add(uint64(n))
	return total/every != (total-uint64(n))/every
}

// registry holds the counters of every module of every tenant, in use now or recently.
type registry struct {
	mu      sync.Mutex
	known   map[countersKey]*counters
	tenants map[string][]*counters // the same by tenant; the slices are immutable
}

type countersKey struct {
	tenant, module string
	shadow         bool
}

// of returns the counters of a module, and creates them if there are none.
func (r *registry) of(key countersKey) *counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known, r.tenants = make(map[countersKey]*counters), make(map[string][]*counters)
	}
	c := r.known[key]
	if c == nil {
		c = &counters{countersKey: key}
		r.known[key] = c
		r.tenants[key.tenant] = append(slices.Clip(r.tenants[key.tenant]), c)
	}
	return c
}

// ofTenant returns the counters of the tenant's modules. The caller must not change the slice.
func (r *registry) ofTenant(tenant string) []*counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tenants[tenant]
}

func (r *registry) all() (all []*counters) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.known {
		all = append(all, c)
	}
	return all
}

// maxUnused limits the counters of modules that no rules name.
const maxUnused = 256

// prune removes counters that next does not use, if there are many.
func (r *registry) prune(next *Revision) {
	used := make(map[*counters]bool)
	for _, g := range next.generations {
		used[g.counters] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, c := range r.known {
		if len(r.known) <= len(used)+maxUnused {
			return
		}
		if !used[c] {
			r.forget(key, c)
		}
	}
}

func (r *registry) forget(key countersKey, c *counters) {
	delete(r.known, key)
	var rest []*counters
	for _, other := range r.tenants[key.tenant] {
		if other != c {
			rest = append(rest, other)
		}
	}
	if r.tenants[key.tenant] = rest; len(rest) == 0 {
		delete(r.tenants, key.tenant)
	}
}

// record records the answer of an entry for members of form f, unless it is a plain allow.
func (s *scratch) record(e *entry, f int32) {
	var counts [verdicts]int
	if !slices.ContainsFunc(s.outcome, func(o int32) bool { return o != f }) {
		if e.tenant.recording.Allows == 0 {
			return
		}
		counts[allowed] = s.asks()
	} else {
		s.tally(&counts, f)
	}
	for said := allowed; said < erred; said++ {
		if n := counts[said]; n > 0 && (said != allowed || e.sampled(n)) {
			e.record(&s.event, report.Decision{Verdict: verdictNames[said], Receivers: n, Took: millis.DurationOf(time.Duration(now() - s.asked))})
		}
	}
}

// tally counts the answers of an entry for members of form f. Two comparisons are enough for
// most members.
func (s *scratch) tally(counts *[verdicts]int, f int32) {
	same, none := 0, 0
	count := func(outcome int32) {
		switch outcome {
		case f:
			same++
		case nothing:
			none++
		default:
			counts[s.meant(f, outcome)]++
		}
	}
	if s.unitOf == nil {
		for _, outcome := range s.outcome[:s.asks()] {
			count(outcome)
		}
	} else {
		for _, u := range s.unitOf[:s.asks()] {
			count(s.outcome[u])
		}
	}
	counts[allowed] += same
	counts[dropped] += none
}
