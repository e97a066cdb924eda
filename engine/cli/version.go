package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{}

// Run prints the version, the version of Go and the platform.
func (versionCommand) Run(_ context.Context, t terminal) error {
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
