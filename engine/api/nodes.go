package api

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
)

// Node is the status of one node, or the error if it did not answer.
type Node struct {
	Name        string      `json:"name"`
	Error       string      `json:"error,omitempty" doc:"Why the node did not answer; the other fields are missing then."`
	Version     string      `json:"version,omitempty"`
	Go          string      `json:"go,omitempty"`
	Revision    string      `json:"revision,omitempty" doc:"The revision in use."`
	StartedAt   millis.Time `json:"startedAt,omitempty" format:"unix-ms"`
	Ready       bool        `json:"ready"`
	Tenants     int         `json:"tenants" doc:"Tenants of its configuration."`
	Connections int         `json:"connections"`
	Messages    uint64      `json:"messages" doc:"Messages published since the start."`
	Deliveries  uint64      `json:"deliveries" doc:"Messages put into the outbox of a member since the start."`
	Writing     string      `json:"writing,omitempty" enum:"write,io_uring" doc:"How the node writes to its clients: with a system call for each, or to up to 64 with one. See http.writing."`
	LastReload  *Reload     `json:"lastReload,omitempty"`

	Faults        []TenantFault `json:"faults,omitempty" doc:"The first 100 tenants that are not configured correctly."`
	FaultyTenants int           `json:"faultyTenants" doc:"The number of tenants that are not configured correctly."`
	NeedsRestart  []string      `json:"needsRestart,omitempty" doc:"Changed settings in the files of the node that need a restart."`
	Revisions     int           `json:"revisions" doc:"Earlier revisions to which rollbacks can return; 0: a rollback is refused."`
	Failing       []failedCheck `json:"failing,omitempty" doc:"The checks of /health/ready that fail."`
	Certificates  []certificate `json:"certificates,omitempty" doc:"The certificates of listeners with TLS."`
}

// failedCheck is a check of a node that fails.
type failedCheck struct {
	Check  string `json:"check"`
	Detail string `json:"detail"`
}

// certificate is the certificate of a listener.
type certificate struct {
	Listener  string      `json:"listener" doc:"The setting of the listener, such as http."`
	ExpiresAt millis.Time `json:"expiresAt" format:"unix-ms"`
}

// maxFaults is the number of tenants that are not configured correctly in a Node.
const maxFaults = 100

type nodeList struct {
	Body struct {
		Self  string `json:"self" doc:"The node that answered."`
		Nodes []Node `json:"nodes"`
	}
}

func (s *Server) nodeOperations() {
	huma.Register(s.api, s.list("listNodes", "/api/nodes", "List the nodes of the cluster"), s.listNodes)
}

func (s *Server) listNodes(ctx context.Context, _ *struct{}) (*nodeList, error) {
	names, err := s.cfg.Engine.Nodes(ctx)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &nodeList{}
	out.Body.Self = s.cfg.Engine.Self()
	out.Body.Nodes = each(ctx, s, names, askTimeout, question{Ask: askStatus}, nodeSeen)
	return out, nil
}

func (s *Server) status(ctx context.Context) Node {
	stats, ready := s.cfg.Engine.Stats(), s.readiness(ctx, s.checks())
	n := Node{
		Name: s.cfg.Engine.Self(), Version: s.cfg.Version, Go: runtime.Version(), StartedAt: millis.TimeOf(s.started.Truncate(time.Millisecond)),
		Ready: ready.Ready, Connections: stats.Connections, Messages: stats.Messages, Deliveries: stats.Deliveries,
		Tenants: s.cfg.Engine.TenantCount(), Failing: ready.failing(), Writing: "write",
	}
	if stats.Rings > 0 {
		n.Writing = "io_uring"
	}
	if s.cfg.Certificates != nil {
		all := s.cfg.Certificates()
		for _, listener := range slices.Sorted(maps.Keys(all)) {
			n.Certificates = append(n.Certificates, certificate{listener, millis.TimeOf(all[listener])})
		}
	}
	if s.cfg.Rules != nil {
		n.Revision, n.LastReload, n.NeedsRestart = s.cfg.Rules.Revision(), s.cfg.Rules.Last(), s.cfg.Rules.NeedsRestart()
		n.Revisions = s.cfg.Rules.Kept()
		faults := s.cfg.Rules.Faults()
		n.Faults, n.FaultyTenants = faults[:min(len(faults), maxFaults)], len(faults)
	}
	return n
}
