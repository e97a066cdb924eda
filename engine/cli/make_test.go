package cli

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// made maps the dependencies that a clone of the repository lacks to the commands that make or install them.
var made = map[string]*regexp.Regexp{
	"the program":   regexp.MustCompile(`(?m)^go build -o moot \.$`),
	"Node.js":       regexp.MustCompile(`(?m)^if ! command -v node `),
	"C compilers":   regexp.MustCompile(`(?m)^bash \.ci/install .*clang-14.* libclang-rt-14-dev-wasm32`),
	"apt's sources": regexp.MustCompile(`(?m)^bash \.ci/install .*\bdpkg-dev\b`),
	"Rust, wabt":    regexp.MustCompile(`(?m)^bash \.ci/install .*\bwabt cargo libstd-rust-dev-wasm32`),
	"Redis":         regexp.MustCompile(`(?m)^bash \.ci/install redis-server redis-sentinel$`),
	"a browser":     regexp.MustCompile(`(?m)^bash \.ci/install chromium\b`),
	"npm packages":  regexp.MustCompile(`(?m)^for dir in (.*sdk/client )?sdk/assemblyscript sdk/zig; do$`),
}

// needed has the commands of the Makefile that need such dependencies.
var needed = []struct {
	use   *regexp.Regexp
	needs []string
}{
	{regexp.MustCompile(`(?m)^(exec )?\./moot (serve|check)`), []string{"the program"}},
	{regexp.MustCompile(`(?m)module build`), []string{"the program", "C compilers", "Rust, wabt", "npm packages"}},
	{regexp.MustCompile(`(?m)^\.ci/builtin\b`), []string{"Node.js", "C compilers", "Rust, wabt", "npm packages", "apt's sources"}},
	{regexp.MustCompile(`(?m)^go test .*-tags chaos .*\./engine/node$`), []string{"Redis"}},
	{regexp.MustCompile(`(?m)^go test .*go list \./\.\.\.`), []string{"C compilers", "Rust, wabt", "npm packages", "Redis", "a browser"}},
	{regexp.MustCompile(`(?m)^go test .*-bench \. .*go list \./\.\.\.`), []string{"Redis"}},
	{regexp.MustCompile(`(?m)^npm run `), []string{"Node.js", "npm packages"}},
}

// TestTargetsMakeTheirDependencies runs make -n for each target in a clone without built files, and checks that the commands which
// make a dependency precede the command that needs it.
func TestTargetsMakeTheirDependencies(t *testing.T) {
	root := treeCopy(t)
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := strings.Fields(regexp.MustCompile(`(?m)^\.PHONY: (.*)$`).FindStringSubmatch(string(makefile))[1])
	used := map[int]bool{}
	for _, target := range targets {
		cmd := exec.Command("make", "-n", target)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "MAKEFLAGS=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("make -n %s: %v\n%s", target, err, out)
		}
		for i, n := range needed {
			use := n.use.FindIndex(out)
			if use == nil {
				continue
			}
			used[i] = true
			for _, need := range n.needs {
				if made[need].FindIndex(out[:use[0]]) == nil {
					t.Errorf("make %s: %q needs %s, which is not made before it", target, out[use[0]:use[1]], need)
				}
			}
		}
	}
	for i, n := range needed {
		if !used[i] {
			t.Errorf("no target has a command like %s", n.use)
		}
	}
	if len(targets) < 12 {
		t.Errorf("only %d targets: %q", len(targets), targets)
	}
}
