package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/mootchat/moot/engine/api"
)

type statusCommand struct {
	adminFlags
	JSON bool `name:"json" help:"Print what the server answers, as JSON."`
}

// Run prints tables for people, or JSON for programs.
func (c *statusCommand) Run(ctx context.Context, t terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	self, nodes, err := ask.Nodes(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]any{"self": self, "nodes": nodes})
	}
	return printNodes(t.out, nodes)
}

func printNodes(w io.Writer, nodes []api.Node) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tSTATE\tUP\tREVISION\tCONNECTIONS\tMESSAGES\tDELIVERIES\tVERSION")
	for _, n := range nodes {
		if n.Error != "" {
			fmt.Fprintf(table, "%s\tlost: %s\n", n.Name, n.Error)
			continue
		}
		state := "ready"
		if !n.Ready {
			state = "not ready"
		}
		up := time.Since(time.UnixMilli(n.StartedAt)).Round(time.Second)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", n.Name, state, up, short(n.Revision), n.Connections, n.Messages, n.Deliveries, n.Version)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, n := range nodes {
		if n.LastReload != nil && !n.LastReload.OK {
			fmt.Fprintf(w, "%s: the last reload was refused, at %s:\n", n.Name, time.UnixMilli(n.LastReload.At).Format(time.DateTime))
			for _, problem := range n.LastReload.Problems {
				fmt.Fprintln(w, "  "+problem)
			}
		}
	}
	return nil
}

// short is the beginning of a digest.
func short(digest string) string { return digest[:min(len(digest), 8)] }
