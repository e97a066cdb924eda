package api

import (
	"context"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/histogram"
)

// Modules are what the node's modules did. Its methods may be called concurrently.
type Modules interface {
	// Modules is one for each module of each of the tenants, in the order of the
	// chains; no tenants: of all.
	Modules(tenants ...string) []Module
}

// Module is what one module did in one tenant, on one node, since the node started.
type Module struct {
	Node           string            `json:"node"`
	Tenant         string            `json:"tenant"`
	Name           string            `json:"name"`
	Version        string            `json:"version" doc:"module@sha256#revision"`
	OpenBreakers   int               `json:"openBreakers" doc:"Entries that are not asked now, because they failed too often."`
	Instances      int               `json:"instances"`
	Calls          uint64            `json:"calls" doc:"Into the guest; many receivers of a message are one call."`
	Allowed        uint64            `json:"allowed"`
	Rewritten      uint64            `json:"rewritten"`
	Denied         uint64            `json:"denied"`
	Dropped        uint64            `json:"dropped"`
	Errors         map[string]uint64 `json:"errors" doc:"By kind."`
	EffectsDropped uint64            `json:"effectsDropped"`
	LogsDropped    uint64            `json:"logsDropped"`
	P50            float64           `json:"p50" doc:"Half of the calls took at most so many us, about."`
	P99            float64           `json:"p99" doc:"us"`
	Metrics        map[string]int64  `json:"metrics" doc:"That the module counts itself."`

	Durations Histogram `json:"durations" doc:"Of the calls."`
}

// Histogram are calls by how long they took.
type Histogram struct {
	Bounds []float64 `json:"bounds" doc:"The upper ones, in seconds, ascending: of all buckets but the last."`
	Counts []uint64  `json:"counts"`
	Sum    float64   `json:"sum" doc:"Seconds."`
}

// HistogramOf is a snapshot as the API gives it.
func HistogramOf(s *histogram.Snapshot) Histogram {
	h := Histogram{Sum: s.Sum.Seconds(), Counts: s.Counts[:]}
	for i := range histogram.Buckets - 1 {
		h.Bounds = append(h.Bounds, histogram.Bound(i).Seconds())
	}
	return h
}

type moduleList struct {
	Body struct {
		Modules     []Module `json:"modules" doc:"Each once for each node."`
		Cursor      string   `json:"cursor,omitempty" doc:"Of the next page; missing at the end."`
		Unreachable []string `json:"unreachable,omitempty" doc:"Nodes that did not answer."`
	}
}

func (s *Server) moduleOperations() {
	huma.Register(s.api, s.list("listModules", "/api/modules", "All modules, with revisions and counters, on all nodes, by pages of tenants"),
		func(ctx context.Context, in *tenantQuery) (*moduleList, error) {
			tenants, more := s.cfg.Engine.TenantNames(in.Cursor, in.Limit)
			out, err := s.modules(ctx, tenants)
			if err == nil && more {
				out.Body.Cursor = tenants[len(tenants)-1]
			}
			return out, err
		})
	huma.Register(s.api, s.list("listTenantModules", tenantPath+"/modules", "The tenant's modules, with revisions and counters, on all nodes"),
		func(ctx context.Context, in *InTenant) (*moduleList, error) {
			return s.modules(ctx, []string{in.Tenant})
		})
}

// modules asks each node for those of the tenants alone.
func (s *Server) modules(ctx context.Context, tenants []string) (*moduleList, error) {
	names, err := s.cfg.Engine.Nodes(ctx)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &moduleList{}
	out.Body.Modules = []Module{}
	if len(tenants) == 0 {
		return out, nil
	}
	for i, r := range each(ctx, s, names, asking, question{Ask: askModules, Tenants: tenants}, newReply[[]Module]) {
		if r.err != nil {
			out.Body.Unreachable = append(out.Body.Unreachable, names[i])
		}
		for _, m := range r.value {
			if _, ok := slices.BinarySearch(tenants, m.Tenant); ok { // nodes of older versions give all
				m.Node = names[i]
				out.Body.Modules = append(out.Body.Modules, m)
			}
		}
	}
	return out, nil
}

// here are this node's modules, of the tenants or of all.
func (s *Server) here(tenants ...string) []Module {
	if s.cfg.Modules == nil {
		return nil
	}
	return s.cfg.Modules.Modules(tenants...)
}
