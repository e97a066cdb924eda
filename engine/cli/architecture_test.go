package cli

import (
	"go/build/constraint"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentsNameTestsThatExist checks that every test, fuzz target and benchmark
// which the documents at the root and PROMISES.md name is declared in the tree, and that
// .ci/run runs it.
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
				t.Errorf("%s names %s, which no test file declares, or one with a build tag that .ci/run does not set", document, name[1])
			}
		}
	}
}

// declaredTests returns the names of all tests, fuzz targets and benchmarks of the tree
// that .ci/run runs: those without a build tag, and those that its make targets name.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	byName := testsByName(t)
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
		tagged := needsTag(t, path, source)
		for _, m := range declaration.FindAllSubmatch(source, -1) {
			if name := string(m[1]); !tagged || byName[name] {
				declared[name] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return declared
}

// needsTag reports whether a file is compiled only with a build tag such as chaos.
func needsTag(t *testing.T, path string, source []byte) bool {
	t.Helper()
	line := regexp.MustCompile(`(?m)^//go:build .*$`).Find(source)
	if line == nil {
		return false
	}
	expr, err := constraint.Parse(string(line))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	with := func(race bool) bool {
		return expr.Eval(func(tag string) bool { return tag != "chaos" && tag != "soak" && (tag != "race" || race) })
	}
	return !with(true) && !with(false) // .ci/run runs tests with the race detector, and some without it
}

// testsByName returns the tests that are named by the Makefile targets which .ci/run runs.
func testsByName(t *testing.T) map[string]bool {
	t.Helper()
	read := func(path string) string {
		text, err := os.ReadFile("../../" + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ci, names := read(".ci/run"), map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+):.*\n\t.*-run '\^(\w+)\$\$'`).FindAllStringSubmatch(read("Makefile"), -1) {
		if strings.Contains(ci, "make "+m[1]) {
			names[m[2]] = true
		}
	}
	return names
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

// TestPlacesInDocumentsExist checks that the files and folders of this repository which the
// documents for contributors name in backticks exist.
func TestPlacesInDocumentsExist(t *testing.T) {
	for document, atLeast := range map[string]int{"CONTRIBUTING.md": 40, "ARCHITECTURE.md": 30, "RATIONALE.md": 5, "SECURITY.md": 1} {
		places := placesIn(t, document)
		if len(places) < atLeast {
			t.Errorf("%s names %d places, expected at least %d", document, len(places), atLeast)
		}
		for _, place := range places {
			if _, err := os.Stat(filepath.Join("../..", place)); err != nil {
				t.Errorf("%s names %s: %v", document, place, err)
			}
		}
	}
}

// placesIn returns the paths in backticks of a document at the root, except paths with a placeholder, such as guests/NAME.
func placesIn(t *testing.T, document string) (places []string) {
	t.Helper()
	text, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`((?:engine|host|sdk|guests|examples)(?:/[a-z0-9_./-]+)?)`").FindAllStringSubmatch(string(text), -1) {
		places = append(places, strings.TrimSuffix(m[1], "/..."))
	}
	return places
}

// TestNamesInContributingAreInTheirFiles checks that each "NAME in FILE" of CONTRIBUTING.md is true:
// the file declares a function with this name.
func TestNamesInContributingAreInTheirFiles(t *testing.T) {
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("`(?:\\w+\\.)?(\\w+)` in `((?:engine|host)/[\\w/]+\\.go)`").FindAllStringSubmatch(string(text), -1)
	if len(found) < 4 {
		t.Errorf("found %d names, expected at least 4", len(found))
	}
	for _, m := range found {
		source, err := os.ReadFile(filepath.Join("../..", m[2]))
		if err != nil {
			t.Error(err)
		}
		if !regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + m[1] + `\(`).Match(source) {
			t.Errorf("%s has no function %s", m[2], m[1])
		}
	}
}

// TestMapNamesEveryPackage checks that the map of ARCHITECTURE.md names every package, or a
// folder that contains it.
func TestMapNamesEveryPackage(t *testing.T) {
	named := map[string]bool{"": true}
	for _, place := range placesIn(t, "ARCHITECTURE.md") {
		named[place] = true
	}
	out, err := exec.Command("go", "list", modulePath+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for name := range strings.Lines(string(out)) {
		name = strings.Trim(strings.TrimPrefix(strings.TrimSpace(name), modulePath), "/")
		folder := name // the nearest named folder; each folder of engine and host needs its own name
		for folder != "." && !named[folder] && !slices.Contains([]string{"engine", "host"}, filepath.Dir(folder)) {
			folder = filepath.Dir(folder)
		}
		if !named[folder] {
			t.Errorf("the map of ARCHITECTURE.md does not name %s", name)
		}
	}
}

// TestContributingCommandsRun checks that the test commands in CONTRIBUTING.md name packages
// with tests. It compiles the tests and does not run them.
func TestContributingCommandsRun(t *testing.T) {
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

// TestChangelogHasOneSectionOfEachKind checks that the section Unreleased of CHANGELOG.md has
// one section of each kind, and that no entry is in it twice.
func TestChangelogHasOneSectionOfEachKind(t *testing.T) {
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	_, unreleased, found := strings.Cut(string(text), "\n## Unreleased\n")
	if !found {
		t.Fatal("CHANGELOG.md has no section Unreleased")
	}
	unreleased, _, _ = strings.Cut(unreleased, "\n## ")
	seen := map[string]bool{}
	for line := range strings.Lines(unreleased) {
		if entry := strings.HasPrefix(line, "- "); !entry && !strings.HasPrefix(line, "### ") {
			continue
		}
		if seen[line] {
			t.Errorf("twice: %s", line)
		}
		seen[line] = true
		if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok && !slices.Contains([]string{"Added", "Changed", "Fixed"}, kind) {
			t.Errorf("a section %q: use Added, Changed or Fixed", kind)
		}
	}
}
