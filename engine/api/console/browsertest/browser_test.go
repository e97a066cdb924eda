// Package browsertest tests the console of a running server in Chromium.
package browsertest

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"testing"

	"github.com/mootchat/moot/engine/compat/nodetest"
)

func TestPageInBrowser(t *testing.T) {
	nodetest.Run(t, cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium"))
}

// TestVendoredIsThePackage checks that the embedded charting library is identical to the version in package.json.
func TestVendoredIsThePackage(t *testing.T) {
	for name, path := range map[string]string{"uPlot.iife.min.js": "dist/uPlot.iife.min.js", "uPlot.min.css": "dist/uPlot.min.css", "LICENSE": "LICENSE"} {
		ours, err := os.ReadFile(filepath.Join("../static/vendor", name))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(filepath.Join("node_modules/uplot", path))
		if err != nil {
			t.Fatalf("%v: run `make test`, which installs what this test needs", err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Errorf("static/vendor/%s is not that of uplot in package.json: copy it", name)
		}
	}
}
