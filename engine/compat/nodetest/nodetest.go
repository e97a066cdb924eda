// Package nodetest runs tests written for Node.js against the server's program. The tests
// start, stop and restart the server themselves, with server.mjs.
package nodetest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

const (
	atMost = 9 * time.Minute // for all tests of a folder, on a busy machine with the race detector
	ending = 5 * time.Second // for Node.js to end afterwards
)

// Run runs the *.test.mjs files of the working folder one after the other. The tests
// find the server's program in $MOOT and config.yaml in $MOOT_CONFIG. needs lists files
// that `make test` installs; if one is missing, the test fails. If the race detector is
// on for the test, the program is built with it.
func Run(t *testing.T, needs ...string) {
	t.Helper()
	for _, file := range append(needs, "node_modules/.package-lock.json") {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("%v: run `make test`, which installs what this test needs", err)
		}
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatalf("%v: install Node.js 20.11 or newer, with npm, and run `make test`", err)
	}
	program, config := build(t), filepath.Join(root(t), "config.yaml")
	if out, err := exec.CommandContext(t.Context(), program, "check", "--config", config).CombinedOutput(); err != nil {
		t.Fatalf("moot check: %v: run `make test`, which builds the modules\n%s", err, out)
	}

	files, err := filepath.Glob("*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no *.test.mjs here (%v)", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	node := exec.CommandContext(ctx, "node", append([]string{"--test", "--test-reporter=spec", "--test-concurrency=1"}, files...)...)
	node.Env = append(os.Environ(), "MOOT="+program, "MOOT_CONFIG="+config)
	node.Cancel = func() error { return node.Process.Signal(os.Interrupt) } // Node.js can end its servers
	node.WaitDelay = ending
	var out bytes.Buffer
	node.Stdout, node.Stderr = &out, &out
	if err := node.Run(); err != nil {
		t.Fatalf("node --test: %v (%v)\n%s", err, context.Cause(ctx), &out)
	}
	t.Logf("%s", &out)
}

// build builds the program and returns its path.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "moot")
	args := []string{"build", "-o", program}
	if underRace() {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	cmd.Dir = root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// root returns the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("go env GOMOD: %v", err)
	}
	return filepath.Dir(string(bytes.TrimSpace(out)))
}
