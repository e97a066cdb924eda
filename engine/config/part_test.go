package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnlyChangedFilesAreDecodedAgain checks that a load takes files from the Cache that are the same, with the files that they
// refer to, and decodes the others.
func TestOnlyChangedFilesAreDecodedAgain(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("moot.yaml", "include: [{ files: t/*.yaml, secrets: keys }]\ntenants: { default: {} }\n")
	write("keys/a", "0123456789abcdef0123456789abcdef")
	write("t/a.yaml", "tenants: { a: { auth: { jwt: { secret: '${file:a}' } } } }\n")
	write("t/b.yaml", "tenants: { b: { limits: { rooms: 1 } } }\n")
	write("t/c.yaml", "tenants: { c: { romms: 1 } }\n")
	cache, before := new(Cache), (*Config)(nil)
	load := func() *Config {
		t.Helper()
		c, err := (&Loader{Cache: cache, InUse: before}).Load(t.Context(), filepath.Join(dir, "moot.yaml"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Faults) != 1 || c.Faults[0].Tenant != "c" || c.Faults[0].Problems[0].Line != 1 {
			t.Errorf("faults %+v", c.Faults)
		}
		return c
	}
	parts := func() map[string]*decoding {
		all := map[string]*decoding{}
		for path, p := range cache.parts {
			all[filepath.Base(path)] = p.own
		}
		return all
	}
	before = load()
	first := parts()
	for _, step := range []struct {
		what, file, text string
		decoded          string
	}{
		{"nothing", "t/b.yaml", "tenants: { b: { limits: { rooms: 1 } } }\n", ""},
		{"a file", "t/b.yaml", "tenants: { b: { limits: { rooms: 2 } } }\n", "b.yaml"},
		{"a secret", "keys/a", "fedcba9876543210fedcba9876543210", "a.yaml"},
	} {
		write(step.file, step.text)
		next := load()
		now := parts()
		for name := range now {
			if again := now[name] != first[name]; again != (name == step.decoded) {
				t.Errorf("%s changed: %s was decoded again: %v", step.what, name, again)
			}
		}
		for _, tenant := range []string{"a", "b"} {
			if same := next.Tenants[tenant].Sum == before.Tenants[tenant].Sum; same == (tenant+".yaml" == step.decoded) {
				t.Errorf("%s changed: tenant %s has the same sum: %v", step.what, tenant, same)
			}
		}
		first, before = now, next
	}
}

// decoding is the load of one file.
type decoding = load

// TestAFileThatHasBecomeEmptyRemovesNothing checks that a file of the configuration in use that a full
// disk or an editor has left empty is a mistake: it removes neither tenants nor their rules.
func TestAFileThatHasBecomeEmptyRemovesNothing(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const whole = "include: [\"t-*.yaml\"]\ntenants: { default: {} }\n"
	write("moot.yaml", whole)
	write("t-a.yaml", "tenants: { a: { limits: { rooms: 1 } } }\n")
	write("t-none.yaml", "")
	cache, inUse := new(Cache), (*Config)(nil)
	load := func() (*Config, error) {
		return (&Loader{Cache: cache, InUse: inUse}).Load(t.Context(), filepath.Join(dir, "moot.yaml"), nil)
	}
	var err error
	if inUse, err = load(); err != nil || len(inUse.Faults) > 0 {
		t.Fatalf("an included file without tenants: %v, %+v", err, inUse.Faults)
	}
	for _, empty := range []string{"", "\n \n"} {
		write("moot.yaml", empty)
		if c, err := load(); err == nil || !strings.Contains(err.Error(), "moot.yaml: the file is empty") {
			t.Errorf("an empty main file: %+v, %v", c, err)
		}
		write("moot.yaml", whole)
		write("t-a.yaml", empty)
		c, err := load()
		if err != nil || len(c.Faults) != 1 || c.Faults[0].Tenant != "a" || c.Tenants["a"].Limits.Rooms != 1 {
			t.Fatalf("an empty included file: %v, %+v", err, c)
		}
		if text := c.Faults[0].Problems[0].Error(); !strings.Contains(text, "t-a.yaml: the file is empty") {
			t.Errorf("problem %s", text)
		}
	}
	write("t-a.yaml", "# none\n")
	if c, err := load(); err != nil || len(c.Faults) > 0 || len(c.Tenants) != 1 {
		t.Errorf("a file of a comment: %v, %+v", err, c)
	}
}
