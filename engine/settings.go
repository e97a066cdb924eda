package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// Settings are what can change while the engine runs.
type Settings struct {
	Tenants []TenantConfig // names, hosts and paths are distinct
	Limits  Limits
}

// settings are Settings as the engine looks things up in them. They do not change.
type settings struct {
	limits       Limits
	tenants      map[string]*tenant
	names        []string          // of the tenants, in order
	hosts, paths map[string]string // to the names of tenants
	longest      int               // of the paths, in bytes
}

func (s *settings) configs() (all []TenantConfig) {
	for _, t := range s.tenants {
		all = append(all, *t.cfg())
	}
	return all
}

func (s *Settings) check(c *cluster.Backend) error {
	names := map[string]bool{}
	for _, t := range s.Tenants {
		if names[t.Name] {
			return fmt.Errorf("tenant %s is there twice", t.Name)
		}
		names[t.Name] = true
		for _, room := range t.StartingRooms {
			if err := wire.ValidRoom(room); err != nil {
				return fmt.Errorf("tenant %s: starting room %q: %w", t.Name, room, err)
			}
		}
		for i := range t.Rooms {
			if err := t.Rooms[i].check(c); err != nil {
				return fmt.Errorf("tenant %s: rooms.settings[%d]: %w", t.Name, i, err)
			}
		}
	}
	return nil
}

// Swap puts s in place of the settings there are. Before anything changes, starting
// rooms that are new are made; on an error nothing has changed, except that some of
// those may exist.
//
// Tenants that s does not have let nobody in any more, and their connections are
// closed (3505), with all their hooks. between is called when those have ended, or
// some seconds have passed, and before new tenants can be reached: it changes what
// belongs to the tenants elsewhere, such as the rules. It may be nil, and must not
// fail.
//
// Swaps come one after the other.
func (e *Engine) Swap(ctx context.Context, s Settings, between func()) error {
	if err := s.check(&e.cluster); err != nil {
		return err
	}
	if err := e.swapping.enter(ctx); err != nil {
		return err
	}
	defer e.swapping.leave()
	if err := e.createStartingRooms(ctx, e.newRooms(s)); err != nil {
		return err
	}
	e.retire(s)
	if between != nil {
		between()
	}
	e.install(s)
	return nil
}

// newRooms is s with those starting rooms alone that the settings in use do not
// have: one that was destroyed since does not come back.
func (e *Engine) newRooms(s Settings) []TenantConfig {
	tenants := slices.Clone(s.Tenants)
	now := e.settings.Load()
	for i := range tenants {
		if t := now.tenants[tenants[i].Name]; t != nil {
			tenants[i].StartingRooms = slices.DeleteFunc(slices.Clone(tenants[i].StartingRooms), func(room string) bool {
				return slices.Contains(t.cfg().StartingRooms, room)
			})
		}
	}
	return tenants
}

func (e *Engine) createStartingRooms(ctx context.Context, tenants []TenantConfig) error {
	for _, t := range tenants {
		for _, room := range t.StartingRooms {
			err := e.cluster.Rooms.Create(ctx, cluster.RoomID{Tenant: t.Name, Room: room})
			if err != nil && !errors.Is(err, cluster.ErrRoomExists) {
				return fmt.Errorf("create starting room %q of tenant %s: %w", room, t.Name, err)
			}
		}
	}
	return nil
}

// retireTime is how long the connections of tenants that are removed may take to
// end before the others get their new settings.
const retireTime = 5 * time.Second

// retire closes the connections of the tenants that s does not have.
func (e *Engine) retire(s Settings) {
	gone := maps.Clone(e.settings.Load().tenants)
	for _, t := range s.Tenants {
		delete(gone, t.Name)
	}
	for _, c := range e.beginRetiring(gone) {
		c.Close(CloseTenant)
	}
	patience := time.NewTimer(retireTime)
	defer patience.Stop()
	for name, t := range gone {
		select {
		case <-t.gone: // set by beginRetiring, and changed by swaps alone
		case <-patience.C:
			e.log.Warn("connections of a removed tenant take long to end", "tenant", name)
			return
		}
	}
}

// beginRetiring lets nobody into the tenants any more, and gives who is there.
func (e *Engine) beginRetiring(gone map[string]*tenant) (leaving []*Connection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range gone {
		t.gone = make(chan struct{})
		if t.quota.taken == 0 {
			close(t.gone)
		}
	}
	for _, c := range e.connections {
		if c.tenant.gone != nil {
			leaving = append(leaving, c)
		}
	}
	return leaving
}

// install makes s the settings in use.
func (e *Engine) install(s Settings) {
	next := e.index(s)
	e.settings.Store(next)
	for _, c := range e.allConnections() {
		c.bound()
	}
	e.dropEmptied(next)
}

// look makes s the settings of its tenants, each in one piece.
func (e *Engine) index(s Settings) *settings {
	next := &settings{limits: s.Limits.withDefaults(), tenants: map[string]*tenant{}, hosts: map[string]string{}, paths: map[string]string{}}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, cfg := range s.Tenants {
		t := e.allTenants[cfg.Name]
		if t == nil {
			t = newTenant(cfg.Name, e.writers)
			e.allTenants[cfg.Name] = t
		}
		t.gone = nil
		cfg.Limits = cfg.Limits.ofTenant(next.limits)
		t.config.Store(&cfg)
		next.tenants[cfg.Name] = t
		for _, host := range cfg.Hosts {
			next.hosts[host] = cfg.Name
		}
		for _, path := range cfg.Paths {
			next.paths[path] = cfg.Name
			next.longest = max(next.longest, len(path))
		}
	}
	next.names = slices.Sorted(maps.Keys(next.tenants))
	e.divideQuota(next)
	return next
}

// dropEmptied lets go of the tenants that were removed and where nobody is any more. Until
// then one of the same name shares the rooms that others are still leaving.
func (e *Engine) dropEmptied(now *settings) {
	e.mu.Lock()
	worlds := maps.Clone(e.allTenants)
	e.mu.Unlock()
	for name, t := range worlds {
		if now.tenants[name] != nil || !t.empty() {
			continue
		}
		e.mu.Lock()
		if t.quota.taken == 0 {
			delete(e.allTenants, name)
		}
		e.mu.Unlock()
	}
}
