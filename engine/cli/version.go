package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{}

// Run prints one line: the version, the commit it was built from, and with what.
func (versionCommand) Run(t terminal) error {
	_, err := fmt.Fprintln(t.out, "moot", version(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return err
}

// release is the version that make release stamps in; "" in every other build.
var release string

// version is that of the build: the release's, the module's, or the commit's.
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
