package config_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/config"
)

func parse(t *testing.T, text string, overrides ...string) *config.Config {
	t.Helper()
	c, err := config.Parse("/etc/moot/config.yaml", []byte(text), environment, overrides...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// write creates files in a new directory and returns the path of its config.yaml.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.yaml")
}

func TestEmptyFileHasTheDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "http:\ntenants:\nmodules: ~\n", "log: {}"} {
		c, err := config.Parse("", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.File = config.Path{}
		if want := config.Default(); !reflect.DeepEqual(c, want) {
			t.Errorf("%q gives\n%+v\nwant\n%+v", text, c, want)
		}
	}
}

func TestEveryTypeOfValue(t *testing.T) {
	c := parse(t, `
http: { listen: "[::1]:80", allowedOrigins: "*" }
socket: { delimiter: "\r\n", listen: "" }
limits: { messageBytes: 1024, outboxBytes: 2MiB, writeTimeout: 1m30s, connections: 7, moduleCPU: 0.25 }
drain: 0
modules:
  mask: { file: rules/mask.wasm, sha256: `+strings.Repeat("0a", 32)+` }
  far: { file: /opt/far.wasm }
tenants:
  acme:
    match: { host: [a.example, b.example], path: /acme }
    rooms: { starting: 2024-01-01, clientsMayCreate: TRUE, settings: [{ maxMembers: 5 }] }
    limits: { rooms: 3 }
    chain:
      - { module: mask, room: ["a*", b], hooks: [join, say], grants: [kv, "properties:role,locale"], priority: -3 }
      - module: far
        breaker: { minimum: 2 }
`)
	a := c.Tenants["acme"]
	for _, test := range []struct{ what, got, want any }{
		{"listen", c.HTTP.Listen, "[::1]:80"},
		{"one text for a list", c.HTTP.AllowedOrigins, []string{"*"}},
		{"delimiter", c.Socket.Delimiter, "\r\n"},
		{"share", c.Limits.ModuleCPU.Fraction(), 0.25},
		{"plain size", c.Limits.MessageBytes, config.ByteSize(1024)},
		{"size with a unit", c.Limits.OutboxBytes, config.ByteSize(2 << 20)},
		{"duration", c.Limits.WriteTimeout, 90 * time.Second},
		{"nothing needs no unit", c.Drain, time.Duration(0)},
		{"number", c.Limits.Connections, 7},
		{"default beside it", c.Limits.RoomsPerConnection, 100},
		{"relative path", c.Modules["mask"].File, config.Path{Written: "rules/mask.wasm", Absolute: "/etc/moot/rules/mask.wasm"}},
		{"absolute path", c.Modules["far"].File, config.Path{Written: "/opt/far.wasm", Absolute: "/opt/far.wasm"}},
		{"sha256", c.Modules["mask"].SHA256, strings.Repeat("0a", 32)},
		{"place of a module", c.Modules["far"].Pos.String(), "/etc/moot/config.yaml:8"},
		{"place of a tenant", a.Pos.String(), "/etc/moot/config.yaml:10"},
		{"list", a.Match.Host, []string{"a.example", "b.example"}},
		{"a date is text", a.Rooms.Starting, []string{"2024-01-01"}},
		{"bool", a.Rooms.ClientsMayCreate, true},
		{"default in an element", a.Rooms.Settings, []config.RoomSettings{{Match: "*", MaxMembers: 5, HistoryTTL: 5 * time.Minute}}},
		{"an entry with defaults", a.Chain[0], config.Entry{
			Pos: config.Pos{File: "/etc/moot/config.yaml", Line: 15}, Module: "mask", Rooms: []string{"a*", "b"}, Hooks: []string{"join", "say"},
			Priority: -3, Timeout: 50 * time.Millisecond, Memory: 16 << 20, OnError: "deny", OnExpire: "reject", Mode: "enforce", Isolation: "instance",
			Breaker: config.Breaker{Ratio: 500, Minimum: 20, Window: 10 * time.Second, Cooldown: 5 * time.Second, Probes: 3},
			Grants:  []string{"kv", "properties:role,locale"},
		}},
		{"place of an entry", a.Chain[1].Pos.Line, 16},
		{"default beside a nested value", a.Chain[1].Breaker, config.Breaker{Ratio: 500, Minimum: 2, Window: 10 * time.Second, Cooldown: 5 * time.Second, Probes: 3}},
		{"tenants are those of the file", len(c.Tenants), 1},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: got %+v, want %+v", test.what, test.got, test.want)
		}
	}
}

