package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// Decisions returns the decisions of the modules of this node. Its methods may be called concurrently.
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
	Node   string `query:"node" maxLength:"63" doc:"Only decisions of this node."`
	Cursor string `query:"cursor" maxLength:"12000" doc:"Of an earlier answer: only decisions that were made after it."`
	report.DecisionFilter
}

// DecisionPage is an answer to a DecisionQuery.
type DecisionPage struct {
	Decisions   []Decision `json:"decisions" doc:"The latest first."`
	Cursor      string     `json:"cursor" doc:"For a request of the decisions after these."`
	Unreachable []string   `json:"unreachable,omitempty" doc:"Nodes that did not answer."`
}

type decisionList struct{ Body DecisionPage }

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
	if !in.Since.Valid() || !in.Before.Valid() {
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "query.since and query.before are numbers of milliseconds since 1970, until the year 9999")
	}
	names := []string{in.Node}
	if in.Node == "" {
		var err error
		if names, err = s.cfg.Engine.Nodes(ctx); err != nil {
			return nil, s.faultOf(err)
		}
	}
	seen, err := parseSeen(in.Cursor)
	if err != nil {
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "query.cursor is not that of an answer: %v", err)
	}
	out := &decisionList{}
	out.Body.Decisions = []Decision{}
	var failed error
	ask := func(node string) question {
		f := in.DecisionFilter
		f.Since = max(f.Since, seen[node])
		return question{Ask: askDecisions, Decisions: &f}
	}
	for i, of := range eachOwn(ctx, s, names, askTimeout, ask, newReply[[]report.Decision]) {
		if of.err != nil {
			out.Body.Unreachable, failed = append(out.Body.Unreachable, names[i]), of.err
		}
		seen[names[i]] = max(seen[names[i]], in.Since)
		for _, d := range of.value {
			out.Body.Decisions = append(out.Body.Decisions, Decision{names[i], d})
			seen[names[i]] = max(seen[names[i]], d.At)
		}
	}
	out.Body.Cursor = seen.String()
	if in.Node != "" && failed != nil {
		return nil, s.faultOf(failed)
	}
	slices.SortStableFunc(out.Body.Decisions, func(a, b Decision) int { return cmp.Compare(b.At, a.At) })
	out.Body.Decisions = out.Body.Decisions[:min(len(out.Body.Decisions), in.Limit)]
	return out, nil
}

// seen has the time of the latest decision that a client has received from each node, by the node's clock.
type seen map[string]millis.Time

// String returns a cursor: NODE.MICROSECONDS of each node, separated by "_".
func (s seen) String() string {
	var all []string
	for _, node := range slices.Sorted(maps.Keys(s)) {
		all = append(all, node+"."+strconv.FormatInt(s[node].Time().UnixMicro(), 10))
	}
	return strings.Join(all, "_")
}

func parseSeen(cursor string) (seen, error) {
	s := seen{}
	if cursor == "" {
		return s, nil
	}
	for _, text := range strings.Split(cursor, "_") {
		node, at, _ := strings.Cut(text, ".")
		us, err := strconv.ParseInt(at, 10, 64)
		if err != nil || !millis.FromMicros(us).Valid() {
			return nil, fmt.Errorf("%.100q is not a node and a time", text)
		}
		s[node] = millis.FromMicros(us)
	}
	return s, nil
}
