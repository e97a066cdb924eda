// Package memory keeps events in the memory of one node. They are lost if the process ends before they are delivered.
package memory

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/events"
)

// Store is an [events.Store] in memory. The zero Store is ready to use.
type Store struct {
	Limits events.Limits // must not change after the first call

	mu      sync.Mutex
	sinks   map[events.Sink]*sink
	tenants map[string]*tenant
	total   usage
	places  uint64 // the last place

	aged, crowded, dropped uint64 // see events.Usage

	counts  [2]map[counter]uint64 // of events, today and the day before
	rotated time.Time             // when today began
}

// tenant is a tenant with events or dead letters.
type tenant struct {
	usage usage
	sinks map[events.Sink]*sink
}

// usage has the bytes of events and of dead letters.
type usage struct{ events, dead int64 }

// counter counts the events of a room for a sink.
type counter struct {
	sink events.Sink
	room string
}

// sink is a sink with events or dead letters.
type sink struct {
	usage    usage
	events   []letter
	dead     []letter
	failures int
	err      string
	dropped  uint64
	next     time.Time // zero: now
	token    uint64    // of the claim; 0: none
	until    time.Time // end of the claim
}

// letter is an event in the store.
type letter struct {
	place uint64
	size  int64
	since int64 // when it began to wait, or became a dead letter; ms since 1970
	events.Record
}

// overhead is the memory of an event beside its texts, in bytes.
const overhead = 200

func sizeOf(r *events.Record) int64 {
	return int64(overhead + len(r.ID) + len(r.Kind) + len(r.Room) + len(r.User) + len(r.Data) + len(r.Error))
}

// Partition implements [events.Store].
func (s *Store) Partition(string) int { return 0 }

// Append implements [events.Store].
func (s *Store) Append(ctx context.Context, records []events.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, r := range records {
		r.Sequence = s.count(counter{r.Sink, r.Room}, now)
		k := s.sink(r.Sink)
		k.dropped += r.Lost
		s.dropped += r.Lost
		r.Lost = 0
		s.add(k, letter{place: s.place(), size: sizeOf(&r), since: now.UnixMilli(), Record: r})
	}
	return nil
}

func (s *Store) place() uint64 {
	s.places++
	return s.places
}

// countFor is the time for which an unused count is kept.
const countFor = 24 * time.Hour

// count counts an event of a room for a sink.
func (s *Store) count(of counter, now time.Time) uint64 {
	if now.Sub(s.rotated) >= countFor {
		s.counts[1], s.counts[0], s.rotated = s.counts[0], map[counter]uint64{}, now
	}
	n := max(s.counts[0][of], s.counts[1][of]) + 1
	s.counts[0][of] = n
	return n
}

func (s *Store) sink(id events.Sink) *sink {
	if s.sinks == nil {
		s.sinks, s.tenants = map[events.Sink]*sink{}, map[string]*tenant{}
	}
	k := s.sinks[id]
	if k != nil {
		return k
	}
	t := s.tenants[id.Tenant]
	if t == nil {
		t = &tenant{sinks: map[events.Sink]*sink{}}
		s.tenants[id.Tenant] = t
	}
	k = &sink{}
	s.sinks[id], t.sinks[id] = k, k
	return k
}

// add adds an event, and moves older ones to the dead letters if there are too many.
func (s *Store) add(k *sink, l letter) {
	k.events = append(k.events, l)
	s.use(l.Sink, k, l.size, 0)
	for {
		full := s.fullest(l.Sink.Tenant, func(u *usage) int64 { return u.events })
		if full == nil {
			return
		}
		s.kill(full, 0, "too many events waited")
		s.crowded++
	}
}

// kill makes the i-th event of a sink a dead letter.
func (s *Store) kill(k *sink, i int, why string) {
	l := s.take(k, i)
	l.Error, l.since = why, time.Now().UnixMilli()
	l.size = sizeOf(&l.Record)
	k.dead = append(k.dead, l)
	s.use(l.Sink, k, 0, l.size)
	for {
		full := s.fullest(l.Sink.Tenant, func(u *usage) int64 { return u.dead })
		if full == nil {
			return
		}
		s.drop(full, 0)
		full.dropped++
		s.dropped++
	}
}

// use adds bytes of events and of dead letters.
func (s *Store) use(id events.Sink, k *sink, events, dead int64) {
	for _, of := range []*usage{&k.usage, &s.tenants[id.Tenant].usage, &s.total} {
		of.events += events
		of.dead += dead
	}
}

