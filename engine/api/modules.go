package api

import (
	"context"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/host/report"
)

// Modules provides the counters of this node's modules. Its methods may be called concurrently.
type Modules interface {
	// Stats returns one report for each module of each of the tenants, in the order of the chains. Without
	// arguments it returns the reports of all tenants.
	Stats(tenants ...string) []report.Module
	// Total returns the sums of the counters of the modules of all tenants that satisfy of.
	Total(of func(tenant string) bool) report.Module
	// Usage returns what all modules use.
	Usage(q report.UsageQuery) report.Usage
}

// Module has the counters of one module of one tenant on one node.
type Module struct {
	Node string `json:"node"`
	report.Module
}

type moduleList struct {
	Body struct {
		Modules     []Module `json:"modules" doc:"Each module once for each node."`
		Cursor      string   `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
		Unreachable []string `json:"unreachable,omitempty" doc:"Nodes that did not answer."`
	}
}

func (s *Server) moduleOperations() {
	huma.Register(s.api, s.list("listModules", "/api/modules", "List the modules of all tenants on all nodes, by pages of tenants"),
		func(ctx context.Context, in *tenantQuery) (*moduleList, error) {
			tenants, cursor := s.selected(nil, in)
			out, err := s.modules(ctx, tenants)
			if err == nil {
				out.Body.Cursor = cursor
			}
			return out, err
		})
	huma.Register(s.api, s.list("listTenantModules", tenantPath+"/modules", "List the modules of a tenant on all nodes"),
		func(ctx context.Context, in *InTenant) (*moduleList, error) {
			return s.modules(ctx, []string{in.Tenant})
		})
}

// modules asks each node for the modules of the tenants.
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
	for i, r := range each(ctx, s, names, askTimeout, question{Ask: askModules, Tenants: tenants}, newReply[[]report.Module]) {
		if r.err != nil {
			out.Body.Unreachable = append(out.Body.Unreachable, names[i])
		}
		for _, m := range r.value {
			if _, ok := slices.BinarySearch(tenants, m.Tenant); ok { // nodes of older versions report all
				out.Body.Modules = append(out.Body.Modules, Module{names[i], m})
			}
		}
	}
	return out, nil
}

// here returns the modules of the tenants, or of all tenants, on this node.
func (s *Server) here(tenants ...string) []report.Module {
	if s.cfg.Modules == nil {
		return nil
	}
	return s.cfg.Modules.Stats(tenants...)
}
