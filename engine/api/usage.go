package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/host/report"
)

// nodeUsage is what the modules of one node use.
type nodeUsage struct {
	Node string `json:"node"`
	report.Usage
}

// Usage is what the modules of all nodes use.
type Usage struct {
	Nodes       []nodeUsage          `json:"nodes"`
	Tenants     []report.TenantUsage `json:"tenants" doc:"The tenants that cost most, over all nodes: the sums of what each node reports of its costliest tenants."`
	Unreachable []string             `json:"unreachable,omitempty" doc:"Nodes that did not answer."`
}

type usageAnswer struct{ Body Usage }

func (s *Server) usageOperations() {
	op := s.operation("getUsage", http.MethodGet, "/api/usage", 200, "Get what the modules of all nodes use: instances, memory, wakes, and the tenants that cost most")
	op.Metadata = map[string]any{listing: true} // it asks all nodes
	huma.Register(s.api, op, s.getUsage)
}

func (s *Server) getUsage(ctx context.Context, q *report.UsageQuery) (*usageAnswer, error) {
	names, err := s.cfg.Engine.Nodes(ctx)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &usageAnswer{Usage{Nodes: []nodeUsage{}, Tenants: []report.TenantUsage{}}}
	at := map[string]int{}
	for i, r := range each(ctx, s, names, askTimeout, question{Ask: askUsage, Usage: q}, newReply[report.Usage]) {
		if r.err != nil {
			out.Body.Unreachable = append(out.Body.Unreachable, names[i])
			continue
		}
		out.Body.Nodes = append(out.Body.Nodes, nodeUsage{names[i], r.value})
		for _, t := range r.value.Tenants {
			if k, ok := at[t.Tenant]; ok {
				sum := &out.Body.Tenants[k]
				sum.CPU, sum.CPUTime, sum.Memory, sum.Awake = sum.CPU+t.CPU, sum.CPUTime+t.CPUTime, sum.Memory+t.Memory, sum.Awake+t.Awake
				continue
			}
			at[t.Tenant] = len(out.Body.Tenants)
			out.Body.Tenants = append(out.Body.Tenants, t)
		}
	}
	report.SortTenants(out.Body.Tenants, q.By)
	out.Body.Tenants = out.Body.Tenants[:min(q.Top, len(out.Body.Tenants))]
	return out, nil
}