// fullest returns the sink that has to give up its oldest event: the one with the most bytes of the tenant that exceeds its limit, or,
// if all tenants together exceed theirs, of the tenant with the most bytes. It returns nil if no limit is exceeded. A sink that is down
// therefore does not take the place of others.
func (s *Store) fullest(name string, bytes func(*usage) int64) (full *sink) {
	limits, t := s.Limits.WithDefaults(), s.tenants[name]
	switch {
	case bytes(&s.total) > limits.TotalBytes:
		for _, other := range s.tenants {
			if bytes(&other.usage) > bytes(&t.usage) {
				t = other
			}
		}
	case bytes(&t.usage) <= limits.TenantBytes:
		return nil
	}
	for _, k := range t.sinks {
		if bytes(&k.usage) > 0 && (full == nil || bytes(&k.usage) > bytes(&full.usage)) {
			full = k
		}
	}
	return full
}

// without removes the i-th element, usually the first.
func without(all []letter, i int) []letter {
	if i > 0 {
		return slices.Delete(all, i, i+1)
	}
	all[0] = letter{}
	return all[1:]
}

// take removes the i-th event of a sink and returns it.
func (s *Store) take(k *sink, i int) letter {
	l := k.events[i]
	k.events = without(k.events, i)
	s.use(l.Sink, k, -l.size, 0)
	return l
}

// drop removes the i-th dead letter of a sink and returns it.
func (s *Store) drop(k *sink, i int) letter {
	l := k.dead[i]
	k.dead = without(k.dead, i)
	s.use(l.Sink, k, 0, -l.size)
	return l
}

// expire makes events that have waited too long dead letters, and drops old dead letters.
func (s *Store) expire(k *sink, now time.Time) {
	before := now.Add(-s.Limits.WithDefaults().Age).UnixMilli()
	for len(k.events) > 0 && k.events[0].since <= before {
		s.kill(k, 0, "the sink did not accept the event in time")
		s.aged++
	}
	for len(k.dead) > 0 && k.dead[0].since <= before {
		s.drop(k, 0)
		k.dropped++
		s.dropped++
	}
}

// forget removes the state of a sink without events and dead letters, unless its next event has to report dropped ones.
func (s *Store) forget(id events.Sink) {
	k := s.sinks[id]
	if k == nil || len(k.events)+len(k.dead) > 0 || k.dropped > 0 {
		return
	}
	t := s.tenants[id.Tenant]
	delete(s.sinks, id)
	delete(t.sinks, id)
	if len(t.sinks) == 0 {
		delete(s.tenants, id.Tenant)
	}
}

func (k *sink) due(now time.Time) bool {
	return len(k.events) > 0 && !k.next.After(now) && (k.token == 0 || !k.until.After(now))
}

// Due implements [events.Store]. It costs O(number of sinks with events or dead letters).
func (s *Store) Due(ctx context.Context, limit int) (due []events.Sink, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for id, k := range s.sinks {
		s.expire(k, now)
		if len(due) < limit && k.due(now) {
			due = append(due, id)
		}
		s.forget(id)
	}
	return due, ctx.Err()
}

// Claim implements [events.Store].
func (s *Store) Claim(ctx context.Context, id events.Sink, limit int, lease time.Duration) (*events.Claim, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, now := s.sinks[id], time.Now()
	if k == nil || !k.due(now) {
		return nil, nil
	}
	s.expire(k, now)
	defer s.forget(id)
	if len(k.events) == 0 {
		return nil, nil
	}
	k.token, k.until = s.place(), now.Add(lease)
	c := &events.Claim{Sink: id, Token: strconv.FormatUint(k.token, 10), Failures: k.failures, Dropped: k.dropped}
	size, most := 0, s.Limits.WithDefaults().ClaimBytes
	for i, l := range k.events[:min(limit, len(k.events))] {
		if size += len(l.Data); i > 0 && int64(size) > most {
			break
		}
		c.Records = append(c.Records, l.Record)
		c.Places = append(c.Places, strconv.FormatUint(l.place, 10))
	}
	return c, nil
}

