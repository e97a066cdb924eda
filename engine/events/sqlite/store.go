// Package sqlite keeps events in the SQLite file of a server without Redis. They survive a crash of the process or of the
// machine as soon as Append has returned. Memory does not grow with the events.
package sqlite

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/events"
)

// Store is an [events.Store] in a file. Create it with New.
type Store struct {
	Limits events.Limits // must not change after the first call

	file   *datafile.File // its turn guards the fields below
	claims map[events.Sink]claim
	tokens uint64 // the last token

	aged, crowded, dropped uint64 // see events.Usage
}

// claim is a claim. It ends with the process.
type claim struct {
	token string
	until time.Time
}

// New returns the store of an open file. The caller closes the file.
func New(file *datafile.File) *Store { return &Store{file: file, claims: map[events.Sink]claim{}} }

// change runs f in a transaction, in a turn.
func (s *Store) change(ctx context.Context, f func() error) error {
	if err := s.file.Enter(ctx); err != nil {
		return err
	}
	defer s.file.Leave()
	return s.file.Change(f)
}

// Partition implements [events.Store].
func (s *Store) Partition(string) int { return 0 }

// Append implements [events.Store].
func (s *Store) Append(ctx context.Context, records []events.Record) error {
	return s.change(ctx, func() error {
		now := time.Now()
		for i := range records {
			r := &records[i]
			sequence, err := s.number(sqlCount, r.Sink.Tenant, r.Sink.Name, r.Room, now.UnixMilli(), now.Add(-countFor).UnixMilli())
			if err != nil {
				return err
			}
			if err := s.insert(r, sequence, now.UnixMilli()); err != nil {
				return err
			}
			if r.Lost > 0 {
				if err := s.countDropped(r.Sink, r.Lost); err != nil {
					return err
				}
			}
		}
		return s.file.Run(sqlSweepCounts, nil, now.Add(-countFor).UnixMilli())
	})
}

// countFor is the time for which an unused count of a room is kept.
const countFor = 24 * time.Hour

// overhead is the part of an event's size that does not depend on its texts, in bytes.
const overhead = 200

// insert adds an event, and moves older ones of the sink to its dead letters if there are too many.
func (s *Store) insert(r *events.Record, sequence, now int64) error {
	size := int64(overhead + len(r.ID) + len(r.Kind) + len(r.Room) + len(r.User) + len(r.Data))
	t, k := r.Sink.Tenant, r.Sink.Name
	err := s.file.Run(sqlInsert, nil, t, k, r.ID, r.Kind, r.Room, r.User, r.At, string(r.Data), sequence, size, now)
	if err == nil {
		err = s.file.Run(sqlSink, nil, t, k)
	}
	if err == nil {
		err = s.use(r.Sink, 0, size)
	}
	for err == nil {
		full, number, failed := s.fullest(t, 0)
		if failed != nil || number == 0 {
			return failed
		}
		s.crowded++
		err = s.kill(full, number, "too many events waited", now)
	}
	return err
}

// number runs a statement that returns a number; 0 if it returns no row.
func (s *Store) number(sql string, args ...any) (n int64, err error) {
	err = s.file.Run(sql, func(row *sqlite3.Stmt) error { n = row.ColumnInt64(0); return nil }, args...)
	return n, err
}

// use adds bytes to those of a sink's events (0) or dead letters (1), and to those of all sinks.
func (s *Store) use(of events.Sink, dead int, bytes int64) error {
	for _, one := range []events.Sink{of, {}} {
		if err := s.file.Run(sqlUse, nil, one.Tenant, one.Name, dead, bytes); err != nil {
			return err
		}
	}
	return s.file.Run(sqlUnused, nil)
}

