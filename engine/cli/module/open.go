package module

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mootchat/moot/guests/builtin"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/trial"
)

// Options of a call to a module. The zero Options are the defaults of config.yaml, with all grants that the
// module asks for.
type Options struct {
	Config    string   // JSON, or @FILE
	Grants    []string // nil: all that the module asks for
	Memory    int64
	Timeout   time.Duration
	Isolation string           // as in config.yaml; "": instance
	Cache     host.Cache       // of compiled modules; nil: none
	Scripts   *script.Compiler // nil: only Lua
	JSON      bool             // the output is JSON
}

// readyMade begins the path of a ready-made rule: builtin:blocklist.
const readyMade = "builtin:"

// source returns the file of a module: path itself, or the script or binary of the project in the folder path. It builds
// the binary.
func source(ctx context.Context, path string, log io.Writer) (file string, err error) {
	if strings.HasPrefix(path, readyMade) {
		return path, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return path, err
	}
	return Build(ctx, path, "", log)
}

// scriptOf returns the script of a project: rule.js, rule.ts or rule.lua, or the only script in the folder; "": it has none.
func scriptOf(dir string) string {
	for _, name := range []string{"rule.js", "rule.ts", "rule.lua"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	var found []string
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if script.Is(f.Name()) && !strings.HasSuffix(f.Name(), ".d.ts") {
			found = append(found, filepath.Join(dir, f.Name()))
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return ""
}

// open returns the configuration for the module at path. If path is the folder of a project, open builds the project.
func (o *Options) open(ctx context.Context, path string, log io.Writer) (trial.Config, error) {
	file, err := source(ctx, path, log)
	if err != nil {
		return trial.Config{}, err
	}
	return o.read(file)
}

// read returns the configuration for the module in a file, or for a ready-made rule.
func (o *Options) read(file string) (trial.Config, error) {
	wasm, err := content(file)
	if err != nil {
		return trial.Config{}, err
	}
	cfg := trial.Config{Name: nameOf(file), File: file, Wasm: wasm, Grants: o.Grants, Memory: o.Memory, Timeout: o.Timeout, Cache: o.Cache, Scripts: o.Scripts}
	if script.Is(file) {
		cfg.Script = filepath.Base(file)
	}
	if cfg.Isolation, err = isolation(o.Isolation); err != nil {
		return cfg, err
	}
	cfg.Settings, err = settings(o.Config)
	return cfg, err
}

func isolation(name string) (host.Isolation, error) {
	switch name {
	case "", "instance":
		return host.PerInstance, nil
	case "call":
		return host.PerCall, nil
	}
	return 0, fmt.Errorf("isolation %q: use instance or call", name)
}

func content(file string) ([]byte, error) {
	name, ok := strings.CutPrefix(file, readyMade)
	if !ok {
		return os.ReadFile(file)
	}
	wasm, err := builtin.Wasm(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a ready-made rule: use one of %s", name, strings.Join(builtin.Names(), ", "))
	}
	return wasm, nil
}

// nameOf returns the name of the module in a file: the name of the file, or of its folder if the file is called rule.
func nameOf(file string) string {
	if name, ok := strings.CutPrefix(file, readyMade); ok {
		return name
	}
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if name == "rule" {
		if abs, err := filepath.Abs(file); err == nil {
			name = filepath.Base(filepath.Dir(abs))
		}
	}
	return name
}

func settings(config string) (json.RawMessage, error) {
	if config == "" {
		return nil, nil
	}
	text := []byte(config)
	if file, ok := strings.CutPrefix(config, "@"); ok {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	if !json.Valid(text) {
		return nil, fmt.Errorf("the config is not JSON: %.200s", text)
	}
	return text, nil
}

// load loads the file of a module. The error has a line for each problem. Each line begins with the path of the file.
func load(ctx context.Context, cfg trial.Config) (*trial.Module, error) {
	m, err := trial.Load(ctx, cfg)
	if err != nil {
		return nil, named(cfg.File, err)
	}
	return m, nil
}

func named(file string, err error) error {
	return fmt.Errorf("%s: %s", file, strings.ReplaceAll(err.Error(), "\n", "\n"+file+": "))
}
