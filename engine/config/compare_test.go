package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mootchat/moot/engine/config"
)

func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("c", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNeedsRestart(t *testing.T) {
	const base = "modules: {m: {file: f}}\ntenants: {default: {chain: [{module: m}]}, b: {}}\n"
	for _, test := range []struct {
		change  string
		restart []string
		digest  bool // must differ from the default
	}{
		{"", nil, false},
		{"# a comment", nil, false},
		{"drain: 7s", nil, true},
		{"drainDelay: 7s", nil, true},
		{"log: {level: debug}", nil, true},
		{"log: {format: json}", []string{"log.format"}, false},
		{"http: {listen: ':1', allowedOrigins: ['*']}", []string{"http.listen", "http.allowedOrigins"}, false},
		{"socket: {tenant: b}", []string{"socket.tenant"}, false},
		{"cluster: {node: n, redis: {password: x}}", []string{"cluster.node", "cluster.redis.password"}, false},
		{"limits: {connections: 5}", nil, true},
		{"admin: {listen: ':1', requestsPerSecond: 7, metrics: {named: [b]}}", []string{"admin.listen", "admin.requestsPerSecond", "admin.metrics.named"}, false},
		{"admin: {key: 0123456789abcdef}", nil, true},
		{"admin: {tenantKeys: {b: 0123456789abcdef}}", nil, true},
		{"admin: {keys: [{name: ann, key: 0123456789abcdef, role: viewer}]}", nil, true},
	} {
		a, b := parsed(t, base), parsed(t, base+test.change)
		if got := config.NeedsRestart(a, b); !slices.Equal(got, test.restart) {
			t.Errorf("%s: %q need a restart, want %q", test.change, got, test.restart)
		}
		if differs := config.Digest(a) != config.Digest(b); differs != test.digest {
			t.Errorf("%s: the digest differs: %v", test.change, differs)
		}
	}
	for _, other := range []string{
		"modules: {m: {file: f}}\ntenants: {default: {chain: [{module: m, config: {a: 1}}]}, b: {}}",
		"modules: {m: {file: f}}\ntenants: {default: {chain: [{module: m}, {module: m}]}, b: {}}",
		"modules: {m: {file: f}}\ntenants: {default: {chain: [{module: m}]}, c: {}}",
		"modules: {m: {file: g}}\ntenants: {default: {chain: [{module: m}]}, b: {}}",
		"modules: {m: {file: f}}\ntenants: {default: {chain: [{module: m}], rooms: {starting: x}}, b: {}}",
	} {
		if config.Digest(parsed(t, base)) == config.Digest(parsed(t, other)) {
			t.Errorf("the digest is the same for\n%s", other)
		}
	}
	// The digest does not depend on the line of a setting.
	if config.Digest(parsed(t, base)) != config.Digest(parsed(t, "\n\n"+base)) {
		t.Error("the digest depends on lines")
	}
}

func TestLoaderRecordsFilesAndPatterns(t *testing.T) {
	path := write(t, map[string]string{
		"config.yaml":   "include: [t/*.yaml, gone.yaml]\ncluster: {node: '${file:node}'}\ndrain: bad",
		"t/a.yaml":      "tenants: {a: {}}",
		"t/ignored.txt": "", "node": "n",
	})
	var trace config.Loader
	for range 2 {
		if _, err := trace.Load(t.Context(), path, os.LookupEnv); err == nil {
			t.Fatal("it loads")
		}
	}
	dir := filepath.Dir(path)
	want := []string{path, filepath.Join(dir, "node"), filepath.Join(dir, "t/a.yaml")}
	if !slices.Equal(trace.Files, want) {
		t.Errorf("files %q, want %q", trace.Files, want)
	}
	for _, pattern := range []string{filepath.Join(dir, "t/*.yaml"), filepath.Join(dir, "gone.yaml")} {
		if !slices.Contains(trace.Patterns, pattern) {
			t.Errorf("patterns %q lack %s", trace.Patterns, pattern)
		}
	}
}
