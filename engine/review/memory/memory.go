// Package memory keeps the review queue in the memory of one node. The items end with the process.
package memory

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/tidwall/btree"

	"github.com/mootchat/moot/engine/review"
)

// Store is a [review.Store] in memory. The zero Store is ready to use.
type Store struct {
	mu      sync.Mutex
	tenants map[string]*tenant
}

// tenant has the items of a tenant. The store keeps it even without items, because the version must not go back.
type tenant struct {
	items    map[string]review.Item             // by ID
	waiting  map[review.Kind]*btree.Set[string] // IDs of the items that are not decided; "": of both kinds
	decided  btree.Set[string]                  // IDs of the others
	subjects btree.Set[string]                  // SUBJECT NUL ID
	due      btree.Set[string]                  // see dueKey
	unique   map[string]string                  // IDs by Unique
	owners   map[string]int                     // numbers of items that are not decided, by ownerKey
	bytes    map[review.Kind]int64              // of the items that are not decided
	done     int64                              // bytes of the decided items
	version  int64
	dropped  int64
}

func newTenant() *tenant {
	return &tenant{items: map[string]review.Item{}, unique: map[string]string{}, owners: map[string]int{}, bytes: map[review.Kind]int64{},
		waiting: map[review.Kind]*btree.Set[string]{review.Held: {}, review.Report: {}, "": {}}}
}

func dueKey(one *review.Item) string { return fmt.Sprintf("%016x%s", one.Due, one.ID) }

func ownerKey(one *review.Item) string { return string(one.Kind) + ":" + one.Owner() }

