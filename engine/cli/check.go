package cli

import (
	"context"
	"fmt"

	"github.com/mootchat/moot/engine/node"
)

type checkCommand struct {
	configFlags
}

// Run loads the configuration and all files that it names, and prints a summary. The error has all problems, each with
// its line. Run prints warnings to t.err; they do not change the exit code.
func (c *checkCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.read(ctx)
	if err != nil {
		return err
	}
	if err := node.CheckConfig(ctx, cfg); err != nil {
		return err
	}
	for _, warning := range cfg.Warnings {
		fmt.Fprintln(t.err, "warning:", warning)
	}
	entries := 0
	for _, tenant := range cfg.Tenants {
		entries += len(tenant.Chain)
	}
	_, err = fmt.Fprintf(t.out, "%s is valid: %s, %s, %s\n", c.Config,
		counted(len(cfg.Modules), "module"), counted(len(cfg.Tenants), "tenant"), counted(entries, "chain entry", "chain entries"))
	return err
}

// counted formats a number with a noun: "1 module", "2 modules". plural replaces the regular plural.
func counted(n int, noun string, plural ...string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case len(plural) > 0:
		return fmt.Sprint(n, " ", plural[0])
	}
	return fmt.Sprint(n, " ", noun, "s")
}
