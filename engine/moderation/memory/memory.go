// Package memory keeps sanctions in the memory of one node. They end with the process.
package memory

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

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
	sanctions map[string]moderation.Sanction // by ID
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
	old, had := t.sanctions[one.ID]
	if err := t.mayAdd(one, s.Limits.WithDefaults()); !had && err != nil {
		s.drop(one.Tenant)
		return one, err
	}
	one.At = max(time.Now().UnixMilli(), old.At+1, t.last)
	t.last = one.At
	if one.Module != "" && !had {
		t.modules++
	}
	t.sanctions[one.ID] = one
	t.tell(moderation.Change{Set: []moderation.Sanction{one}})
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
	old, had := t.sanctions[id]
	if !had {
		return false, nil
	}
	t.remove(old)
	t.tell(moderation.Change{Removed: []string{id}})
	s.drop(tenant)
	return !old.Ended(time.Now()), nil
}

// List implements [moderation.Store]. It costs O(sanctions of the tenant).
func (s *Store) List(ctx context.Context, tenant string, q moderation.Query) (page []moderation.Sanction, next string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var all []moderation.Sanction
	if t := s.tenants[tenant]; t != nil {
		all = slices.Collect(maps.Values(t.sanctions))
	}
	all = slices.DeleteFunc(all, func(s moderation.Sanction) bool {
		return s.Ended(now) || q.Subject != "" && s.Subject() != q.Subject || q.Cursor != "" && s.Place() <= q.Cursor
	})
	slices.SortFunc(all, func(a, b moderation.Sanction) int { return strings.Compare(a.Place(), b.Place()) })
	if len(all) > q.Limit {
		return all[:q.Limit], all[q.Limit-1].Place(), nil
	}
	return all, "", nil
}

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
	f(moderation.Change{All: true, Set: slices.Collect(maps.Values(t.sanctions))})
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
		t = &tenant{sanctions: map[string]moderation.Sanction{}, followers: map[*follower]struct{}{}}
		if s.tenants == nil {
			s.tenants = map[string]*tenant{}
		}
		s.tenants[name] = t
	}
	return t
}

// drop drops a tenant without sanctions and followers. The caller holds mu.
func (s *Store) drop(name string) {
	if t := s.tenants[name]; t != nil && len(t.sanctions)+len(t.followers) == 0 {
		delete(s.tenants, name)
	}
}

func (t *tenant) mayAdd(one moderation.Sanction, limits moderation.Limits) error {
	full := func() error {
		switch {
		case one.Module != "" && t.modules >= limits.OfModules:
			return moderation.ErrModulesFull
		case len(t.sanctions) >= limits.All:
			return moderation.ErrFull
		}
		return nil
	}
	if full() != nil {
		t.sweep()
	}
	return full()
}

func (t *tenant) tell(c moderation.Change) {
	for one := range t.followers {
		one.f(c)
	}
}

func (t *tenant) remove(s moderation.Sanction) {
	delete(t.sanctions, s.ID)
	if s.Module != "" {
		t.modules--
	}
}

// sweep removes the sanctions that have ended.
func (t *tenant) sweep() {
	now := time.Now()
	for _, s := range t.sanctions {
		if s.Ended(now) {
			t.remove(s)
		}
	}
}
