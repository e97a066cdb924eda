package node

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/glob"
)

// settingsOf returns the engine's settings from the configuration.
func settingsOf(cfg *config.Config, tokens map[string]engine.Tokens) (engine.Settings, error) {
	l := cfg.Limits
	c := engine.Settings{Limits: engine.Limits{
		MessageBytes: int(l.MessageBytes), Connections: l.Connections, ConnectionsPerIP: l.ConnectionsPerIP,
		RoomsPerConnection: l.RoomsPerConnection, VerbsPerSecond: float64(l.VerbsPerSecond),
		SimultaneousActions: l.SimultaneousActions, VerbTimeout: l.VerbTimeout, OutboxBytes: int(l.OutboxBytes), WriteTimeout: l.WriteTimeout,
	}}
	for _, name := range slices.Sorted(maps.Keys(cfg.Tenants)) {
		t := cfg.Tenants[name]
		tenant := engine.TenantConfig{
			Name: name, Hosts: t.Match.Host, Paths: t.Match.Path, StartingRooms: t.Rooms.Starting,
			ClientsMayCreate: t.Rooms.ClientsMayCreate, MaxRooms: t.Limits.Rooms,
			Limits: tenantLimits(t.Limits), MessagesPerSecond: float64(t.Limits.MessagesPerSecond),
			Tokens: tokens[name], TokenRequired: t.Auth.JWT.Required,
		}
		for _, s := range t.Rooms.Settings {
			g, err := glob.Compile(s.Match)
			if err != nil { // config has checked the value
				return c, fmt.Errorf("rooms.settings of tenant %s: %w", name, err)
			}
			tenant.Rooms = append(tenant.Rooms, roomSettings(s, g.Match))
		}
		c.Tenants = append(c.Tenants, tenant)
	}
	return c, nil
}

func tenantLimits(l config.TenantLimits) engine.Limits {
	return engine.Limits{
		MessageBytes: int(l.MessageBytes), Connections: l.Connections, ConnectionsPerIP: l.ConnectionsPerIP,
		RoomsPerConnection: l.RoomsPerConnection, VerbsPerSecond: float64(l.VerbsPerSecond),
		SimultaneousActions: l.SimultaneousActions, OutboxBytes: int(l.OutboxBytes),
	}
}

func roomSettings(s config.RoomSettings, match func(string) bool) engine.RoomSettings {
	r := engine.RoomSettings{Match: match, MaxMembers: s.MaxMembers, Presence: s.Presence, FlushDelay: s.FlushDelay}
	if s.History > 0 {
		r.Retention = cluster.Retention{Messages: s.History, For: s.HistoryTTL}
	}
	return r
}
