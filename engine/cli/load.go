package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/files"
	"github.com/mootchat/moot/engine/glob"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/store"
)

// configFlags are what serve and check have in common.
type configFlags struct {
	Config string   `short:"c" default:"config.yaml" help:"The configuration." placeholder:"FILE"`
	Set    []string `sep:"none" help:"Set one setting, stronger than the file, such as --set http.listen=:9000. May be repeated." placeholder:"PATH=VALUE"`
}

// readTime is how long the files of a configuration may take to be read, all together.
const readTime = 30 * time.Second

// read reads the configuration, and adds to the trace what it looks at.
func (f *configFlags) read(ctx context.Context, trace *config.Trace) (*config.Config, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, fmt.Errorf("the configuration was not read within %v", readTime))
	defer cancel()
	return trace.Load(ctx, f.Config, os.LookupEnv, f.Set...)
}

// load reads the configuration; what is wrong with it is a misuse.
func (f *configFlags) load(ctx context.Context) (*config.Config, config.Trace, error) {
	var trace config.Trace
	cfg, err := f.read(ctx, &trace)
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		return nil, trace, misuse{problems}
	}
	return cfg, trace, err
}

// redacted is err without what ${...} brought into the configuration.
func redacted(cfg *config.Config, err error) error {
	if err == nil {
		return nil
	}
	text := cfg.Redact(err.Error())
	var wrong misuse
	switch {
	case text == err.Error():
		return err
	case errors.As(err, &wrong):
		return misuse{errors.New(text)}
	}
	return errors.New(text)
}

// setLevel sets a level to the one of that name.
func setLevel(level *slog.LevelVar, name string) {
	_ = level.UnmarshalText([]byte(name)) // config let only levels through
}

// logger is what the configuration asks for, on w. Its level may be set again.
// Durations are text in both formats, such as "1.5s": JSON has no unit.
func logger(c config.Log, w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	setLevel(level, c.Level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}

// loadRules makes a host with the configuration's modules and chains in use, and
// gives what it loaded: it is dropped before the host is closed. A module that does
// not load is a misuse: the operator named it.
func loadRules(ctx context.Context, cfg *config.Config, log *slog.Logger, rooms host.Rooms, store store.Store, keys *auth.KeySets, from *sources) (*host.Host, *loaded, error) {
	h, err := host.New(host.Config{Log: log, Cache: from.cache, Scripts: from.scripts, Rooms: rooms, Store: store})
	if err != nil {
		return nil, nil, err
	}
	l, err := load(ctx, h, keys, cfg, from)
	if err != nil {
		if errors.Is(err, files.ErrHangs) { // closing waits for what hangs; the process ends
			return nil, nil, err
		}
		err = errors.Join(err, h.Close())
		if problems := (host.Problems)(nil); errors.As(err, &problems) {
			return nil, nil, misuse{problems}
		}
		return nil, nil, err
	}
	l.swap(h)
	return h, l, nil
}

func rulesOf(ctx context.Context, cfg *config.Config, from *sources) host.Rules {
	digest := config.Digest(cfg)
	d := cfg.Decisions
	rules := host.Rules{Beside: digest[:], ChainTimeout: cfg.Limits.ChainTimeout, Memory: int64(cfg.Limits.ModuleMemory), Recording: host.Recording{Ring: d.Ring, Allows: d.SampleAllows, Log: d.Log, Text: d.Text}}
	names := slices.SortedFunc(maps.Keys(cfg.Modules), func(a, b string) int {
		return cmp.Or(cmp.Compare(cfg.Modules[a].Pos.File, cfg.Modules[b].Pos.File), cmp.Compare(cfg.Modules[a].Pos.Line, cfg.Modules[b].Pos.Line))
	})
	for _, name := range names {
		rules.Modules = append(rules.Modules, moduleOf(ctx, name, cfg.Modules[name], from, cfg.Limits.Networks()))
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Tenants)) {
		t := host.Tenant{Name: name, CPU: cmp.Or(cfg.Tenants[name].Limits.ModuleCPU, cfg.Limits.ModuleCPU).Fraction()}
		for i, e := range cfg.Tenants[name].Chain {
			t.Chain = append(t.Chain, entryOf(e, fmt.Sprintf("%s: tenants.%s.chain[%d]", e.Pos, name, i)))
		}
		rules.Tenants = append(rules.Tenants, t)
	}
	return rules
}

func entryOf(e config.Entry, where string) host.Entry {
	entry := host.Entry{
		Module: e.Module, Where: where, Rooms: e.Rooms, Priority: e.Priority, Timeout: e.Timeout,
		Memory: int64(e.Memory), Grants: e.Grants, Config: e.Config, Shown: e.Shown,
	}
	b := e.Breaker
	entry.Breaker = host.Breaker{Ratio: b.Ratio.Fraction(), Minimum: b.Minimum, Window: b.Window, Cooldown: b.Cooldown, Probes: b.Probes}
	if e.OnError == "allow" {
		entry.OnError = host.AllowOnError
	}
	if e.Mode == "shadow" {
		entry.Mode = host.Shadow
	}
	for _, name := range e.Hooks {
		entry.Hooks = append(entry.Hooks, engine.HookNamed(name))
	}
	return entry
}

// settingsOf is what the engine has of the configuration.
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
			if err != nil { // config checked it
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
		r.Keep = engine.Keep{Messages: s.History, For: s.HistoryTTL}
	}
	return r
}

// nodeName is the configured one, or one made from the host's name, so that two
// nodes of one host differ.
func nodeName(configured string) string {
	if configured != "" {
		return configured
	}
	name, err := os.Hostname()
	if err != nil {
		name = "node"
	}
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	name = strings.Trim(name[:min(len(name), 48)], "-")
	return cmp.Or(name, "node") + "-" + strings.ToLower(rand.Text()[:6])
}
