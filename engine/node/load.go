package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/files"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/store"
)

const (
	readTime = 30 * time.Second // for all files of a configuration together
	loadTime = 5 * time.Minute  // for all modules, keys and certificates of a configuration together
)

// read reads the configuration. The loader records the files and patterns that it has read.
func (c Config) read(ctx context.Context, loader *config.Loader) (*config.Config, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, fmt.Errorf("the configuration was not read within %v", readTime))
	defer cancel()
	cfg, err := loader.Load(ctx, c.File, os.LookupEnv, c.Set...)
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		return nil, ConfigError{problems}
	}
	return cfg, err
}

// loaded is a configuration with its settings and rules, ready to be put into use.
type loaded struct {
	cfg      *config.Config
	settings engine.Settings
	revision *host.Revision // held until drop is called
}

// loadRules makes a host that uses the modules and chains of the configuration. The caller drops the
// returned configuration before it closes the host. A module that does not load is a ConfigError.
func loadRules(ctx context.Context, cfg *config.Config, log *slog.Logger, rooms host.Rooms, store store.Store, keys *auth.KeySets, from *sources) (*host.Host, *loaded, error) {
	h, err := host.New(host.Config{Log: log, Cache: from.cache, Scripts: from.scripts, Rooms: rooms, Store: store})
	if err != nil {
		return nil, nil, err
	}
	l, err := load(ctx, h, keys, cfg, from)
	if err != nil {
		if errors.Is(err, files.ErrHangs) { // closing the host would wait for the same file; the process ends anyway
			return nil, nil, err
		}
		err = errors.Join(err, h.Close())
		if problems := (host.Problems)(nil); errors.As(err, &problems) {
			return nil, nil, ConfigError{problems}
		}
		return nil, nil, err
	}
	l.swap(h)
	return h, l, nil
}

// load makes the settings and rules of a configuration without putting them into use. It fails
// after loadTime.
func load(ctx context.Context, h *host.Host, keys *auth.KeySets, cfg *config.Config, from *sources) (*loaded, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, loadTime, fmt.Errorf("the modules were not loaded within %v", loadTime))
	defer cancel()
	tokens, err := tokensOf(ctx, cfg, keys)
	if err != nil {
		return nil, err
	}
	settings, err := settingsOf(cfg, tokens)
	if err != nil {
		return nil, err
	}
	fetching, stop := context.WithTimeoutCause(ctx, fetchTime, fmt.Errorf("the modules were not fetched within %v", fetchTime))
	defer stop()
	rules := rulesOf(fetching, cfg, from)
	fetchAll(cfg, &rules)
	// The host may still be reading a file that does not answer after the end of ctx. Another load must not
	// wait for the file.
	if err := from.disk.Hanging("load"); err != nil {
		return nil, fmt.Errorf("the modules cannot be loaded: %w", err)
	}
	revision, err := files.Wait(ctx, &from.disk, "load", func() (*host.Revision, error) { return h.Load(ctx, rules) }, (*host.Revision).Close)
	if problems := (host.Problems)(nil); errors.As(err, &problems) {
		placed(cfg, problems)
	}
	cfg.Forget()
	if err != nil {
		return nil, err
	}
	return &loaded{cfg, settings, revision}, nil
}

// placed sets the positions of problems in configs of entries to the lines of their values.
func placed(cfg *config.Config, problems host.Problems) {
	for i := range problems {
		if p := &problems[i]; p.Path != nil {
			pos := cfg.Tenants[p.Tenant].Chain[p.Entry].PosOf(p.Path)
			p.Where = fmt.Sprintf("%s: tenants.%s.chain[%d]", pos, p.Tenant, p.Entry)
		}
	}
}

// swap puts the rules into use. l keeps its hold on the revision.
func (l *loaded) swap(h *host.Host) {
	l.revision.Keep()
	h.Swap(l.revision)
}

func (l *loaded) drop() { l.revision.Close() }
