package cli

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const modulePath = "github.com/mootchat/moot"

const (
	maxExports  = 60 // names that a package may export without a reason in RATIONALE.md
	packagesMin = 40 // with fewer packages the test does not see all
)

// TestPackagesExportFewNames checks that no package exports more than 60 names at package
// level (types, functions, constants and variables), except the contracts host/abi and
// engine/hook and the packages that the table of exports in RATIONALE.md gives a reason for.
func TestPackagesExportFewNames(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=Dir,ImportPath,GoFiles", modulePath+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	reasons, packages := exportReasons(t), 0
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); packages++ {
		var p struct {
			Dir, ImportPath string
			GoFiles         []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name := strings.Trim(strings.TrimPrefix(p.ImportPath, modulePath), "/")
		n := countExports(t, p.Dir, p.GoFiles)
		switch _, explained := reasons[name]; {
		case name == "host/abi" || name == "engine/hook":
		case n > maxExports && !explained:
			t.Errorf("%s exports %d names, more than %d: export fewer, or give the reason in RATIONALE.md", name, n, maxExports)
		case n <= maxExports && explained:
			t.Errorf("%s exports %d names, and RATIONALE.md explains why it exports more than %d: remove the line", name, n, maxExports)
		}
		delete(reasons, name)
	}
	for name := range reasons {
		t.Errorf("RATIONALE.md explains the exports of %s, which is not a package", name)
	}
	if packages < packagesMin {
		t.Errorf("go list named %d packages, expected at least %d", packages, packagesMin)
	}
}

// exportReasons returns the packages in the table of exports of RATIONALE.md.
func exportReasons(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../RATIONALE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n### Why do some packages export more than 60 names?\n")
	if !found {
		t.Fatal("RATIONALE.md has no section on packages that export more than 60 names")
	}
	section, _, _ = strings.Cut(section, "\n#")
	reasons := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\| \\S").FindAllStringSubmatch(section, -1) {
		reasons[row[1]] = true
	}
	return reasons
}

// countExports returns the number of names that the files export at package level.
func countExports(t *testing.T, dir string, files []string) (n int) {
	t.Helper()
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					n++
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					n += exportedOf(spec)
				}
			}
		}
	}
	return n
}

func exportedOf(spec ast.Spec) (n int) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			n++
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() {
				n++
			}
		}
	}
	return n
}
