package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeProgramRuns runs the program that the README shows.
func TestReadmeProgramRuns(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindSubmatch(page)
	if m == nil {
		t.Fatal("the README has no program")
	}
	program := strings.NewReplacer("ws://localhost:8080", address, "defaultRoom", "plain").Replace(string(m[1]))
	dir, err := os.MkdirTemp(".", "readme-") // in this module, so that it finds the package
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(timeoutContext(t), "go", "run", "./"+dir).CombinedOutput()
	if err != nil || !regexp.MustCompile(`^\[plain\] \S+: hello\n$`).Match(out) {
		t.Errorf("%v\n%s", err, out)
	}
}
