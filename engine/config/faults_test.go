package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// loadShelf loads "/moot.yaml" of a shelf beside the configuration in use.
func loadShelf(t *testing.T, s shelf, inUse *Config) (*Config, error) {
	t.Helper()
	l := newLoad(nil, s.disk())
	l.inUse = inUse
	c, err := l.run(Path{Written: "moot.yaml", Absolute: "/moot.yaml"}, []byte(s["/moot.yaml"]), nil)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// faultsOf returns the faults as lines: tenant, whether it is kept, its paths, and the files and lines of the problems.
func faultsOf(c *Config) (all []string) {
	for _, f := range c.Faults {
		var at []string
		for _, p := range f.Problems {
			at = append(at, fmt.Sprint(path.Base(p.File), ":", p.Line))
		}
		all = append(all, fmt.Sprint(f.Tenant, " kept=", f.Kept, " ", f.Match.Path, " ", strings.Join(at, " ")))
	}
	return all
}

const mainFile = "include: [t/*.yaml]\nsocket: { listen: '' }\nmodules: { m: { file: m.wasm } }\n"

func tenantFile(name, path string) string {
	return "tenants:\n  " + name + ":\n    match: { path: [" + path + "] }\n"
}

func TestFaultsBelongToTheirTenants(t *testing.T) {
	good := shelf{"/moot.yaml": mainFile, "/t/a.yaml": tenantFile("a", "/a"), "/t/b.yaml": tenantFile("b", "/b")}
	inUse, err := loadShelf(t, good, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(inUse.Faults) > 0 {
		t.Fatal(faultsOf(inUse))
	}
	for _, test := range []struct {
		name     string
		file     string
		text     string
		atStart  []string
		atReload []string
	}{
		{"a file of two tenants, one wrong", "/t/b.yaml", tenantFile("b", "/b") + "    x: 1\n  c: {}\n",
			[]string{"b kept=false [/b] b.yaml:4"}, []string{"b kept=true [/b] b.yaml:4"}},
		{"a file of two tenants, not YAML", "/t/b.yaml", tenantFile("b", "/b") + "  c:\n    match: { path: [/c] }\n    chain: [\n",
			[]string{"b kept=false [/b] b.yaml:6", "c kept=false [/c] b.yaml:6"}, []string{"b kept=true [/b] b.yaml:6", "c kept=false [/c] b.yaml:6"}},
		{"an unknown section", "/t/b.yaml", tenantFile("b", "/b") + "http: {}\n",
			[]string{"b kept=false [/b] b.yaml:4"}, []string{"b kept=true [/b] b.yaml:4"}},
		{"a module of a file that another file's tenant uses", "/t/c.yaml", "modules: { own: {} }\n" + tenantFile("c", "/c") + "    chain: [{ module: own }]\n",
			[]string{"c kept=false [/c] c.yaml:1"}, []string{"c kept=false [/c] c.yaml:1"}},
		{"a module that no tenant uses", "/t/c.yaml", "modules: { own: {} }\n",
			[]string{" kept=false [] c.yaml:1"}, []string{" kept=false [] c.yaml:1"}},
		{"the path of another", "/t/0.yaml", tenantFile("z", "/a"),
			[]string{"a kept=false [/a] 0.yaml:3", "z kept=false [/a] 0.yaml:3"}, []string{"z kept=false [/a] 0.yaml:3"}},
		{"the name of another", "/t/0.yaml", tenantFile("a", "/z"),
			[]string{"a kept=false [/z /a] a.yaml:2"}, []string{" kept=false [] 0.yaml:2"}},
		{"the module of the main file", "/t/c.yaml", "modules: { m: { file: own.wasm } }\n" + tenantFile("c", "/c") + "    chain: [{ module: m }]\n",
			[]string{"c kept=false [/c] c.yaml:1"}, []string{"c kept=false [/c] c.yaml:1"}},
	} {
		files := shelf{}
		for name, text := range good {
			files[name] = text
		}
		files[test.file] = test.text
		for _, when := range []struct {
			what  string
			inUse *Config
			want  []string
		}{{"start", nil, test.atStart}, {"reload", inUse, test.atReload}} {
			c, err := loadShelf(t, files, when.inUse)
			if err != nil {
				t.Errorf("%s, at a %s: %v", test.name, when.what, err)
				continue
			}
			got := faultsOf(c)
			slices.Sort(got)
			if !slices.Equal(got, when.want) {
				t.Errorf("%s, at a %s: %q, want %q", test.name, when.what, got, when.want)
			}
			for _, f := range c.Faults {
				if _, there := c.Tenants[f.Tenant]; there != f.Kept {
					t.Errorf("%s, at a %s: tenant %s is there: %v", test.name, when.what, f.Tenant, there)
				}
			}
		}
	}
}

// TestATenantThatStaysKeepsItsPaths checks three tenants: a is faulty, so it keeps the path that its new file gives up. b takes that
// path and fails as well, so it keeps its own path. c takes the path of b and fails for the same reason.
func TestATenantThatStaysKeepsItsPaths(t *testing.T) {
	inUse, err := loadShelf(t, shelf{"/moot.yaml": mainFile, "/t/a.yaml": tenantFile("a", "/a"), "/t/b.yaml": tenantFile("b", "/b"), "/t/c.yaml": tenantFile("c", "/c")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadShelf(t, shelf{"/moot.yaml": mainFile, "/t/a.yaml": tenantFile("a", "/x") + "    y: 1\n", "/t/b.yaml": tenantFile("b", "/a"), "/t/c.yaml": tenantFile("c", "/b")}, inUse)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "/a", "b": "/b", "c": "/c"} {
		if got := c.Tenants[name].Match.Path; len(got) != 1 || got[0] != want {
			t.Errorf("tenant %s has %q, want %s", name, got, want)
		}
	}
	if len(c.Faults) != 3 {
		t.Errorf("%q", faultsOf(c))
	}
}

func TestTheOperatorsProblemsAreErrors(t *testing.T) {
	for name, main := range map[string]string{
		"setting": mainFile + "drain: x\n",
		"module":  strings.Replace(mainFile, "file: m.wasm", "", 1),
		"include": strings.Replace(mainFile, "t/*", "u/*", 1),
	} {
		c, err := loadShelf(t, shelf{"/moot.yaml": main, "/t/a.yaml": tenantFile("a", "/a") + "    y: 1\n"}, nil)
		if err == nil {
			t.Errorf("%s: no error, faults %q", name, faultsOf(c))
		}
	}
}

func TestTenantsOfAFileThatIsNotYAMLAreRecovered(t *testing.T) {
	for text, want := range map[string]string{
		"": "map[]",
		"tenants:\n  a:\n    match:\n      host: [a.example]\n      path: [/a]\n    chain: [\n": "map[a:{[a.example] [/a]}]",
		"# x\ntenants:\n    a:\n        chain: [\n        match: { path: [/a] }\n    'b': {\n":  "map[a:{[] [/a]} b:{[] []}]",
		"modules:\n  m: {\ntenants:\n  a: [\nmodules2:\n  c:\n":                                 "map[a:{[] []}]",
		"{ tenants: { a: {": "map[]",
	} {
		if got := fmt.Sprint(recovered([]byte(text))); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
