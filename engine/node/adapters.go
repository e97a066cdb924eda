package node

import (
	"context"
	"errors"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/host/store"
	"github.com/mootchat/moot/host/trial"
)

// values lets operators read and write the stored values of modules.
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

// recorder records the calls of modules for operators.
type recorder struct{ *trial.Recorder }

// Record implements api.Recorder.
func (r recorder) Record(ctx context.Context, q api.RecordQuery, f func(line []byte) error) error {
	return r.Recorder.Record(ctx, trial.Filter(q), f)
}