// fullest returns the sink that has to give up its oldest event (0) or dead letter (1), and the number of that: the sink with most
// bytes, of the tenant if that has too many, or of all if all together have. The number is 0 if there are not too many.
func (s *Store) fullest(tenant string, dead int) (full events.Sink, number int64, err error) {
	limits := s.Limits.WithDefaults()
	all, err := s.number(sqlUsed, "", dead)
	if err != nil {
		return full, 0, err
	}
	full.Tenant = tenant
	text := func(to *string) func(*sqlite3.Stmt) error {
		return func(row *sqlite3.Stmt) error { *to = row.ColumnText(0); return nil }
	}
	if all > limits.TotalBytes {
		err = s.file.Run(sqlFullestTenant, text(&full.Tenant), dead)
	} else if own, err := s.number(sqlUsed, tenant, dead); err != nil || own <= limits.TenantBytes {
		return full, 0, err
	}
	if err == nil {
		err = s.file.Run(sqlFullest, text(&full.Name), dead, full.Tenant)
	}
	if err == nil {
		number, err = s.number(sqlFirst, full.Tenant, full.Name, dead)
	}
	return full, number, err
}

// kill makes an event a dead letter, unless it has gone, and drops older dead letters if there are too many.
func (s *Store) kill(of events.Sink, number int64, why string, now int64) error {
	size, err := s.number(sqlKill, number, of.Tenant, of.Name, why, now)
	if err != nil || size == 0 {
		return err
	}
	if err := s.use(of, 0, -size); err != nil {
		return err
	}
	if err := s.use(of, 1, size); err != nil {
		return err
	}
	for {
		full, first, err := s.fullest(of.Tenant, 1)
		if err != nil || first == 0 {
			return err
		}
		if err := s.drop(full, first); err != nil {
			return err
		}
	}
}

// drop removes a dead letter and counts it as dropped.
func (s *Store) drop(of events.Sink, number int64) error {
	if _, err := s.take(of, number, 1); err != nil {
		return err
	}
	return s.countDropped(of, 1)
}

// countDropped counts events of a sink that are not delivered and no longer in the store.
func (s *Store) countDropped(of events.Sink, n uint64) error {
	s.dropped += n
	return s.file.Run(sqlDropped, nil, of.Tenant, of.Name, int64(n))
}

// take removes an event (0) or a dead letter (1), and reports whether it was there.
func (s *Store) take(of events.Sink, number int64, dead int) (bool, error) {
	size, err := s.number(sqlTake, number, of.Tenant, of.Name, dead)
	if err != nil || size == 0 {
		return false, err
	}
	return true, s.use(of, dead, -size)
}

