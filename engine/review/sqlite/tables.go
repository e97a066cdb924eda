package sqlite

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/mootchat/moot/engine/review"
)

const (
	sqlGet  = `SELECT id, revision, data FROM reviews WHERE tenant = ? AND id = ?`
	sqlSame = `SELECT id, revision, data FROM reviews WHERE tenant = ? AND same = ? AND same != ''`

	sqlList          = `SELECT id, kind, room, decided FROM reviews WHERE tenant = ?1 AND decided = ?2 AND id > ?3 ORDER BY id LIMIT ?4`
	sqlListOfSubject = `SELECT id, kind, room, decided FROM reviews WHERE tenant = ?1 AND ?2 >= 0 AND id > ?3 AND subject = ?5 ORDER BY id LIMIT ?4`

	sqlDue   = `SELECT id, revision, data FROM reviews WHERE tenant = ? AND due > 0 AND due <= ? AND decided = 0 ORDER BY due, id LIMIT ?`
	sqlEnded = `SELECT id, revision, data FROM reviews WHERE tenant = ? AND due > 0 AND due <= ? AND decided = 1 ORDER BY due, id LIMIT ?`

	sqlInsert = `INSERT INTO reviews (tenant, id, kind, decided, room, subject, owner, same, due, revision, size, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlDelete  = `DELETE FROM reviews WHERE tenant = ? AND id = ?`
	sqlOwned   = `SELECT count(*) FROM (SELECT 1 FROM reviews WHERE tenant = ? AND kind = ? AND owner = ? AND decided = 0 LIMIT ?)`
	sqlOldest  = `SELECT id FROM reviews WHERE tenant = ? AND kind = ? AND decided = 0 ORDER BY id LIMIT 1`
	sqlFirst   = `SELECT id, revision, data FROM reviews WHERE tenant = ? AND decided = 1 ORDER BY id LIMIT 1`
	sqlTenants = `SELECT DISTINCT tenant FROM review_counters`

	sqlCount    = `SELECT items, bytes FROM review_counters WHERE tenant = ? AND kind = ?`
	sqlAddCount = `INSERT INTO review_counters (tenant, kind, items, bytes) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes`
	sqlDropCount = `DELETE FROM review_counters WHERE tenant = ? AND kind = ? AND items = 0`
	sqlVersion   = `SELECT version, dropped FROM review_versions WHERE tenant = ?`
	sqlChanged   = `INSERT INTO review_versions (tenant, version, dropped) VALUES (?, 1, ?)
ON CONFLICT DO UPDATE SET version = version + 1, dropped = dropped + excluded.dropped`
)

// kindDecided is the kind of the counters of decided items.
const kindDecided = "decided"

// parse returns the item of a row with id, revision and data. The file is damaged if the item is not valid.
func parse(tenant string, row *sqlite3.Stmt) (review.Item, error) {
	one, err := review.Decode(tenant, []byte(row.ColumnText(2)))
	if err == nil && (one.ID != row.ColumnText(0) || one.Revision != row.ColumnInt64(1)) {
		err = fmt.Errorf("the data is of item %.40q", one.ID)
	}
	if err != nil {
		return one, fmt.Errorf("item %s: %v: %w", row.ColumnText(0), err, sqlite3.CORRUPT)
	}
	return one, nil
}

// get returns the item that a statement selects by the tenant and by another text.
func (s *Store) get(tenant, sql, by string) (one review.Item, had bool, err error) {
	err = s.file.Run(sql, func(row *sqlite3.Stmt) (err error) {
		had = true
		one, err = parse(tenant, row)
		return err
	}, tenant, by)
	return one, had, err
}

// counted is a number of items and their bytes.
type counted struct {
	items int
	bytes int64
}

func (s *Store) count(tenant, kind string) (c counted, err error) {
	err = s.file.Run(sqlCount, func(row *sqlite3.Stmt) error {
		c = counted{row.ColumnInt(0), row.ColumnInt64(1)}
		return nil
	}, tenant, kind)
	return c, err
}

// mayAdd returns an error of package review if the limits do not allow one more item that is not decided.
func (s *Store) mayAdd(one *review.Item, limits review.Limits) error {
	c, err := s.count(one.Tenant, string(one.Kind))
	owned := 0
	if err == nil {
		err = s.file.Run(sqlOwned, func(row *sqlite3.Stmt) error { owned = row.ColumnInt(0); return nil },
			one.Tenant, string(one.Kind), one.Owner(), limits.WithDefaults().OfOwner)
	}
	if err != nil {
		return err
	}
	return limits.Check(one, c.items, c.bytes, owned)
}

// insert adds an item that the tenant does not have, and counts a change.
func (s *Store) insert(one *review.Item) error {
	is := one.State == review.Decided
	err := s.file.Run(sqlInsert, nil, one.Tenant, one.ID, string(one.Kind), decided(is), one.Room, one.Subject(), one.Owner(), one.Unique, one.Due,
		one.Revision, one.Size(), string(one.Encode()))
	if err == nil {
		err = s.addCount(one, 1)
	}
	if err == nil {
		err = s.file.Run(sqlChanged, nil, one.Tenant, 0)
	}
	return err
}

// addCount adds n times the item to the counters: n is 1 or -1.
func (s *Store) addCount(one *review.Item, n int) error {
	kind := string(one.Kind)
	if one.State == review.Decided {
		kind = kindDecided
	}
	if err := s.file.Run(sqlAddCount, nil, one.Tenant, kind, n, int64(n)*one.Size()); err != nil || n > 0 {
		return err
	}
	return s.file.Run(sqlDropCount, nil, one.Tenant, kind)
}

// remove removes an item.
func (s *Store) remove(one *review.Item) error {
	if err := s.file.Run(sqlDelete, nil, one.Tenant, one.ID); err != nil {
		return err
	}
	return s.addCount(one, -1)
}

// removeCounted removes an item and counts a change.
func (s *Store) removeCounted(one *review.Item) error {
	if err := s.remove(one); err != nil {
		return err
	}
	return s.file.Run(sqlChanged, nil, one.Tenant, 0)
}

// bound removes the oldest decided items while there are too many.
func (s *Store) bound(tenant string, limits review.Limits) error {
	for {
		c, err := s.count(tenant, kindDecided)
		if err != nil || c.items <= limits.Items && (c.bytes <= limits.Bytes || c.items <= 1) {
			return err
		}
		oldest, err := review.Item{}, error(nil)
		if err = s.file.Run(sqlFirst, func(row *sqlite3.Stmt) (err error) { oldest, err = parse(tenant, row); return err }, tenant); err == nil {
			err = s.remove(&oldest)
		}
		if err == nil {
			err = s.file.Run(sqlChanged, nil, tenant, 1)
		}
		if err != nil {
			return err
		}
	}
}