// Put implements [review.Store].
func (s *Store) Put(ctx context.Context, one review.Item, limits review.Limits) (review.Item, error) {
	if err := ctx.Err(); err != nil {
		return one, err
	}
	if err := one.Validate(); err != nil {
		return one, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[one.Tenant]
	if t == nil {
		t = newTenant()
	}
	old, had := t.items[one.ID]
	switch {
	case one.Revision == 0 && had:
		return old, review.ErrExists
	case !had && one.Revision > 0:
		return one, review.ErrNone
	case had && old.Revision != one.Revision:
		return one, review.ErrConflict
	}
	if other := t.unique[one.Unique]; one.Unique != "" && other != "" && other != one.ID {
		return t.items[other], review.ErrExists
	}
	if one.State != review.Decided && (!had || old.State == review.Decided) {
		if err := limits.Check(&one, t.waiting[one.Kind].Len(), t.bytes[one.Kind], t.owners[ownerKey(&one)]); err != nil {
			return one, err
		}
	}
	if had {
		t.remove(&old)
	}
	one.Revision++
	t.add(&one)
	t.version++
	t.bound(limits.WithDefaults())
	if s.tenants == nil {
		s.tenants = map[string]*tenant{}
	}
	s.tenants[one.Tenant] = t
	return one, nil
}

func (t *tenant) add(one *review.Item) {
	t.items[one.ID] = *one
	t.subjects.Insert(one.Subject() + "\x00" + one.ID)
	if one.Due > 0 {
		t.due.Insert(dueKey(one))
	}
	if one.Unique != "" {
		t.unique[one.Unique] = one.ID
	}
	if one.State == review.Decided {
		t.decided.Insert(one.ID)
		t.done += one.Size()
		return
	}
	t.waiting[one.Kind].Insert(one.ID)
	t.waiting[""].Insert(one.ID)
	t.bytes[one.Kind] += one.Size()
	t.owners[ownerKey(one)]++
}

func (t *tenant) remove(one *review.Item) {
	delete(t.items, one.ID)
	t.subjects.Delete(one.Subject() + "\x00" + one.ID)
	t.due.Delete(dueKey(one))
	delete(t.unique, one.Unique)
	if one.State == review.Decided {
		t.decided.Delete(one.ID)
		t.done -= one.Size()
		return
	}
	t.waiting[one.Kind].Delete(one.ID)
	t.waiting[""].Delete(one.ID)
	t.bytes[one.Kind] -= one.Size()
	if t.owners[ownerKey(one)]--; t.owners[ownerKey(one)] == 0 {
		delete(t.owners, ownerKey(one))
	}
}

// bound removes the oldest decided items while there are too many.
func (t *tenant) bound(limits review.Limits) {
	for t.decided.Len() > limits.Items || t.done > limits.Bytes && t.decided.Len() > 1 {
		id, _ := t.decided.Min()
		old := t.items[id]
		t.remove(&old)
		t.dropped++
	}
}

// Get implements [review.Store].
func (s *Store) Get(ctx context.Context, tenant, id string) (review.Item, error) {
	if err := ctx.Err(); err != nil {
		return review.Item{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenants[tenant]; t != nil {
		if one, ok := t.items[id]; ok {
			return one, nil
		}
	}
	return review.Item{}, review.ErrNone
}

// List implements [review.Store].
func (s *Store) List(ctx context.Context, tenant string, q review.Query) (page []review.Item, next string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[tenant]
	if t == nil {
		return nil, "", nil
	}
	last, scanned := "", 0
	t.ascend(&q, func(id string) bool {
		if len(page) == q.Limit || scanned == review.MaxScanned {
			next = last
			return false
		}
		last, scanned = id, scanned+1
		if one := t.items[id]; q.Selects(&one) {
			page = append(page, one)
		}
		return true
	})
	return page, next, nil
}

// ascend passes IDs after the cursor to f, in order, until f returns false. They are those of all items that the query selects,
// and of some others.
func (t *tenant) ascend(q *review.Query, f func(id string) bool) {
	after := func(id string) bool { return id <= q.Cursor || f(id) }
	switch {
	case q.Subject != "":
		prefix := q.Subject + "\x00"
		t.subjects.Ascend(prefix+q.Cursor, func(place string) bool {
			return strings.HasPrefix(place, prefix) && after(place[len(prefix):])
		})
	case q.Decided:
		t.decided.Ascend(q.Cursor, after)
	default:
		t.waiting[q.Kind].Ascend(q.Cursor, after)
	}
}

// Due implements [review.Store].
func (s *Store) Due(ctx context.Context, tenant string, now int64, limit int) (due []review.Item, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[tenant]
	if t == nil {
		return nil, nil
	}
	var ended []review.Item
	t.due.Scan(func(key string) bool {
		one := t.items[key[16:]]
		if one.Due > now || len(due) == limit {
			return false
		}
		if one.State == review.Decided {
			ended = append(ended, one)
		} else {
			due = append(due, one)
		}
		return true
	})
	for i := range ended {
		t.remove(&ended[i])
		t.version++
	}
	return due, nil
}

// Remove implements [review.Store].
func (s *Store) Remove(ctx context.Context, tenant, id string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[tenant]
	if t == nil {
		return false, nil
	}
	one, had := t.items[id]
	if had {
		t.remove(&one)
		t.version++
	}
	return had, nil
}

// Tenants implements [review.Store].
func (s *Store) Tenants(ctx context.Context) (names []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, t := range s.tenants {
		if len(t.items) > 0 {
			names = append(names, name)
		}
	}
	return names, ctx.Err()
}

// Summary implements [review.Store].
func (s *Store) Summary(ctx context.Context, tenant string) (review.Summary, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[tenant]
	if t == nil {
		return review.Summary{}, ctx.Err()
	}
	count := func(kind review.Kind) review.Count {
		oldest, _ := t.waiting[kind].Min()
		return review.Count{Items: t.waiting[kind].Len(), Bytes: t.bytes[kind], Oldest: oldest}
	}
	return review.Summary{Version: t.version, Held: count(review.Held), Reports: count(review.Report), Decided: t.decided.Len(), Dropped: t.dropped}, ctx.Err()
}
