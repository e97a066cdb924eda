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

// readTime is how long the files of a configuration may take to be read, all together.
const readTime = 30 * time.Second

// load reads the configuration, and adds to the trace what it looks at.
func (c Config) load(ctx context.Context, trace *config.Loader) (*config.Config, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, fmt.Errorf("the configuration was not read within %v", readTime))
	defer cancel()
	cfg, err := trace.Load(ctx, c.File, os.LookupEnv, c.Set...)
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		return nil, ConfigError{problems}
	}
	return cfg, err
}

// loadTime is how long a load may take, all in all.
const loadTime = 5 * time.Minute

// loaded is a configuration and what was made of it, ready to be put into use.
type loaded struct {
	cfg      *config.Config
	settings engine.Settings
	revision *host.Revision // kept until drop
}

// loadRules makes a host with the configuration's modules and chains in use, and
// gives what it loaded: it is dropped before the host is closed. A module that does
// not load is a ConfigError: the operator named it.
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
			return nil, nil, ConfigError{problems}
		}
		return nil, nil, err
	}
	l.swap(h)
	return h, l, nil
}

// load makes ready what cfg says, and changes nothing. It gives up after loadTime.
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
	soon, stop := context.WithTimeoutCause(ctx, fetchTime, fmt.Errorf("the modules did not all come within %v", fetchTime))
	defer stop()
	rules := rulesOf(soon, cfg, from)
	ahead(cfg, &rules)
	// Not all that a load does ends with its context. A second one waits for none that hangs.
	if err := from.disk.Hanging("load"); err != nil {
		return nil, fmt.Errorf("the modules cannot be loaded: %w", err)
	}
	revision, err := files.Wait(ctx, &from.disk, "load", func() (*host.Revision, error) { return h.Load(ctx, rules) }, (*host.Revision).Close)
	if err != nil {
		return nil, err
	}
	return &loaded{cfg, settings, revision}, nil
}

// swap puts the rules into use; l keeps its hold of them.
func (l *loaded) swap(h *host.Host) {
	l.revision.Keep()
	h.Swap(l.revision)
}

func (l *loaded) drop() { l.revision.Close() }
