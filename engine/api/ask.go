package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/host/report"
)

// Timeouts of questions to another node, and of requests.
const (
	askTimeout     = 3 * time.Second
	loadTimeout    = 45 * time.Second // a reload compiles modules
	requestTimeout = 5 * time.Second
)

// question is a question of one node to another.
type question struct {
	Ask       string                 `json:"ask"`
	Tenants   []string               `json:"tenants,omitempty"` // tenants that the answer is about; none: all
	Decisions *report.DecisionFilter `json:"decisions,omitempty"`
	Usage     *report.UsageQuery     `json:"usage,omitempty"`
	History   *historyQuery          `json:"history,omitempty"`
	Erase     *erasure               `json:"erase,omitempty"`
}

// The number after a name is the version of the answer. A node with another version of the program refuses the question, so
// that no node parses an answer of another format.
const (
	askStatus    = "status"
	askTenants   = "tenants"
	askModules   = "modules/2"
	askUsage     = "usage"
	askReload    = "reload"
	askRollback  = "rollback"
	askDecisions = "decisions/3"
	askHistory   = "history"
	askDesk      = "desk"
	askErase     = "erase-events"
)

// Answer answers a question of another node. It is an engine.Operator.
func (s *Server) Answer(ctx context.Context, text json.RawMessage) (json.RawMessage, error) {
	var q question
	if err := json.Unmarshal(text, &q); err != nil {
		return nil, fmt.Errorf("the question is not valid JSON: %w", err)
	}
	value, err := s.answer(ctx, q)
	if err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

func (s *Server) answer(ctx context.Context, q question) (any, error) {
	switch {
	case q.Ask == askStatus:
		return s.status(ctx), nil
	case q.Ask == askTenants:
		if len(q.Tenants) == 0 {
			return s.cfg.Engine.Tenants(), nil
		}
		return s.cfg.Engine.TenantsNamed(q.Tenants), nil
	case q.Ask == askModules:
		return s.here(q.Tenants...), nil
	case q.Ask == askUsage && s.cfg.Modules != nil && q.Usage != nil:
		return s.usage(*q.Usage), nil
	case q.Ask == askHistory && q.History != nil:
		return s.history.since(q.History.Span, q.History.Since), nil
	case q.Ask == askDesk:
		return s.desks.here(q.Tenants), nil
	case q.Ask == askErase && q.Erase != nil && s.cfg.Events != nil:
		return s.cfg.Events.Erase(ctx, q.Erase.Tenant, q.Erase.User)
	case q.Ask == askReload && s.cfg.Rules != nil:
		return s.cfg.Rules.Reload(ctx), nil
	case q.Ask == askRollback && s.cfg.Rules != nil:
		return s.cfg.Rules.Rollback(ctx), nil
	case q.Ask == askDecisions && s.cfg.Decisions != nil && q.Decisions != nil:
		return s.cfg.Decisions.Decisions(*q.Decisions), nil
	}
	return nil, fmt.Errorf("this node (version %[2]s) does not know the question %.40[1]q: its version differs", q.Ask, s.cfg.Version)
}

// reply is the answer of one node, or its error.
type reply[A any] struct {
	value A
	err   error
}

func newReply[A any](_ string, value A, err error) reply[A] { return reply[A]{value, err} }

// each asks nodes concurrently, calls of with each answer, and returns the results in the order of the names. A node that
// does not answer in the given time has an error.
func each[A, R any](ctx context.Context, s *Server, names []string, time time.Duration, q question, of func(string, A, error) R) []R {
	return eachOwn(ctx, s, names, time, func(string) question { return q }, of)
}

// eachOwn is each with a separate question for each node.
func eachOwn[A, R any](ctx context.Context, s *Server, names []string, time time.Duration, q func(node string) question, of func(string, A, error) R) []R {
	results := make([]R, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			a, err := ask[A](ctx, s, name, time, q(name))
			results[i] = of(name, a, err)
		})
	}
	wg.Wait()
	return results
}

// ask sends a question to one node.
func ask[A any](ctx context.Context, s *Server, node string, time time.Duration, q question) (a A, err error) {
	text, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, time)
	defer cancel()
	text, err = s.cfg.Engine.AskNode(ctx, node, text)
	if errors.Is(err, context.DeadlineExceeded) {
		return a, fmt.Errorf("node %s did not answer in %v: %w", node, time, context.DeadlineExceeded)
	}
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(text, &a)
}

var _ engine.Operator = (*Server)(nil).Answer
