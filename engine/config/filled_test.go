package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/config"
)

// leaves returns, for every setting under t, a YAML text in flow style that sets it to value.
func leaves(t reflect.Type, wrap func(string) string, visit func(text func(value string) string)) {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		for _, place := range []string{"%s", "[%s]", "{a: %s}", "{a: [{b: %s}]}"} {
			visit(func(v string) string { return wrap(fmt.Sprintf(place, v)) })
		}
	case t == reflect.TypeFor[config.Path]() || t == reflect.TypeFor[config.Secret]() || t.Kind() != reflect.Struct && t.Kind() != reflect.Map && t.Kind() != reflect.Slice:
		visit(wrap)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			if key := t.Field(i).Tag.Get("yaml"); key != "-" {
				leaves(t.Field(i).Type, func(v string) string { return wrap(fmt.Sprintf("{%s: %s}", key, v)) }, visit)
			}
		}
	case t.Kind() == reflect.Map:
		leaves(t.Elem(), func(v string) string { return wrap(fmt.Sprintf("{k: %s}", v)) }, visit)
		leaves(t.Elem(), func(v string) string { return wrap(fmt.Sprintf("{k: %s, other: %s}", v, v)) }, visit)
	default:
		leaves(t.Elem(), func(v string) string { return wrap(fmt.Sprintf("[%s, %s]", v, v)) }, visit)
		visit(wrap)
	}
}

// TestNoProblemShowsASubstitutedValue sets every setting to secrets of several forms, and
// checks that no problem and no warning contains them.
func TestNoProblemShowsASubstitutedValue(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	const core = "5557713" // occurs in all secrets
	var secrets []string
	for i, text := range []string{core, "hunter" + core, "/" + core, "../" + core, "https://" + core + "/x", "http://[" + core, "127.0.0.1:" + core, core + ":99999",
		"${" + core + "}", core + "\nx: y", "-" + core, "0." + core, core + "ms", core + "GiB", core + "KiB", "properties:" + core + " x", "[" + core, "{a: " + core, "*" + core, "&" + core, "!" + core, "registry/" + core + ":", core + ".js", "r" + core + "/x@sha256:zz"} {
		name := fmt.Sprint("s", i)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, name)
	}
	bad := 0
	leaves(reflect.TypeFor[config.Config](), func(v string) string { return v }, func(text func(string) string) {
		for _, name := range secrets {
			for _, form := range []string{`"${file:%s}"`, `"x${file:%s}"`} {
				doc := text(fmt.Sprintf(form, name))
				c, err := config.Parse("c", []byte(doc), environment)
				shown := fmt.Sprint(err)
				if c != nil {
					shown = fmt.Sprintf("%v %+v", c.Warnings, c.Substitutions)
				} else {
					bad++
				}
				if strings.Contains(shown, core) {
					t.Errorf("%s with %s: %s", doc, name, shown)
				}
			}
		}
	})
	if bad < 1000 {
		t.Errorf("only %d texts are wrong", bad)
	}
}

func TestProblemsOfSeveralSettingsShowNoSubstitutedValue(t *testing.T) {
	t.Chdir(filepath.Dir(write(t, map[string]string{"s": "hunter2", "n": "5557713", "a": "127.0.0.1:7713", "j": "hunter2.txt"})))
	expect(t, `
http: { listen: "${file:a}" }
admin: { listen: "${file:a}" }
socket: { listen: "", more: [{ listen: ":1", tenant: "${file:s}" }] }
limits: { outboxBytes: "${file:n}" }
modules: { m: { script: "${file:j}" } }
tenants:
  a: { match: { host: "${file:s}" }, limits: { outboxBytes: "55${file:n}" } }
  b: { match: { host: ["${file:s}"] }, chain: [{ module: "${file:s}" }] }
`, strings.TrimSpace(`
c:3: admin.listen: the value of "${file:a}" is the address of another listener, at c:2: use another port
c:4: socket.more[0].tenant: the value of "${file:s}" is an unknown tenant
c:6: modules.m.script: the value of "${file:j}" is not a script: use a file whose name ends in .js, .ts or .lua
c:8: tenants.a.limits.outboxBytes: the value of "55${file:n}" is more than the node's limits.outboxBytes: lower it, or raise limits.outboxBytes
c:9: tenants.b.chain[0].module: the value of "${file:s}" is an unknown module
c:9: tenants.b.match.host[0]: the value of "${file:s}" already belongs to tenant "a" (c:8): remove one of the two
`))
}

