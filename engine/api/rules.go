package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
)

// Rules are the modules and chains of the node, as the program loads them. Its
// methods may be called concurrently.
type Rules interface {
	// Revision is of the rules in use.
	Revision() string
	// Reload loads the configuration again and puts it into use, all or nothing.
	// What went wrong is in what it returns.
	Reload(ctx context.Context) Reload
	// Rollback puts the rules before the last reload into use again.
	Rollback(ctx context.Context) Reload
	// NeedsRestart are the paths of the settings, such as http.listen, whose value in
	// the files last read differs from the one the node started with, and that only a
	// restart takes over. It is not changed.
	NeedsRestart() []string
	// Last is the latest reload or rollback, nil if there was none.
	Last() *Reload
	// Counts are the reloads and rollbacks since the start, and those that were
	// refused.
	Counts() (taken, refused uint64)
}

// Reload is what became of a reload or a rollback on one node.
type Reload struct {
	Node     string          `json:"node"`
	At       millis.Time     `json:"at,omitempty" format:"unix-ms" doc:"The beginning of the reload or rollback."`
	OK       bool            `json:"ok" doc:"The rules asked for are in use."`
	Revision string          `json:"revision,omitempty" doc:"In use now."`
	Before   string          `json:"before,omitempty" doc:"In use before."`
	Problems []string        `json:"problems,omitempty" doc:"Why nothing was changed, one thing each."`
	Notes    []string        `json:"notes,omitempty" doc:"What an operator should know, such as settings that need a restart."`
	Took     millis.Duration `json:"took,omitempty" format:"duration-ms"`
}

type reloadQuery struct {
	Nodes string `query:"nodes" enum:"self,all" default:"self" doc:"The node that is asked, or all. Every node loads its own files."`
}

type reloaded struct {
	Body struct {
		OK      bool     `json:"ok" doc:"On every node asked."`
		Results []Reload `json:"results"`
	}
}

func (s *Server) ruleOperations() {
	if s.cfg.Rules == nil {
		return
	}
	for _, o := range []struct{ id, ask, summary string }{
		{"reload", askReload, "Load the configuration again and swap the rules, all or nothing"},
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
	out.Body.Results = each(ctx, s, names, loading, question{Ask: what}, func(name string, r Reload, err error) Reload {
		r.Node = name
		if err != nil {
			r.Problems = []string{err.Error()}
		}
		return r
	})
	out.Body.OK = !slices.ContainsFunc(out.Body.Results, func(r Reload) bool { return !r.OK })
	return out, nil
}
