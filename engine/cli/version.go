package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints the version, the version of Go and the platform.
func (c *versionCommand) Run(_ context.Context, t terminal) error {
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]string{"version": version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	_, err := fmt.Fprintln(t.out, "moot", version(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return err
}

// release is the version of a release. make release sets it; it is "" in every other build.
var release string

// version returns the version of the release or of the Go module, or else the commit.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	if commit != "" && v == "devel" {
		v += " " + commit + dirty
	}
	return v
}
