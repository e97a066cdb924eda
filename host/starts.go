package host

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A load starts the modules in rounds. The starts of a round have a limit of time, and those that exceed it
// are repeated in the next round, after all others. So modules that never start cannot use up the time of
// a load before the modules of other tenants have started.

// firstLimits are the limits of the rounds before the last one, which has [Config.StartTimeout].
var firstLimits = []time.Duration{100 * time.Millisecond, 500 * time.Millisecond}

const (
	maxLate  = 4                // starts of a tenant that may exceed the limit of a round; its other modules wait for the next round
	lateTime = 10 * time.Second // for all starts of a load that exceed the limit of a round after the first
	patient  = 6                // factor of lateTime and of the times below, for a load while no rules are in use

	ownerCompileTime = 10 * time.Second // for compiling the modules of one owner, in one load
	compileTime      = 25 * time.Second // for compiling those of all owners; the operator's have no limit
)

var (
	errNotStarted  = errors.New("it was not started, as other modules of this load did not start in time: correct those first")
	errNotCompiled = errors.New("it was not compiled, as other modules of included files took too long in this load: reload again, as compiled modules are cached")
)

// rounds starts the generations of a loader.
type rounds struct {
	*loader
	errs   map[*generation][]error
	budget time.Duration // for starts that exceed a limit, after the first round
	times  time.Duration // factor of the limits

	mu      sync.Mutex               // guards the other fields during a round
	dear    map[string]time.Duration // by owner: the time used for compiling
	allDear time.Duration            // the sum of dear
	late    map[string]int           // by tenant: starts of the round that exceeded the limit
	failed  map[string]int           // by tenant: starts that are not repeated, see failedStarts
	waiting []*generation            // for the next round
	spent   time.Duration            // of budget
}

// startRounds starts the new generations and returns their errors.
func (l *loader) startRounds() map[*generation][]error {
	r := &rounds{loader: l, errs: make(map[*generation][]error, len(l.starting)), times: 1, dear: make(map[string]time.Duration), failed: make(map[string]int)}
	if l.old == nil {
		r.times = patient
	}
	r.budget = r.times * l.host.lateTime
	full := l.host.cfg.StartTimeout
	these := r.untried(l.starting)
	for _, limit := range firstLimits {
		if limit < full && len(these) > 0 {
			these = r.round(these, limit, limit == firstLimits[0], false)
		}
	}
	r.round(these, full, false, true)
	return r.errs
}

// untried returns the generations to start. It leaves out those whose starts have failed and are not repeated yet, and records
// their errors.
func (r *rounds) untried(all []*generation) (rest []*generation) {
	for _, g := range all {
		errs := r.host.failed.find(g)
		if errs == nil {
			rest = append(rest, g)
			continue
		}
		r.errs[g] = errs
		r.failed[g.binding.tenant]++
		r.host.progress.check()
	}
	return rest
}

// round starts generations, several at a time, and returns those that exceeded the limit. While rules are
// in use, it leaves half of the processors to them.
func (r *rounds) round(these []*generation, limit time.Duration, first, last bool) (next []*generation) {
	r.late, r.waiting = make(map[string]int), nil
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	if r.old != nil {
		all.SetLimit(max(1, runtime.GOMAXPROCS(0)/2))
	}
	for _, g := range these {
		all.Go(func() error {
			if r.ctx.Err() == nil {
				r.one(g, limit, first, last)
			}
			return nil
		})
	}
	_ = all.Wait() // the errors are in errs
	return inTurn(r.waiting)
}

// one starts a generation.
func (r *rounds) one(g *generation, limit time.Duration, first, last bool) {
	tenant := g.binding.tenant
	r.mu.Lock()
	over := r.late[tenant] >= maxLate || !first && (r.spent >= r.budget || r.late[tenant]+r.failed[tenant] >= maxLate)
	r.mu.Unlock()
	var errs []error
	late, begin := over, now()
	if over {
		errs = []error{errNotStarted}
	} else if err := r.compileOnce(g); err != nil {
		errs = []error{err}
	} else {
		g.startLimit.Store(int64(limit))
		errs = r.start(g)
		g.startLimit.Store(0)
		if late = exceeds(errs); late && last {
			errs = r.host.failed.add(g, errs)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if late && !over {
		r.late[tenant]++
		if !first {
			r.spent += time.Duration(now() - begin)
		}
	}
	if late && !last {
		r.waiting = append(r.waiting, g)
		return
	}
	r.errs[g] = errs
	r.host.progress.check()
}

// compileOnce compiles a generation's code, in its first round.
func (r *rounds) compileOnce(g *generation) error {
	if g.pool != nil {
		return nil
	}
	owner := r.modules[g.binding.module].Owner
	if owner == "" {
		return r.compile(g)
	}
	r.mu.Lock()
	over := r.dear[owner] >= r.times*r.host.ownerCompileTime || r.allDear >= r.times*compileTime
	r.mu.Unlock()
	if over {
		return errNotCompiled
	}
	begin := now()
	err := r.compile(g)
	took := time.Duration(now() - begin)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dear[owner] += took
	r.allDear += took
	return err
}

// exceeds reports whether a start was stopped because it took too long.
func exceeds(errs []error) bool {
	return slices.ContainsFunc(errs, func(err error) bool {
		f := (*failure)(nil)
		return errors.As(err, &f) && f.kind == Deadline
	})
}

// inTurn orders generations so that each tenant has its first one before any tenant has its second one.
func inTurn(all []*generation) []*generation {
	seen, turn := make(map[string]int), make(map[*generation]int, len(all))
	for _, g := range all {
		turn[g] = seen[g.binding.tenant]
		seen[g.binding.tenant]++
	}
	slices.SortStableFunc(all, func(a, b *generation) int { return cmp.Compare(turn[a], turn[b]) })
	return all
}

// startTimeout returns the time that a start of an instance may take.
func (g *generation) startTimeout() time.Duration {
	return cmp.Or(time.Duration(g.startLimit.Load()), g.host.cfg.StartTimeout)
}
