package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
)

// Rules manages the modules and chains of the node. Its methods may be called concurrently.
type Rules interface {
	// Revision returns the revision in use.
	Revision() string
	// Reload loads the configuration again and puts it into use. Tenants that are not configured correctly stay as before.
	// Nothing changes if the operator's part has problems. The result has the problems.
	Reload(ctx context.Context) Reload
	// Rollback puts the rules from before the last reload into use again.
	Rollback(ctx context.Context) Reload
	// Kept returns the number of earlier revisions to which rollbacks can return, one after the other.
	Kept() int
	// NeedsRestart returns the settings, such as http.listen, that need a restart because their values in the files differ
	// from the values at the start. Callers must not change the result.
	NeedsRestart() []string
	// Last returns the latest reload or rollback; nil: there was none.
	Last() *Reload
	// Counts returns the numbers of reloads and rollbacks since the start: that succeeded, that succeeded except for some
	// tenants, and that were refused.
	Counts() (taken, partial, refused uint64)
	// Faults returns the tenants that are not configured correctly. Callers must not change the result.
	Faults() []TenantFault
}

// TenantFault is a tenant that is not configured correctly.
type TenantFault struct {
	Tenant   string   `json:"tenant" doc:"Empty if no tenant is known that depends on what is wrong."`
	Kept     bool     `json:"kept" doc:"The tenant stays as before. False: its clients are refused."`
	Problems []string `json:"problems"`
}

// Reload is the result of a reload or rollback on one node.
type Reload struct {
	Node     string          `json:"node"`
	At       millis.Time     `json:"at,omitempty" format:"unix-ms" doc:"The beginning of the reload or rollback."`
	OK       bool            `json:"ok" doc:"All of the new configuration is in use."`
	Partial  bool            `json:"partial,omitempty" doc:"The new configuration is in use, except for the tenants in faults."`
	Revision string          `json:"revision,omitempty" doc:"The revision in use now."`
	Before   string          `json:"before,omitempty" doc:"The revision in use before."`
	Problems []string        `json:"problems,omitempty" doc:"Why nothing has changed, or, if partial, what is wrong with the tenants in faults; one problem each."`
	Faults   []TenantFault   `json:"faults,omitempty" doc:"The tenants that are not configured correctly."`
	Notes    []string        `json:"notes,omitempty" doc:"Notes for operators, such as settings that need a restart."`
	Took     millis.Duration `json:"took,omitempty" format:"duration-ms"`
}

type reloadQuery struct {
	Nodes string `query:"nodes" enum:"self,all" default:"self" doc:"Only the node that gets the request, or all. Each node loads its own files."`
}

type reloaded struct {
	Body struct {
		OK      bool     `json:"ok" doc:"All these nodes succeeded."`
		Results []Reload `json:"results"`
	}
}

func (s *Server) ruleOperations() {
	if s.cfg.Rules == nil {
		return
	}
	for _, o := range []struct{ id, ask, summary string }{
		{"reload", askReload, "Load the configuration again and put it into use, all or nothing for each tenant"},
		{"rollback", askRollback, "Put the rules before the last reload into use again"},
	} {
		op := s.operation(o.id, http.MethodPost, "/api/"+o.id, 200, o.summary)
		op.Metadata = map[string]any{loadsModules: true}
		huma.Register(s.api, op, func(ctx context.Context, q *reloadQuery) (*reloaded, error) { return s.onNodes(ctx, q, o.ask) })
	}
}

func (s *Server) onNodes(ctx context.Context, q *reloadQuery, what string) (*reloaded, error) {
	names := []string{s.cfg.Engine.Self()}
	if q.Nodes == "all" {
		var err error
		if names, err = s.cfg.Engine.Nodes(ctx); err != nil {
			return nil, s.faultOf(err)
		}
	}
	out := &reloaded{}
	out.Body.Results = each(ctx, s, names, loadTimeout, question{Ask: what}, func(name string, r Reload, err error) Reload {
		r.Node = name
		if err != nil {
			r.Problems = []string{err.Error()}
		}
		return r
	})
	out.Body.OK = !slices.ContainsFunc(out.Body.Results, func(r Reload) bool { return !r.OK })
	return out, nil
}
