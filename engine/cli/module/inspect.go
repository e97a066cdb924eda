package module

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest"
)

// Inspect prints a table about a module. The error has the reasons if no chain entry can use the module.
func Inspect(ctx context.Context, out, log io.Writer, path string, o Options) error {
	cfg, err := o.open(ctx, path, log)
	if err != nil {
		return err
	}
	h, err := host.New(host.Config{Cache: o.Cache, Scripts: o.Scripts})
	if err != nil {
		return err
	}
	defer h.Close()
	module := host.Module{Name: cfg.Name, File: cfg.File, Script: cfg.Script, Wasm: cfg.Wasm}
	i, err := h.Inspect(ctx, module, cfg.Settings, o.Memory)
	if err != nil {
		return named(cfg.File, err)
	}
	if err := table(out, cfg.File, i); err != nil {
		return err
	}
	if len(i.Problems) > 0 {
		lines := make([]string, len(i.Problems))
		for k, p := range i.Problems {
			lines[k] = cfg.File + ": " + p.Error()
		}
		return fmt.Errorf("%s", strings.Join(lines, "\n"))
	}
	return nil
}

func table(out io.Writer, file string, i *host.Inspection) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, cmp.Or(value, "-")) }
	m := &i.Manifest
	row("file", file)
	row("name", strings.TrimSpace(m.Name+" "+m.Version))
	row("sha256", i.SHA256)
	row("size", size(i.Size))
	row("hooks", hooks(i.Hooks))
	if m.Reads == nil {
		row("reads", "all but properties")
	} else {
		row("reads", strings.Join(m.Reads, ", "))
	}
	switch {
	case m.Vary == nil:
		row("say is called", "for each receiver")
	case len(m.Vary) == 0:
		row("say is called", "once for all")
	default:
		row("say is called", "once for each "+strings.Join(m.Vary, ", "))
	}
	row("needs", strings.Join(i.Grants, ", "))
	for _, a := range m.Actions {
		row("action", strings.TrimSpace(a.Name+" "+inputs(a)+" "+a.Description))
	}
	var imports []string
	for _, im := range i.Imports {
		imports = append(imports, im.Module+"."+im.Name)
	}
	row("imports", strings.Join(imports, " "))
	row("memory", fmt.Sprintf("%s at the start, %s at most", size(int(i.Memory.Min)<<16), size(int(i.Memory.Max)<<16)))
	if i.NoImage == "" {
		row("image", "yes")
	} else {
		row("image", "none: it "+i.NoImage)
	}
	for _, u := range i.Usage {
		if u.Used > 0 && u.Max > 0 {
			row("limit", fmt.Sprintf("%s: %d of %d", u.Limit, u.Used, u.Max))
		}
	}
	return t.Flush()
}

func hooks(list []abi.Hook) string {
	names := make([]string, len(list))
	for i, h := range list {
		names[i] = h.String()
	}
	return strings.Join(names, ", ")
}

func inputs(a abi.ActionSpec) string {
	var names []string
	for name, in := range a.Inputs {
		if in.Required {
			name += "*"
		}
		names = append(names, name)
	}
	return "(" + strings.Join(names, ", ") + ")"
}

func size(n int) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// Conform calls each hook of a module with events of every kind. A module that is a conformance guest is checked against
// the whole contract. Conform prints the results, and returns an error if a check failed.
func Conform(ctx context.Context, out, log io.Writer, path string, o Options) error {
	cfg, err := o.open(ctx, path, log)
	if err != nil {
		return err
	}
	report, err := hosttest.Probe(ctx, cfg)
	if err != nil {
		return named(cfg.File, err)
	}
	if isConformance(ctx, &cfg) {
		if report, err = hosttest.Conform(ctx, cfg.Wasm, o.Cache); err != nil {
			return named(cfg.File, err)
		}
	}
	if err := report.Print(out); err != nil {
		return err
	}
	if report.Err() != nil {
		return fmt.Errorf("%s does not conform: see the lines with FAILED", cfg.File)
	}
	return nil
}
