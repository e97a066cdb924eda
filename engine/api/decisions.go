package api

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// Decisions are what modules of this node decided of late. Its methods may be
// called concurrently.
type Decisions interface {
	// Recent gives at most q.Limit decisions that fit q, the latest first.
	Recent(q DecisionQuery) []Decision
}

// DecisionQuery says which decisions; an empty field fits all.
type DecisionQuery struct {
	Tenant, Room, Hook, Module, Verdict string
	Shadow                              bool  // only those of entries in shadow mode
	Since, Before                       int64 // only those after and before it, us since 1970; 0: no bound
	Limit                               int
}

// Values are the query of a request for the decisions; the tenant is in its path.
func (q DecisionQuery) Values() url.Values {
	v := url.Values{}
	for name, text := range map[string]string{"room": q.Room, "hook": q.Hook, "module": q.Module, "verdict": q.Verdict} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if q.Shadow {
		v.Set("shadow", "true")
	}
	for name, at := range map[string]int64{"since": q.Since, "before": q.Before} {
		if at > 0 {
			v.Set(name, strconv.FormatInt(at, 10))
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Decision is what one module said about one event.
type Decision struct {
	At      int64  `json:"at" doc:"us since 1970"`
	Node    string `json:"node"`
	Tenant  string `json:"tenant"`
	Room    string `json:"room,omitempty"`
	Hook    string `json:"hook"`
	Module  string `json:"module" doc:"module@sha256#revision"`
	Verdict string `json:"verdict" doc:"allow, rewrite, deny, drop or error; opened and closed, where the entry's breaker did."`
	Reason  string `json:"reason,omitempty" doc:"The module's own words, or the kind of the error."`
	Error   string `json:"error,omitempty" doc:"What went wrong, as in the log; where a script failed, its file, line and column."`
	Took    int64  `json:"took" doc:"us; of closed, how long the breaker was open."`
	Refused int    `json:"refused,omitempty" doc:"Of opened and closed: calls that the breaker has refused by now. They are not listed themselves."`
	Count   int    `json:"count,omitempty" doc:"Receivers, at say."`
	Shadow  bool   `json:"shadow,omitempty" doc:"Asked, and not applied."`
	Done    string `json:"done,omitempty" doc:"What was done in place of a shadow's verdict."`
	Text    string `json:"text,omitempty" doc:"Of the message, where decisions.text is true."`
}

// DecisionFilter is a DecisionQuery as a request has it.
type DecisionFilter struct {
	Node    string `query:"node" maxLength:"63" doc:"This node's only."`
	Room    string `query:"room" maxLength:"200"`
	Hook    string `query:"hook" enum:"connect,join,onSayReceive,say,leave,disconnect,action"`
	Module  string `query:"module" maxLength:"63" doc:"By name."`
	Verdict string `query:"verdict" enum:"allow,rewrite,deny,drop,error,opened,closed"`
	Shadow  bool   `query:"shadow" doc:"Those of modules in shadow mode only."`
	Since   int64  `query:"since" minimum:"0" doc:"us since 1970: those after it."`
	Before  int64  `query:"before" minimum:"0" doc:"us since 1970: those before it."`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
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
	huma.Register(s.api, s.list("listDecisions", "/api/decisions", "What modules decided of late"),
		func(ctx context.Context, in *DecisionFilter) (*decisionList, error) { return s.decisions(ctx, "", in) })
	huma.Register(s.api, s.list("listTenantDecisions", "/api/tenants/{tenant}/decisions", "What a tenant's modules decided of late"),
		func(ctx context.Context, in *struct {
			Tenant string `path:"tenant" maxLength:"63"`
			DecisionFilter
		}) (*decisionList, error) {
			return s.decisions(ctx, in.Tenant, &in.DecisionFilter)
		})
}

func (s *Server) decisions(ctx context.Context, tenant string, f *DecisionFilter) (*decisionList, error) {
	names := []string{f.Node}
	if f.Node == "" {
		var err error
		if names, err = s.cfg.Engine.Nodes(ctx); err != nil {
			return nil, s.faultOf(err)
		}
	}
	q := question{Ask: askDecisions, Decisions: &DecisionQuery{Tenant: tenant, Room: f.Room, Hook: f.Hook, Module: f.Module,
		Verdict: f.Verdict, Shadow: f.Shadow, Since: f.Since, Before: f.Before, Limit: f.Limit}}
	out := &decisionList{}
	out.Body.Decisions = []Decision{}
	var failed error
	for i, of := range each(ctx, s, names, asking, q, newReply[[]Decision]) {
		if of.err != nil {
			out.Body.Unreachable, failed = append(out.Body.Unreachable, names[i]), of.err
		}
		out.Body.Decisions = append(out.Body.Decisions, of.value...)
	}
	if f.Node != "" && failed != nil {
		return nil, s.faultOf(failed)
	}
	slices.SortStableFunc(out.Body.Decisions, func(a, b Decision) int { return cmp.Compare(b.At, a.At) })
	out.Body.Decisions = out.Body.Decisions[:min(len(out.Body.Decisions), f.Limit)]
	return out, nil
}