// Settle implements [events.Store].
func (s *Store) Settle(ctx context.Context, c *events.Claim, result events.Result) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.sinks[c.Sink]
	if k == nil || strconv.FormatUint(k.token, 10) != c.Token {
		return false, nil
	}
	for n, place := range c.Places[:result.Delivered+result.Dead] {
		i := slices.IndexFunc(k.events, func(l letter) bool { return strconv.FormatUint(l.place, 10) == place })
		switch {
		case i < 0: // too many events have waited meanwhile
		case n < result.Delivered:
			s.take(k, i)
		default:
			s.kill(k, i, result.Error)
		}
	}
	now := time.Now()
	k.token, k.next = 0, now.Add(result.Wait)
	if result.Delivered > 0 {
		k.dropped -= min(k.dropped, c.Dropped)
	}
	switch {
	case result.Wait > 0:
		k.failures, k.err = k.failures+1, result.Error
	case result.Delivered+result.Dead > 0:
		k.failures, k.err = 0, ""
	}
	more = k.due(now)
	s.forget(c.Sink)
	return more, nil
}

// ofTenant returns the sinks of a tenant that have events or dead letters, or have to report dropped ones.
func (s *Store) ofTenant(name string) map[events.Sink]*sink {
	if t := s.tenants[name]; t != nil {
		return t.sinks
	}
	return nil
}

// Usage implements [events.Store]. It costs O(number of sinks with events or dead letters).
func (s *Store) Usage(ctx context.Context) (events.Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := events.Usage{Bytes: s.total.events, DeadBytes: s.total.dead, Aged: s.aged, Crowded: s.crowded, Dropped: s.dropped}
	for _, k := range s.sinks {
		if len(k.events) > 0 && (u.Oldest == 0 || k.events[0].since < u.Oldest) {
			u.Oldest = k.events[0].since
		}
	}
	return u, ctx.Err()
}

// States implements [events.Store].
func (s *Store) States(ctx context.Context, tenant string) (all []events.State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.ofTenant(tenant) {
		st := events.State{Sink: id.Name, Events: len(k.events), Dead: len(k.dead), Dropped: k.dropped, Failures: k.failures, Error: k.err}
		st.Bytes = k.usage.events
		if len(k.events) > 0 {
			st.Oldest, st.Next = k.events[0].since, max(k.next.UnixMilli(), k.events[0].since)
		}
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b events.State) int { return cmp.Compare(a.Sink, b.Sink) })
	return all, ctx.Err()
}

// Dead implements [events.Store].
func (s *Store) Dead(ctx context.Context, id events.Sink, cursor string, limit int) (page []events.Letter, next string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	after, _ := strconv.ParseUint(cursor, 10, 64) // "" is 0
	k := s.sinks[id]
	if k == nil {
		return nil, "", ctx.Err()
	}
	for _, l := range k.dead {
		switch {
		case l.place <= after:
		case len(page) == limit:
			return page, page[limit-1].Place, ctx.Err()
		default:
			page = append(page, events.Letter{Place: strconv.FormatUint(l.place, 10), Record: l.Record})
		}
	}
	return page, "", ctx.Err()
}

// Retry implements [events.Store].
func (s *Store) Retry(ctx context.Context, id events.Sink, places []string) (int, error) {
	return s.move(ctx, id, places, func(k *sink, l letter) {
		l.Error, l.since, l.place = "", time.Now().UnixMilli(), s.place()
		l.size = sizeOf(&l.Record)
		k.next = time.Time{}
		s.add(k, l)
	})
}

// Drop implements [events.Store].
func (s *Store) Drop(ctx context.Context, id events.Sink, places []string) (int, error) {
	return s.move(ctx, id, places, func(*sink, letter) {})
}

// move removes dead letters and passes them to f.
func (s *Store) move(ctx context.Context, id events.Sink, places []string, f func(*sink, letter)) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.sinks[id]
	if k == nil {
		return 0, nil
	}
	defer s.forget(id)
	var moved []letter
	for i := 0; i < len(k.dead) && len(moved) < events.MaxMoved; {
		if len(places) > 0 && !slices.Contains(places, strconv.FormatUint(k.dead[i].place, 10)) {
			i++
			continue
		}
		moved = append(moved, s.drop(k, i))
	}
	for _, l := range moved {
		f(k, l)
	}
	return len(moved), nil
}

// Erase implements [events.Store].
func (s *Store) Erase(ctx context.Context, tenant, user string) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.ofTenant(tenant) {
		for i := len(k.events) - 1; i >= 0; i-- {
			if k.events[i].User == user {
				s.take(k, i)
				n++
			}
		}
		for i := len(k.dead) - 1; i >= 0; i-- {
			if k.dead[i].User == user {
				s.drop(k, i)
				n++
			}
		}
		s.forget(id)
	}
	return n, nil
}
