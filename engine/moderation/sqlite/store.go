// Package sqlite keeps sanctions in an SQLite file, for one node without Redis. They survive a crash of the process or
// of the machine as soon as Set or Remove has returned. Memory does not grow with the sanctions.
//
// The file is DIR/moderation.db, with its write-ahead log beside it. One process at a time uses the directory. Other
// programs may read the file meanwhile, for example to back it up.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/mootchat/moot/engine/moderation"
)

// Store is a [moderation.Store] in a file. Create it with Open.
type Store struct {
	Limits moderation.Limits // must not change after the first call

	path string
	lock *os.File // holds the lock of the directory

	turn      chan struct{} // has one element during a call; guards the fields below
	db        *sqlite3.Conn // nil: the store is closed
	followers map[string]map[*follower]struct{}
}

// follower calls f for each change. Changes are passed during a turn, so they keep their order.
type follower struct{ f func(moderation.Change) }

// errClosed is the error of calls after Close.
var errClosed = errors.New("the store is closed")

// Close closes the file. Followers are no longer called.
func (s *Store) Close() error {
	s.turn <- struct{}{}
	defer s.leave()
	if s.db == nil {
		return nil
	}
	err := s.db.Close()
	s.db, s.followers = nil, nil
	return errors.Join(err, s.lock.Close())
}

// enter begins a turn, which leave ends.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.db == nil {
		s.leave()
		return errClosed
	}
	return nil
}

func (s *Store) leave() { <-s.turn }

// change runs f in a transaction, which is durable when change returns without an error. After an error nothing
// has changed.
func (s *Store) change(f func() error) (err error) {
	tx, err := s.db.BeginImmediate()
	if err != nil {
		return s.explain(err)
	}
	defer func() { err = s.explain(err) }()
	defer tx.End(&err)
	return f()
}

// explain adds the file, and what to do, to an error of SQLite.
func (s *Store) explain(err error) error { return explain(s.path, err) }

// Set implements [moderation.Store].
func (s *Store) Set(ctx context.Context, one moderation.Sanction) (moderation.Sanction, error) {
	if err := s.enter(ctx); err != nil {
		return one, err
	}
	defer s.leave()
	err := s.change(func() error {
		now := time.Now().UnixMilli()
		c, err := s.counters(one.Tenant)
		if err != nil {
			return err
		}
		if err := s.sweep(one.Tenant, now, &c); err != nil {
			return err
		}
		had, err := s.drop(one.Tenant, one.ID, &c)
		if err != nil {
			return err
		}
		if !had {
			if err := s.mayAdd(&one, &c); err != nil {
				return err
			}
		}
		one.At = max(now, c.last+1)
		if err := s.insert(&one); err != nil {
			return err
		}
		c.count(&one, 1)
		c.last = one.At
		return s.store(one.Tenant, c)
	})
	if err != nil {
		return one, err
	}
	s.notify(one.Tenant, moderation.Change{Set: []moderation.Sanction{one}})
	return one, nil
}

// Remove implements [moderation.Store].
func (s *Store) Remove(ctx context.Context, tenant, id string) (removed bool, err error) {
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	defer s.leave()
	err = s.change(func() error {
		c, err := s.counters(tenant)
		if err != nil {
			return err
		}
		if err := s.sweep(tenant, time.Now().UnixMilli(), &c); err != nil {
			return err
		}
		if removed, err = s.drop(tenant, id, &c); err != nil {
			return err
		}
		return s.store(tenant, c)
	})
	if err != nil {
		return false, err
	}
	if removed {
		s.notify(tenant, moderation.Change{Removed: []string{id}})
	}
	return removed, nil
}

// List implements [moderation.Store].
func (s *Store) List(ctx context.Context, tenant string, q moderation.Query) (page []moderation.Sanction, next string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.leave()
	subject, id, _ := strings.Cut(q.Cursor, "\x00")
	sql, args := sqlPage, []any{tenant, time.Now().UnixMilli(), q.Limit + 1, subject, id}
	if q.Subject != "" {
		sql, args = sqlPageOfSubject, append(args, q.Subject)
	}
	page, err = s.sanctions(tenant, sql, args...)
	if len(page) > q.Limit {
		page = page[:q.Limit]
		next = page[q.Limit-1].Place()
	}
	return page, next, s.explain(err)
}

// Follow implements [moderation.Store].
func (s *Store) Follow(ctx context.Context, tenant string, f func(moderation.Change)) (stop func(), err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	all, err := s.sanctions(tenant, sqlAll, tenant, time.Now().UnixMilli())
	if err != nil {
		return nil, s.explain(err)
	}
	one := &follower{f}
	if s.followers[tenant] == nil {
		s.followers[tenant] = map[*follower]struct{}{}
	}
	s.followers[tenant][one] = struct{}{}
	f(moderation.Change{All: true, Set: all})
	return func() {
		s.turn <- struct{}{}
		defer s.leave()
		delete(s.followers[tenant], one)
		if len(s.followers[tenant]) == 0 {
			delete(s.followers, tenant)
		}
	}, nil
}

func (s *Store) notify(tenant string, c moderation.Change) {
	for one := range s.followers[tenant] {
		one.f(c)
	}
}

// insert adds a sanction that the tenant does not have.
func (s *Store) insert(one *moderation.Sanction) error {
	network := ""
	if one.Network.IsValid() {
		network = one.Network.String()
	}
	return s.run(sqlInsert, nil, one.Tenant, one.Subject(), one.ID, one.User, network, string(one.Kind), one.Rooms, one.Until, one.Reason, one.Note, one.Module, one.By, one.At)
}

// sanctions returns the sanctions of a query. The file is damaged if one of them is not valid.
func (s *Store) sanctions(tenant, sql string, args ...any) (all []moderation.Sanction, err error) {
	err = s.run(sql, func(row *sqlite3.Stmt) error {
		one := moderation.Sanction{Tenant: tenant, User: row.ColumnText(1), Kind: moderation.Kind(row.ColumnText(3)), Rooms: row.ColumnText(4), Until: row.ColumnInt64(5),
			Reason: row.ColumnText(6), Note: row.ColumnText(7), Module: row.ColumnText(8), By: row.ColumnText(9), At: row.ColumnInt64(10)}
		if network := row.ColumnText(2); network != "" {
			if one.Network, err = netip.ParsePrefix(network); err != nil {
				return fmt.Errorf("sanction %s: %w: %w", row.ColumnText(0), err, sqlite3.CORRUPT)
			}
		}
		if err := one.Identify(); err != nil || one.ID != row.ColumnText(0) {
			return fmt.Errorf("sanction %s: %v: %w", row.ColumnText(0), err, sqlite3.CORRUPT)
		}
		all = append(all, one)
		return nil
	}, args...)
	return all, err
}
