package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Check is one check of /health/ready.
type Check struct {
	Name string
	// Ready returns nil if the check passes. ctx ends after two seconds.
	Ready func(ctx context.Context) error
	// Advisory checks are part of the answer and do not affect readiness.
	Advisory bool
}

const (
	checkTime      = 2 * time.Second
	readinessPause = 100 * time.Millisecond // see shared
)

// readinessAnswer is the answer of /health/ready. The status is 200 if Ready is true, else 503.
type readinessAnswer struct {
	Ready  bool                  `json:"ready"`
	Checks map[string]checkState `json:"checks"`
}

// checkState is the result of one check.
type checkState struct {
	OK bool `json:"ok"`
	// Detail describes the problem. Only answers to requests with a key that reaches all tenants have it.
	Detail string `json:"detail,omitempty"`
}

// live answers 200 while the process runs.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{\"live\":true}\n"))
}

// ready answers all requests. The answer has details if the request has a key that reaches all tenants.
func (s *Server) ready(wrong *failures) http.Handler {
	current := newShared(readinessPause, s.runChecks)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		detailed := false
		if r.Header.Get("Authorization") != "" {
			k, f := s.keyOf(wrong, w, r)
			if f != nil {
				write(w, f)
				return
			}
			detailed = k.ofAll()
		}
		result, err := current.get(r.Context())
		if err != nil {
			return // the client has gone
		}
		if !detailed {
			brief := map[string]checkState{} // the result is shared
			for name, state := range result.Checks {
				brief[name] = checkState{OK: state.OK}
			}
			result.Checks = brief
		}
		w.Header().Set("Content-Type", "application/json")
		if !result.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(result) // the client may have gone
	})
}

// runChecks runs all checks concurrently.
func (s *Server) runChecks(ctx context.Context) readinessAnswer {
	return s.readiness(ctx, append(s.checks(), Check{Name: "nodes", Ready: s.agree, Advisory: true}))
}

// checks are the checks of this node alone, which it reports to other nodes.
func (s *Server) checks() []Check {
	return append([]Check{{Name: "engine", Ready: s.engineReady}, {Name: "cluster", Ready: s.clusterReady}}, s.cfg.Checks...)
}

func (s *Server) readiness(ctx context.Context, checks []Check) readinessAnswer {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	errs := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { errs[i] = c.Ready(ctx) })
	}
	wg.Wait()
	r := readinessAnswer{Ready: true, Checks: map[string]checkState{}}
	for i, c := range checks {
		state := checkState{OK: errs[i] == nil}
		if errs[i] != nil {
			state.Detail = errs[i].Error()
			r.Ready = r.Ready && c.Advisory
		}
		r.Checks[c.Name] = state
	}
	return r
}

// failing returns the checks that fail, sorted.
func (a *readinessAnswer) failing() (all []failedCheck) {
	for _, name := range slices.Sorted(maps.Keys(a.Checks)) {
		if c := a.Checks[name]; !c.OK {
			all = append(all, failedCheck{name, c.Detail})
		}
	}
	return all
}

func (s *Server) engineReady(context.Context) error { return s.cfg.Engine.Accepting() }

func (s *Server) clusterReady(context.Context) error { return s.cfg.Engine.ClusterHealth() }
