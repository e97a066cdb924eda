package node

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host"
)

// reloader reads and loads the configuration again and puts it into use, all or nothing for each tenant. It implements
// api.Rules.
type reloader struct {
	source   Config
	log      *slog.Logger
	level    *slog.LevelVar
	redactor *atomic.Pointer[strings.Replacer] // redactor of the log
	engine   *engine.Engine
	rules    *host.Host
	keys     *auth.KeySets
	from     *sources
	started  *config.Config // configuration of the start: settings that need a restart have these values
	useKeys  func(config.Admin)
	useSinks func(*config.Config)

	last    atomic.Pointer[api.Reload]
	taken   atomic.Uint64                                       // successful reloads and rollbacks
	partial atomic.Uint64                                       // reloads without the tenants that are not configured correctly
	refused atomic.Uint64                                       // refused reloads and rollbacks
	faults  atomic.Pointer[[]api.TenantFault]                   // of the configuration in use
	restart atomic.Pointer[[]string]                            // settings of the files that need a restart; nil: none
	current atomic.Pointer[config.Config]                       // in use
	kept    atomic.Pointer[map[string]map[string]config.Module] // see loaded
	watched atomic.Pointer[config.Loader]                       // the files of the configuration in use, and of the last refused one
	older   atomic.Int32                                        // the length of past
	unseen  atomic.Bool                                         // the file system did not answer at the last look at the files
	first   []fileState                                         // states of the watched files at the start

	cache  config.Cache  // guarded by turn
	turn   chan struct{} // has one element during a reload or rollback
	now    *loaded       // in use; guarded by turn
	past   []*loaded     // used before, the latest last; guarded by turn
	closed bool          // guarded by turn
}

// newReloader returns a reloader with the configuration in use and the loader that read it.
func newReloader(ctx context.Context, source Config, loader *config.Loader, now *loaded, h *host.Host, keys *auth.KeySets, from *sources, log *slog.Logger, level *slog.LevelVar) *reloader {
	r := &reloader{source: source, log: log, level: level, rules: h, keys: keys, from: from, started: now.cfg, now: now, turn: make(chan struct{}, 1)}
	r.current.Store(now.cfg)
	if loader.Cache != nil {
		r.cache = *loader.Cache
		r.decodeAgain(now)
	}
	r.showFaults(now)
	r.watch(loader, now.cfg)
	r.first, _ = r.look(ctx) // after an error every file counts as changed as soon as it can be read
	return r
}

// Reload implements api.Rules.
func (r *reloader) Reload(ctx context.Context) api.Reload {
	return r.attempt(ctx, "reload", r.reload)
}

// Rollback implements api.Rules. It drops the revision in use; a reload loads the files again.
func (r *reloader) Rollback(ctx context.Context) api.Reload {
	return r.attempt(ctx, "rollback", r.rollback)
}

// attempt calls change, one call at a time, and reports the result.
func (r *reloader) attempt(ctx context.Context, what string, change func(context.Context) (notes []string, err error)) api.Reload {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return api.Reload{Revision: r.Revision(), Problems: []string{"another reload or rollback is under way: try again later"}}
	}
	begin := time.Now()
	out := api.Reload{At: millis.TimeOf(begin.Truncate(time.Millisecond)), Before: r.Revision()}
	err := errors.New("the server is shutting down")
	if !r.closed {
		out.Notes, err = change(ctx)
	}
	out.Notes = append(restartNotes(r.NeedsRestart()), out.Notes...)
	out.Revision, out.Took = r.Revision(), millis.DurationOf(time.Since(begin).Round(time.Millisecond))
	out.Partial = errors.As(err, new(partialError))
	out.OK = err == nil
	if err != nil {
		out.Problems = strings.Split(err.Error(), "\n")
	}
	if out.Partial {
		out.Faults = *r.faults.Load()
	}
	r.older.Store(int32(len(r.past)))
	r.report(what, &out)
	return out
}

// partialError means that a reload has changed everything but the tenants that are not configured correctly.
type partialError struct{ error }

