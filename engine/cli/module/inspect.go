package module

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
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
	if o.JSON {
		err = inspectionJSON(out, cfg.File, i)
	} else {
		err = table(out, cfg.File, i)
	}
	if err != nil {
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
	row("name", strings.TrimSpace(m.Name+" "+m.Version))
	row("hooks", hooks(i.Hooks))
	row("grants", strings.Join(i.Grants, ", "))
	for _, line := range settingsOf(m.Config) {
		row("setting", line)
	}
	for _, a := range m.Actions {
		row("action", strings.TrimSpace(a.Name+" "+inputs(a)+" "+a.Description))
	}
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
	row("file", file)
	row("size", size(i.Size))
	row("sha256", i.SHA256)
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

// settingsOf returns a line for each property of the schema of a config, such as `mark: string, "!" by default`.
func settingsOf(config any) (lines []string) {
	schema, _ := config.(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p, _ := properties[name].(map[string]any)
		line := name
		switch {
		case p["type"] != nil:
			line += fmt.Sprintf(": %v", p["type"])
		case p["enum"] != nil:
			line += ": one of " + asJSON(p["enum"])
		}
		if p["default"] != nil {
			line += ", " + asJSON(p["default"]) + " by default"
		}
		if text, ok := p["description"].(string); ok {
			line += ": " + text
		}
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

func asJSON(v any) string {
	text, _ := json.Marshal(v) // it was JSON
	return string(text)
}

func inspectionJSON(out io.Writer, file string, i *host.Inspection) error {
	list := []string{}
	for _, p := range i.Problems {
		list = append(list, p.Error())
	}
	names := []string{}
	for _, h := range i.Hooks {
		names = append(names, h.String())
	}
	imports := []string{}
	for _, im := range i.Imports {
		imports = append(imports, im.Module+"."+im.Name)
	}
	return json.NewEncoder(out).Encode(map[string]any{"file": file, "sha256": i.SHA256, "size": i.Size, "manifest": i.Manifest, "hooks": names,
		"grants": append([]string{}, i.Grants...), "imports": imports, "memory": int64(i.Memory.Min) << 16, "maxMemory": int64(i.Memory.Max) << 16,
		"image": i.NoImage == "", "noImage": i.NoImage, "problems": list})
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
	if o.JSON {
		rows := make([]map[string]string, len(report.Rows))
		for i, r := range report.Rows {
			rows[i] = map[string]string{"group": r.Group, "name": r.Name, "result": fmt.Sprint(r.Result), "detail": r.Detail}
		}
		err = json.NewEncoder(out).Encode(rows)
	} else {
		err = report.Print(out)
	}
	if err != nil {
		return err
	}
	if report.Err() != nil {
		return fmt.Errorf("%s does not conform: see the lines with FAILED", cfg.File)
	}
	return nil
}
