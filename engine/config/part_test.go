package config

import (
	"os"
	"path/filepath"
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
