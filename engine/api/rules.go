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
	// Reload loads the configuration again and puts all of it into use, or nothing if it has problems. The result has
	// the problems.
	Reload(ctx context.Context) Reload
	// Rollback puts the rules from before the last reload into use again.
	Rollback(ctx context.Context) Reload
	// NeedsRestart returns the settings, such as http.listen, that need a restart because their values in the files differ
	// from the values at the start. Callers must not change the result.
	NeedsRestart() []string
	// Last returns the latest reload or rollback; nil: there was none.
	Last() *Reload
	// Counts returns the numbers of successful and of refused reloads and rollbacks since the start.
	Counts() (taken, refused uint64)
}

// Reload is the result of a reload or rollback on one node.
type Reload struct {
	Node     string          `json:"node"`
	At       millis.Time     `json:"at,omitempty" format:"unix-ms" doc:"The beginning of the reload or rollback."`
	OK       bool            `json:"ok" doc:"The new revision is in use."`
	Revision string          `json:"revision,omitempty" doc:"The revision in use now."`
	Before   string          `json:"before,omitempty" doc:"The revision in use before."`
	Problems []string        `json:"problems,omitempty" doc:"Why nothing has changed, one problem each."`
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
		{"reload", askReload, "Load the configuration again and put it into use, all or nothing"},
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
