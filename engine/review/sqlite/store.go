// Package sqlite keeps the review queue in an SQLite file, for one node without Redis. Items survive a crash of the process
// or of the machine as soon as Put has returned. Memory does not grow with the items. Package datafile opens the file.
package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/review"
)

// Store is a [review.Store] in a file. Create it with New.
type Store struct{ file *datafile.File }

// New returns the store of an open file. The caller closes the file.
func New(file *datafile.File) *Store { return &Store{file} }

// change runs f in a transaction, in a turn of the file.
func (s *Store) change(ctx context.Context, f func() error) error {
	if err := s.file.Enter(ctx); err != nil {
		return err
	}
	defer s.file.Leave()
	return unavailable(s.file.Change(f))
}

// unavailable adds review.ErrUnavailable to an error of the disk, and returns other errors as they are.
func unavailable(err error) error {
	if errors.Is(err, datafile.ErrDisk) {
		return fmt.Errorf("%w: %w", review.ErrUnavailable, err)
	}
	return err
}

// read runs f in a turn of the file.
func (s *Store) read(ctx context.Context, f func() error) error {
	if err := s.file.Enter(ctx); err != nil {
		return err
	}
	defer s.file.Leave()
	return unavailable(s.file.Explain(f()))
}

// Put implements [review.Store].
func (s *Store) Put(ctx context.Context, one review.Item, limits review.Limits) (stored review.Item, err error) {
	if err := one.Validate(); err != nil {
		return one, err
	}
	stored = one
	err = s.change(ctx, func() error {
		old, had, err := s.get(one.Tenant, sqlGet, one.ID)
		switch {
		case err != nil:
			return err
		case one.Revision == 0 && had:
			stored = old
			return review.ErrExists
		case one.Revision > 0 && !had:
			return review.ErrNone
		case had && old.Revision != one.Revision:
			return review.ErrConflict
		}
		if one.Unique != "" {
			other, is, err := s.get(one.Tenant, sqlSame, one.Unique)
			if err == nil && is && other.ID != one.ID {
				stored, err = other, review.ErrExists
			}
			if err != nil {
				return err
			}
		}
		if one.State != review.Decided && (!had || old.State == review.Decided) {
			if err := s.mayAdd(&one, limits); err != nil {
				return err
			}
		}
		stored.Revision++
		if had {
			err = s.remove(&old)
		}
		if err == nil {
			err = s.insert(&stored)
		}
		if err == nil {
			err = s.bound(one.Tenant, limits.WithDefaults())
		}
		return err
	})
	if err != nil && !errors.Is(err, review.ErrExists) {
		stored = one
	}
	return stored, err
}

// Get implements [review.Store].
func (s *Store) Get(ctx context.Context, tenant, id string) (one review.Item, err error) {
	err = s.read(ctx, func() error {
		had := false
		if one, had, err = s.get(tenant, sqlGet, id); err == nil && !had {
			err = review.ErrNone
		}
		return err
	})
	return one, err
}

// List implements [review.Store].
func (s *Store) List(ctx context.Context, tenant string, q review.Query) (page []review.Item, next string, err error) {
	err = s.read(ctx, func() error {
		ids, err := []string(nil), error(nil)
		if ids, next, err = s.selected(tenant, &q); err != nil {
			return err
		}
		for _, id := range ids {
			one, had, err := s.get(tenant, sqlGet, id)
			if err == nil && !had {
				err = fmt.Errorf("item %s: %w", id, sqlite3.CORRUPT)
			}
			if err != nil {
				return err
			}
			page = append(page, one)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

// selected returns the IDs of a page.
func (s *Store) selected(tenant string, q *review.Query) (ids []string, next string, err error) {
	sql, args := sqlList, []any{tenant, decided(q.Decided), q.Cursor, review.MaxScanned + 1}
	if q.Subject != "" {
		sql, args = sqlListOfSubject, append(args, q.Subject)
	}
	last, scanned := "", 0
	err = s.file.Run(sql, func(row *sqlite3.Stmt) error {
		if next != "" {
			return nil
		}
		if len(ids) == q.Limit || scanned == review.MaxScanned {
			next = last
			return nil
		}
		last, scanned = row.ColumnText(0), scanned+1
		if is := row.ColumnInt(3) == decided(q.Decided); is && (q.Kind == "" || string(q.Kind) == row.ColumnText(1)) && (q.Room == "" || q.Room == row.ColumnText(2)) {
			ids = append(ids, last)
		}
		return nil
	}, args...)
	return ids, next, err
}

func decided(is bool) int {
	if is {
		return 1
	}
	return 0
}

// Due implements [review.Store].
func (s *Store) Due(ctx context.Context, tenant string, now int64, limit int) (due []review.Item, err error) {
	if due, err = s.dueOf(ctx, tenant, sqlDue, now, limit); err != nil {
		return nil, err
	}
	ended, err := s.dueOf(ctx, tenant, sqlEnded, now, review.MaxScanned)
	if err != nil || len(ended) == 0 {
		return due, err
	}
	err = s.change(ctx, func() error {
		for i := range ended {
			one, had, err := s.get(tenant, sqlGet, ended[i].ID)
			if err == nil && had && one.Revision == ended[i].Revision {
				err = s.removeCounted(&one)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return due, err
}

func (s *Store) dueOf(ctx context.Context, tenant, sql string, now int64, limit int) (due []review.Item, err error) {
	err = s.read(ctx, func() error {
		return s.file.Run(sql, func(row *sqlite3.Stmt) error {
			one, err := parse(tenant, row)
			due = append(due, one)
			return err
		}, tenant, now, limit)
	})
	return due, err
}

// Remove implements [review.Store].
func (s *Store) Remove(ctx context.Context, tenant, id string) (had bool, err error) {
	err = s.change(ctx, func() error {
		var one review.Item
		if one, had, err = s.get(tenant, sqlGet, id); err == nil && had {
			err = s.removeCounted(&one)
		}
		return err
	})
	return had && err == nil, err
}

// Tenants implements [review.Store].
func (s *Store) Tenants(ctx context.Context) (names []string, err error) {
	err = s.read(ctx, func() error {
		return s.file.Run(sqlTenants, func(row *sqlite3.Stmt) error {
			names = append(names, row.ColumnText(0))
			return nil
		})
	})
	return names, err
}

// Summary implements [review.Store].
func (s *Store) Summary(ctx context.Context, tenant string) (sum review.Summary, err error) {
	err = s.read(ctx, func() error {
		if err := s.file.Run(sqlVersion, func(row *sqlite3.Stmt) error {
			sum.Version, sum.Dropped = row.ColumnInt64(0), row.ColumnInt64(1)
			return nil
		}, tenant); err != nil {
			return err
		}
		for kind, count := range map[review.Kind]*review.Count{review.Held: &sum.Held, review.Report: &sum.Reports} {
			c, err := s.count(tenant, string(kind))
			if err == nil {
				err = s.file.Run(sqlOldest, func(row *sqlite3.Stmt) error { count.Oldest = row.ColumnText(0); return nil }, tenant, string(kind))
			}
			if err != nil {
				return err
			}
			count.Items, count.Bytes = c.items, c.bytes
		}
		c, err := s.count(tenant, kindDecided)
		sum.Decided = c.items
		return err
	})
	return sum, err
}
