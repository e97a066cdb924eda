package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/client"
)

type reloadCommand struct {
	adminFlags
	All  bool `help:"On every node of the cluster. Each node loads its own files."`
	JSON bool `name:"json" help:"Print JSON: a list with the result of each node."`
}

type rollbackCommand struct {
	adminFlags
	All  bool `help:"On every node of the cluster."`
	JSON bool `name:"json" help:"Print JSON: a list with the result of each node."`
}

// Run prints the result of each node, and fails if one refused, or if tenants are not configured correctly.
func (c *reloadCommand) Run(ctx context.Context, t terminal) error {
	return c.change(t, c.JSON, func(ask *client.Client) ([]api.Reload, error) { return ask.Reload(ctx, c.All) })
}

// Run prints the result of each node, and fails if one refused.
func (c *rollbackCommand) Run(ctx context.Context, t terminal) error {
	return c.change(t, c.JSON, func(ask *client.Client) ([]api.Reload, error) { return ask.Rollback(ctx, c.All) })
}

func (f *adminFlags) change(t terminal, asJSON bool, do func(*client.Client) ([]api.Reload, error)) error {
	ask, err := f.client()
	if err != nil {
		return err
	}
	results, err := do(ask)
	if err != nil {
		return err
	}
	refused, faulty := 0, 0
	for _, r := range results {
		if !asJSON {
			printReload(t.out, r)
		}
		switch {
		case r.Partial:
			faulty = max(faulty, len(r.Faults))
		case !r.OK:
			refused++
		}
	}
	if asJSON {
		if err := json.NewEncoder(t.out).Encode(results); err != nil {
			return err
		}
	}
	if refused > 0 {
		return errors.New(counted(refused, "node") + " refused: nothing has changed there")
	}
	if faulty > 0 {
		return finding{errors.New(counted(faulty, "tenant") + " not configured correctly; all others are reloaded"), exitFaulty}
	}
	return nil
}

func printReload(w io.Writer, r api.Reload) {
	switch {
	case !r.OK && !r.Partial:
		fmt.Fprintf(w, "%s: refused, revision %s stays\n", r.Node, short(r.Revision))
	case r.Revision == r.Before:
		fmt.Fprintf(w, "%s: revision %s\n", r.Node, short(r.Revision))
	default:
		fmt.Fprintf(w, "%s: revision %s, before %s, in %v\n", r.Node, short(r.Revision), short(r.Before), r.Took.Std())
	}
	if r.Partial {
		printFaults(w, "  ", r.Faults, len(r.Faults))
	} else {
		for _, problem := range r.Problems {
			fmt.Fprintln(w, "  "+problem)
		}
	}
	for _, note := range r.Notes {
		fmt.Fprintln(w, "  note: "+note)
	}
}
