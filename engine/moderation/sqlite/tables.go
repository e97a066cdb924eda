package sqlite

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/mootchat/moot/engine/moderation"
)

const (
	columns = `id, user, network, kind, rooms, until, reason, note, module, by, at`

	sqlPage = `SELECT ` + columns + ` FROM sanctions
WHERE tenant = ?1 AND (subject, id) > (?4, ?5) AND (until = 0 OR until > ?2) ORDER BY subject, id LIMIT ?3`
	sqlPageOfSubject = `SELECT ` + columns + ` FROM sanctions
WHERE tenant = ?1 AND subject = ?6 AND (subject, id) > (?4, ?5) AND (until = 0 OR until > ?2) ORDER BY id LIMIT ?3`
	sqlAll = `SELECT ` + columns + ` FROM sanctions WHERE tenant = ?1 AND (until = 0 OR until > ?2)`

	sqlInsert = `INSERT INTO sanctions (tenant, subject, id, user, network, kind, rooms, until, reason, note, module, by, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlDrop  = `DELETE FROM sanctions WHERE tenant = ? AND id = ? RETURNING module`
	sqlSweep = `DELETE FROM sanctions WHERE number IN (SELECT number FROM sanctions WHERE tenant = ? AND until > 0 AND until <= ? LIMIT ?) RETURNING module`

	sqlSubject    = `SELECT count(*) FROM (SELECT 1 FROM sanctions WHERE tenant = ? AND subject = ? LIMIT ?)`
	sqlCounters   = `SELECT sanctions, modules, last FROM counters WHERE tenant = ?`
	sqlSetCounter = `INSERT INTO counters (tenant, sanctions, modules, last) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET sanctions = excluded.sanctions, modules = excluded.modules, last = excluded.last`
	sqlDropCounter = `DELETE FROM counters WHERE tenant = ?`
)

// counters are the numbers of a tenant's sanctions.
type counters struct {
	sanctions, modules int
	last               int64 // the latest At
}

// count counts a sanction n times.
func (c *counters) count(one *moderation.Sanction, n int) {
	c.sanctions += n
	if one.Module != "" {
		c.modules += n
	}
}

func (s *Store) counters(tenant string) (c counters, err error) {
	err = s.file.Run(sqlCounters, func(row *sqlite3.Stmt) error {
		c = counters{row.ColumnInt(0), row.ColumnInt(1), row.ColumnInt64(2)}
		return nil
	}, tenant)
	return c, err
}

func (s *Store) store(tenant string, c counters) error {
	if c.sanctions == 0 {
		return s.file.Run(sqlDropCounter, nil, tenant)
	}
	return s.file.Run(sqlSetCounter, nil, tenant, c.sanctions, c.modules, c.last)
}

// mayAdd returns an error of package moderation if the tenant has no room for the sanction.
func (s *Store) mayAdd(one *moderation.Sanction, c *counters) error {
	limits := s.Limits.WithDefaults()
	switch {
	case one.Module != "" && c.modules >= limits.OfModules:
		return moderation.ErrModulesFull
	case c.sanctions >= limits.All:
		return moderation.ErrFull
	}
	n := 0
	err := s.file.Run(sqlSubject, func(row *sqlite3.Stmt) error { n = row.ColumnInt(0); return nil }, one.Tenant, one.Subject(), limits.OfSubject)
	if err == nil && n >= limits.OfSubject {
		return moderation.ErrSubjectFull
	}
	return err
}

// maxSwept is the number of sanctions that have ended which one change removes.
const maxSwept = 100

// sweep removes sanctions that have ended.
func (s *Store) sweep(tenant string, now int64, c *counters) error {
	_, err := s.remove(c, sqlSweep, tenant, now, maxSwept)
	return err
}

// drop removes a sanction and reports whether the tenant had it.
func (s *Store) drop(tenant, id string, c *counters) (had bool, err error) {
	n, err := s.remove(c, sqlDrop, tenant, id)
	return n > 0, err
}

// remove runs a DELETE that returns the modules of the sanctions, and counts them.
func (s *Store) remove(c *counters, sql string, args ...any) (n int, err error) {
	err = s.file.Run(sql, func(row *sqlite3.Stmt) error {
		c.count(&moderation.Sanction{Module: row.ColumnText(0)}, -1)
		n++
		return nil
	}, args...)
	return n, err
}
