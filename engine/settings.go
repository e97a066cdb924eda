package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// Settings are the settings that can be replaced while the engine runs.
type Settings struct {
	Tenants []TenantConfig // names, hosts and paths must be distinct
	Limits  Limits
}

// settings holds Settings with indexes. It is immutable.
type settings struct {
	limits       Limits
	tenants      map[string]*tenant
	names        []string          // names of the tenants, sorted
	hosts, paths map[string]string // the values are names of tenants
	longest      int               // length of the longest path, in bytes
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
			return fmt.Errorf("tenant %s is configured twice", t.Name)
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

// Swap replaces the settings by s. It creates new starting rooms first. After an error the
// settings are unchanged, but some of these rooms may exist.
//
// Tenants that s does not have accept no more clients, and their connections are closed
// (3505); all hooks run for them. Swap calls between when these connections have ended or 5
// s have passed, and before new tenants are reachable. between replaces the tenants' data
// outside of the engine, such as the rules. It may be nil and must not fail.
//
// Concurrent calls run one after the other.
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

// newRooms returns the tenants of s without the starting rooms that they have in the
// current settings, so that a destroyed starting room is not created again.
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
	var rooms []cluster.RoomID
	for _, t := range tenants {
		for _, room := range t.StartingRooms {
			rooms = append(rooms, cluster.RoomID{Tenant: t.Name, Room: room})
		}
	}
	if len(rooms) == 0 {
		return nil
	}
	if err := e.cluster.Rooms.Ensure(ctx, rooms); err != nil {
		return fmt.Errorf("create %d starting rooms: %w", len(rooms), err)
	}
	return nil
}

// retireTime is the maximum time for which a swap waits for the connections of removed
// tenants to end.
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
		case <-t.gone: // set by beginRetiring; only swaps change it
		case <-patience.C:
			e.log.Warn("connections of a removed tenant are still open", "tenant", name)
			return
		}
	}
}

// beginRetiring makes the tenants accept no more clients, and returns their connections.
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

// install makes s the current settings.
func (e *Engine) install(s Settings) {
	next := e.index(s)
	e.settings.Store(next)
	e.writers.SetMemory(next.limits.OutboxMemory)
	for _, c := range e.allConnections() {
		c.bound()
	}
	e.dropEmptied(next)
}

// index gives each tenant its settings and returns the settings with indexes.
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
		cfg.Held.Items, cfg.Held.Bytes = cmp.Or(cfg.Held.Items, cfg.Limits.HeldMessages), cmp.Or(cfg.Held.Bytes, cfg.Limits.HeldBytes)
		cfg.Held = cfg.Held.WithDefaults()
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

// dropEmptied drops removed tenants that have no connections and rooms. Until then, a new
// tenant of the same name shares the rooms that connections are still leaving.
func (e *Engine) dropEmptied(now *settings) {
	e.mu.Lock()
	tenants := maps.Clone(e.allTenants)
	e.mu.Unlock()
	for name, t := range tenants {
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