func TestConfigOfAModuleBecomesJSON(t *testing.T) {
	for _, test := range []struct{ yaml, want string }{
		{``, ``},
		{`~`, ``},
		{`{}`, `{}`},
		{`{b: [1, two, "3", true, null, 1.50], a: {c: 2024-01-01}}`, `{"a":{"c":"2024-01-01"},"b":[1,"two","3",true,null,1.50]}`},
		{`[0x1F, 0o17, 1_000, -5, 12345678901234567890123, 1e3, +7, .5]`, `[31,15,1000,-5,12345678901234567890123,1e3,7,0.5]`},
		{`[True, FALSE, yes, off]`, `[true,false,"yes","off"]`},
		{`{a: &x {k: v}, b: *x, c: {<<: *x, l: w}, d: {<<: [*x, {m: 1}], k: own}}`,
			`{"a":{"k":"v"},"b":{"k":"v"},"c":{"k":"v","l":"w"},"d":{"k":"own","m":1}}`},
		{`["${PORT}", '${PORT}', "a${PORT}b", "${EMPTY}", "${NONE:-5}"]`, `["9999","9999","a9999b","","5"]`},
		{"\n          - ${PORT}\n          - ${NONE:-true}\n          - ${EMPTY}\n          - $${PORT}", `[9999,true,null,"${PORT}"]`},
		{`!!str 5`, `"5"`},
		{`"é\n<"`, `"é\n\u003c"`},
	} {
		c := parse(t, "modules: {m: {file: x}}\ntenants:\n  default:\n    chain:\n      - module: m\n        config: "+test.yaml)
		if got := string(c.Tenants["default"].Chain[0].Config); got != test.want {
			t.Errorf("%s\ngives %s\nwant  %s", test.yaml, got, test.want)
		}
		if test.want != "" && !json.Valid([]byte(test.want)) {
			t.Errorf("%s is not JSON", test.want)
		}
	}
}

func TestOwnKeysWinOverMergedOnes(t *testing.T) {
	c := parse(t, `
modules: { m: { file: x } }
tenants:
  default:
    chain:
      - &first { module: m, timeout: 10ms, priority: 7 }
      - { <<: *first, timeout: 20ms }
`)
	e := c.Tenants["default"].Chain[1]
	if e.Module != "m" || e.Priority != 7 || e.Timeout != 20*time.Millisecond || e.Pos.Line != 7 {
		t.Errorf("got %+v", e)
	}
}

func TestOverridesWinOverTheFile(t *testing.T) {
	c := parse(t, "http: {listen: ':1'}\nlimits: {connections: 5}\nmodules: {m: {file: x}}\ntenants: {default: {limits: {rooms: 3}}}",
		"http.listen=:2", "http.listen=[::1]:3", "http.allowedOrigins=[a, b]", "socket.listen=", "limits.connections=6",
		"limits.outboxBytes=2MiB", "drain=1s", "tenants.default.rooms.clientsMayCreate=true", "tenants.new.limits={rooms: 8}",
		"modules.m.sha256="+strings.Repeat("0", 64), "modules.n.file=y.wasm", "cluster.node=2048")
	for _, test := range []struct{ what, got, want any }{
		{"the last one", c.HTTP.Listen, "[::1]:3"},
		{"list", c.HTTP.AllowedOrigins, []string{"a", "b"}},
		{"empty text", c.Socket.Listen, ""},
		{"number", c.Limits.Connections, 6},
		{"size", c.Limits.OutboxBytes, config.ByteSize(2 << 20)},
		{"duration", c.Drain, time.Second},
		{"digits for a text", c.Cluster.Node, "2048"},
		{"bool", c.Tenants["default"].Rooms.ClientsMayCreate, true},
		{"what stands beside it", c.Tenants["default"].Limits.Rooms, 3},
		{"new tenant", c.Tenants["new"].Limits.Rooms, 8},
		{"its place", c.Tenants["new"].Pos, config.Pos{File: "--set"}},
		{"module", c.Modules["m"].File.Written, "x"},
		{"path beside the file", c.Modules["n"].File.Absolute, "/etc/moot/y.wasm"},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: got %v, want %v", test.what, test.got, test.want)
		}
	}
}