func TestIncludedFilesCannotReadTheHost(t *testing.T) {
	for name, test := range map[string]struct {
		include, tenant, want string
	}{
		"a file":             {"t/t.yaml", "tenants: {a: {chain: [{module: m, config: '${file:../secret}'}]}}", `"${file:../secret}": is off in an included file: `},
		"the environment":    {"t/t.yaml", "tenants: {a: {chain: [{module: '${WORD}'}]}}", `"${WORD}": is off in an included file: `},
		"a default":          {"t/t.yaml", "tenants: {a: {chain: [{module: '${NONE:-m}'}]}}", "is off in an included file: "},
		"a pattern":          {"t/*.yaml", "tenants: {a: {rooms: {starting: '${file:secret}'}}}", "is off in an included file: "},
		"up":                 {"{files: t/t.yaml, secrets: s}", "tenants: {a: {rooms: {starting: '${file:../secret}'}}}", `"${file:../secret}": is outside of its directory`},
		"a link":             {"{files: t/t.yaml, secrets: s}", "tenants: {a: {rooms: {starting: '${file:link}'}}}", `"${file:link}": path escapes from parent`},
		"an absolute path":   {"{files: t/t.yaml, secrets: s}", "tenants: {a: {rooms: {starting: '${file:/etc/hostname}'}}}", "is outside of its directory"},
		"a process's files":  {"{files: t/t.yaml, secrets: s}", "tenants: {a: {rooms: {starting: '${file:fd/0}'}}}", "path escapes from parent"},
		"a secret's own":     {"{files: t/t.yaml, secrets: s}", "tenants: {a: {rooms: {starting: '${WORD}'}}}", `"${WORD}": the environment is off in an included file: use ${file:NAME}`},
		"an empty directory": {"{files: t/t.yaml, secrets: ''}", "tenants: {a: {rooms: {starting: '${file:own}'}}}", "is off in an included file: "},
		"behind an anchor":   {"t/t.yaml", "tenants: {a: {rooms: &r {starting: '${WORD}'}}, b: {rooms: {<<: *r}}}", "is off in an included file: "},
		"a module":           {"t/t.yaml", "modules: {x: {file: ../secret}}", `modules.x.file: "../secret" is outside of the directory of this included file`},
		"a script":           {"t/t.yaml", "modules: {x: {script: /etc/x.js}}", `modules.x.script: "/etc/x.js" is outside of the directory of this included file`},
		"a key set":          {"t/t.yaml", "tenants: {a: {auth: {jwt: {jwks: ../secret}}}}", `tenants.a.auth.jwt.jwks: "../secret" is outside of the directory of this included file`},
		"a filled path":      {"{files: t/t.yaml, secrets: s}", "modules: {x: {file: '${file:up}'}}", `the value of "${file:up}" is outside of the directory of this included file`},
		"an include":         {"t/t.yaml", "include: ../secret", "unknown key"},
		"a directory":        {"t/t.yaml", "secrets: /etc", "unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, map[string]string{"config.yaml": "include: [" + test.include + "]\nmodules: {m: {file: m.wasm}}\ntenants: {default: {}}", "t/t.yaml": test.tenant, "secret": "hunter2", "s/own": "own", "s/up": "../secret"})
			for link, to := range map[string]string{"link": "../secret", "fd": "/proc/self/fd"} {
				if err := os.Symlink(to, filepath.Join(filepath.Dir(path), "s", link)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := config.Load(path, environment)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestIncludedFileReadsItsOwnSecrets checks ${file:NAME} in included files, also for
// links, which Kubernetes uses for mounted secrets.
func TestIncludedFileReadsItsOwnSecrets(t *testing.T) {
	path := write(t, map[string]string{
		"config.yaml":   "include: [t/*.yaml, {files: t/a.yaml, secrets: a}, {files: t/b.yaml, secrets: real/b}, t/c.yaml]\ntenants: {default: {}}",
		"t/a.yaml":      "tenants: {a: {auth: {jwt: {secret: '${file:jwt}'}}}}",
		"t/b.yaml":      "tenants: {b: {auth: {jwt: {secret: '${file:jwt}'}}}}",
		"t/c.yaml":      "tenants: {c: {rooms: {starting: '$${x}'}}}",
		"real/a/..1/k":  strings.Repeat("a", 32),
		"real/b/jwt":    strings.Repeat("b", 32),
		"real/a/README": "",
	})
	dir := filepath.Dir(path)
	for link, to := range map[string]string{"a": "real/a", "real/a/..data": "..1", "real/a/jwt": "..data/k"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(path, environment)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := c.Tenants["a"].Auth.JWT, c.Tenants["b"].Auth.JWT; a.Secret.Reveal() != strings.Repeat("a", 32) || b.Secret.Reveal() != strings.Repeat("b", 32) || !a.Included || c.Tenants["c"].Rooms.Starting[0] != "${x}" {
		t.Errorf("a %q, b %q, c %q", a.Secret.Reveal(), b.Secret.Reveal(), c.Tenants["c"].Rooms.Starting)
	}
}

func TestConfigIsShownAsWritten(t *testing.T) {
	path := write(t, map[string]string{
		"config.yaml": `
modules: {m: {file: m.wasm}}
tenants:
  default:
    chain:
    - module: m
      config: &c
        token: Bearer ${file:s}
        n: ${file:n}
        list: [1, "${file:s}"]
        x: $${}
    - { module: m, config: *c }
    - { module: m, config: {a: 1} }
`,
		"s": "hunter2", "n": "5557713",
	})
	c, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	chain := c.Tenants["default"].Chain
	for i := range 2 {
		if got, want := string(chain[i].Shown), `{"list":[1,"${file:s}"],"n":"${file:n}","token":"Bearer ${file:s}","x":"$${}"}`; got != want {
			t.Errorf("shown %s, want %s", got, want)
		}
		if got, want := string(chain[i].Config), `{"list":[1,"hunter2"],"n":5557713,"token":"Bearer hunter2","x":"${}"}`; got != want {
			t.Errorf("config %s, want %s", got, want)
		}
	}
	if chain[2].Shown != nil {
		t.Errorf("what is not filled in is shown as %s", chain[2].Shown)
	}
	for edited, want := range map[string]string{
		string(chain[0].Shown): string(chain[0].Config),
		`{"list":[2,"${file:s}"],"new":"${file:s}","token":"Bearer ${file:s}"}`: `{"list":[2,"hunter2"],"new":"${file:s}","token":"Bearer hunter2"}`,
		`[]`: `[]`, `"${file:s}"`: `"${file:s}"`,
	} {
		if got, err := chain[0].Substitute(json.RawMessage(edited)); err != nil || string(got) != want {
			t.Errorf("%s becomes %s, %v; want %s", edited, got, err, want)
		}
	}
	if got, want := c.Redact(`a token "hunter2", 5557713 and hunter`), `a token "${file:s}", ${file:n} and hunter`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if text := fmt.Sprintf("%+v %#v", c.Substitutions, c.Substitutions); strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}

// TestLogsHideSecretsOfTheEnvironment checks which values of ${NAME} logs show: those
// of settings that have a rule, and short ones in other text, but never those of a
// secret.
func TestLogsHideSecretsOfTheEnvironment(t *testing.T) {
	env := map[string]string{
		"NODE": "node-east-1", "LISTEN": "127.0.0.1:8081", "LEVEL": "warn", "LEASE": "12345ms", "ADDRESS": "redis.internal:6379",
		"PASSWORD": "tiny", "USER": "operators", "SHORT": "enforce", "TOKEN": "token-of-a-module", "KEYS": "https://keys.invalid/of/acme", "BOTH": "both-of-them",
	}
	text := `
http: { listen: '${LISTEN}' }
log: { level: '${LEVEL}' }
cluster: { node: '${NODE}', lease: '${LEASE}', redis: { addresses: ['${ADDRESS}'], username: '${USER}', password: '${PASSWORD}' } }
modules: { m: { file: m.wasm } }
tenants:
  default:
    auth: { jwt: { jwks: '${KEYS}', audience: ['${BOTH}'] } }
    rooms: { starting: ['${BOTH}'] }
    chain: [{ module: m, config: { mode: '${SHORT}', token: '${TOKEN}' } }]
`
	lookup := func(name string) (string, bool) { value, ok := env[name]; return value, ok }
	c, err := config.Parse("moot.yaml", []byte(text), lookup)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range env {
		want := "a line of " + value
		if strings.Contains("PASSWORD USER TOKEN KEYS BOTH", name) {
			want = "a line of ${" + name + "}"
		}
		if got := c.LogRedactor().Replace("a line of " + value); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// BenchmarkManyTenants loads 10,000 included files, each with its own secret.
func BenchmarkManyTenants(b *testing.B) {
	const tenants = 10_000
	dir := b.TempDir()
	var include strings.Builder
	include.WriteString("tenants: {default: {}}\ninclude:\n")
	for i := range tenants {
		name := fmt.Sprint("t", i)
		for file, text := range map[string]string{
			name + "/tenant.yaml":   "tenants: {" + name + ": {auth: {jwt: {secret: '${file:jwt}'}}}}",
			name + "/secrets/jwt":   fmt.Sprintf("%032d", i),
			name + "/secrets/other": "",
		} {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				b.Fatal(err)
			}
		}
		fmt.Fprintf(&include, "- {files: %s/tenant.yaml, secrets: %s/secrets}\n", name, name)
	}
	path := filepath.Join(dir, "moot.yaml")
	if err := os.WriteFile(path, []byte(include.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := config.Load(path, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	c, err := config.Load(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("hider", func(b *testing.B) {
		for b.Loop() {
			c.LogRedactor().Replace("a line")
		}
	})
	h := c.LogRedactor()
	b.Run("line", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.Replace("a line of a log that is neither long nor short, as most are")
		}
	})
}
