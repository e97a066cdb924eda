package cli

import (
	"cmp"
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
	"github.com/mootchat/moot/host/report"
)

type statusCommand struct {
	adminFlags
	Tenant string `help:"Only this tenant, as the key of a tenant allows." placeholder:"NAME"`
	Top    int    `help:"Number of tenants to print, those whose modules cost most first; 0 = all." default:"20" placeholder:"N"`
	By     string `help:"Cost that orders the tenants: cpu or memory." enum:"cpu,memory" default:"cpu"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Validate checks the number of tenants.
func (c *statusCommand) Validate() error {
	if c.Top < 0 || c.Top > maxTop {
		return fmt.Errorf("--top is %d: use 0 to %d", c.Top, maxTop)
	}
	return nil
}

// maxTop is the largest number of tenants of a report about costs.
const maxTop = 1000

// status has the nodes, tenants and modules of a running server.
type status struct {
	Self    string       `json:"self,omitempty"`
	Nodes   []api.Node   `json:"nodes,omitempty"`
	Usage   *api.Usage   `json:"usage,omitempty"`
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
	s, err := c.status(ctx, ask)
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
	faulty := 0
	for _, n := range s.Nodes {
		faulty = max(faulty, n.FaultyTenants)
	}
	if faulty > 0 {
		return finding{errors.New(counted(faulty, "tenant") + " not configured correctly"), exitFaulty}
	}
	return nil
}

// status requests the status of all nodes and of the tenants that cost most, or of one tenant.
func (c *statusCommand) status(ctx context.Context, ask *client.Client) (s *status, err error) {
	if c.Tenant != "" {
		return statusOf(ctx, ask, c.Tenant)
	}
	s = &status{}
	if s.Self, s.Nodes, err = ask.Nodes(ctx); err != nil {
		return nil, err
	}
	usage, err := ask.Usage(ctx, report.UsageQuery{By: c.By, Top: cmp.Or(c.Top, maxTop)})
	switch {
	case err == nil:
		s.Usage = &usage
	case client.Code(err) != api.CodeNoEndpoint: // a node of an older version has no such endpoint
		return nil, err
	}
	var names []string // none: all
	if c.Top > 0 {
		if names, err = s.listed(ctx, ask, c.Top); err != nil {
			return nil, err
		}
	}
	if s.Tenants, err = ask.Tenants(ctx, names...); err != nil {
		return nil, err
	}
	s.Modules, s.Missing, err = ask.Modules(ctx, names...)
	s.sort()
	return s, err
}

// listed returns the names of at most n tenants: those that cost most, and the first ones by name.
func (s *status) listed(ctx context.Context, ask *client.Client, n int) (names []string, err error) {
	if s.Usage != nil {
		for _, t := range s.Usage.Tenants {
			names = append(names, t.Tenant)
		}
	}
	more, err := ask.TenantNames(ctx, n)
	for _, name := range more {
		if len(names) < n && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, err
}

// sort sorts the tenants and their modules in the order of the costs.
func (s *status) sort() {
	rank := map[string]int{}
	if s.Usage != nil {
		for i, t := range s.Usage.Tenants {
			rank[t.Tenant] = i - len(s.Usage.Tenants)
		}
	}
	slices.SortStableFunc(s.Tenants, func(a, b api.Tenant) int { return cmp.Compare(rank[a.Name], rank[b.Name]) })
	slices.SortStableFunc(s.Modules, func(a, b api.Module) int { return cmp.Compare(rank[a.Tenant], rank[b.Tenant]) })
}

// statusOf requests the status of one tenant.
func statusOf(ctx context.Context, ask *client.Client, tenant string) (s *status, err error) {
	s = &status{}
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
	if s.Usage != nil {
		s.usage(table)
	}
	s.tenants(table)
	if len(s.Modules) > 0 {
		fmt.Fprintln(table)
		fmt.Fprintln(table, "TENANT\tMODULE\tNODE\tCALLS\tALLOW\tREWRITE\tDENY\tDROP\tHOLD\tERRORS\tP50\tP99\tBREAKER")
	}
	for _, m := range s.Modules {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", m.Tenant, m.Version, m.Node, m.Calls, m.Allowed, m.Rewritten,
			m.Denied, m.Dropped, m.Held, errorsOf(m.Errors), took(m.P50), took(m.P99), breakerOf(m.OpenBreakers))
	}
	if s.Usage != nil {
		s.asks(table)
	}
	for _, n := range s.Missing {
		fmt.Fprintf(table, "\nnode %s did not answer: its modules are missing\n", n)
	}
	return table.Flush()
}

// usage prints what the modules of each node use.
func (s *status) usage(w io.Writer) {
	fmt.Fprintln(w, "NODE\tMODULES\tBINDINGS\tAWAKE\tASLEEP\tINSTANCES\tSPARE\tMEMORY\tCODE\tLIMIT\tIMAGES\tDIFFS\tWAKES\tPER SECOND\tP50\tP99")
	for i := range s.Usage.Nodes {
		u := &s.Usage.Nodes[i]
		wakes := u.Wakes.Snapshot()
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%d, %s\t%s\t%d\t%.3g\t%s\t%s\n", u.Node, u.ModulesCount, u.Bindings, u.Awake, u.Asleep, u.Instances, u.Spare,
			sizeOf(int(u.Memory.Instances)), sizeOf(int(u.Memory.Code)), sizeOf(int(u.Memory.Limit)), u.Images, sizeOf(int(u.Memory.Images)), sizeOf(int(u.Memory.Diffs)), wakes.Total(), u.WakesPerSecond,
			took(millis.DurationOf(wakes.Quantile(0.5))), took(millis.DurationOf(wakes.Quantile(0.99))))
	}
	fmt.Fprintln(w)
}

// asks prints the asks of rules on each node.
func (s *status) asks(w io.Writer) {
	first := true
	for _, n := range s.Usage.Nodes {
		for _, a := range n.Asks {
			if first {
				fmt.Fprintln(w, "\nTENANT\tASK\tNODE\tREQUESTS\tCACHED\tREFUSED\tFAILED\tWAITING\tBREAKER")
				first = false
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%d\t%s\n", a.Tenant, a.Name, n.Node, a.Requests, a.Cached, a.Refused, errorsOf(a.Failed), a.Waiting, breakerOf(a.OpenBreakers))
		}
	}
}

// tenants prints the tenants with what their modules cost, and the number of tenants that are left out.
func (s *status) tenants(w io.Writer) {
	costs := map[string]report.TenantUsage{}
	if s.Usage != nil {
		for _, t := range s.Usage.Tenants {
			costs[t.Tenant] = t
		}
	}
	fmt.Fprintln(w, "TENANT\tCONNECTIONS\tROOMS\tWAITING\tHELD\tREPORTS\tPROCESSORS\tCPU TIME\tMEMORY\tAWAKE")
	for _, t := range s.Tenants {
		cost := costs[t.Name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\t%.3g\t%s\t%s\t%d\n", t.Name, t.Connections, t.Rooms, sizeOf(t.OutboxBytes), queued(t.Held), queued(t.Reports), cost.CPU, took(cost.CPUTime), sizeOf(int(cost.Memory)), cost.Awake)
	}
	for _, n := range s.Nodes {
		if left := n.Tenants - len(s.Tenants); n.Name == s.Self && left > 0 {
			fmt.Fprintf(w, "and %s: --top 0 prints all, --tenant NAME one\n", counted(left, "more tenant"))
		}
	}
}

// queued formats a number of items that wait for a decision, with the age of the oldest: "3, oldest 2m0s".
func queued(q api.Queue) string {
	if q.Items == 0 {
		return "0"
	}
	return fmt.Sprintf("%d, oldest %s", q.Items, max(0, time.Since(time.UnixMilli(q.Since))).Round(time.Second))
}

// nodes prints the nodes, the differences of their versions and revisions, and their last reloads.
func (s *status) nodes(w io.Writer) {
	fmt.Fprintln(w, "NODE\tSTATE\tUP\tREVISION\tTENANTS\tCONNECTIONS\tMESSAGES\tDELIVERIES\tWRITING\tVERSION")
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", n.Name, state, up, short(n.Revision), n.Tenants, n.Connections, n.Messages, n.Deliveries, n.Writing, n.Version)
	}
	fmt.Fprintln(w)
	if err := api.DifferencesOf(s.Nodes).Err(); err != nil {
		fmt.Fprintf(w, "%v\n\n", err)
	}
	for _, n := range s.Nodes {
		if last := n.LastReload; last != nil {
			fmt.Fprintln(w, reloadLine(n.Name, last))
		}
		printFaults(w, n.Name+": ", n.Faults, n.FaultyTenants)
		if len(n.NeedsRestart) > 0 {
			fmt.Fprintf(w, "%s: needs a restart: %s\n", n.Name, strings.Join(n.NeedsRestart, ", "))
		}
	}
	fmt.Fprintln(w)
}

// printFaults prints the tenants that are not configured correctly, of which there are n.
func printFaults(w io.Writer, prefix string, faults []api.TenantFault, n int) {
	for _, f := range faults {
		switch {
		case f.Tenant == "":
			fmt.Fprintf(w, "%snot configured correctly, and no tenant depends on it:\n", prefix)
		case f.Kept:
			fmt.Fprintf(w, "%stenant %s is not configured correctly and stays as before:\n", prefix, f.Tenant)
		default:
			fmt.Fprintf(w, "%stenant %s is not configured correctly, its clients are refused:\n", prefix, f.Tenant)
		}
		for _, problem := range f.Problems {
			fmt.Fprintln(w, "  "+problem)
		}
	}
	if more := n - len(faults); more > 0 {
		fmt.Fprintf(w, "%sand %s more\n", prefix, counted(more, "tenant"))
	}
}

func reloadLine(node string, last *api.Reload) string {
	at := last.At.Time().Format(time.DateTime)
	if last.Partial {
		return fmt.Sprintf("%s: the last reload succeeded at %s, except for %s: %s", node, at, counted(len(last.Faults), "tenant"), short(last.Revision))
	}
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
