package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/node"
)

// configCommand has the commands about files of configuration.
type configCommand struct {
	Init  configInit  `cmd:"" help:"Write config.yaml with every setting, its default and what it does, and the script that is its first rule."`
	Print configPrint `cmd:"" help:"Print every setting with its value and the line that sets it. Secrets are masked."`
}

type configInit struct {
	Dir  string `arg:"" default:"." help:"Folder of the files; it is created."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run writes the files. It overwrites none.
func (c *configInit) Run(_ context.Context, t terminal) error {
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return err
	}
	var written []string
	for _, name := range []string{"config.yaml", "rule.js"} {
		text, err := fs.ReadFile(t.starter, name)
		if err != nil {
			return err
		}
		path := filepath.Join(c.Dir, name)
		if err := writeNew(path, text); err != nil {
			return err
		}
		written = append(written, path)
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]any{"files": written})
	}
	for _, path := range written {
		fmt.Fprintln(t.out, path)
	}
	_, err := fmt.Fprintf(t.out, "Next: moot serve -c %s\n", filepath.Join(c.Dir, "config.yaml"))
	return err
}

// writeNew writes a file that must not exist.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and is not overwritten: name another folder, or remove it", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

type configPrint struct {
	configFlags
	Given bool `help:"Only settings that a file or --set gives."`
	JSON  bool `name:"json" help:"Print JSON, one setting per line."`
}

// Run prints the settings.
func (c *configPrint) Run(ctx context.Context, t terminal) error {
	settings, err := node.ReadSettings(ctx, node.Config{File: c.Config, Set: c.Set})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	lines := json.NewEncoder(t.out)
	lines.SetEscapeHTML(false)
	if !c.JSON {
		fmt.Fprintln(w, "SETTING\tVALUE\tSOURCE")
	}
	for _, s := range settings {
		if c.Given && s.Source == config.SourceDefault {
			continue
		}
		if !c.JSON {
			fmt.Fprintf(w, "%s\t%s\t%s\n", s.Path, s.Value, s.Source)
		} else if err := lines.Encode(s); err != nil {
			return err
		}
	}
	return w.Flush()
}
