package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/millis"
)

type statusCommand struct {
	adminFlags
	Tenant string `help:"Only this tenant, as the key of a tenant allows." placeholder:"NAME"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// status has the nodes, tenants and modules of a running server.
type status struct {
	Self    string       `json:"self,omitempty"`
	Nodes   []api.Node   `json:"nodes,omitempty"`
	Tenants []api.Tenant `json:"tenants"`
	Modules []api.Module `json:"modules"`
	Missing []string     `json:"missing,omitempty"` // nodes that did not answer
}

// Run prints tables, or JSON.
func (c *statusCommand) Run(ctx context.Context, t terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	s, err := statusOf(ctx, ask, c.Tenant)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(t.out).Encode(s)
	} else {
		err = s.print(t.out)
	}
	if err != nil {
		return err
	}
	return s.finding()
}

// finding returns the error for a state of the nodes that an operator must look at; nil: there is none.
func (s *status) finding() error {
	var unwell []string
	for _, n := range s.Nodes {
		switch {
		case n.Error != "":
			unwell = append(unwell, fmt.Sprintf("node %s did not answer", n.Name))
		case !n.Ready:
			unwell = append(unwell, fmt.Sprintf("node %s is not ready", n.Name))
		}
	}
	if len(unwell) > 0 {
		return finding{errors.New(strings.Join(unwell, ", ")), exitUnwell}
	}
	if err := api.DifferencesOf(s.Nodes).Err(); err != nil {
		return finding{err, exitDiffer}
	}
	return nil
}

// statusOf requests the status of all nodes, tenants and modules, or of one tenant.
func statusOf(ctx context.Context, ask *client.Client, tenant string) (s *status, err error) {
	s = &status{}
	if tenant == "" {
		if s.Self, s.Nodes, err = ask.Nodes(ctx); err == nil {
			s.Tenants, err = ask.Tenants(ctx)
		}
		if err == nil {
			s.Modules, s.Missing, err = ask.Modules(ctx)
		}
		return s, err
	}
	s.Tenants = make([]api.Tenant, 1)
	if err := ask.Do(ctx, http.MethodGet, client.Path("api", "tenants", tenant), nil, &s.Tenants[0]); err != nil {
		return nil, err
	}
	var listed struct {
		Modules     []api.Module
		Unreachable []string
	}
	err = ask.Do(ctx, http.MethodGet, client.Path("api", "tenants", tenant, "modules"), nil, &listed)
	s.Modules, s.Missing = listed.Modules, listed.Unreachable
	return s, err
}

func (s *status) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(s.Nodes) > 0 {
		s.nodes(table)
	}
	fmt.Fprintln(table, "TENANT\tCONNECTIONS\tROOMS\tWAITING")
	for _, t := range s.Tenants {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", t.Name, t.Connections, t.Rooms, sizeOf(t.OutboxBytes))
	}
	if len(s.Modules) > 0 {
		fmt.Fprintln(table)
		fmt.Fprintln(table, "TENANT\tMODULE\tNODE\tCALLS\tALLOW\tREWRITE\tDENY\tDROP\tERRORS\tP50\tP99\tBREAKER")
	}
	for _, m := range s.Modules {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", m.Tenant, m.Version, m.Node, m.Calls, m.Allowed, m.Rewritten,
			m.Denied, m.Dropped, errorsOf(m.Errors), took(m.P50), took(m.P99), breakerOf(m.OpenBreakers))
	}
	for _, n := range s.Missing {
		fmt.Fprintf(table, "\nnode %s did not answer: its modules are missing\n", n)
	}
	return table.Flush()
}

// nodes prints the nodes, the differences of their versions and revisions, and their last reloads.
func (s *status) nodes(w io.Writer) {
	fmt.Fprintln(w, "NODE\tSTATE\tUP\tREVISION\tCONNECTIONS\tMESSAGES\tDELIVERIES\tVERSION")
	for _, n := range s.Nodes {
		if n.Error != "" {
			fmt.Fprintf(w, "%s\tlost: %s\n", n.Name, n.Error)
			continue
		}
		state := "ready"
		if !n.Ready {
			state = "not ready"
		}
		up := time.Since(n.StartedAt.Time()).Round(time.Second)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", n.Name, state, up, short(n.Revision), n.Connections, n.Messages, n.Deliveries, n.Version)
	}
	fmt.Fprintln(w)
	if err := api.DifferencesOf(s.Nodes).Err(); err != nil {
		fmt.Fprintf(w, "%v\n\n", err)
	}
	for _, n := range s.Nodes {
		if last := n.LastReload; last != nil {
			fmt.Fprintln(w, reloadLine(n.Name, last))
		}
		if len(n.NeedsRestart) > 0 {
			fmt.Fprintf(w, "%s: needs a restart: %s\n", n.Name, strings.Join(n.NeedsRestart, ", "))
		}
	}
	fmt.Fprintln(w)
}

func reloadLine(node string, last *api.Reload) string {
	at := last.At.Time().Format(time.DateTime)
	if last.OK {
		return fmt.Sprintf("%s: the last reload succeeded at %s: %s", node, at, short(last.Revision))
	}
	return fmt.Sprintf("%s: the last reload was refused at %s:\n  %s", node, at, strings.Join(last.Problems, "\n  "))
}

// errorsOf formats the number of errors by kind: "3 (2 trap, 1 deadline)".
func errorsOf(kinds map[string]uint64) string {
	total, parts := uint64(0), []string{}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		total += kinds[kind]
		parts = append(parts, fmt.Sprint(kinds[kind], " ", kind))
	}
	if total == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", total, strings.Join(parts, ", "))
}

func breakerOf(open int) string {
	if open == 0 {
		return "closed"
	}
	return fmt.Sprintf("%d open", open)
}

// took formats a duration with three digits, and 0 as "-".
func took(ms millis.Duration) string {
	switch {
	case ms == 0:
		return "-"
	case ms < 1:
		return fmt.Sprintf("%.3gus", ms*1e3)
	case ms < 1e3:
		return fmt.Sprintf("%.3gms", ms)
	}
	return fmt.Sprintf("%.3gs", ms/1e3)
}

// sizeOf formats a size in B, KiB or MiB.
func sizeOf(n int) string {
	switch {
	case n < 10<<10:
		return fmt.Sprint(n, " B")
	case n < 10<<20:
		return fmt.Sprint(n>>10, " KiB")
	}
	return fmt.Sprint(n>>20, " MiB")
}

// short returns the first 8 characters of a digest.
func short(digest string) string { return digest[:min(len(digest), 8)] }
