package cli

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsNameTestsThatExist checks that every test, fuzz target and benchmark
// which the documents at the root and PROMISES.md name is declared in the tree.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	declared := declaredTests(t)
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
	for document, atLeast := range map[string]int{
		"ARCHITECTURE.md": 1, "RATIONALE.md": 0, "BENCHMARKS.md": 0, "SECURITY.md": 45, "engine/cluster/PROMISES.md": 18,
	} {
		text, err := os.ReadFile("../../" + document)
		if err != nil {
			t.Fatal(err)
		}
		names := named.FindAllStringSubmatch(string(text), -1)
		if len(names) < atLeast {
			t.Errorf("%s names %d tests, expected at least %d", document, len(names), atLeast)
		}
		for _, name := range names {
			if !declared[name[1]] {
				t.Errorf("%s names %s, which no test file declares", document, name[1])
			}
		}
	}
}

// declaredTests returns the names of all tests, fuzz targets and benchmarks of the tree.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	declared := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		for _, m := range declaration.FindAllSubmatch(source, -1) {
			declared[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return declared
}

// TestLinksBetweenDocumentsLeadSomewhere checks that every relative link in a Markdown file names a file
// or folder of the tree.
func TestLinksBetweenDocumentsLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	checked := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "target"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".md"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			checked++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 30 {
		t.Errorf("found %d relative links, expected at least 30", checked)
	}
}

// TestContributingIsTrue checks that the places which CONTRIBUTING.md names exist, and that its test
// commands name packages with tests. It compiles them and does not run them.
func TestContributingIsTrue(t *testing.T) {
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	places := regexp.MustCompile("`((?:engine|host|sdk|guests|examples)(?:/[^`\\s]*)?)`").FindAllStringSubmatch(string(text), -1)
	if len(places) < 25 {
		t.Errorf("found %d places, expected at least 25", len(places))
	}
	for _, place := range places {
		if _, err := os.Stat(filepath.Join("../..", place[1])); err != nil {
			t.Errorf("CONTRIBUTING.md names %s: %v", place[1], err)
		}
	}
	for _, s := range snippetsOf(t, "../../CONTRIBUTING.md") {
		for line := range strings.Lines(s.text) {
			packages, ok := strings.CutPrefix(strings.TrimSpace(line), "go test ")
			if !ok {
				t.Fatalf("%q is not a command that this test knows", line)
			}
			run := exec.Command("go", append([]string{"test", "-run", "^$"}, strings.Fields(packages)...)...)
			run.Dir = "../.."
			if out, err := run.CombinedOutput(); err != nil || strings.Contains(string(out), "no test files") {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
		}
	}
}
