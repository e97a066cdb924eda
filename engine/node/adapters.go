package node

import (
	"context"
	"errors"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/store"
	"github.com/mootchat/moot/host/trial"
)

// modules shows operators what the host's modules did.
type modules struct{ host *host.Host }

// Modules implements api.Modules.
func (m modules) Modules(tenants ...string) (all []api.Module) {
	for _, s := range m.host.Stats(tenants...) {
		if s.Shadow { // its figures are not those of the module that is heard
			s.Module += "+shadow"
		}
		all = append(all, api.Module{
			Tenant: s.Tenant, Name: s.Module, Version: s.Version, OpenBreakers: s.Breaker, Instances: s.Instances,
			Calls: s.Calls, Allowed: s.Allowed, Rewritten: s.Rewritten, Denied: s.Denied, Dropped: s.Dropped, Errors: s.Errors,
			EffectsDropped: s.EffectsDropped, LogsDropped: s.LogsDropped, Metrics: s.Metrics, Durations: api.HistogramOf(&s.Durations),
			P50: micros(s.Durations.Quantile(0.5)), P99: micros(s.Durations.Quantile(0.99)),
		})
	}
	return all
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// decisions implements api.Decisions.
type decisions struct {
	host *host.Host
	node string
}

// Recent implements api.Decisions.
func (d decisions) Recent(q api.DecisionQuery) []api.Decision {
	found := d.host.Decisions(host.DecisionFilter{Tenant: q.Tenant, Room: q.Room, Hook: hook.Named(q.Hook), Module: q.Module,
		Verdict: q.Verdict, Shadow: q.Shadow, After: q.Since, Before: q.Before, Limit: q.Limit})
	list := make([]api.Decision, len(found))
	for i, f := range found {
		list[i] = api.Decision{At: f.At, Node: d.node, Tenant: f.Tenant, Room: f.Room, Hook: f.Hook.String(), Module: f.Module,
			Verdict: f.Verdict, Reason: f.Reason, Error: f.Error, Took: f.Took.Microseconds(), Refused: f.Refused, Count: f.Receivers, Shadow: f.Shadow, Done: f.Done, Text: f.Text}
		if f.DoneBy != "" {
			list[i].Done += " by " + f.DoneBy
		}
	}
	return list
}

// values lets operators read and write what modules keep.
type values struct{ store store.Store }

// Get implements api.Values.
func (v values) Get(ctx context.Context, tenant, module, key string) ([]byte, error) {
	return v.store.Get(ctx, store.Key{Tenant: tenant, Module: module, Name: key})
}

// Set implements api.Values.
func (v values) Set(ctx context.Context, tenant, module, key string, value []byte, ttl time.Duration) (bool, error) {
	had, err := v.store.Set(ctx, store.Key{Tenant: tenant, Module: module, Name: key}, value, ttl)
	if errors.Is(err, store.ErrFull) {
		err = &engine.VerbError{Text: err.Error()}
	}
	return had, err
}

// List implements api.Values.
func (v values) List(ctx context.Context, tenant, module, cursor string, limit int) ([]string, string, error) {
	return v.store.List(ctx, tenant, module, cursor, limit)
}

// recorder records for operators what modules are asked and answer.
type recorder struct{ *trial.Recorder }

// Record implements api.Recorder.
func (r recorder) Record(ctx context.Context, q api.RecordQuery, f func(line []byte) error) error {
	return r.Recorder.Record(ctx, trial.Filter(q), f)
}
