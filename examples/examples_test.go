// Package examples_test runs every example as its README describes, and compares the output
// with the README.
package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	commandOf = regexp.MustCompile("(?ms)^```sh\n(go run \\./examples/[a-z-]+)\n```$")
	shownBy   = regexp.MustCompile("(?ms)^```text\n(.*?)^```$")
)

func TestExamplesPrintTheirDocumentedOutput(t *testing.T) {
	files, err := filepath.Glob("*/main.go")
	if err != nil || len(files) < 4 {
		t.Fatalf("only %q are examples (%v)", files, err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(dir, func(t *testing.T) {
			readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			command, shown := commandOf.FindSubmatch(readme), shownBy.FindSubmatch(readme)
			if command == nil || shown == nil || string(command[1]) != "go run ./examples/"+dir {
				t.Fatalf("%s does not say `go run ./examples/%s`, and what that prints", dir, dir)
			}
			cmd := exec.CommandContext(t.Context(), "go", "run", "./examples/"+dir)
			cmd.Dir = ".."
			var out, problems bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &problems
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s%s", err, &out, &problems)
			}
			if out.String() != string(shown[1]) {
				t.Errorf("it prints\n%s\nthe README shows\n%s", &out, shown[1])
			}
		})
	}
}
