package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// maxPast is how many revisions a rollback can go back.
const maxPast = 5

// reloader loads the configuration again and puts it into use, all or nothing. It
// implements api.Rules.
type reloader struct {
	source  Config
	log     *slog.Logger
	level   *slog.LevelVar
	texts   *atomic.Pointer[strings.Replacer] // what the log does not show
	engine  *engine.Engine
	rules   *host.Host
	keys    *auth.KeySets
	from    *sources
	started *config.Config // what needs a restart is as it says

	last    atomic.Pointer[api.Reload]
	taken   atomic.Uint64                 // reloads and rollbacks
	refused atomic.Uint64                 // the same
	restart atomic.Pointer[[]string]      // settings of the files that wait for a restart; nil: none
	current atomic.Pointer[config.Config] // in use
	watched atomic.Pointer[config.Loader] // what the configuration in use was made of, or the last one that was not taken
	unseen  atomic.Bool                   // the last look at them was given up
	first   []fileState                   // of what is watched, when the server started

	turn   chan struct{} // has one element while a reload is under way
	now    *loaded       // under turn
	past   []*loaded     // what was in use before, the latest last; under turn
	closed bool          // under turn
}

// newReloader begins with what is in use already, and what it was made of.
func newReloader(ctx context.Context, source Config, trace *config.Loader, now *loaded, h *host.Host, keys *auth.KeySets, from *sources, log *slog.Logger, level *slog.LevelVar) *reloader {
	r := &reloader{source: source, log: log, level: level, rules: h, keys: keys, from: from, started: now.cfg, now: now, turn: make(chan struct{}, 1)}
	r.current.Store(now.cfg)
	r.watch(trace, now.cfg)
	r.first, _ = r.look(ctx) // what cannot be looked at has changed when it can
	return r
}

// Revision implements api.Rules.
func (r *reloader) Revision() string { return r.rules.Revision() }

// Last implements api.Rules.
func (r *reloader) Last() *api.Reload { return r.last.Load() }

// Counts implements api.Rules.
func (r *reloader) Counts() (taken, refused uint64) { return r.taken.Load(), r.refused.Load() }

// NeedsRestart implements api.Rules.
func (r *reloader) NeedsRestart() []string {
	if paths := r.restart.Load(); paths != nil {
		return *paths
	}
	return nil
}

// restarted is nil unless the files have settings that wait for a restart.
func (r *reloader) restarted(context.Context) error {
	if paths := r.NeedsRestart(); len(paths) > 0 {
		return errors.New("needs a restart: " + strings.Join(paths, ", "))
	}
	return nil
}

// healthy tells of the last reload if it was refused: the node serves on by the rules
// it has.
func (r *reloader) healthy(context.Context) error {
	last := r.last.Load()
	if last == nil || last.OK {
		return nil
	}
	few := last.Problems[:min(len(last.Problems), 10)] // probes come every few seconds
	more := ""
	if n := len(last.Problems) - len(few); n > 0 {
		more = fmt.Sprintf("; and %d more", n)
	}
	return errors.New("the last reload was refused: " + strings.Join(few, "; ") + more)
}

// Reload implements api.Rules. Reloads come one after the other.
func (r *reloader) Reload(ctx context.Context) api.Reload {
	return r.attempt(ctx, "reload", r.reload)
}

// Rollback implements api.Rules. What it goes back from is let go: a reload brings
// back what the files say.
func (r *reloader) Rollback(ctx context.Context) api.Reload {
	return r.attempt(ctx, "rollback", r.rollback)
}

// attempt has change done, and reports what became of it.
func (r *reloader) attempt(ctx context.Context, what string, change func(context.Context) (notes []string, err error)) api.Reload {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return api.Reload{Revision: r.Revision(), Problems: []string{"another one is under way"}}
	}
	begin := time.Now()
	out := api.Reload{At: millis.TimeOf(begin.Truncate(time.Millisecond)), Before: r.Revision()}
	err := errors.New("the server is shutting down")
	if !r.closed {
		out.Notes, err = change(ctx)
	}
	out.Notes = append(notesOn(r.NeedsRestart()), out.Notes...)
	out.OK, out.Revision, out.Took = err == nil, r.Revision(), millis.DurationOf(time.Since(begin).Round(time.Millisecond))
	if err != nil {
		out.Problems = strings.Split(err.Error(), "\n")
	}
	r.last.Store(&out)
	if out.OK {
		r.taken.Add(1)
	} else {
		r.refused.Add(1)
	}
	r.tell(what, out)
	return out
}

func (r *reloader) tell(what string, out api.Reload) {
	for _, problem := range out.Problems {
		r.log.Error(what+" refused, the rules stay as they are", "problem", problem, "revision", short(out.Revision))
	}
	if out.OK {
		r.log.Info(what, "revision", short(out.Revision), "before", short(out.Before), "took", out.Took.Std())
	}
	for _, note := range out.Notes {
		r.log.Warn(what, "note", note)
	}
}

func (r *reloader) reload(ctx context.Context) (notes []string, err error) {
	trace := config.Loader{Waiter: &r.from.disk}
	cfg, err := r.source.load(ctx, &trace)
	r.watch(&trace, cfg)
	if err != nil {
		return nil, err
	}
	waiting := config.NeedsRestart(r.started, cfg)
	r.restart.Store(&waiting)
	next, err := load(ctx, r.rules, r.keys, cfg, r.from)
	if err != nil {
		return nil, redacted(cfg, err)
	}
	if next.revision.ID() == r.now.revision.ID() && sameSecrets(next.cfg, r.now.cfg) {
		next.drop()
		return []string{"nothing has changed"}, nil
	}
	if err := r.use(ctx, next); err != nil {
		next.drop()
		return nil, err
	}
	r.past = append(r.past, r.now)
	if len(r.past) > maxPast {
		r.past[0].drop()
		r.past = slices.Delete(r.past, 0, 1)
	}
	r.now = next
	return nil, nil
}

func notesOn(settings []string) (notes []string) {
	for _, path := range settings {
		notes = append(notes, fmt.Sprintf("%s has changed: it needs a restart", path))
	}
	return notes
}

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

// use puts next in place of what is in use.
func (r *reloader) use(ctx context.Context, next *loaded) error {
	if err := r.engine.Swap(ctx, next.settings, func() { next.swap(r.rules) }); err != nil {
		return err
	}
	r.current.Store(next.cfg)
	r.texts.Store(next.cfg.LogRedactor())
	r.keys.Permit(next.cfg.Limits.Networks())
	r.keys.Use(ctx, keySetsOf(next.cfg))
	setLevel(r.level, next.cfg.Log.Level)
	return nil
}

// close waits for the reload under way, begins no other, and lets go of the
// revisions that are kept.
func (r *reloader) close() {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	r.closed = true
	for _, l := range append(r.past, r.now) {
		l.drop()
	}
	r.past = nil
}

// short is the beginning of a digest.
func short(digest string) string { return digest[:min(len(digest), 8)] }
