package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func effectiveOf(t *testing.T, env map[string]string, text string, overrides ...string) map[string]Setting {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{"config.yaml": text, "tenants/acme.yaml": "\ntenants: { acme: { rooms: { starting: [lobby] } } }\n"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings, err := new(Loader).Effective(t.Context(), "config.yaml", func(name string) (string, bool) { v, ok := env[name]; return v, ok }, overrides...)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Setting{}
	for _, s := range settings {
		if _, twice := all[s.Path]; twice {
			t.Errorf("%s is listed twice", s.Path)
		}
		all[s.Path] = s
	}
	return all
}

func TestEffectiveNamesValuesAndSources(t *testing.T) {
	all := effectiveOf(t, map[string]string{"KEY": "hunter2-hunter2-hunter2", "PORT": "7777", "WORD": "hunter4"}, `include: [tenants/*.yaml]
http: { listen: ":9000" }
drain: 5s
admin: { key: "${KEY}", listen: "127.0.0.1:${PORT:-1}" }
limits: { messageBytes: 32KiB }
modules: { calm: { file: calm.wasm } }
tenants:
  default:
    chain:
      - { module: calm, room: [a, b], config: { word: "${WORD}" } }
`, "drain=7s", "admin.listen=127.0.0.1:1")
	for _, want := range []Setting{
		{"http.listen", `":9000"`, "config.yaml:2"},
		{"http.tls.cert", `""`, "default"},
		{"drain", "7s", "--set"},
		{"drainDelay", "0s", "default"},
		{"admin.key", "[set]", "config.yaml:4"},
		{"admin.listen", `"127.0.0.1:1"`, "--set"},
		{"admin.tenantKeys", "{}", "default"},
		{"limits.messageBytes", "32KiB", "config.yaml:5"},
		{"modules.calm.file", `"calm.wasm"`, "config.yaml:6"},
		{"tenants.default.chain[0].room", `["a","b"]`, "config.yaml:10"},
		{"tenants.default.chain[0].config", `{"word":"${WORD}"}`, "config.yaml:10"},
		{"tenants.default.chain[0].breaker.ratio", "0.5", "default"},
		{"tenants.acme.rooms.starting", `["lobby"]`, "tenants/acme.yaml:2"},
	} {
		if got := all[want.Path]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for _, s := range all {
		if strings.Contains(s.Value, "hunter") || strings.Contains(s.Value, "7777") {
			t.Errorf("%s shows a value of the environment: %s", s.Path, s.Value)
		}
	}
}

// TestEffectiveShowsReferencesAsWritten checks settings that are not secrets.
func TestEffectiveShowsReferencesAsWritten(t *testing.T) {
	all := effectiveOf(t, map[string]string{"HOST": "hunter2.example"}, "http: { listen: \"${HOST}:1\" }\n")
	if got, want := all["http.listen"], (Setting{"http.listen", `"${HOST}:1"`, "config.yaml:1"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestEffectiveHasEverySetting compares the paths with those of the type.
func TestEffectiveHasEverySetting(t *testing.T) {
	all := effectiveOf(t, nil, "")
	n := 0
	for _, s := range append(settingsOf(without(Default()), true), settingsOf(without(Default()), false)...) {
		n++
		if _, ok := all[s.path]; !ok {
			t.Errorf("%s is missing", s.path)
		}
	}
	if n < 40 {
		t.Errorf("only %d settings were compared", n)
	}
}

func TestEffectiveOfAnInvalidFileHasItsProblems(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("htpp: {}\ntenants: { a: { chain: [{ module: none }] } }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := new(Loader).Effective(t.Context(), file, nil)
	if err == nil || !strings.Contains(err.Error(), `:1: htpp: unknown key`) || !strings.Contains(err.Error(), `:2: tenants.a.chain[0].module: unknown module`) {
		t.Errorf("got %v, want the problem of the file and that of the tenant", err)
	}
}
