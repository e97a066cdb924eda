package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/config"
)

func TestIncludedFilesAddTenantsAndModules(t *testing.T) {
	path := write(t, map[string]string{
		"config.yaml":         "include: [{files: tenants/*.yaml, secrets: secrets}, 'tenants/a*', '*.yaml']\nmodules: {m: {file: m.wasm}}\ntenants: {default: {chain: [{module: a}]}}",
		"tenants/acme.yaml":   "modules: {a: {file: sub/a.wasm}}\ntenants:\n  acme: {chain: [{module: m, config: '${file:token}'}]}",
		"tenants/bolt.yaml":   "tenants: {bolt: {}}",
		"tenants/empty.yaml":  "",
		"tenants/.#bolt.yaml": "an editor's lock",
		"tenants/notes.txt":   "not asked for",
		"secrets/token":       "secret\r\n",
	})
	c, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tenants) != 3 || len(c.Modules) != 2 {
		t.Errorf("%d tenants and %d modules, want 3 and 2", len(c.Tenants), len(c.Modules))
	}
	dir := filepath.Dir(path)
	want := config.Path{Written: "sub/a.wasm", Absolute: filepath.Join(dir, "tenants/sub/a.wasm"), Within: filepath.Join(dir, "tenants")}
	if got := c.Modules["a"].File; got != want {
		t.Errorf("a path in an included file is %+v, want %+v", got, want)
	}
	acme := c.Tenants["acme"]
	if got := string(acme.Chain[0].Config); got != `"secret"` {
		t.Errorf("a file of the directory of secrets gives %s", got)
	}
	if got, want := acme.Pos.String(), filepath.Join(dir, "tenants/acme.yaml")+":3"; got != want {
		t.Errorf("the tenant is at %s, want %s", got, want)
	}
}

func TestProblemsOfIncludedFilesNameThem(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"other keys", map[string]string{
			"config.yaml": "include: t.yaml", "t.yaml": "\nhttp: {}\ntenant: {}",
		}, "t.yaml:2: http: unknown key: use modules or tenants\nt.yaml:3: tenant: unknown key: did you mean \"tenants\"?"},
		{"an include in an included file", map[string]string{
			"config.yaml": "include: t.yaml", "t.yaml": "include: u.yaml",
		}, "t.yaml:1: include: unknown key: use modules or tenants"},
		{"defined twice", map[string]string{
			"config.yaml": "include: t/*\ntenants:\n  default:\n  a: {}\nmodules: {m: {file: x}}",
			"t/1.yaml":    "tenants:\n  a: {}\n  b: {}\n  c: {}",
			"t/2.yaml":    "tenants: {b: {}, c: {}}\nmodules: {m: {file: x}}",
		}, "t/1.yaml:2: tenants.a: is defined twice, first at config.yaml:4: remove or rename one of the two\n" +
			"t/2.yaml:1: tenants.b: is defined twice, first at t/1.yaml:3: remove or rename one of the two\n" +
			"t/2.yaml:1: tenants.c: is defined twice, first at t/1.yaml:4: remove or rename one of the two\n" +
			"t/2.yaml:2: modules.m: is defined twice, first at config.yaml:5: remove or rename one of the two"},
		{"a tie", map[string]string{
			"config.yaml": "include: t.yaml\ntenants: {default: {}, a: {match: {host: x}}}",
			"t.yaml":      "tenants:\n  b:\n    match:\n      host: x",
		}, "t.yaml:4: tenants.b.match.host: \"x\" already belongs to tenant \"a\" (config.yaml:2): remove one of the two"},
		{"unknown module", map[string]string{
			"config.yaml": "include: t.yaml\ntenants: {default: }", "t.yaml": "tenants: {b: {chain: [{module: m}]}}",
		}, "t.yaml:1: tenants.b.chain[0].module: unknown module \"m\": none is defined"},
		{"bad YAML, and no complaint of what it may have defined", map[string]string{
			"config.yaml": "include: t.yaml\ndrain: x\ntenants: {a: {chain: [{module: m}]}}", "t.yaml": "modules: {m:\ntenants: [",
		}, "config.yaml:2: drain: \"x\" is not a valid duration: use one such as 250ms or 10s\nt.yaml:2: is not valid YAML: did not find expected ',' or '}'"},
		{"a file that is not there", map[string]string{
			"config.yaml": "\ninclude: [t.yaml]\ntenants: {a: {chain: [{module: m}]}}",
		}, "config.yaml:2: include[0]: cannot include \"t.yaml\": the file does not exist"},
		{"a directory that is not there", map[string]string{
			"config.yaml": "include: tenant/*.yaml",
		}, "config.yaml:1: include: cannot include \"tenant/*.yaml\": the directory does not exist"},
		{"a directory for a file", map[string]string{
			"config.yaml": "include: t", "t/x": "",
		}, "config.yaml:1: include: cannot read \"t\": is not a regular file but a directory"},
		{"a bad pattern", map[string]string{
			"config.yaml": "include: 't[.yaml'",
		}, "config.yaml:1: include: cannot include \"t[.yaml\": syntax error in pattern"},
		{"a large file", map[string]string{
			"config.yaml": "include: t.yaml", "t.yaml": strings.Repeat("#", 1<<20+1),
		}, "config.yaml:1: include: cannot read \"t.yaml\": the file is larger than 1MiB"},
		{"not a pattern at all", map[string]string{
			"config.yaml": "include: [5]\ntenants: {a: {chain: [{module: m}]}}",
		}, "config.yaml:1: include[0]: must be text, not a number: put it in quotes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(filepath.Dir(write(t, test.files)))
			_, err := config.Load("config.yaml", nil)
			if err == nil || err.Error() != test.want {
				t.Errorf("got\n%v\nwant\n%s", err, test.want)
			}
		})
	}
}

