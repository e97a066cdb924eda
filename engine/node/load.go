package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
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
	return cfg, configError(err)
}

// configError returns the problems of a configuration as a ConfigError, and other errors as they are.
func configError(err error) error {
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		return ConfigError{problems}
	}
	return err
}

// loaded is a configuration with its settings and rules, ready to be put into use.
type loaded struct {
	cfg      *config.Config // without the tenants that are refused; those that stay as before are as before
	settings engine.Settings
	revision *host.Revision   // held until drop is called
	parts    map[string]*part // by tenant
	faults   []fault
	kept     map[string]map[string]config.Module // modules that the chains of tenants which stay as before name, by tenant
}

// loadRules makes a host that uses the modules and chains of the configuration. The caller drops the
// returned configuration before it closes the host. The error is a ConfigError if the operator's part or all
// tenants cannot be used.
func loadRules(ctx context.Context, cfg *config.Config, log *slog.Logger, rooms host.Rooms, store store.Store, keys *auth.KeySets, from *sources) (*host.Host, *loaded, error) {
	h, err := host.New(host.Config{Log: log, Cache: from.cache, Scripts: from.scripts, Rooms: rooms, Store: store, Asking: from.asking})
	if err != nil {
		return nil, nil, err
	}
	l, err := load(ctx, h, keys, cfg, from, nil)
	if err == nil && len(l.parts) == 0 && len(l.faults) > 0 {
		err = l.err()
		l.drop()
	}
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

// loading makes a loaded configuration.
type loading struct {
	*loaded
	host   *host.Host
	keys   *auth.KeySets
	from   *sources
	before *loaded         // in use; nil at the start
	failed map[string]int  // number of the fault, by tenant
	wanted map[string]bool // modules that the chains of the tenants that failed name
}

// load makes the settings and rules of a configuration without putting them into use. before is the configuration in
// use; nil at the start. Tenants that have not changed are taken from there. A tenant that cannot be used is one of the
// faults, and stays as in before, or is refused. load fails after loadTime.
func load(ctx context.Context, h *host.Host, keys *auth.KeySets, cfg *config.Config, from *sources, before *loaded) (*loaded, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, loadTime, fmt.Errorf("the modules were not loaded within %v", loadTime))
	defer cancel()
	l := &loading{loaded: &loaded{cfg: cfg, parts: make(map[string]*part, len(cfg.Tenants)), kept: map[string]map[string]config.Module{}}, host: h, keys: keys, from: from, before: before, failed: map[string]int{}}
	defer cfg.Forget()
	defer showProgress(from.log, h.Progress)()
	for _, f := range cfg.Faults {
		l.fail(fault{tenant: f.Tenant, match: f.Match, lines: linesOf(f.Problems)})
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Tenants)) {
		if _, failed := l.failed[name]; !failed {
			l.makePart(ctx, name)
		}
	}
	fetching, stop := context.WithTimeoutCause(ctx, fetchTime, fmt.Errorf("the modules were not fetched within %v", fetchTime))
	defer stop()
	modules := modulesOf(fetching, cfg, from)
	from.known(ctx, cfg, modules)
	fetchAll(cfg, modules)
	for {
		err := l.loadRevision(ctx, modules)
		if err != nil {
			return nil, err
		}
		if !l.displace() {
			break
		}
		l.revision.Close()
	}
	l.settings = l.settingsOf()
	l.redact()
	return l.loaded, nil
}

// showProgress logs every second how far a load is, until stop is called.
func showProgress(log *slog.Logger, progress func() host.Progress) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick, begin := time.NewTicker(time.Second), time.Now()
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				p := progress()
				log.Info("loading modules and their configs", "checked", p.Checked, "of", p.All, "step", p.Step, "for", time.Since(begin).Round(time.Second))
			}
		}
	}()
	return func() { close(ended); <-done }
}

// loadRevision loads the rules of all parts.
func (l *loading) loadRevision(ctx context.Context, modules []host.Module) error {
	rules := l.rulesOf(modules)
	// After the end of ctx the host may still be reading a file of a file system that does not answer. Another load must
	// not wait for it.
	if err := l.from.disk.Hanging("load"); err != nil {
		return fmt.Errorf("the modules cannot be loaded: %w", unfinished(err, errors.New("an earlier load has not ended"), l.host.Progress()))
	}
	var err error
	l.revision, err = files.Wait(ctx, &l.from.disk, "load", func() (*host.Revision, error) { return l.host.Load(ctx, rules) }, (*host.Revision).Close)
	if problems := (host.Problems)(nil); errors.As(err, &problems) {
		setLines(l.cfg, problems)
	}
	if err != nil {
		return unfinished(err, context.Cause(ctx), l.host.Progress())
	}
	for _, f := range l.revision.Faults() {
		setLines(l.cfg, f.Problems)
		t := l.cfg.Tenants[f.Tenant]
		l.fail(fault{tenant: f.Tenant, match: t.Match, lines: linesOf(f.Problems), file: t.Pos.File})
	}
	return nil
}

// unfinished returns the error of a load that was abandoned, with what the load still does. Only a load that reads a file
// waits for the file system.
func unfinished(err, cause error, p host.Progress) error {
	switch {
	case !errors.Is(err, files.ErrHangs):
		return err
	case p.Reading:
		return fmt.Errorf("%w: it was %s", err, p.Step)
	}
	return fmt.Errorf("%w: %d of %d modules and configs were checked, and it was %s: the machine is too slow or too busy for them",
		cause, p.Checked, p.All, cmp.Or(p.Step, "preparing the next one"))
}

// setLines sets the positions of problems in configs of entries to the lines of their values.
func setLines(cfg *config.Config, problems host.Problems) {
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
