package node

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/glob"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/host"
)

// settingsOf returns the engine's settings: those of all parts, and the tenants that are refused.
func (l *loading) settingsOf() engine.Settings {
	n := l.cfg.Limits
	c := engine.Settings{Limits: engine.Limits{
		MessageBytes: int(n.MessageBytes), Connections: n.Connections, ConnectionsPerIP: n.ConnectionsPerIP,
		RoomsPerConnection: n.RoomsPerConnection, VerbsPerSecond: float64(n.VerbsPerSecond),
		SimultaneousActions: n.SimultaneousActions, VerbTimeout: n.VerbTimeout, OutboxBytes: int(n.OutboxBytes), OutboxMemory: outboxMemory(n.OutboxMemory), HistoryBytes: int64(n.HistoryBytes), WriteTimeout: n.WriteTimeout,
		Rooms: n.Rooms, HeldMessages: n.HeldMessages, HeldBytes: int64(n.HeldBytes),
	}, Tenants: make([]engine.TenantConfig, 0, len(l.parts)+len(l.faults))}
	for _, name := range slices.Sorted(maps.Keys(l.parts)) {
		c.Tenants = append(c.Tenants, l.parts[name].settings)
	}
	if len(l.faults) > 0 {
		c.Tenants = append(c.Tenants, l.refusedTenants()...)
	}
	return c
}

// outboxMemory returns the value of limits.outboxMemory in use: by default an eighth of the memory.
func outboxMemory(set config.ByteSize) int64 {
	if set == 0 {
		return host.DefaultMemory() / 2
	}
	return int64(set)
}

// refusedTenants returns the tenants that are refused, with the hosts and paths that no part has.
func (l *loading) refusedTenants() (all []engine.TenantConfig) {
	taken := map[string]bool{}
	for _, p := range l.parts {
		for _, text := range claimsOf(p.settings.Hosts, p.settings.Paths) {
			taken[text] = true
		}
	}
	free := func(kind string, texts []string) (free []string) {
		for _, text := range texts {
			if !taken[kind+text] {
				taken[kind+text] = true
				free = append(free, text)
			}
		}
		return free
	}
	for _, f := range l.faults {
		if f.tenant != "" && !f.kept {
			all = append(all, engine.TenantConfig{Name: f.tenant, Hosts: free("h", f.match.Host), Paths: free("p", f.match.Path), Faulty: true})
		}
	}
	return all
}

// tenantSettings returns the engine's settings of a tenant.
func tenantSettings(name string, t config.Tenant, tokens engine.Tokens) (engine.TenantConfig, error) {
	c := engine.TenantConfig{
		Name: name, Hosts: t.Match.Host, Paths: t.Match.Path, StartingRooms: t.Rooms.Starting,
		ClientsMayCreate: t.Rooms.ClientsMayCreate,
		Limits:           tenantLimits(t.Limits), MessagesPerSecond: float64(t.Limits.MessagesPerSecond),
		Tokens: tokens, TokenRequired: t.Auth.JWT.Required, Held: heldLimits(t.Limits),
	}
	for _, s := range t.Rooms.Settings {
		g, err := glob.Compile(s.Match)
		if err != nil { // config has checked the value
			return c, fmt.Errorf("rooms.settings of tenant %s: %w", name, err)
		}
		c.Rooms = append(c.Rooms, roomSettings(s, g.Match))
	}
	return c, nil
}

func tenantLimits(l config.TenantLimits) engine.Limits {
	return engine.Limits{
		MessageBytes: int(l.MessageBytes), Connections: l.Connections, ConnectionsPerIP: l.ConnectionsPerIP,
		RoomsPerConnection: l.RoomsPerConnection, VerbsPerSecond: float64(l.VerbsPerSecond),
		SimultaneousActions: l.SimultaneousActions, OutboxBytes: int(l.OutboxBytes), HistoryBytes: int64(l.HistoryBytes),
		Rooms: l.Rooms, HeldMessages: l.HeldMessages, HeldBytes: int64(l.HeldBytes),
	}
}

func heldLimits(l config.TenantLimits) review.Limits {
	return review.Limits{OfOwner: l.HeldPerAuthor, Retention: l.HeldRetention, HeldFor: l.HeldFor}
}

func roomSettings(s config.RoomSettings, match func(string) bool) engine.RoomSettings {
	r := engine.RoomSettings{Match: match, MaxMembers: s.MaxMembers, Presence: s.Presence, Users: s.Users, JSON: s.JSON, FlushDelay: s.FlushDelay,
		AmendmentNotices: s.AmendmentNotices}
	if s.History > 0 {
		r.Retention = cluster.Retention{Messages: s.History, For: s.HistoryTTL}
	}
	r.Retention.Ephemeral = s.Ephemeral
	return r
}
