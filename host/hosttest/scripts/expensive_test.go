package scripts

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/script"
)

// TestLoadOfHostileScriptsIsAbandoned checks that a load of 1000 scripts that are too expensive to translate is
// abandoned after a few of them, and that the error names those.
func TestLoadOfHostileScriptsIsAbandoned(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	fake := []string{"/bin/sh", "-c", `echo >>"$0"; exit 11`, started} // ends like a translator that exceeds its time
	h, err := host.New(host.Config{Cache: cache(), Scripts: script.New(script.Config{Command: fake}), StartTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var rules host.Rules
	for i := range 1000 {
		rules.Modules = append(rules.Modules, host.Module{Name: fmt.Sprint("m", i), Script: "rule.ts", Wasm: fmt.Append(nil, "// ", i), Where: "config.yaml:3"})
	}
	_, err = h.Load(t.Context(), rules)
	if err == nil || strings.Count(err.Error(), "takes more than") < 4 || !strings.Contains(err.Error(), "scripts: not translated, as others of this load take too much") {
		t.Errorf("%.2000v", err)
	}
	if lines := strings.Count(fmt.Sprint(err), "\n"); lines > 5+runtime.GOMAXPROCS(0) {
		t.Errorf("%d lines", lines)
	}
	if text, err := os.ReadFile(started); err != nil || len(text) > 4+runtime.GOMAXPROCS(0) {
		t.Errorf("%d translators were started, %v", len(text), err)
	}
}
