package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheConfigurationOfTheAskPageLoads loads the configuration of engine/ask/README.md with its script.
func TestTheConfigurationOfTheAskPageLoads(t *testing.T) {
	const page = "../../engine/ask/README.md"
	dir, text := t.TempDir(), ""
	for _, s := range snippetsOf(t, page) {
		switch s.language {
		case "yaml":
			text = s.text
		case "js":
			name, _, _ := strings.Cut(strings.TrimPrefix(s.text, "// "), "\n")
			if err := os.WriteFile(filepath.Join(dir, name), []byte(s.text), 0o600); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("nothing tests a snippet in %q", s.language)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "score.token"), []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	loads(t, page, filepath.Join(dir, "moot.yaml"), text)
}