// reload reads and loads the files, and puts their configuration into use. Tenants that are not configured
// correctly stay as they are; the error is a partialError then, unless nothing else has changed.
func (r *reloader) reload(ctx context.Context) (notes []string, err error) {
	loader := config.Loader{Waiter: &r.from.disk, Cache: &r.cache, InUse: r.now.cfg}
	cfg, err := r.source.read(ctx, &loader)
	r.watch(&loader, cfg)
	if err != nil {
		return nil, err
	}
	waiting := config.NeedsRestart(r.started, cfg)
	r.restart.Store(&waiting)
	next, err := load(ctx, r.rules, r.keys, cfg, r.from, r.now)
	if err != nil {
		return nil, redacted(cfg, err)
	}
	r.decodeAgain(next)
	if next.revision.ID() == r.now.revision.ID() && sameSecrets(next.cfg, r.now.cfg) && sameRefused(next.faults, r.now.faults) {
		r.now.faults = next.faults
		r.showFaults(r.now)
		next.drop()
		if err := next.err(); err != nil {
			return nil, err
		}
		return []string{"nothing has changed"}, nil
	}
	if err := r.use(ctx, next); err != nil {
		next.drop()
		return nil, err
	}
	r.useKeys(next.cfg.Admin)
	r.past = append(r.past, r.now)
	if len(r.past) > maxPast {
		r.past[0].drop()
		r.past = slices.Delete(r.past, 0, 1)
	}
	r.now = next
	if err := next.err(); err != nil {
		return nil, partialError{err}
	}
	return nil, nil
}

// decodeAgain makes the next reload decode the files of tenants whose modules refused them: problems have the positions of
// values only in the load that decodes them.
func (r *reloader) decodeAgain(l *loaded) {
	for _, f := range l.faults {
		if f.file != "" {
			r.cache.Drop(f.file)
		}
	}
}

// sameRefused reports whether the same tenants are refused for the same hosts and paths.
func sameRefused(a, b []fault) bool {
	refused := func(faults []fault) map[string]config.Match {
		all := map[string]config.Match{}
		for _, f := range faults {
			if !f.kept && f.tenant != "" {
				all[f.tenant] = f.match
			}
		}
		return all
	}
	return reflect.DeepEqual(refused(a), refused(b))
}

// maxPast is the number of revisions kept for rollbacks.
const maxPast = 5

// rollback puts the previous revision into use. The keys of the server API stay as they are: a key that was removed
// does not come back.
func (r *reloader) rollback(ctx context.Context) (notes []string, err error) {
	if len(r.past) == 0 {
		return nil, errors.New("there is nothing to go back to: nothing was reloaded since the server started, or all of it was rolled back")
	}
	last := len(r.past) - 1
	before := r.past[last]
	if err := r.use(ctx, before); err != nil {
		return nil, err
	}
	r.now.drop()
	r.now, r.past = before, r.past[:last]
	return []string{"the files still say what was rolled back: the next reload loads them"}, nil
}

// use replaces the configuration in use by next.
func (r *reloader) use(ctx context.Context, next *loaded) error {
	if err := r.engine.Swap(ctx, next.settings, func() { next.swap(r.rules) }); err != nil {
		return err
	}
	r.current.Store(next.cfg)
	r.showFaults(next)
	r.redactor.Store(next.cfg.LogRedactor())
	r.keys.Permit(next.cfg.Limits.Networks())
	r.keys.Use(ctx, keySetsOf(next.cfg))
	r.useSinks(next.cfg)
	next.useAsks(r.from.asks)
	setLevel(r.level, next.cfg.Log.Level)
	return nil
}

// showFaults sets the faults that operators see.
func (r *reloader) showFaults(l *loaded) {
	faults := l.forOperators()
	r.faults.Store(&faults)
	r.kept.Store(&l.kept)
}

// report stores, counts and logs the result.
func (r *reloader) report(what string, out *api.Reload) {
	r.last.Store(out)
	switch {
	case out.OK:
		r.taken.Add(1)
	case out.Partial:
		r.partial.Add(1)
	default:
		r.refused.Add(1)
	}
	if out.OK || out.Partial {
		r.log.Info(what, "revision", short(out.Revision), "before", short(out.Before), "took", out.Took.Std())
	}
	if out.Partial {
		r.now.logFaults(r.log)
	} else {
		for _, problem := range out.Problems {
			r.log.Error(what+" refused, the rules stay as they are", "problem", problem, "revision", short(out.Revision))
		}
	}
	for _, note := range out.Notes {
		r.log.Warn(what, "note", note)
	}
}

// close waits for the running reload, refuses further ones, and drops all revisions.
func (r *reloader) close() {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	r.closed = true
	for _, l := range append(r.past, r.now) {
		l.drop()
	}
	r.past = nil
}

// short returns the beginning of a digest.
func short(digest string) string { return digest[:min(len(digest), 8)] }
