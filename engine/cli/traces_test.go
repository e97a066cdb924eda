package cli

import (
	"path/filepath"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// TestThePageOfTracesIsTrue checks that the configurations in engine/telemetry/README.md are valid.
func TestThePageOfTracesIsTrue(t *testing.T) {
	dir := t.TempDir()
	programAt(t, dir)
	for _, s := range snippetsOf(t, "../../engine/telemetry/README.md") {
		if s.language != "yaml" {
			t.Fatalf("nothing tests a snippet in %q", s.language)
		}
		nodetest.Write(t, filepath.Join(dir, "traces.yaml"), s.text)
		command(t, dir, "./moot", "check", "-c", "traces.yaml")
	}
}