// expire makes events that have waited too long dead letters, and drops old dead letters: up to 100 of each.
func (s *Store) expire(of events.Sink, now time.Time) error {
	before := now.Add(-s.Limits.WithDefaults().Age).UnixMilli()
	for dead := range 2 {
		var old []int64
		if err := s.file.Run(sqlOld, func(row *sqlite3.Stmt) error { old = append(old, row.ColumnInt64(0)); return nil }, of.Tenant, of.Name, dead, before); err != nil {
			return err
		}
		for _, number := range old {
			err := error(nil)
			if dead == 0 {
				s.aged++
				err = s.kill(of, number, "the sink did not accept the event in time", now.UnixMilli())
			} else {
				err = s.drop(of, number)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Due implements [events.Store]. It also drops old dead letters.
func (s *Store) Due(ctx context.Context, limit int) (due []events.Sink, err error) {
	if err := s.file.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.file.Leave()
	now := time.Now()
	var all, old []events.Sink
	sinks := func(to *[]events.Sink) func(*sqlite3.Stmt) error {
		return func(row *sqlite3.Stmt) error {
			*to = append(*to, events.Sink{Tenant: row.ColumnText(0), Name: row.ColumnText(1)})
			return nil
		}
	}
	if err := s.file.Run(sqlDue, sinks(&all), now.UnixMilli()); err != nil {
		return nil, s.file.Explain(err)
	}
	if err := s.file.Run(sqlOldSinks, sinks(&old), now.Add(-s.Limits.WithDefaults().Age).UnixMilli()); err != nil {
		return nil, s.file.Explain(err)
	}
	for _, sink := range old {
		if err := s.file.Change(func() error { return s.expire(sink, now) }); err != nil {
			return nil, err
		}
	}
	for _, sink := range all {
		if c, claimed := s.claims[sink]; len(due) < limit && (!claimed || !c.until.After(now)) {
			due = append(due, sink)
		}
	}
	return due, nil
}

// Claim implements [events.Store].
func (s *Store) Claim(ctx context.Context, sink events.Sink, limit int, lease time.Duration) (c *events.Claim, err error) {
	err = s.change(ctx, func() error {
		now := time.Now()
		if held, claimed := s.claims[sink]; claimed && held.until.After(now) {
			return nil
		}
		if err := s.expire(sink, now); err != nil {
			return err
		}
		one := &events.Claim{Sink: sink}
		next := int64(0)
		if err := s.file.Run(sqlState, func(row *sqlite3.Stmt) error {
			one.Failures, one.Dropped, next = row.ColumnInt(0), uint64(row.ColumnInt64(1)), row.ColumnInt64(2)
			return nil
		}, sink.Tenant, sink.Name); err != nil || next > now.UnixMilli() {
			return err
		}
		letters, err := s.letters(sink, 0, 0, limit, int(s.Limits.WithDefaults().ClaimBytes))
		if err != nil || len(letters) == 0 {
			return err
		}
		for _, l := range letters {
			one.Records, one.Places = append(one.Records, l.Record), append(one.Places, l.Place)
		}
		s.tokens++
		one.Token = strconv.FormatUint(s.tokens, 10)
		s.claims[sink] = claim{one.Token, now.Add(lease)}
		c = one
		return nil
	})
	return c, err
}

// errEnough ends a query that has read enough rows.
var errEnough = errors.New("enough")

// letters returns events (0) or dead letters (1) of a sink after a place, at most limit. The data of several have together at most the
// given number of bytes.
func (s *Store) letters(sink events.Sink, dead int, after int64, limit, bytes int) (all []events.Letter, err error) {
	err = s.file.Run(sqlLetters, func(row *sqlite3.Stmt) error {
		r := events.Record{Sink: sink, Sequence: uint64(row.ColumnInt64(7)), Error: row.ColumnText(8), Event: events.Event{
			ID: row.ColumnText(1), Kind: row.ColumnText(2), Room: row.ColumnText(3), User: row.ColumnText(4), At: row.ColumnInt64(5), Data: []byte(row.ColumnText(6))}}
		if bytes -= len(r.Data); bytes < 0 && len(all) > 0 {
			return errEnough
		}
		all = append(all, events.Letter{Place: strconv.FormatInt(row.ColumnInt64(0), 10), Record: r})
		return nil
	}, sink.Tenant, sink.Name, dead, after, limit)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return all, err
}

// Settle implements [events.Store].
func (s *Store) Settle(ctx context.Context, c *events.Claim, result events.Result) (more bool, err error) {
	err = s.change(ctx, func() error {
		if s.claims[c.Sink].token != c.Token {
			return nil
		}
		now, t, k := time.Now().UnixMilli(), c.Sink.Tenant, c.Sink.Name
		for i, place := range c.Places[:result.Delivered+result.Dead] {
			number, err := strconv.ParseInt(place, 10, 64)
			if err == nil && i < result.Delivered {
				_, err = s.take(c.Sink, number, 0)
			} else if err == nil {
				err = s.kill(c.Sink, number, result.Error, now)
			}
			if err != nil {
				return err
			}
		}
		if result.Delivered > 0 && c.Dropped > 0 {
			if err := s.file.Run(sqlTold, nil, t, k, int64(c.Dropped)); err != nil {
				return err
			}
		}
		var err error
		switch {
		case result.Wait > 0:
			err = s.file.Run(sqlFailed, nil, t, k, result.Error, now+max(1, result.Wait.Milliseconds()))
		case result.Delivered+result.Dead > 0:
			err = s.file.Run(sqlWorked, nil, t, k)
		}
		if err != nil {
			return err
		}
		if err := s.file.Run(sqlForget, nil, t, k); err != nil {
			return err
		}
		first, err := s.number(sqlFirst, t, k, 0)
		more = first != 0 && result.Wait == 0
		return err
	})
	if err == nil {
		s.release(c)
	}
	return more && err == nil, err
}

// release ends a claim.
func (s *Store) release(c *events.Claim) {
	s.file.Lock()
	defer s.file.Leave()
	if s.claims[c.Sink].token == c.Token {
		delete(s.claims, c.Sink)
	}
}