func TestOverridesAreCheckedLikeTheFile(t *testing.T) {
	for _, test := range []struct{ set, want string }{
		{"http.listen", `--set: "http.listen" is not an override: use SETTING=VALUE, such as "http.listen=:8080"`},
		{"=x", `--set: "": unknown key: use include, http, socket, admin, cluster, limits, sessions, data, cache, drain, drainDelay, watch, trustedProxies, log, decisions, telemetry, modules or tenants`},
		{"http.listn=x", `--set: http.listn: unknown key: did you mean "listen"?`},
		{"http=x", `--set: http: must be a mapping, not text`},
		{"http.listen=x", `--set: http.listen: "x" is not a valid address: use host:port or :port, such as "127.0.0.1:8080"`},
		{"http.listen.port=5", `--set: http.listen: must be text, not a mapping`},
		{"limits.connections=0", `--set: limits.connections: "0" is out of range: use 1 to 10000000`},
		{"limits.moduleCPU=half", `--set: limits.moduleCPU: "half" is not a valid share: use a number such as 0.5`},
		{"limits.moduleCPU=1.5", `--set: limits.moduleCPU: "1.5" is out of range: use 0.01 to 1`},
		{"limits.connections=many", `--set: limits.connections: "many" is not a valid whole number: use one such as 1000`},
		{"limits={connections: 5, connections: 6}", `--set: limits.connections: is a duplicate key, first at --set: remove one of the two`},
		{"modules.m.sha256=" + strings.Repeat("0", 64), `--set: modules.m: must have exactly one of builtin, file, script, url and oci`},
		{"tenants.default.chain[0].timeout=1s", `--set: tenants.default."chain[0]": unknown key: did you mean "chain"?`},
		{"socket.tenant=acme", `--set: socket.tenant: unknown tenant "acme": use default`},
		{"tenants.acme.limits.rooms=1", `--set: socket.tenant: unknown tenant "default": use acme`},
		{"drain=${NONE}", `--set: drain: "${NONE}": the environment variable is not set: set it, or write ${NAME:-default}`},
		{"include=x", `--set: include: cannot be overridden: set it in the file`},
	} {
		t.Run(test.set, func(t *testing.T) { expect(t, "", test.want, test.set) })
	}
}

func TestErrorOfAMissingFileWrapsTheCause(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "config.yaml"), nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, ok := errors.AsType[config.Problems](err); ok {
		t.Error("a missing file is reported as Problems")
	}
	path := write(t, map[string]string{"config.yaml": strings.Repeat("#", 1<<20+1)})
	if _, err = config.Load(path, nil); err == nil || !strings.Contains(err.Error(), "larger than 1MiB") {
		t.Errorf("a large file: %v", err)
	}
}

func TestSizesPrintAsTheyAreWritten(t *testing.T) {
	for size, want := range map[config.ByteSize]string{0: "0B", 1: "1B", 1000: "1000B", 1024: "1KiB", 64 << 10: "64KiB", 1<<20 + 1: "1048577B", 3 << 30: "3GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d prints as %s, want %s", int64(size), got, want)
		}
	}
}
