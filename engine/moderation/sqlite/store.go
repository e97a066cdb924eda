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
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/moderation"
)

// Store is a [moderation.Store] in a file. Create it with New.
type Store struct {
	Limits moderation.Limits // must not change after the first call

	file      *datafile.File // its turn guards followers
	followers map[string]map[*follower]struct{}
}

// New returns the store of an open file. The caller closes the file; followers are no longer called after that.
func New(file *datafile.File) *Store {
	return &Store{file: file, followers: map[string]map[*follower]struct{}{}}
}

// follower receives each change by f, which is called during a turn of the file: the calls have the order of the changes.
type follower struct{ f func(moderation.Change) }

// Set implements [moderation.Store].
func (s *Store) Set(ctx context.Context, one moderation.Sanction) (moderation.Sanction, error) {
	if err := s.file.Enter(ctx); err != nil {
		return one, err
	}
	defer s.file.Leave()
	err := s.file.Change(func() error {
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
		return one, unavailable(err)
	}
	s.notify(one.Tenant, moderation.Change{Set: []moderation.Sanction{one}})
	return one, nil
}

// unavailable adds moderation.ErrUnavailable to an error of the disk, and returns other errors as they are.
func unavailable(err error) error {
	if errors.Is(err, datafile.ErrDisk) {
		return fmt.Errorf("%w: %w", moderation.ErrUnavailable, err)
	}
	return err
}

// Remove implements [moderation.Store].
func (s *Store) Remove(ctx context.Context, tenant, id string) (removed bool, err error) {
	if err := s.file.Enter(ctx); err != nil {
		return false, err
	}
	defer s.file.Leave()
	err = s.file.Change(func() error {
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
		return false, unavailable(err)
	}
	if removed {
		s.notify(tenant, moderation.Change{Removed: []string{id}})
	}
	return removed, nil
}

// List implements [moderation.Store].
func (s *Store) List(ctx context.Context, tenant string, q moderation.Query) (page []moderation.Sanction, next string, err error) {
	if err := s.file.Enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.file.Leave()
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
	return page, next, s.file.Explain(err)
}

// Follow implements [moderation.Store].
func (s *Store) Follow(ctx context.Context, tenant string, f func(moderation.Change)) (stop func(), err error) {
	if err := s.file.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.file.Leave()
	all, err := s.sanctions(tenant, sqlAll, tenant, time.Now().UnixMilli())
	if err != nil {
		return nil, s.file.Explain(err)
	}
	one := &follower{f}
	if s.followers[tenant] == nil {
		s.followers[tenant] = map[*follower]struct{}{}
	}
	s.followers[tenant][one] = struct{}{}
	f(moderation.Change{All: true, Set: all})
	return func() {
		s.file.Lock()
		defer s.file.Leave()
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
	return s.file.Run(sqlInsert, nil, one.Tenant, one.Subject(), one.ID, one.User, network, string(one.Kind), one.Rooms, one.Until, one.Reason, one.Note, one.Module, one.By, one.At)
}

// sanctions returns the sanctions of a query. The file is damaged if one of them is not valid.
func (s *Store) sanctions(tenant, sql string, args ...any) (all []moderation.Sanction, err error) {
	err = s.file.Run(sql, func(row *sqlite3.Stmt) error {
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
