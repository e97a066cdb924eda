package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/node"
)

type checkCommand struct {
	configFlags
	JSON bool `name:"json" help:"Print JSON: whether the configuration is valid, and its problems and warnings."`
}

// checked is the result of a check, as JSON.
type checked struct {
	File     string   `json:"file"`
	Valid    bool     `json:"valid"`
	Problems []string `json:"problems"` // each with its line
	Warnings []string `json:"warnings"`
	Modules  int      `json:"modules"`
	Tenants  int      `json:"tenants"`
	Entries  int      `json:"entries"` // of all chains
}

// Run loads the configuration and all files that it names, and prints a summary. The error has all problems, each with
// its line. Run prints warnings to t.err; they do not change the exit code.
func (c *checkCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.read(ctx)
	if err == nil {
		err = node.CheckConfig(ctx, cfg)
	}
	if c.JSON {
		return errors.Join(json.NewEncoder(t.out).Encode(c.result(cfg, err)), err)
	}
	if err != nil {
		return err
	}
	for _, warning := range cfg.Warnings {
		fmt.Fprintln(t.err, "warning:", warning)
	}
	r := c.result(cfg, nil)
	_, err = fmt.Fprintf(t.out, "%s is valid: %s, %s, %s\n", c.Config,
		counted(r.Modules, "module"), counted(r.Tenants, "tenant"), counted(r.Entries, "chain entry", "chain entries"))
	return err
}

// result returns what was found. cfg is nil if it cannot be read.
func (c *checkCommand) result(cfg *config.Config, err error) checked {
	r := checked{File: c.Config, Valid: err == nil, Problems: []string{}, Warnings: []string{}}
	if err != nil {
		r.Problems = strings.Split(err.Error(), "\n")
	}
	if cfg == nil {
		return r
	}
	for _, warning := range cfg.Warnings {
		r.Warnings = append(r.Warnings, warning.Error())
	}
	r.Modules, r.Tenants = len(cfg.Modules), len(cfg.Tenants)
	for _, tenant := range cfg.Tenants {
		r.Entries += len(tenant.Chain)
	}
	return r
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
