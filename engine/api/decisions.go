package api

import (
	"cmp"
	"context"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/host/report"
)

// Decisions are what the modules of this node decided. Its methods may be called concurrently.
type Decisions interface {
	// Decisions returns at most f.Limit decisions that f selects, the latest first.
	Decisions(f report.DecisionFilter) []report.Decision
}

// Decision is a decision of a module on one node.
type Decision struct {
	Node string `json:"node"`
	report.Decision
}

// DecisionQuery selects decisions of one node, or of all.
type DecisionQuery struct {
	Node string `query:"node" maxLength:"63" doc:"Only decisions of this node."`
	report.DecisionFilter
}

type decisionList struct {
	Body struct {
		Decisions   []Decision `json:"decisions" doc:"The latest first."`
		Unreachable []string   `json:"unreachable,omitempty" doc:"Nodes that did not answer."`
	}
}

func (s *Server) decisionOperations() {
	if s.cfg.Decisions == nil {
		return
	}
	huma.Register(s.api, s.list("listDecisions", "/api/decisions", "The latest decisions of modules"), s.decisions)
	huma.Register(s.api, s.list("listTenantDecisions", tenantPath+"/decisions", "The latest decisions of a tenant's modules"),
		func(ctx context.Context, in *struct {
			InTenant
			DecisionQuery
		}) (*decisionList, error) {
			in.DecisionFilter.Tenant = in.InTenant.Tenant
			return s.decisions(ctx, &in.DecisionQuery)
		})
}

func (s *Server) decisions(ctx context.Context, in *DecisionQuery) (*decisionList, error) {
	names := []string{in.Node}
	if in.Node == "" {
		var err error
		if names, err = s.cfg.Engine.Nodes(ctx); err != nil {
			return nil, s.faultOf(err)
		}
	}
	out := &decisionList{}
	out.Body.Decisions = []Decision{}
	var failed error
	for i, of := range each(ctx, s, names, asking, question{Ask: askDecisions, Decisions: &in.DecisionFilter}, newReply[[]report.Decision]) {
		if of.err != nil {
			out.Body.Unreachable, failed = append(out.Body.Unreachable, names[i]), of.err
		}
		for _, d := range of.value {
			out.Body.Decisions = append(out.Body.Decisions, Decision{names[i], d})
		}
	}
	if in.Node != "" && failed != nil {
		return nil, s.faultOf(failed)
	}
	slices.SortStableFunc(out.Body.Decisions, func(a, b Decision) int { return cmp.Compare(b.At, a.At) })
	out.Body.Decisions = out.Body.Decisions[:min(len(out.Body.Decisions), in.Limit)]
	return out, nil
}