func TestEmptyDirectoryOfTenantsIsAccepted(t *testing.T) {
	path := write(t, map[string]string{"a[b]*/config.yaml": "include: tenants/*.yaml", "a[b]*/tenants/README": ""})
	if _, err := config.Load(filepath.Join(filepath.Dir(path), "a[b]*", "config.yaml"), nil); err != nil {
		t.Error(err)
	}
}

func TestReferencesAreSubstituted(t *testing.T) {
	path := write(t, map[string]string{
		"config.yaml": `
http: { listen: "${HOST:-127.0.0.1}:${PORT}", allowedOrigins: ["${file:origin}"] }
cluster: { node: "${EMPTY:-fallback}${EMPTY}${NONE:-}" }
limits: { connections: "${PORT}", messageBytes: "${NONE:-1KiB}" }
drain: ${NONE:-2s}
socket: { delimiter: "$${x}$" }
tenants: { default: { rooms: { clientsMayCreate: "${NONE:-true}", starting: "${file:room}" } } }
`,
		"origin": "https://a.example\n", "room": "two lines\n\n"[:10],
	})
	c, err := config.Load(path, environment)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ what, got, want any }{
		{"listen", c.HTTP.Listen, "127.0.0.1:9999"},
		{"a file's text without its newline", c.HTTP.AllowedOrigins[0], "https://a.example"},
		{"what is set but empty", c.Cluster.Node, "fallback"},
		{"number", c.Limits.Connections, 9999},
		{"size", c.Limits.MessageBytes, config.ByteSize(1024)},
		{"duration", c.Drain.String(), "2s"},
		{"the two characters", c.Socket.Delimiter, "${x}$"},
		{"bool", c.Tenants["default"].Rooms.ClientsMayCreate, true},
		{"room", c.Tenants["default"].Rooms.Starting[0], "two lines"},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %v, want %v", test.what, test.got, test.want)
		}
	}
}

func TestInvalidReferencesAreProblems(t *testing.T) {
	t.Chdir(filepath.Dir(write(t, map[string]string{"bad": "\xff", "large": strings.Repeat("x", 1<<20+1), "word": "hunter2"})))
	for _, test := range []struct{ value, want string }{
		{"${NONE}", `"${NONE}": the environment variable is not set: set it, or write ${NAME:-default}`},
		{"a${}b", `"${}": is not a valid reference: use ${NAME}, ${NAME:-default} or ${file:PATH}`},
		{"${A B}", `"${A B}": is not a valid reference: use ${NAME}, ${NAME:-default} or ${file:PATH}`},
		{"${NONE:-${PORT}}", `"${NONE:-${PORT}": a default cannot contain ${...}: write a plain value`},
		{"${PORT", `a "${" has no "}": close it, or write "$${" for the two characters`},
		{"${BROKEN}", `"${BROKEN}": the environment variable is not valid UTF-8`},
		{"${file:}", `"${file:}": the path of the file is missing`},
		{"${file:none}", `"${file:none}": no such file or directory`},
		{"${file:bad}", `"${file:bad}": the file is not valid UTF-8`},
		{"${file:large}", `"${file:large}": the file is larger than 1MiB`},
		// Messages do not show a substituted value, because it may be a secret.
		{"${WORD}", `the value of "${WORD}" is not a valid duration: use one such as 250ms or 10s`},
		{"${file:word}", `the value of "${file:word}" is not a valid duration: use one such as 250ms or 10s`},
	} {
		t.Run(test.value, func(t *testing.T) { expect(t, "\ndrain: '"+test.value+"'", "c:2: drain: "+test.want) })
	}
}

func TestSubstitutedBytesAreLimited(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte(strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	expect(t, "drain: "+strings.Repeat("${file:x}", 100_000), "c:1: drain: the values of all ${...} together are larger than 16MiB: use smaller files, or fewer references")
}
