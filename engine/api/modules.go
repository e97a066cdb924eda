package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/histogram"
)

// Modules are what the node's modules did. Its methods may be called concurrently.
type Modules interface {
	// Modules is one for each module of each tenant, in the order of the chains.
	Modules() []Module
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
		Unreachable []string `json:"unreachable,omitempty" doc:"Nodes that did not answer."`
	}
}

func (s *Server) moduleOperations() {
	huma.Register(s.api, s.list("listModules", "/api/modules", "All modules, with revisions and counters, on all nodes"),
		func(ctx context.Context, _ *struct{}) (*moduleList, error) { return s.modules(ctx, scope{}) })
	huma.Register(s.api, s.list("listTenantModules", tenantPath+"/modules", "The tenant's modules, with revisions and counters, on all nodes"),
		func(ctx context.Context, in *InTenant) (*moduleList, error) { return s.modules(ctx, scope{in.Tenant}) })
}

func (s *Server) modules(ctx context.Context, of scope) (*moduleList, error) {
	names, err := s.cfg.Engine.Nodes(ctx)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &moduleList{}
	out.Body.Modules = []Module{}
	for i, r := range each(ctx, s, names, asking, question{Ask: askModules}, newReply[[]Module]) {
		if r.err != nil {
			out.Body.Unreachable = append(out.Body.Unreachable, names[i])
		}
		for _, m := range r.value {
			if of.may(m.Tenant) {
				m.Node = names[i]
				out.Body.Modules = append(out.Body.Modules, m)
			}
		}
	}
	return out, nil
}

// here are this node's modules.
func (s *Server) here() []Module {
	if s.cfg.Modules == nil {
		return nil
	}
	return s.cfg.Modules.Modules()
}
