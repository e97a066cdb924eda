package sqlite

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/mootchat/moot/engine/events"
)

// States implements [events.Store].
func (s *Store) States(ctx context.Context, tenant string) (all []events.State, err error) {
	if err := s.file.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.file.Leave()
	err = s.file.Run(sqlStates, func(row *sqlite3.Stmt) error {
		st := events.State{Sink: row.ColumnText(0), Events: row.ColumnInt(1), Bytes: row.ColumnInt64(2), Oldest: row.ColumnInt64(3), Dead: row.ColumnInt(4),
			Failures: row.ColumnInt(5), Dropped: uint64(row.ColumnInt64(6)), Error: row.ColumnText(7)}
		if st.Events > 0 {
			st.Next = max(st.Oldest, row.ColumnInt64(8))
		}
		all = append(all, st)
		return nil
	}, tenant)
	return all, s.file.Explain(err)
}

// Usage implements [events.Store]. It costs O(number of sinks with events or dead letters). Aged, Crowded and Dropped are those since New.
func (s *Store) Usage(ctx context.Context) (u events.Usage, err error) {
	if err := s.file.Enter(ctx); err != nil {
		return u, err
	}
	defer s.file.Leave()
	u.Aged, u.Crowded, u.Dropped = s.aged, s.crowded, s.dropped
	u.Bytes, err = s.number(sqlUsed, "", 0)
	if err == nil {
		u.DeadBytes, err = s.number(sqlUsed, "", 1)
	}
	if err == nil {
		u.Oldest, err = s.number(sqlOldest)
	}
	return u, s.file.Explain(err)
}

// Dead implements [events.Store].
func (s *Store) Dead(ctx context.Context, sink events.Sink, cursor string, limit int) (page []events.Letter, next string, err error) {
	after, _ := strconv.ParseInt(cursor, 10, 64) // "" is 0
	if err := s.file.Enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.file.Leave()
	page, err = s.letters(sink, 1, after, limit+1, math.MaxInt)
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].Place
	}
	return page, next, s.file.Explain(err)
}

// Retry implements [events.Store].
func (s *Store) Retry(ctx context.Context, sink events.Sink, places []string) (int, error) {
	return s.move(ctx, sink, places, func(l *events.Letter) error {
		l.Error = ""
		if err := s.insert(&l.Record, int64(l.Sequence), time.Now().UnixMilli()); err != nil {
			return err
		}
		return s.file.Run(sqlAtOnce, nil, sink.Tenant, sink.Name)
	})
}

// Drop implements [events.Store].
func (s *Store) Drop(ctx context.Context, sink events.Sink, places []string) (int, error) {
	return s.move(ctx, sink, places, func(*events.Letter) error { return nil })
}

// move removes dead letters and passes them to f.
func (s *Store) move(ctx context.Context, sink events.Sink, places []string, f func(*events.Letter) error) (n int, err error) {
	err = s.change(ctx, func() error {
		n = 0
		chosen, err := s.chosen(sink, places)
		if err != nil {
			return err
		}
		for i := range chosen {
			number, err := strconv.ParseInt(chosen[i].Place, 10, 64)
			if err == nil {
				_, err = s.take(sink, number, 1)
			}
			if err == nil {
				err = f(&chosen[i])
			}
			if err != nil {
				return err
			}
			n++
		}
		return s.file.Run(sqlForget, nil, sink.Tenant, sink.Name)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// chosen returns the dead letters at places, in order; if places is empty, the oldest ones.
func (s *Store) chosen(sink events.Sink, places []string) (all []events.Letter, err error) {
	if len(places) == 0 {
		return s.letters(sink, 1, 0, events.MaxMoved, math.MaxInt)
	}
	var numbers []int64
	for _, place := range places {
		if n, err := strconv.ParseInt(place, 10, 64); err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range slices.Compact(numbers)[:min(len(slices.Compact(numbers)), events.MaxMoved)] {
		one, err := s.letters(sink, 1, n-1, 1, math.MaxInt)
		if err != nil {
			return nil, err
		}
		if len(one) == 1 && one[0].Place == strconv.FormatInt(n, 10) {
			all = append(all, one[0])
		}
	}
	return all, nil
}

// Erase implements [events.Store].
func (s *Store) Erase(ctx context.Context, tenant, user string) (n int, err error) {
	err = s.change(ctx, func() error {
		n = 0
		sizes := map[string]*[2]int64{} // by sink
		if err := s.file.Run(sqlErase, func(row *sqlite3.Stmt) error {
			of := sizes[row.ColumnText(0)]
			if of == nil {
				of = new([2]int64)
				sizes[row.ColumnText(0)] = of
			}
			of[row.ColumnInt(1)] += row.ColumnInt64(2)
			n++
			return nil
		}, tenant, user); err != nil {
			return err
		}
		for sink, of := range sizes {
			for dead, size := range of {
				if err := s.use(events.Sink{Tenant: tenant, Name: sink}, dead, -size); err != nil {
					return err
				}
			}
			if err := s.file.Run(sqlForget, nil, tenant, sink); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}
