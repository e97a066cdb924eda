// Package memory keeps sanctions in the memory of one node. They end with the process.
package memory

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/mootchat/moot/engine/moderation"
)

// Store is a [moderation.Store] in memory. The zero Store is ready to use.
type Store struct {
	Limits moderation.Limits // must not change after the first call

	mu      sync.Mutex
	tenants map[string]*tenant
}

// tenant is a tenant with sanctions or followers.
type tenant struct {
	sanctions btree.Map[string, moderation.Sanction] // by Sanction.Place
	places    map[string]string                      // by ID
	followers map[*follower]struct{}
	modules   int   // sanctions of modules
	last      int64 // the latest At
}

// follower calls f for each change. Changes are passed with Store.mu held, so they keep their order.
type follower struct{ f func(moderation.Change) }

// Set implements [moderation.Store].
func (s *Store) Set(ctx context.Context, one moderation.Sanction) (moderation.Sanction, error) {
	if err := ctx.Err(); err != nil {
		return one, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenant(one.Tenant)
	old, had := t.sanctions.Get(one.Place())
	if err := t.mayAdd(one, s.Limits.WithDefaults()); !had && err != nil {
		s.drop(one.Tenant)
		return one, err
	}
	one.At = max(time.Now().UnixMilli(), old.At+1, t.last)
	t.last = one.At
	if one.Module != "" && !had {
		t.modules++
	}
	t.sanctions.Set(one.Place(), one)
	t.places[one.ID] = one.Place()
	t.notify(moderation.Change{Set: []moderation.Sanction{one}})
	return one, nil
}

// Remove implements [moderation.Store].
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
	old, had := t.sanctions.Get(t.places[id])
	if !had {
		return false, nil
	}
	t.remove(old)
	t.notify(moderation.Change{Removed: []string{id}})
	s.drop(tenant)
	return !old.Ended(time.Now()), nil
}

// List implements [moderation.Store]. It costs O(size of the page), and the sanctions in it that have ended.
func (s *Store) List(ctx context.Context, tenant string, q moderation.Query) (page []moderation.Sanction, next string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[tenant]
	if t == nil {
		return nil, "", nil
	}
	first, now := q.Cursor, time.Now()
	if q.Subject != "" {
		first = max(first, placesOf(q.Subject))
	}
	t.sanctions.Ascend(first, func(place string, one moderation.Sanction) bool {
		switch {
		case q.Subject != "" && !strings.HasPrefix(place, placesOf(q.Subject)):
			return false
		case one.Ended(now), place == q.Cursor:
			return true
		case len(page) == q.Limit:
			next = page[q.Limit-1].Place()
			return false
		}
		page = append(page, one)
		return true
	})
	return page, next, nil
}

// placesOf returns the text with which the places of the sanctions of a subject begin.
func placesOf(subject string) string { return subject + "\x00" }

// Follow implements [moderation.Store].
func (s *Store) Follow(ctx context.Context, name string, f func(moderation.Change)) (stop func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenant(name)
	one := &follower{f}
	t.followers[one] = struct{}{}
	f(moderation.Change{All: true, Set: t.sanctions.Values()})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(t.followers, one)
		s.drop(name)
	}, nil
}

// tenant returns the tenant and adds it if needed. The caller holds mu.
func (s *Store) tenant(name string) *tenant {
	t := s.tenants[name]
	if t == nil {
		t = &tenant{places: map[string]string{}, followers: map[*follower]struct{}{}}
		if s.tenants == nil {
			s.tenants = map[string]*tenant{}
		}
		s.tenants[name] = t
	}
	return t
}

// drop drops a tenant without sanctions and followers. The caller holds mu.
func (s *Store) drop(name string) {
	if t := s.tenants[name]; t != nil && t.sanctions.Len()+len(t.followers) == 0 {
		delete(s.tenants, name)
	}
}

func (t *tenant) mayAdd(one moderation.Sanction, limits moderation.Limits) error {
	full := func() error {
		switch {
		case one.Module != "" && t.modules >= limits.OfModules:
			return moderation.ErrModulesFull
		case t.sanctions.Len() >= limits.All:
			return moderation.ErrFull
		case t.number(one.Subject(), limits.OfSubject) == limits.OfSubject:
			return moderation.ErrSubjectFull
		}
		return nil
	}
	if full() != nil {
		t.sweep()
	}
	return full()
}

func (t *tenant) notify(c moderation.Change) {
	for one := range t.followers {
		one.f(c)
	}
}

// number returns the number of sanctions of a subject, at most most.
func (t *tenant) number(subject string, most int) (n int) {
	t.sanctions.Ascend(placesOf(subject), func(place string, _ moderation.Sanction) bool {
		if !strings.HasPrefix(place, placesOf(subject)) || n == most {
			return false
		}
		n++
		return true
	})
	return n
}

func (t *tenant) remove(s moderation.Sanction) {
	t.sanctions.Delete(s.Place())
	delete(t.places, s.ID)
	if s.Module != "" {
		t.modules--
	}
}

// sweep removes the sanctions that have ended.
func (t *tenant) sweep() {
	now := time.Now()
	for _, s := range t.sanctions.Values() {
		if s.Ended(now) {
			t.remove(s)
		}
	}
}
